/**
 * Claims: acquire, release, cancel. One id from queue to release; the same call again has the same answer and never a
 * second effect (SEMANTICS §3: no ghost grants).
 */
import { present } from "../base/assert.ts";
import type { AcquireCommand, CancelCommand, ReleaseCommand } from "./commands.ts";
import { endClaim, isLost, ordinalOf, rememberEnded, settleSession } from "./endings.ts";
import {
  dropIfIdle,
  enqueue,
  lockNamed,
  maybeGrant,
  refusalFor,
  settleLock,
  settleWaiter,
} from "./grants.ts";
import type { Outcome } from "./outcomes.ts";
import type { Claim, Lock, LockState, Session } from "./records.ts";
import { liveSession } from "./sessions.ts";
import { sweepAll } from "./sweep.ts";

export function acquire(state: LockState, command: AcquireCommand, touched: Set<Lock>): Outcome {
  const session = liveSession(state, command.sessionId, touched);
  if ("kind" in session) return session;
  const known = state.claims.get(command.claimId);
  if (known !== undefined) return answerAgain(state, known, command, touched);
  const conflict = conflictOfName(state, session, command.claimId);
  if (conflict !== undefined) return conflict;
  return quotaFor(state, session) ?? claimAnew(state, session, command);
}

/**
 * What the form of an unknown id says. `<ref>_<n>` with the session's own ref and n up to a forgotten one was used
 * before; with the ref of another session it is that one's to use.
 */
function conflictOfName(state: LockState, session: Session, claimId: string): Outcome | undefined {
  const ordinal = ordinalOf(session.ref, claimId);
  if (ordinal !== undefined && ordinal <= session.forgottenUpTo) {
    return { kind: "claim-conflict", forgotten: true };
  }
  const ref = claimId.slice(0, Math.max(0, claimId.lastIndexOf("_")));
  const isOthers =
    ref !== session.ref && state.sessionsByRef.has(ref) && ordinalOf(ref, claimId) !== undefined;
  return isOthers ? { kind: "claim-conflict", forgotten: false } : undefined;
}

/** The id is known: the same claim gets the same answer, anything else is a conflict. */
function answerAgain(state: LockState, claim: Claim, command: AcquireCommand, touched: Set<Lock>): Outcome {
  if (claim.session.id !== command.sessionId || !isSameRequest(claim, command)) {
    return { kind: "claim-conflict", forgotten: false };
  }
  if (claim.state === "waiting") settleWaiter(state, claim, touched);
  if (claim.end === undefined || claim.end.reason === "refused" || claim.end.reason === "wait-timeout") {
    return { kind: "claim", claim };
  }
  return isLost(claim) ? lost(claim) : { kind: "claim-ended", claim };
}

/** An id that was only ever cancelled stands for no resources and matches every request. */
function isSameRequest(claim: Claim, command: AcquireCommand): boolean {
  if (claim.resources.length === 0) return true;
  return (
    claim.resources.length === command.resources.length &&
    claim.resources.every(
      ({ lock, mode }, i) => lock.name === command.resources[i]?.name && mode === command.resources[i]?.mode,
    )
  );
}

function quotaFor(state: LockState, session: Session): Outcome | undefined {
  const { claims, claimsPerSession } = present(state.settings, "settings");
  const isFull =
    session.claims.size + session.unseenEnds.length >= claimsPerSession ||
    state.heldCount + state.waitingCount >= claims;
  if (!isFull) return undefined;
  // Claims that are due do not count.
  sweepAll(state);
  if (session.claims.size + session.unseenEnds.length >= claimsPerSession) {
    return { kind: "quota", limit: "claimsPerSession", max: claimsPerSession };
  }
  if (state.heldCount + state.waitingCount >= claims) return { kind: "quota", limit: "claims", max: claims };
  return undefined;
}

