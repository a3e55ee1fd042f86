/**
 * Records of the state machine as they look on the wire. Reads only, and synchronously: records are valid only inside
 * the node's callback. A session's id leaves this file in one place, for its owner.
 */
import type {
  BlockerView,
  ClaimView,
  EndedHold,
  EndedSessionView,
  KeepAliveView,
  LockView,
  SessionView,
  WireMetadata,
} from "../api/types.ts";
import type { Metadata } from "../locks/commands.ts";
import { refusalFor } from "../locks/grants.ts";
import type { Blocker, Claim, Lock, LockState, Refusal, Session, UnseenEnd } from "../locks/records.ts";
import { marginMs } from "../locks/settings.ts";
import type { View } from "../node/contract.ts";

const queueShown = 100;
const claimsShown = 1_000;

export function metadataView(metadata: Metadata): WireMetadata {
  return Object.fromEntries(metadata);
}

export function wallTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

// ---- sessions ------------------------------------------------------------------------------------------------------

/** The lease as its client counts it. Renewals are spread, so that clients that began together do not stay together. */
function leaseView({ ttlMs }: Session): {
  readonly ttlMs: number;
  readonly leaseMs: number;
  readonly renewAfterMs: number;
} {
  const renewAfterMs = Math.floor((ttlMs / 3) * (0.85 + 0.15 * Math.random()));
  return { ttlMs, leaseMs: ttlMs - marginMs(ttlMs), renewAfterMs };
}

export function sessionView(session: Session, view: View, revision: number): SessionView {
  return {
    sessionRef: session.ref,
    state: "live",
    ...leaseView(session),
    expiresInMs: Math.max(0, session.expiresAt - view.clusterTimeMs),
    ...(session.lockDelayMs === undefined ? undefined : { lockDelayMs: session.lockDelayMs }),
    label: session.label,
    metadata: metadataView(session.metadata),
    createdAt: wallTime(session.createdWallMs),
    clusterTimeMs: view.clusterTimeMs,
    revision,
  };
}

/** With the id: for the client that created it or asked by it. */
export function ownSessionView(session: Session, view: View, revision: number): SessionView {
  return { sessionId: session.id, ...sessionView(session, view, revision) };
}

export function sessionClaims(
  session: Session,
  view: View,
): { readonly claims: readonly ClaimView[]; readonly claimCount: number } {
  const claims: ClaimView[] = [];
  for (const claim of session.claims.values()) {
    if (claims.length === claimsShown) break;
    claims.push(claimView(claim, view));
  }
  return { claims, claimCount: session.claims.size };
}

export function endedSessionView(session: Session): EndedSessionView | undefined {
  if (session.end === undefined) return undefined;
  const { reason, wallMs, revision } = session.end;
  return { sessionRef: session.ref, state: "ended", reason, endedAt: wallTime(wallMs), revision };
}

export function endedHolds(ends: readonly UnseenEnd[]): readonly EndedHold[] {
  return ends.map(({ claimId, reason, revision }) => ({ claimId, reason, revision }));
}

export function keepAliveView(
  session: Session,
  answer: { readonly ends: readonly UnseenEnd[]; readonly clusterTimeMs: number; readonly revision: number },
): KeepAliveView {
  const { ends, clusterTimeMs, revision } = answer;
  return {
    sessionRef: session.ref,
    ...leaseView(session),
    clusterTimeMs,
    revision,
    ended: endedHolds(ends),
    revokes: [],
  };
}

// ---- claims --------------------------------------------------------------------------------------------------------

export function claimView(claim: Claim, { state, clusterTimeMs }: View): ClaimView {
  const { grant, end, session } = claim;
  const who = { claimId: claim.id, sessionRef: session.ref };
  if (end !== undefined) {
    const held = grant === undefined ? undefined : { fence: grant.fence, heldMs: end.at - grant.at };
    return { ...who, state: "ended", reason: end.reason, ...held, revision: claim.revision };
  }
  const resources = claim.resources.map(({ lock, mode }) => ({ lock: lock.name, mode }));
  if (grant !== undefined) {
    return {
      ...who,
      state: "held",
      resources,
      fence: grant.fence,
      waitedMs: grant.at - claim.enqueuedAt,
      heldMs: Math.max(0, clusterTimeMs - grant.at),
      heldSince: wallTime(grant.wallMs),
      revision: claim.revision,
    };
  }
  return {
    ...who,
    state: "waiting",
    resources,
    position: positionOf(claim),
    waitedMs: Math.max(0, clusterTimeMs - claim.enqueuedAt),
    waitLeftMs: Math.max(0, (claim.waitDeadline ?? clusterTimeMs) - clusterTimeMs),
    ...obstacleView(obstacleOf(state, claim), clusterTimeMs),
    revision: claim.revision,
  };
}

