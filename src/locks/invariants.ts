/**
 * The invariants of the lock machine over its whole state: for tests and the simulator, after every entry.
 * The cheap ones are asserted where they could break (`grants.ts`). Numbers are those of SEMANTICS §11.
 */
import { assert } from "../base/assert.ts";
import type { Claim, LockState } from "./records.ts";

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
  assert(remembered === state.remembered.size, "every ended claim is remembered once");
  checkLocks(state);
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
  assert(state.remembered.has(claim.id) === (claim.state === "ended"), "ended claims are remembered", facts);
  assert(
    claim.state === "ended" || claim.session.end === undefined,
    "a live claim of an ended session (I5)",
    facts,
  );
  for (const { lock } of claim.resources) {
    if (claim.state === "ended") {
      assert(
        !lock.queue.has(claim) && !lock.holders.has(claim),
        "an ended claim is still in a lock (I4)",
        facts,
      );
      continue;
    }
    assert(state.locks.get(lock.name) === lock, "a live claim's lock is known", facts);
    assert(lock.queue.has(claim) === (claim.state === "waiting"), "waiting claims are in the queue", facts);
    assert(lock.holders.has(claim) === (claim.state === "held"), "held claims are among the holders", facts);
  }
}

function checkLocks(state: LockState): void {
  for (const lock of state.locks.values()) {
    assert(lock.holders.size <= 1, "two exclusive holds of one lock (I1)", { lock: lock.name });
    let previous = 0;
    for (const waiter of lock.queue) {
      assert(waiter.enqueuedRevision > previous, "the queue is not in order of arrival (I6)", {
        lock: lock.name,
      });
      previous = waiter.enqueuedRevision;
    }
    const isIdle = lock.holders.size === 0 && lock.queue.size === 0;
    assert(!isIdle || lock.delayUntil > 0, "an idle lock was kept", { lock: lock.name });
    // Free, no delay, and somebody waits who is not due: it should have been granted.
    const head = lock.queue.first();
    const isDue =
      head !== undefined &&
      (head.session.expiresAt <= state.now || (head.waitDeadline ?? Infinity) <= state.now);
    assert(
      lock.holders.size > 0 ||
        lock.delayUntil > state.now ||
        head === undefined ||
        isDue ||
        state.budgetLeft <= 0,
      "a free lock was not handed on",
      { lock: lock.name },
    );
  }
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
  }
  assert(
    state.sessionsByRef.size === state.sessions.size + state.tombstones.size,
    "refs are of live and ended sessions only",
  );
}
