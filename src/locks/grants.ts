/**
 * Who gets what: taking a place in a queue, granting, and settling whatever is due before anybody looks.
 * Nothing is granted to a session or a wait that is due, nor through a barrier. SEMANTICS §1 rule 4, §3–5.
 */
import { assert } from "../base/assert.ts";
import { barrierMode, freePermits, lowerDueBarriers } from "./barriers.ts";
import { isBehind } from "./deadlines.ts";
import { ownDeadline, settleClaim } from "./endings.ts";
import { noteOwnerGrant, noteOwnerWait } from "./owners.ts";
import type { Claim, ClaimedResource, LockState, Resource, Session } from "./records.ts";
import { dropIfIdle, isGrantable, nextGrantable, prospects } from "./resources.ts";

/** A new claim takes its place at the end of every queue it names. */
export function enqueue(state: LockState, claim: Claim): void {
  assert(claim.state === "waiting" && !state.claims.has(claim.id), "a new claim waits", { claim: claim.id });
  state.claims.set(claim.id, claim);
  claim.session.claims.set(claim.id, claim);
  noteOwnerWait(claim);
  for (const claimed of claim.resources) {
    claimed.resource.queue.add(claim);
    if (claimed.mode === "exclusive") claimed.resource.exclusiveWaiters++;
    claimed.resource.revision = state.revision;
  }
  state.waitingCount++;
  if (claim.waitDeadline !== undefined) {
    state.deadlines.add({ at: claim.waitDeadline, kind: "wait", id: claim.id });
  }
  state.changes.push({ claim, state: "waiting" });
}

/** Grants it if nobody is before it in any queue and nothing stands in the way. */
export function maybeGrant(state: LockState, claim: Claim): boolean {
  if (claim.state !== "waiting" || !isGrantable(claim)) return false;
  assert(claim.session.end === undefined, "a grant to an ended session (I5)", { claim: claim.id });
  assert(claim.session.expiresAt > state.now, "a grant to a session that is due (I5)", { claim: claim.id });
  assert(ownDeadline(claim) > state.now, "a grant to a wait that is due", { claim: claim.id });
  state.fence++;
  assert(Number.isSafeInteger(state.fence), "the fence counter is exhausted");
  for (const claimed of claim.resources) {
    takeHold(claim, claimed, state.fence);
    claimed.resource.revision = state.revision;
  }
  claim.state = "held";
  claim.revision = state.revision;
  claim.grant = { fence: state.fence, at: state.now, wallMs: state.wallMs, revision: state.revision };
  if (claim.maxHoldMs !== undefined) {
    state.deadlines.add({ at: ownDeadline(claim), kind: "max-hold", id: claim.id });
  }
  noteOwnerGrant(claim);
  state.waitingCount--;
  state.heldCount++;
  state.budgetLeft--;
  state.changes.push({ claim, state: "held" });
  return true;
}

function takeHold(claim: Claim, claimed: ClaimedResource, fence: number): void {
  const { resource } = claimed;
  resource.queue.remove(claim);
  resource.holders.add(claim);
  if (claimed.mode === "permits") {
    claimed.resource.held += claimed.kept;
    assert(freePermits(claimed.resource) >= 0, "more permits than there are (I2)", {
      semaphore: resource.name,
    });
    return;
  }
  const lock = claimed.resource;
  const facts = { lock: lock.name };
  if (claimed.mode === "exclusive") {
    lock.exclusiveWaiters--;
    lock.exclusiveMark = fence;
    assert(lock.holders.size === 1, "an exclusive hold beside another one (I1)", facts);
    assert(lock.barriers.size === 0, "an exclusive grant through a barrier (I8)", facts);
  } else {
    lock.sharedMark = fence;
    assert(lock.mode !== "exclusive", "a shared hold beside an exclusive one (I1)", facts);
    assert(barrierMode(lock) !== "exclusive", "a shared grant through a barrier (I8)", facts);
  }
  lock.mode = claimed.mode;
}

/**
 * Grants what was touched and allows it, oldest waiting claim first. Waiters that are due are settled before, and so on
 * for whatever that touches; names left without state are dropped.
 */
export function grantWhatIsFree(state: LockState, touched: Set<Resource>): void {
  settleProspects(state, touched);
  const next = new GrantOrder();
  for (const resource of touched) next.add(nextGrantable(resource));
  for (let claim = next.takeOldest(); claim !== undefined; claim = next.takeOldest()) {
    if (!maybeGrant(state, claim)) continue;
    // The one behind it may be granted as well: another reader, or smaller in permits.
    for (const { resource } of claim.resources) next.add(nextGrantable(resource));
  }
  for (const resource of touched) dropIfIdle(state, resource);
}

/** Claims to be granted in one step, the oldest first. */
class GrantOrder {
  /** Youngest first. */
  readonly #claims: Claim[] = [];
  readonly #known = new Set<Claim>();

  add(claim: Claim | undefined): void {
    if (claim === undefined || this.#known.has(claim)) return;
    this.#known.add(claim);
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#claims[middle] as Claim).enqueuedRevision > claim.enqueuedRevision) low = middle + 1;
      else high = middle;
    }
    this.#claims.splice(low, 0, claim);
  }

  takeOldest(): Claim | undefined {
    return this.#claims.pop();
  }
}

/** Ends what is due among the claims that would be granted, until none of them is. Nothing to do when nothing is due. */
function settleProspects(state: LockState, touched: Set<Resource>): void {
  if (!isBehind(state)) return;
  // Settling one may end a session and so free what was looked at before: until nothing ends.
  let changes: number;
  do {
    changes = state.changes.length;
    for (const resource of touched) {
      for (const claim of prospects(resource)) settleClaim(state, claim, touched);
    }
  } while (state.changes.length > changes);
}

/** Settles all that is due in a resource: what anybody who looks at it must do first. */
export function settleResource(state: LockState, resource: Resource): void {
  if (!isBehind(state)) return;
  const touched = new Set([resource]);
  lowerDueBarriers(state, resource, touched);
  for (const waiter of resource.queue) if (waiter.state === "waiting") settleClaim(state, waiter, touched);
  for (const holder of resource.holders) if (holder.state === "held") settleClaim(state, holder, touched);
  grantWhatIsFree(state, touched);
}

/** Settles all that is due around a claim, so that it is granted or ended first if that had happened by now. */
export function settleAround(state: LockState, claim: Claim): void {
  for (const { resource } of claim.resources) settleResource(state, resource);
}

/** The same for all claims of a live session: before anything is decided about one of them. */
export function settleSessionClaims(state: LockState, session: Session): void {
  if (!isBehind(state)) return;
  for (const claim of session.claims.values()) settleAround(state, claim);
}
