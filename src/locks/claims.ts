/**
 * Claims: acquire, release, shrink, cancel. One id from queue to release; the same call again has the same answer and never a
 * second effect (SEMANTICS §3: no ghost grants).
 */
import { present } from "../base/assert.ts";
import type {
  AcquireCommand,
  CancelCommand,
  ReleaseCommand,
  ResourceRequest,
  ShrinkCommand,
} from "./commands.ts";
import { endClaim, isLost, ordinalOf, rememberEnded } from "./endings.ts";
import { enqueue, maybeGrant, settleAround, settleResource } from "./grants.ts";
import type { Outcome } from "./outcomes.ts";
import { ownerConflict } from "./owners.ts";
import type {
  Claim,
  ClaimEnd,
  ClaimedResource,
  Denial,
  LockState,
  Refusal,
  Resource,
  Session,
} from "./records.ts";
import { claimedBy, dropIfIdle, refusalFor } from "./resources.ts";
import { settledSession } from "./sessions.ts";
import { sweepAll } from "./sweep.ts";

export function acquire(state: LockState, command: AcquireCommand, touched: Set<Resource>): Outcome {
  const session = settledSession(state, command.sessionId, touched);
  if ("kind" in session) return session;
  const known = state.claims.get(command.claimId);
  if (known !== undefined) return answerAgain(state, known, command);
  const conflict = conflictOfName(state, session, command.claimId);
  if (conflict !== undefined) return conflict;
  const denial = ownerConflict(session, command);
  if (denial !== undefined) return deny(state, session, command, denial);
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
function answerAgain(state: LockState, claim: Claim, command: AcquireCommand): Outcome {
  if (claim.session.id !== command.sessionId || !isSameRequest(claim, command)) {
    return { kind: "claim-conflict", forgotten: false };
  }
  const { end } = claim;
  if (end?.denial !== undefined) return denied(state, end.denial) ?? { kind: "claim-ended", claim };
  if (end === undefined || wasRefused(claim)) return { kind: "claim", claim };
  return isLost(claim) ? lost(claim) : { kind: "claim-ended", claim };
}

/** Its acquire had no hold to give, and says so again. */
function wasRefused({ end }: Claim): boolean {
  return end?.reason === "refused" || end?.reason === "wait-timeout" || end?.reason === "exceeds-capacity";
}

/** An id that was only ever cancelled stands for no resources and matches every request. */
function isSameRequest(claim: Claim, command: AcquireCommand): boolean {
  if (claim.asked.length === 0) return true;
  return (
    claim.owner === command.owner &&
    claim.asked.length === command.resources.length &&
    claim.asked.every((first, i) => isSameResource(first, command.resources[i]))
  );
}

/** A capacity only says what the semaphore should have; it is no part of what is asked for. */
function isSameResource(first: ResourceRequest, again: ResourceRequest | undefined): boolean {
  if (again === undefined || first.name !== again.name) return false;
  return first.kind === "lock"
    ? again.kind === "lock" && first.mode === again.mode
    : again.kind === "semaphore" && first.permits === again.permits;
}

function quotaFor(state: LockState, session: Session): Outcome | undefined {
  if (fullness(state, session) === undefined) return undefined;
  // Claims that are due do not count.
  sweepAll(state);
  return fullness(state, session);
}

/** What ended holds leave behind counts as they did: it takes the same room, and nobody else's limit is there for it. */
function fullness(state: LockState, session: Session): Outcome | undefined {
  const { claims, claimsPerSession } = present(state.settings, "settings");
  if (session.claims.size + session.unseenEnds.length >= claimsPerSession) {
    return { kind: "quota", limit: "claimsPerSession", max: claimsPerSession };
  }
  const count = state.heldCount + state.waitingCount + state.barriers.size;
  return count >= claims ? { kind: "quota", limit: "claims", max: claims } : undefined;
}

function claimAnew(state: LockState, session: Session, command: AcquireCommand): Outcome {
  const { waitersPerName, waitMsMax } = present(state.settings, "settings");
  // Whoever is due gives way first, so that the answer does not depend on how far the sweep has come.
  for (const { name } of command.resources) {
    const known = state.resources.get(name);
    if (known !== undefined) settleResource(state, known);
  }
  const resources: ClaimedResource[] = [];
  for (const request of command.resources) {
    const claimed = claimedBy(state, request);
    if ("kind" in claimed) {
      dropAll(state, resources, undefined);
      return deny(state, session, command, claimed);
    }
    resources.push(claimed);
  }
  const refusal = firstRefusal(resources);
  const waits = refusal !== undefined && command.waitMs > 0;
  if (waits && resources.some(({ resource }) => resource.queue.size >= waitersPerName)) {
    return dropAll(state, resources, { kind: "quota", limit: "waitersPerName", max: waitersPerName });
  }
  const claim: Claim = {
    id: command.claimId,
    session,
    asked: command.resources,
    resources,
    lockDelayMs: command.lockDelayMs,
    maxHoldMs: command.maxHoldMs,
    owner: command.owner,
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
    endClaim(state, claim, { reason: "refused", at: state.now, refusal }, new Set());
    dropAll(state, resources, undefined);
  }
  return { kind: "claim", claim };
}

/** Of the first that is not free. */
function firstRefusal(resources: readonly ClaimedResource[]): Refusal | undefined {
  for (const claimed of resources) {
    const refusal = refusalFor(claimed);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Nothing came of the claim: records that were made for it go. */
function dropAll<T>(state: LockState, resources: readonly ClaimedResource[], outcome: T): T {
  for (const { resource } of resources) dropIfIdle(state, resource);
  return outcome;
}

function lost(claim: Claim): Outcome {
  return { kind: "claim-lost", claim, reason: present(claim.end, "the end of a lost claim").reason };
}

/**
 * Ends the caller's own claim, held or waiting. Names a claim, never a lock: a late repetition cannot free a newer hold
 * (etcd #22082). An id never heard of is remembered as cancelled, so that an acquire still under way grants nothing.
 */
export function release(state: LockState, command: ReleaseCommand, touched: Set<Resource>): Outcome {
  const session = settledSession(state, command.sessionId, touched);
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
  if (claim.state === "ended") return isLost(claim) ? lost(claim) : { kind: "released", claim };
  const reason = claim.state === "held" ? "released" : "cancelled";
  endClaim(state, claim, { reason, at: state.now, refusal: undefined }, touched);
  return { kind: "released", claim };
}

/** Keeps `permits` of a hold and gives the rest back. The same again changes nothing (SEMANTICS §5). */
export function shrink(state: LockState, command: ShrinkCommand, touched: Set<Resource>): Outcome {
  const session = settledSession(state, command.sessionId, touched);
  if ("kind" in session && session.kind === "session-unknown") return session;
  const claim = state.claims.get(command.claimId);
  if (claim === undefined) return "kind" in session ? session : { kind: "claim-unknown" };
  if (claim.session.id !== command.sessionId) return { kind: "not-holder" };
  if (claim.state === "ended") return isLost(claim) ? lost(claim) : { kind: "claim-ended", claim };
  const [claimed] = claim.resources;
  const isPossible =
    claim.state === "held" &&
    claim.resources.length === 1 &&
    claimed?.mode === "permits" &&
    command.permits <= claimed.kept;
  if (!isPossible) return { kind: "not-shrinkable", claim };
  if (command.permits < claimed.kept) {
    claimed.resource.held -= claimed.kept - command.permits;
    claimed.kept = command.permits;
    claimed.resource.revision = state.revision;
    claim.revision = state.revision;
    state.changes.push({ claim, state: "held" });
    touched.add(claimed.resource);
  }
  return { kind: "shrunk", claim };
}

/** Nobody waits or holds by it, but it is remembered: the same acquire, arriving late, must not be granted (§3). */
function deny(state: LockState, session: Session, command: AcquireCommand, denial: Denial): Outcome {
  const { claimId, resources, owner } = command;
  const end = {
    reason: "refused",
    at: state.now,
    revision: state.revision,
    refusal: undefined,
    denial,
  } as const;
  recordEnded(state, session, { id: claimId, asked: resources, owner, end });
  return present(denied(state, denial), "what was found a moment ago");
}

/** The refusal again; undefined when what it named has moved on, and nobody must be sent there. */
function denied(state: LockState, denial: Denial): Outcome | undefined {
  if (denial.kind !== "already-held" && denial.kind !== "already-waiting") return denial;
  const claim = state.claims.get(denial.claimId);
  const isStill = claim?.state === (denial.kind === "already-held" ? "held" : "waiting");
  return claim !== undefined && isStill ? { kind: denial.kind, claim } : undefined;
}

function cancelUnheard(state: LockState, session: Session, claimId: string): Outcome {
  const end = { reason: "cancelled", at: state.now, revision: state.revision, refusal: undefined } as const;
  const claim = recordEnded(state, session, { id: claimId, asked: [], owner: undefined, end });
  return { kind: "released", claim };
}

/** A claim that was over before it began. */
function recordEnded(
  state: LockState,
  session: Session,
  facts: Pick<Claim, "id" | "asked" | "owner"> & { readonly end: ClaimEnd },
): Claim {
  const claim: Claim = {
    id: facts.id,
    session,
    asked: facts.asked,
    resources: [],
    lockDelayMs: undefined,
    maxHoldMs: undefined,
    owner: facts.owner,
    metadata: [],
    cancelOnDisconnect: false,
    enqueuedRevision: state.revision,
    enqueuedAt: state.now,
    waitDeadline: undefined,
    state: "ended",
    revision: state.revision,
    grant: undefined,
    end: facts.end,
  };
  state.claims.set(claim.id, claim);
  rememberEnded(state, claim);
  return claim;
}

/** The leader's word that nobody listens for this claim any more. Whatever has moved on since is left alone. */
export function cancel(state: LockState, command: CancelCommand, touched: Set<Resource>): Outcome {
  const claim = state.claims.get(command.claimId);
  if (claim === undefined) return { kind: "done" };
  // What is due ends by its deadline, with what that leaves behind; a wait that is over by now was granted.
  settleAround(state, claim);
  const isMeant =
    command.fence === undefined
      ? claim.state === "waiting"
      : claim.state === "held" && claim.grant?.fence === command.fence;
  if (!isMeant) return { kind: "done" };
  const isUnheard = command.fence !== undefined;
  endClaim(state, claim, { reason: "cancelled", at: state.now, refusal: undefined, isUnheard }, touched);
  return { kind: "done" };
}