/** The worst place in the queues it waits in: that many grants at most until its own. */
function positionOf(claim: Claim): number {
  return Math.max(1, ...claim.resources.map(({ lock }) => lock.queue.position(claim) ?? 1));
}

/** What stands in the way of a waiting claim now. */
function obstacleOf(state: Readonly<LockState>, claim: Claim): Refusal {
  const [first] = claim.resources;
  for (const { lock } of claim.resources) {
    const refusal = refusalFor(state, lock, claim);
    if (refusal !== undefined && (refusal.blockedBy.length > 0 || refusal.reason === "lock-delay"))
      return refusal;
  }
  const queueLength = first?.lock.queue.size ?? 0;
  return { reason: "queue-ahead", blockedBy: [], queueLength, availableAt: undefined };
}

/** Why not now, for a waiting claim and in a refusal. */
export function obstacleView(
  { reason, blockedBy, queueLength, availableAt }: Refusal,
  clusterTimeMs: number,
): {
  readonly reason: string;
  readonly blockedBy: readonly BlockerView[];
  readonly queueLength: number;
  readonly availableInMs?: number;
} {
  return {
    reason,
    blockedBy: blockedBy.map((blocker) => blockerView(blocker, clusterTimeMs)),
    queueLength,
    ...(availableAt === undefined ? undefined : { availableInMs: Math.max(0, availableAt - clusterTimeMs) }),
  };
}

function blockerView(blocker: Blocker, clusterTimeMs: number): BlockerView {
  const { claimId, sessionRef, label, heldAt } = blocker;
  return {
    claimId,
    sessionRef,
    label,
    ...(heldAt === undefined ? undefined : { heldMs: Math.max(0, clusterTimeMs - heldAt) }),
    metadata: metadataView(blocker.metadata),
  };
}

// ---- locks ---------------------------------------------------------------------------------------------------------

/** A lock that nobody uses is free, never absent. */
export function freeLockView(name: string, revision: number): LockView {
  return { lock: name, state: "free", holders: [], queue: [], queueLength: 0, revision };
}

export function lockStateOf(lock: Lock, clusterTimeMs: number): LockView["state"] {
  return lock.holders.size > 0 ? "held" : lock.delayUntil > clusterTimeMs ? "delayed" : "free";
}

/** Without its queue: how a lock stands in a list. */
export function lockSummary(lock: Lock, { clusterTimeMs }: View): LockView {
  const state = lockStateOf(lock, clusterTimeMs);
  return {
    lock: lock.name,
    state,
    ...(state === "held" ? { mode: "exclusive" } : undefined),
    holders: Array.from(lock.holders, (claim) => ({
      claimId: claim.id,
      sessionRef: claim.session.ref,
      label: claim.session.label,
      fence: claim.grant?.fence ?? 0,
      heldMs: Math.max(0, clusterTimeMs - (claim.grant?.at ?? clusterTimeMs)),
      metadata: metadataView(claim.metadata),
    })),
    queueLength: lock.queue.size,
    ...(lock.delayUntil > clusterTimeMs ? { availableInMs: lock.delayUntil - clusterTimeMs } : undefined),
    revision: lock.revision,
  };
}

export function lockView(lock: Lock, view: View): LockView {
  const queue = [];
  for (const claim of lock.queue) {
    if (queue.length === queueShown) break;
    queue.push({
      claimId: claim.id,
      sessionRef: claim.session.ref,
      mode: "exclusive" as const,
      waitedMs: Math.max(0, view.clusterTimeMs - claim.enqueuedAt),
      label: claim.session.label,
    });
  }
  return { ...lockSummary(lock, view), queue };
}
