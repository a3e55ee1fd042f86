/**
 * The invariants of the lock machine over its whole state: for tests and the simulator, after every entry.
 * The cheap ones are asserted where they could break (`grants.ts`). Numbers are those of SEMANTICS §11.
 */
import { assert } from "../base/assert.ts";
import { barrierEnd } from "./barriers.ts";
import { ownDeadline } from "./endings.ts";
import type { Barrier, Claim, Lock, LockState, Resource, Semaphore, Session } from "./records.ts";
import { nextGrantable, standingOf } from "./resources.ts";

/** Linear in the state. Throws InvariantError. */
export function checkLockState(state: LockState): void {
  let held = 0;
  let waiting = 0;
  let remembered = 0;
  const fences = new Set<number>();
  for (const claim of state.claims.values()) {
    checkClaim(state, claim);
    if (claim.state === "held") held++;
    else if (claim.state === "waiting") waiting++;
    else remembered++;
    if (claim.grant !== undefined) {
      assert(!fences.has(claim.grant.fence), "a fence was given twice (I3)", { fence: claim.grant.fence });
      assert(claim.grant.fence <= state.fence, "a fence above the counter (I3)");
      fences.add(claim.grant.fence);
    }
  }
  assert(held === state.heldCount && waiting === state.waitingCount, "the counts of claims are wrong");
  let unseen = 0;
  for (const session of state.sessions.values()) unseen += session.unseenEnds.length;
  assert(
    remembered === state.remembered.size + unseen,
    "every ended claim is remembered once, or to be told of",
  );
  for (const resource of state.resources.values()) checkResource(state, resource);
  const semaphores = [...state.resources.values()].filter((resource) => resource.kind === "semaphore");
  assert(semaphores.length === state.semaphoreCount, "the count of semaphores is wrong");
  assert(
    semaphores.filter(({ isSet }) => isSet).length === state.setSemaphores,
    "the count of set semaphores is wrong",
  );
  for (const barrier of state.barriers.values()) checkBarrier(state, barrier);
  checkSessions(state);
}

function checkClaim(state: LockState, claim: Claim): void {
  const facts = { claim: claim.id };
  assert(state.claims.get(claim.id) === claim, "a claim is filed under its id", facts);
  assert((claim.end !== undefined) === (claim.state === "ended"), "an end for ended claims only (I4)", facts);
  assert(claim.state !== "held" || claim.grant !== undefined, "a held claim was granted", facts);
  assert(
    claim.session.claims.has(claim.id) === (claim.state !== "ended"),
    "a session owns its live claims",
    facts,
  );
  const isUnseen = claim.session.unseenEnds.some((end) => end.claim === claim);
  const isRemembered = state.remembered.has(claim.id);
  assert(!(isUnseen && isRemembered), "an end to be told of is not forgotten in time", facts);
  assert((isRemembered || isUnseen) === (claim.state === "ended"), "ended claims are remembered", facts);
  assert(
    claim.state === "ended" || claim.session.end === undefined,
    "a live claim of an ended session (I5)",
    facts,
  );
  for (const { resource } of claim.resources) {
    const isQueued = resource.queue.has(claim);
    const isHolder = resource.holders.has(claim);
    assert(
      isQueued === (claim.state === "waiting"),
      "waiting claims, and no others, are in the queue (I4)",
      facts,
    );
    assert(
      isHolder === (claim.state === "held"),
      "held claims, and no others, are among the holders (I4)",
      facts,
    );
    const isKnown = state.resources.get(resource.name) === resource;
    assert(isKnown || claim.state === "ended", "what a live claim names is known", facts);
  }
}

function checkResource(state: LockState, resource: Resource): void {
  const { name } = resource;
  assert(state.resources.get(name) === resource, "a resource is filed under its name", { name });
  let previous = 0;
  for (const waiter of resource.queue) {
    assert(waiter.enqueuedRevision > previous, "the queue is not in order of arrival (I6)", { name });
    previous = waiter.enqueuedRevision;
  }
  for (const barrier of resource.barriers) {
    assert(state.barriers.get(barrier.fence) === barrier, "a barrier is filed under its fence", { name });
  }
  if (resource.kind === "lock") checkLock(resource);
  else checkSemaphore(resource);
  const isUsed = resource.holders.size > 0 || resource.queue.size > 0 || resource.barriers.size > 0;
  assert(isUsed || (resource.kind === "semaphore" && resource.isSet), "an idle name was kept", { name });
  // Somebody could have it who is not due: it should have been granted.
  const next = state.budgetLeft > 0 ? nextGrantable(resource) : undefined;
  assert(next === undefined || isDue(state, next), "what is free was not handed on", { name });
}

