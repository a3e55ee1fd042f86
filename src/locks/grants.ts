/**
 * Who gets what: granting, refusing, and the rules of a lock's queue.
 * First come, first served; no newcomer passes a waiter; nothing is granted to a session or a wait that is due, nor
 * before a lock-delay has passed. SEMANTICS §3, §4; Chubby §2.4 (lock-delay).
 */
import { assert, present } from "../base/assert.ts";
import { endClaim, settleSession } from "./endings.ts";
import { OrderedSet } from "./ordered-set.ts";
import type { Blocker, BlockReason, Claim, Lock, LockState, Refusal } from "./records.ts";

/** Blockers that a refusal names at most; more would only repeat the queue. */
const blockersMax = 8;

/** The lock's record; made when the name has no state. Drop it with `dropIfIdle` when nothing came of it. */
export function lockNamed(state: LockState, name: string): Lock {
  const known = state.locks.get(name);
  if (known !== undefined) return known;
  const lock: Lock = {
    name,
    holders: new OrderedSet(),
    queue: new OrderedSet(),
    delayUntil: 0,
    revision: state.revision,
  };
  state.locks.set(name, lock);
  return lock;
}

/** Idle locks vanish: fences come from one counter, so a name needs no residue. */
export function dropIfIdle(state: LockState, lock: Lock): void {
  if (lock.holders.size === 0 && lock.queue.size === 0 && lock.delayUntil <= state.now) {
    state.locks.delete(lock.name);
  }
}

/** Why nobody may be granted this lock now, or why only the queue may. */
function blockReason(state: LockState, lock: Lock): BlockReason | undefined {
  if (lock.holders.size > 0) return "held";
  if (lock.delayUntil > state.now) return "lock-delay";
  if (lock.queue.size > 0) return "queue-ahead";
  return undefined;
}

/** What stands between this lock and a newcomer, or `waiter`, who does not stand in its own way. */
export function refusalFor(state: LockState, lock: Lock, waiter?: Claim): Refusal | undefined {
  const reason = blockReason(state, lock);
  if (reason === undefined) return undefined;
  const inTheWay = reason === "held" ? lock.holders : reason === "queue-ahead" ? lock.queue : [];
  const blockedBy: Blocker[] = [];
  for (const claim of inTheWay) {
    if (blockedBy.length === blockersMax || claim === waiter) break;
    blockedBy.push(blockerOf(claim));
  }
  return {
    reason,
    blockedBy,
    queueLength: lock.queue.size,
    availableAt: lock.delayUntil > state.now ? lock.delayUntil : undefined,
  };
}

export function blockerOf(claim: Claim): Blocker {
  return {
    claimId: claim.id,
    sessionRef: claim.session.ref,
    label: claim.session.label,
    heldAt: claim.grant?.at,
    metadata: claim.metadata,
  };
}

/** A new claim takes its place at the end of every queue it names. */
export function enqueue(state: LockState, claim: Claim): void {
  assert(claim.state === "waiting" && !state.claims.has(claim.id), "a new claim waits", { claim: claim.id });
  state.claims.set(claim.id, claim);
  claim.session.claims.set(claim.id, claim);
  for (const { lock } of claim.resources) {
    lock.queue.add(claim);
    lock.revision = state.revision;
  }
  state.waitingCount++;
  if (claim.waitDeadline !== undefined) {
    state.deadlines.add({ at: claim.waitDeadline, kind: "wait", id: claim.id });
  }
  state.changes.push({ claim, state: "waiting" });
}

function isGrantable(state: LockState, claim: Claim): boolean {
  return claim.resources.every(
    ({ lock }) => lock.holders.size === 0 && lock.delayUntil <= state.now && lock.queue.first() === claim,
  );
}

