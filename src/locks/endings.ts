/**
 * How sessions and claims end, and what is remembered of them. Everything that ends passes here, once.
 * Grants nothing: it collects what was freed, and the caller hands it on when all that ends has ended.
 * SEMANTICS §1 rules 4 and 6, §3 (no ghost grants), §4 (lock-delay, hand-back).
 */
import { assert, present } from "../base/assert.ts";
import { raiseBarrier } from "./barriers.ts";
import { isBehind } from "./deadlines.ts";
import { noteOwnerEnd } from "./owners.ts";
import type {
  Claim,
  ClaimEndReason,
  ClaimedResource,
  LockState,
  Refusal,
  Resource,
  Session,
  SessionEndReason,
} from "./records.ts";
import { refusalFor } from "./resources.ts";

const nothing: readonly ClaimedResource[] = [];

/** Ended claims that one entry forgets for each that it remembers: a lowered bound is reached step by step. */
const forgottenAtOnce = 8;

/**
 * What an end leaves behind. `delay`: its lock-delay, for nobody told the holder. `hand-back`: that, and until the
 * holder says that it knows, or its lease is over.
 */
const afterwards: Readonly<Record<ClaimEndReason, "nothing" | "delay" | "hand-back">> = {
  refused: "nothing",
  released: "nothing",
  cancelled: "nothing",
  "wait-timeout": "nothing",
  "exceeds-capacity": "nothing",
  "session-closed": "nothing",
  "session-expired": "delay",
  "session-killed": "hand-back",
  "max-hold": "hand-back",
};

const claimReasons: Readonly<Record<SessionEndReason, ClaimEndReason>> = {
  expired: "session-expired",
  closed: "session-closed",
  killed: "session-killed",
};

// ---- what is due ---------------------------------------------------------------------------------------------------

/** The claim's own deadline, in cluster time: of its wait, or of its hold; Infinity when it has none. */
export function ownDeadline({ state, waitDeadline, grant, maxHoldMs }: Claim): number {
  if (state === "waiting") return waitDeadline ?? Infinity;
  if (state === "held" && grant !== undefined && maxHoldMs !== undefined) return grant.at + maxHoldMs;
  return Infinity;
}

/**
 * Ends a live claim that is due, by whichever of its own and its session's deadline comes first. True when it ended.
 */
export function settleClaim(state: LockState, claim: Claim, touched: Set<Resource>): boolean {
  const { session } = claim;
  const own = ownDeadline(claim);
  if (session.expiresAt <= Math.min(state.now, own)) settleSession(state, session, touched);
  if (claim.state !== "ended" && own <= state.now) endByOwnDeadline(state, claim, own, touched);
  if (claim.state !== "ended" && session.expiresAt <= state.now) settleSession(state, session, touched);
  return claim.state === "ended";
}

function endByOwnDeadline(state: LockState, claim: Claim, at: number, touched: Set<Resource>): void {
  if (claim.state === "held") {
    endClaim(state, claim, { reason: "max-hold", at, refusal: undefined }, touched);
    return;
  }
  const claimed = present(claim.resources[0], "a claim's resource");
  endClaim(state, claim, { reason: "wait-timeout", at, refusal: refusalFor(claimed, claim) }, touched);
}

/**
 * Ends those of a live session's claims whose own deadlines came up to `until` (cluster time, never after now) and were
 * not swept yet.
 */
export function settleClaimsOf(
  state: LockState,
  session: Session,
  until: number,
  touched: Set<Resource>,
): void {
  if (!isBehind(state)) return;
  for (const claim of session.claims.values()) {
    const own = ownDeadline(claim);
    if (own <= until) endByOwnDeadline(state, claim, own, touched);
  }
}

/**
 * A session that is due is extended by the grace after a fail-over, as far as its budget goes, or it expires; both
 * dated at its deadline (SEMANTICS rules 4 and 6; T3, T4: neither dies in an election nor lives for ever by them).
 * Holds of it that were due before it end before it is extended: they are handed back by the lease that they ended under.
 */
export function settleSession(state: LockState, session: Session, touched: Set<Resource>): void {
  const { electionTimeoutMaxMs } = present(state.settings, "settings");
  assert(session.end === undefined && session.expiresAt <= state.now, "only a due session is settled");
  const target = state.termStart + Math.min(session.ttlMs, 3 * electionTimeoutMaxMs);
  const extension = Math.min(target - session.expiresAt, session.graceLeftMs);
  if (extension > 0) {
    settleClaimsOf(state, session, session.expiresAt - 1, touched);
    session.expiresAt += extension;
    session.graceLeftMs -= extension;
    if (session.expiresAt > state.now) {
      state.deadlines.add({ at: session.expiresAt, kind: "session", id: session.id });
      return;
    }
  }
  endSession(state, session, { reason: "expired", at: session.expiresAt, note: "" }, touched);
}

// ---- ends ----------------------------------------------------------------------------------------------------------

/**
 * Ends a live session and all its claims, oldest first. `at` is the cluster time that the end is dated. A claim whose
 * own deadline came before ends by that.
 */
