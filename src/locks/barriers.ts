/**
 * What an unclean end leaves behind: lock-delay (Chubby §2.4), the cooling of permits, and hand-back. Until a barrier
 * is over nobody is granted what the ended hold had, because its holder may still act on what it believed (I8).
 * A shared hold keeps only exclusive claims out. SEMANTICS §4, §5.
 */
import { assert, present } from "../base/assert.ts";
import type {
  Barrier,
  BlockReason,
  Claim,
  ClaimedResource,
  Lock,
  LockState,
  Resource,
  Semaphore,
} from "./records.ts";

/** Cluster time from which it keeps nobody out. */
export function barrierEnd({ delayUntil, handBackUntil }: Barrier): number {
  return Math.max(delayUntil, handBackUntil);
}

/** Most names never have one; they share this. */
export const noBarriers: ReadonlySet<Barrier> = new Set();

/**
 * Raises a barrier behind a hold that ended uncleanly. `endedAt` is the cluster time that the end is dated: lock-delay
 * counts from there. `handBackUntil`: 0, or until when the session may believe although the hold was taken from it.
 */
export function raiseBarrier(
  state: LockState,
  claim: Claim,
  what: {
    readonly resources: readonly ClaimedResource[];
    readonly endedAt: number;
    readonly handBackUntil: number;
  },
): void {
  const { lockDelayMs } = present(state.settings, "settings");
  const { fence } = present(claim.grant, "the grant of a hold");
  const { resources, endedAt, handBackUntil } = what;
  const delayUntil = endedAt + (claim.lockDelayMs ?? claim.session.lockDelayMs ?? lockDelayMs);
  const barrier: Barrier = { fence, resources, delayUntil, handBackUntil };
  if (barrierEnd(barrier) > state.now) keepBarrier(state, barrier);
}

/** Files it under its fence and at its resources, behind those that are there. */
export function keepBarrier(state: LockState, barrier: Barrier): void {
  const { fence, resources } = barrier;
  state.barriers.set(fence, barrier);
  for (const claimed of resources) {
    ownBarriers(claimed.resource).add(barrier);
    if (claimed.mode === "permits") claimed.resource.cooling += claimed.kept;
  }
  state.deadlines.add({ at: barrierEnd(barrier), kind: "barrier", id: String(fence) });
}

function ownBarriers(resource: Resource): Set<Barrier> {
  if (resource.barriers === noBarriers) resource.barriers = new Set();
  orders.delete(resource.barriers);
  return resource.barriers as Set<Barrier>;
}

/** Its time is over: what it kept back may be granted. */
export function lowerBarrier(state: LockState, barrier: Barrier, touched: Set<Resource>): void {
  assert(barrierEnd(barrier) <= state.now, "a barrier stays until its end (I8)", { fence: barrier.fence });
  state.barriers.delete(barrier.fence);
  for (const claimed of barrier.resources) {
    const { resource } = claimed;
    ownBarriers(resource).delete(barrier);
    if (resource.barriers.size === 0) resource.barriers = noBarriers;
    if (claimed.mode === "permits") claimed.resource.cooling -= claimed.kept;
    resource.revision = state.revision;
    touched.add(resource);
  }
}

/** The session says that it knows of the end of this hold: it believes no more, only lock-delay is left. */
export function acknowledgeEnd(state: LockState, { grant }: Claim, touched: Set<Resource>): void {
  const { fence } = present(grant, "the grant of a hold");
  const barrier = state.barriers.get(fence);
  if (barrier === undefined) return;
  barrier.handBackUntil = 0;
  for (const { resource } of barrier.resources) orders.delete(resource.barriers);
  if (barrier.delayUntil <= state.now) lowerBarrier(state, barrier, touched);
  else state.deadlines.add({ at: barrier.delayUntil, kind: "barrier", id: String(fence) });
}

/** Lowers what is over and was not swept yet. */
export function lowerDueBarriers(state: LockState, resource: Resource, touched: Set<Resource>): void {
  for (const barrier of resource.barriers) {
    if (barrierEnd(barrier) <= state.now) lowerBarrier(state, barrier, touched);
  }
}

/**
 * The mode of the holds behind a lock's barriers; undefined when it has none. They are all of one mode: behind an
 * exclusive one nothing is granted that could end, and before an exclusive grant all must be gone.
 */
export function barrierMode(lock: Lock): Lock["mode"] {
  for (const { resources } of lock.barriers) {
    for (const claimed of resources)
      if (claimed.resource === lock && claimed.mode !== "permits") return claimed.mode;
  }
  return undefined;
}

/** Which of the two keeps a resource back for longer, and until when `permits` of it (1 for a lock) are free. */
export function barrierBlock(
  resource: Resource,
  permits: number,
): { readonly reason: BlockReason; readonly availableAt: number } {
  const barriers = inOrderOfEnd(resource);
  let last = present(barriers[barriers.length - 1], "a barrier");
  if (resource.kind === "semaphore") {
    let free = freePermits(resource);
    for (const barrier of barriers) {
      free += permitsBehind(barrier, resource);
      last = barrier;
      if (free >= permits) break;
    }
  }
  const reason = last.handBackUntil > last.delayUntil ? "hand-back" : "lock-delay";
  return { reason, availableAt: barrierEnd(last) };
}

/** Kept until a barrier comes, changes or goes: a refusal asks for it, and there may be thousands of both. */
const orders = new WeakMap<ReadonlySet<Barrier>, readonly Barrier[]>();

function inOrderOfEnd({ barriers }: Resource): readonly Barrier[] {
  const known = orders.get(barriers);
  if (known !== undefined) return known;
  const sorted = [...barriers].sort((a, b) => barrierEnd(a) - barrierEnd(b) || a.fence - b.fence);
  orders.set(barriers, sorted);
  return sorted;
}

/** May be negative after a decrease of the capacity. */
export function freePermits({ capacity, held, cooling }: Semaphore): number {
  return capacity - held - cooling;
}

function permitsBehind({ resources }: Barrier, semaphore: Semaphore): number {
  let permits = 0;
  for (const claimed of resources) {
    if (claimed.mode === "permits" && claimed.resource === semaphore) permits += claimed.kept;
  }
  return permits;
}