function isDue(state: LockState, claim: Claim): boolean {
  return claim.session.expiresAt <= state.now || ownDeadline(claim) <= state.now;
}

function checkLock(lock: Lock): void {
  const facts = { lock: lock.name };
  const modes = Array.from(lock.holders, (claim) => standingOf(claim, lock)?.mode);
  assert(
    modes.length <= 1 || modes.every((mode) => mode === "shared"),
    "holds that exclude each other (I1)",
    facts,
  );
  assert(lock.mode === modes[0], "a lock's mode is not that of its holders", facts);
  const waiting = Array.from(lock.queue, (claim) => standingOf(claim, lock)?.mode);
  const exclusive = waiting.filter((mode) => mode === "exclusive").length;
  assert(lock.exclusiveWaiters === exclusive, "the count of exclusive waiters is wrong", facts);
  for (const barrier of lock.barriers) {
    const mode = barrier.resources.find((claimed) => claimed.resource === lock)?.mode;
    assert(
      lock.mode === undefined || (lock.mode === "shared" && mode === "shared"),
      "held in spite of a barrier (I8)",
      facts,
    );
  }
}

function checkSemaphore(semaphore: Semaphore): void {
  const facts = { semaphore: semaphore.name };
  assert(
    permitsIn(semaphore, semaphore.holders) === semaphore.held,
    "the count of permits held is wrong",
    facts,
  );
  const behind = [...semaphore.barriers].flatMap(({ resources }) => resources);
  let cooling = 0;
  for (const claimed of behind) {
    if (claimed.mode === "permits" && claimed.resource === semaphore) cooling += claimed.kept;
  }
  assert(cooling === semaphore.cooling, "the count of permits that cool is wrong", facts);
  for (const waiter of semaphore.queue) {
    const claimed = standingOf(waiter, semaphore);
    assert(
      claimed?.mode === "permits" && claimed.permits <= semaphore.capacity,
      "a wait that can never end",
      facts,
    );
  }
}

function permitsIn(semaphore: Semaphore, claims: Iterable<Claim>): number {
  let permits = 0;
  for (const claim of claims) {
    const claimed = standingOf(claim, semaphore);
    if (claimed?.mode === "permits") permits += claimed.kept;
  }
  return permits;
}

function checkBarrier(state: LockState, barrier: Barrier): void {
  const facts = { fence: barrier.fence };
  assert(barrierEnd(barrier) > state.now || state.budgetLeft <= 0, "a barrier outlived its end", facts);
  for (const { resource } of barrier.resources)
    assert(resource.barriers.has(barrier), "a barrier is nowhere", facts);
}

/** The index of owners says what the claims say. */
function checkOwners(session: Session): void {
  let entries = 0;
  for (const claim of session.claims.values()) {
    const owner = claim.owner === undefined ? undefined : session.owners.get(claim.owner);
    const facts = { claim: claim.id };
    if (claim.owner === undefined) continue;
    if (claim.state === "waiting") {
      entries++;
      assert(owner?.waiting === claim, "an owner waits for one thing (§3)", facts);
    }
    for (const { resource, mode } of claim.resources) {
      if (claim.state !== "held" || mode === "permits") continue;
      entries++;
      assert(owner?.held.get(resource.name) === claim, "an owner's hold is not in its index", facts);
    }
  }
  for (const owner of session.owners.values())
    entries -= owner.held.size + (owner.waiting === undefined ? 0 : 1);
  assert(entries === 0, "the index of owners has more than there is", { session: session.ref });
}

function checkSessions(state: LockState): void {
  for (const session of state.sessions.values()) {
    const facts = { session: session.ref };
    assert(session.end === undefined, "an ended session among the live", facts);
    assert(session.seen <= session.lastRenewal, "an answer was seen before it was given", facts);
    assert(
      session.graceLeftMs >= 0 && session.graceLeftMs <= session.ttlMs,
      "the grace budget is broken",
      facts,
    );
    assert(session.expiresAt > state.now || state.budgetLeft <= 0, "a due session was not swept", facts);
    assert(state.sessionsByRef.get(session.ref) === session, "a session is filed under its ref", facts);
    checkOwners(session);
  }
  assert(
    state.sessionsByRef.size === state.sessions.size + state.tombstones.size,
    "refs are of live and ended sessions only",
  );
}