export function endSession(
  state: LockState,
  session: Session,
  how: { readonly reason: SessionEndReason; readonly at: number; readonly note: string },
  touched: Set<Resource>,
): void {
  const { reason, at, note } = how;
  session.end = { reason, at, wallMs: state.wallMs, revision: state.revision, note };
  // Its tombstone remembers them from here on.
  for (const { claim } of session.unseenEnds) rememberEnded(state, claim);
  session.unseenEnds = [];
  state.sessions.delete(session.id);
  state.tombstones.set(session.id, session);
  const count = present(state.ttlCounts.get(session.ttlMs), "ttl count") - 1;
  if (count === 0) state.ttlCounts.delete(session.ttlMs);
  else state.ttlCounts.set(session.ttlMs, count);
  for (const claim of session.claims.values()) {
    const own = ownDeadline(claim);
    // Of equal deadlines the session's is handled first; a command comes after all that is due.
    if (own < at || (own === at && reason !== "expired")) endByOwnDeadline(state, claim, own, touched);
    else endClaim(state, claim, { reason: claimReasons[reason], at, refusal: undefined }, touched);
  }
  state.budgetLeft--;
}

/**
 * Ends a claim, once (I4). What it stood in is added to `touched`; the caller grants it afterwards, when everything
 * that ends in this step has ended. `at` is the cluster time that the end is dated: of the deadline, if one caused it.
 */
export function endClaim(
  state: LockState,
  claim: Claim,
  how: {
    readonly reason: ClaimEndReason;
    readonly at: number;
    readonly refusal: Refusal | undefined;
    /** A hold that its client never heard of: it is told of its end, although nothing is left behind. */
    readonly isUnheard?: boolean;
  },
  touched: Set<Resource>,
): void {
  assert(claim.state !== "ended", "a claim ends once (I4)", { claim: claim.id });
  const { session } = claim;
  const wasHeld = claim.state === "held";
  noteOwnerEnd(claim);
  for (const claimed of claim.resources) {
    const removed = wasHeld ? leaveHolders(claim, claimed) : leaveQueue(claim, claimed);
    assert(removed, "a live claim is in its queue or among the holders", { claim: claim.id });
    claimed.resource.revision = state.revision;
    touched.add(claimed.resource);
  }
  if (wasHeld) state.heldCount--;
  else state.waitingCount--;
  claim.state = "ended";
  claim.revision = state.revision;
  claim.end = { reason: how.reason, at: how.at, revision: state.revision, refusal: how.refusal };
  session.claims.delete(claim.id);
  state.budgetLeft--;
  state.changes.push({ claim, state: "ended" });
  const { resources } = claim;
  // The records go their own way from here on; what is remembered is what was asked for.
  claim.resources = nothing;
  const leaves = wasHeld ? afterwards[how.reason] : "nothing";
  const isHandedBack = leaves === "hand-back";
  if (leaves !== "nothing") {
    const handBackUntil = isHandedBack ? session.expiresAt : 0;
    raiseBarrier(state, claim, { resources, endedAt: how.at, handBackUntil });
  }
  // A session that has ended is told so; a live one is told of the hold until it says that it knows.
  if ((isHandedBack || how.isUnheard === true) && session.end === undefined) {
    noteUnseenEnd(state, claim);
  } else rememberEnded(state, claim);
}

/** The session did not ask for this end, so it is told of it until it says that it has seen it. */
function noteUnseenEnd({ revision }: LockState, claim: Claim): void {
  const { reason } = present(claim.end, "the end of a claim");
  claim.session.unseenEnds.push({ claimId: claim.id, claim, reason, revision });
}

function leaveHolders(claim: Claim, claimed: ClaimedResource): boolean {
  const removed = claimed.resource.holders.remove(claim);
  if (claimed.mode === "permits") claimed.resource.held -= claimed.kept;
  else if (claimed.resource.holders.size === 0) claimed.resource.mode = undefined;
  return removed;
}

function leaveQueue(claim: Claim, claimed: ClaimedResource): boolean {
  if (claimed.mode === "exclusive") claimed.resource.exclusiveWaiters--;
  return claimed.resource.queue.remove(claim);
}

// ---- what is remembered --------------------------------------------------------------------------------------------

/** Keeps an ended claim under its id, within the bounds: what is forgotten is the oldest. */
export function rememberEnded(state: LockState, claim: Claim): void {
  const settings = present(state.settings, "settings");
  const { session } = claim;
  session.remembered.set(claim.id, claim);
  state.remembered.set(claim.id, claim);
  // A tombstone keeps all that its session held at the end; only the common bound applies to it.
  if (session.end === undefined) forgetBeyond(state, session.remembered, settings.rememberedClaimsPerSession);
  forgetBeyond(state, state.remembered, settings.rememberedClaims);
}

function forgetBeyond(state: LockState, remembered: ReadonlyMap<string, Claim>, max: number): void {
  for (let i = 0; i < forgottenAtOnce && remembered.size > max; i++) {
    forget(state, present(remembered.values().next().value, "a remembered claim"));
  }
}

/** Forgets an ended claim. Of the ids `<ref>_<n>` it leaves the mark that makes them safe for ever. */
export function forget(state: LockState, claim: Claim): void {
  assert(claim.state === "ended", "only ended claims are forgotten", { claim: claim.id });
  state.claims.delete(claim.id);
  state.remembered.delete(claim.id);
  claim.session.remembered.delete(claim.id);
  claim.session.forgottenRevision = Math.max(claim.session.forgottenRevision, claim.revision);
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
export function isLost({ grant, end }: Claim): boolean {
  return grant !== undefined && end !== undefined && afterwards[end.reason] !== "nothing";
}
