/**
 * How sessions and claims end, and what is remembered of them. Everything that ends passes here, once.
 * Grants nothing: it collects the locks that were freed, and the caller hands them on when all that ends has ended.
 * SEMANTICS §1 rules 4 and 6, §3 (no ghost grants); Chubby §2.4 (lock-delay).
 */
import { assert, present } from "../base/assert.ts";
import type {
  Claim,
  ClaimEndReason,
  Lock,
  LockState,
  Refusal,
  Session,
  SessionEndReason,
} from "./records.ts";

/**
 * A session that is due is extended by the grace after a fail-over, as far as its budget goes, or it expires; both
 * dated at its deadline (SEMANTICS rules 4 and 6; T3, T4: neither dies in an election nor lives for ever by them).
 */
export function settleSession(state: LockState, session: Session, touched: Set<Lock>): void {
  const { electionTimeoutMaxMs } = present(state.settings, "settings");
  assert(session.end === undefined && session.expiresAt <= state.now, "only a due session is settled");
  const target = state.termStart + Math.min(session.ttlMs, 3 * electionTimeoutMaxMs);
  const extension = Math.min(target - session.expiresAt, session.graceLeftMs);
  if (extension > 0) {
    session.expiresAt += extension;
    session.graceLeftMs -= extension;
    if (session.expiresAt > state.now) {
      state.deadlines.add({ at: session.expiresAt, kind: "session", id: session.id });
      return;
    }
  }
  endSession(state, session, "expired", session.expiresAt, touched);
}

/** Ends a live session and all its claims, oldest first. `at` is the cluster time that the end is dated. */
export function endSession(
  state: LockState,
  session: Session,
  reason: SessionEndReason,
  at: number,
  touched: Set<Lock>,
): void {
  session.end = { reason, at, wallMs: state.wallMs, revision: state.revision };
  session.unseenEnds = [];
  state.sessions.delete(session.id);
  state.tombstones.set(session.id, session);
  const count = present(state.ttlCounts.get(session.ttlMs), "ttl count") - 1;
  if (count === 0) state.ttlCounts.delete(session.ttlMs);
  else state.ttlCounts.set(session.ttlMs, count);
  const claimReason = reason === "expired" ? "session-expired" : "session-closed";
  for (const claim of session.claims.values()) {
    endClaim(state, claim, { reason: claimReason, at, refusal: undefined }, touched);
  }
  state.budgetLeft--;
}

/**
 * Ends a claim, once (I4). Its locks are added to `touched`; the caller grants them afterwards, when everything that
 * ends in this step has ended. `at` is the cluster time that the end is dated: of the deadline, if one caused it.
 */
export function endClaim(
  state: LockState,
  claim: Claim,
  how: { readonly reason: ClaimEndReason; readonly at: number; readonly refusal: Refusal | undefined },
  touched: Set<Lock>,
): void {
  assert(claim.state !== "ended", "a claim ends once (I4)", { claim: claim.id });
  const wasHeld = claim.state === "held";
  for (const { lock } of claim.resources) {
    const removed = wasHeld ? lock.holders.remove(claim) : lock.queue.remove(claim);
    assert(removed, "a live claim is in its queue or among the holders", { claim: claim.id });
    lock.revision = state.revision;
    if (wasHeld && how.reason === "session-expired") delayLock(state, lock, claim, how.at);
    touched.add(lock);
  }
  if (wasHeld) state.heldCount--;
  else state.waitingCount--;
  claim.state = "ended";
  claim.revision = state.revision;
  claim.end = { reason: how.reason, at: how.at, revision: state.revision, refusal: how.refusal };
  claim.session.claims.delete(claim.id);
  state.budgetLeft--;
  state.changes.push({ claim, state: "ended" });
  rememberEnded(state, claim);
}

/** After an unclean end nothing is granted for a while: the holder may still act on what it believes. */
function delayLock(state: LockState, lock: Lock, claim: Claim, endedAt: number): void {
  const { lockDelayMs } = present(state.settings, "settings");
  const until = endedAt + (claim.lockDelayMs ?? claim.session.lockDelayMs ?? lockDelayMs);
  if (until <= Math.max(lock.delayUntil, state.now)) return;
  lock.delayUntil = until;
  state.deadlines.add({ at: until, kind: "lock-delay", id: lock.name });
}

/** Keeps an ended claim under its id, within the bounds: what is forgotten is the oldest. */
export function rememberEnded(state: LockState, claim: Claim): void {
  const settings = present(state.settings, "settings");
  const { session } = claim;
  session.remembered.set(claim.id, claim);
  state.remembered.set(claim.id, claim);
  // A tombstone keeps all that its session held at the end; only the common bound applies to it.
  if (session.end === undefined && session.remembered.size > settings.rememberedClaimsPerSession) {
    forget(state, firstOf(session.remembered));
  }
  if (state.remembered.size > settings.rememberedClaims) forget(state, firstOf(state.remembered));
}

function firstOf(claims: ReadonlyMap<string, Claim>): Claim {
  return present(claims.values().next().value, "a remembered claim");
}

/** Forgets an ended claim. Of the ids `<ref>_<n>` it leaves the mark that makes them safe for ever. */
export function forget(state: LockState, claim: Claim): void {
  assert(claim.state === "ended", "only ended claims are forgotten", { claim: claim.id });
  state.claims.delete(claim.id);
  state.remembered.delete(claim.id);
  claim.session.remembered.delete(claim.id);
  const number = ordinalOf(claim.session.ref, claim.id);
  if (number !== undefined && number > claim.session.forgottenUpTo) claim.session.forgottenUpTo = number;
}

/** The n of an id `<ref>_<n>` of this session's own; undefined for every other id. */
export function ordinalOf(ref: string, claimId: string): number | undefined {
  if (!claimId.startsWith(`${ref}_`)) return undefined;
  const digits = claimId.slice(ref.length + 1);
  return /^[1-9][0-9]{0,14}$/.test(digits) ? Number(digits) : undefined;
}

/** A hold that ended without its caller: it may have run unprotected and must learn so. */
export function isLost(claim: Claim): boolean {
  return claim.grant !== undefined && claim.end?.reason === "session-expired";
}