/** Grants it if it is first in every queue and nothing stands in the way. */
export function maybeGrant(state: LockState, claim: Claim): boolean {
  if (claim.state !== "waiting" || !isGrantable(state, claim)) return false;
  assert(claim.session.end === undefined, "a grant to an ended session (I5)", { claim: claim.id });
  assert(claim.session.expiresAt > state.now, "a grant to a session that is due (I5)", { claim: claim.id });
  assert((claim.waitDeadline ?? Infinity) > state.now, "a grant to a wait that is due", { claim: claim.id });
  state.fence++;
  assert(Number.isSafeInteger(state.fence), "the fence counter is exhausted");
  for (const { lock } of claim.resources) {
    lock.queue.remove(claim);
    lock.holders.add(claim);
    lock.revision = state.revision;
    assert(lock.holders.size === 1, "two exclusive holds of one lock (I1)", { lock: lock.name });
  }
  claim.state = "held";
  claim.revision = state.revision;
  claim.grant = { fence: state.fence, at: state.now, wallMs: state.wallMs, revision: state.revision };
  state.waitingCount--;
  state.heldCount++;
  state.budgetLeft--;
  state.changes.push({ claim, state: "held" });
  return true;
}

/**
 * Grants what the touched locks allow, oldest waiting claim first. Waiters that are due are settled before, and so on
 * for whatever that touches; locks left without state are dropped.
 */
export function grantWhatIsFree(state: LockState, touched: Set<Lock>): void {
  // Settling one lock's head may end a session and so free another lock that was looked at before: until nothing ends.
  let changes: number;
  do {
    changes = state.changes.length;
    for (const lock of touched) settleHead(state, lock, touched);
  } while (state.changes.length > changes);
  const heads: Claim[] = [];
  for (const lock of touched) {
    const head = lock.queue.first();
    if (head !== undefined && isGrantable(state, head)) heads.push(head);
  }
  heads.sort((a, b) => a.enqueuedRevision - b.enqueuedRevision);
  for (const head of heads) maybeGrant(state, head);
  for (const lock of touched) dropIfIdle(state, lock);
}

/** Ends the waiters at the head that are due, until one is not; only where the head could be granted at all. */
function settleHead(state: LockState, lock: Lock, touched: Set<Lock>): void {
  if (lock.holders.size > 0 || lock.delayUntil > state.now) return;
  let head = lock.queue.first();
  while (head !== undefined && settleWaiter(state, head, touched)) head = lock.queue.first();
}

/** True when the waiting claim was due and ended. Its session's deadline goes first when it is the earlier one. */
export function settleWaiter(state: LockState, claim: Claim, touched: Set<Lock>): boolean {
  const waitDeadline = claim.waitDeadline ?? Infinity;
  if (claim.session.expiresAt <= Math.min(state.now, waitDeadline))
    settleSession(state, claim.session, touched);
  if (claim.state === "waiting" && waitDeadline <= state.now) timeOut(state, claim, waitDeadline, touched);
  if (claim.state === "waiting" && claim.session.expiresAt <= state.now) {
    settleSession(state, claim.session, touched);
  }
  return claim.state === "ended";
}

function timeOut(state: LockState, claim: Claim, at: number, touched: Set<Lock>): void {
  const lock = present(claim.resources[0], "a claim's resource").lock;
  const refusal = refusalFor(state, lock, claim);
  endClaim(state, claim, { reason: "wait-timeout", at, refusal }, touched);
}

/** Settles the holders of a lock that are due, then its queue: what anybody who looks at it must do first. */
export function settleLock(state: LockState, lock: Lock): void {
  const touched = new Set([lock]);
  // Due waiters are left in a queue only when the work budget cut a sweep short.
  if ((state.deadlines.first()?.at ?? Infinity) <= state.now) {
    for (const waiter of Array.from(lock.queue))
      if (waiter.state === "waiting") settleWaiter(state, waiter, touched);
  }
  // A copy: settling a holder changes the set that is walked.
  for (const holder of Array.from(lock.holders)) {
    if (holder.session.expiresAt <= state.now) settleSession(state, holder.session, touched);
  }
  grantWhatIsFree(state, touched);
}