function claimAnew(state: LockState, session: Session, command: AcquireCommand): Outcome {
  const { waitersPerName, waitMsMax } = present(state.settings, "settings");
  // Whoever is due gives way first, so that the answer does not depend on how far the sweep has come.
  for (const { name } of command.resources) settleLock(state, lockNamed(state, name));
  const resources = command.resources.map(({ name, mode }) => ({ lock: lockNamed(state, name), mode }));
  const blocked = resources.find(({ lock }) => refusalFor(state, lock) !== undefined);
  const refusal = blocked === undefined ? undefined : refusalFor(state, blocked.lock);
  const waits = refusal !== undefined && command.waitMs > 0;
  const full = waits ? resources.find(({ lock }) => lock.queue.size >= waitersPerName) : undefined;
  if (full !== undefined) return { kind: "quota", limit: "waitersPerName", max: waitersPerName };
  const claim: Claim = {
    id: command.claimId,
    session,
    resources,
    lockDelayMs: command.lockDelayMs,
    metadata: command.metadata,
    cancelOnDisconnect: command.cancelOnDisconnect,
    enqueuedRevision: state.revision,
    enqueuedAt: state.now,
    waitDeadline: waits ? state.now + Math.min(command.waitMs, waitMsMax) : undefined,
    state: "waiting",
    revision: state.revision,
    grant: undefined,
    end: undefined,
  };
  enqueue(state, claim);
  if (refusal === undefined) {
    maybeGrant(state, claim);
  } else if (!waits) {
    const touched = new Set<Lock>();
    endClaim(state, claim, { reason: "refused", at: state.now, refusal }, touched);
    for (const lock of touched) dropIfIdle(state, lock);
  }
  return { kind: "claim", claim };
}

function lost(claim: Claim): Outcome {
  return { kind: "claim-lost", claim, reason: present(claim.end, "the end of a lost claim").reason };
}

/**
 * Ends the caller's own claim, held or waiting. Names a claim, never a lock: a late repetition cannot free a newer hold
 * (etcd #22082). An id never heard of is remembered as cancelled, so that an acquire still under way grants nothing.
 */
export function release(state: LockState, command: ReleaseCommand, touched: Set<Lock>): Outcome {
  const session = liveSession(state, command.sessionId, touched);
  if ("kind" in session && session.kind === "session-unknown") return session;
  const claim = state.claims.get(command.claimId);
  if (claim !== undefined && claim.session.id !== command.sessionId) return { kind: "not-holder" };
  if ("kind" in session) {
    if (claim === undefined) return session;
    return isLost(claim) ? lost(claim) : { kind: "released", claim };
  }
  if (claim === undefined) {
    return conflictOfName(state, session, command.claimId) ?? cancelUnheard(state, session, command.claimId);
  }
  if (claim.state === "waiting") settleWaiter(state, claim, touched);
  if (claim.state === "ended") return isLost(claim) ? lost(claim) : { kind: "released", claim };
  const reason = claim.state === "held" ? "released" : "cancelled";
  endClaim(state, claim, { reason, at: state.now, refusal: undefined }, touched);
  return { kind: "released", claim };
}

function cancelUnheard(state: LockState, session: Session, claimId: string): Outcome {
  const claim: Claim = {
    id: claimId,
    session,
    resources: [],
    lockDelayMs: undefined,
    metadata: [],
    cancelOnDisconnect: false,
    enqueuedRevision: state.revision,
    enqueuedAt: state.now,
    waitDeadline: undefined,
    state: "ended",
    revision: state.revision,
    grant: undefined,
    end: { reason: "cancelled", at: state.now, revision: state.revision, refusal: undefined },
  };
  state.claims.set(claimId, claim);
  rememberEnded(state, claim);
  return { kind: "released", claim };
}

/** The leader's word that nobody listens for this claim any more. Whatever has moved on since is left alone. */
export function cancel(state: LockState, command: CancelCommand, touched: Set<Lock>): Outcome {
  const claim = state.claims.get(command.claimId);
  if (claim === undefined) return { kind: "done" };
  const { session } = claim;
  if (command.fence === undefined) {
    if (claim.state === "waiting" && !settleWaiter(state, claim, touched)) {
      endClaim(state, claim, { reason: "cancelled", at: state.now, refusal: undefined }, touched);
    }
  } else if (claim.state === "held" && claim.grant?.fence === command.fence) {
    // A hold whose session is due ends by that, with its lock-delay.
    if (session.expiresAt <= state.now) settleSession(state, session, touched);
    if (session.end !== undefined) return { kind: "done" };
    endClaim(state, claim, { reason: "cancelled", at: state.now, refusal: undefined }, touched);
    // Its session did not ask for this end, so it is told until it says that it has seen it.
    session.unseenEnds.push({ claimId: claim.id, reason: "cancelled", revision: state.revision });
  }
  return { kind: "done" };
}
