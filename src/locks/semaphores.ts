/**
 * Semaphores as operators see them: making, resizing, deleting. The capacity is part of the state, so that no two
 * clients disagree about it. Nothing granted is ever taken back. SEMANTICS §5.
 */
import { present } from "../base/assert.ts";
import type { DeleteSemaphoreCommand, SetSemaphoreCommand } from "./commands.ts";
import { endClaim } from "./endings.ts";
import { settleResource } from "./grants.ts";
import type { Outcome } from "./outcomes.ts";
import type { LockState, Resource, Semaphore } from "./records.ts";
import { createSemaphore, refusalFor, standingOf } from "./resources.ts";

/** The record of that name after whatever is due has ended. */
function settled(state: LockState, name: string): Resource | undefined {
  const resource = state.resources.get(name);
  if (resource !== undefined) settleResource(state, resource);
  return state.resources.get(name);
}

/**
 * From now on it has this capacity and stays until it is deleted. More permits go to the head of the queue in the same
 * step; fewer than are held leaves a negative rest, and who waits for more than there are is told so.
 */
export function setSemaphore(
  state: LockState,
  command: SetSemaphoreCommand,
  touched: Set<Resource>,
): Outcome {
  const { semaphores } = present(state.settings, "settings");
  const { name, capacity } = command;
  const known = settled(state, name);
  if (known?.kind === "lock") return { kind: "kind-mismatch", name, is: "lock" };
  if (known?.isSet !== true && state.setSemaphores >= semaphores) {
    return { kind: "quota", limit: "semaphores", max: semaphores };
  }
  const semaphore = known ?? createSemaphore(state, name, capacity);
  if (!semaphore.isSet) state.setSemaphores++;
  if (known === undefined || !semaphore.isSet || semaphore.capacity !== capacity)
    semaphore.revision = state.revision;
  semaphore.isSet = true;
  semaphore.capacity = capacity;
  for (const claim of semaphore.queue) {
    const claimed = present(standingOf(claim, semaphore), "a waiter's standing");
    if (claimed.mode !== "permits" || claimed.permits <= capacity) continue;
    const refusal = refusalFor(claimed, claim);
    endClaim(state, claim, { reason: "exceeds-capacity", at: state.now, refusal }, touched);
  }
  touched.add(semaphore);
  return { kind: "semaphore", semaphore, created: known === undefined };
}

/** Permits that still cool keep the record, as one that an acquire made, until they have cooled. */
export function deleteSemaphore(
  state: LockState,
  { name }: DeleteSemaphoreCommand,
  touched: Set<Resource>,
): Outcome {
  const known = settled(state, name);
  if (known === undefined) return { kind: "semaphore-unknown", name };
  if (known.kind === "lock") return { kind: "kind-mismatch", name, is: "lock" };
  const semaphore: Semaphore = known;
  if (semaphore.holders.size > 0 || semaphore.queue.size > 0) return { kind: "in-use", semaphore };
  if (semaphore.isSet) state.setSemaphores--;
  semaphore.isSet = false;
  semaphore.revision = state.revision;
  touched.add(semaphore);
  return { kind: "semaphore-deleted", name };
}
