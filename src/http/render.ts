/**
 * Records of the state machine as they look on the wire. Reads only, and synchronously: records are valid only inside
 * the node's callback. A session's id leaves this file in one place, for its owner.
 */
import { encodeSequencer } from "../api/sequencer.ts";
import type {
  BlockerView,
  ClaimView,
  EndedHold,
  EndedSessionView,
  KeepAliveView,
  ResourceView,
  SessionView,
  WaitingClaimView,
  WireMetadata,
} from "../api/types.ts";
import type { Metadata } from "../locks/commands.ts";
import type { Blocker, Claim, ClaimedResource, Refusal, Session, UnseenEnd } from "../locks/records.ts";
import { refusalFor } from "../locks/resources.ts";
import { marginMs } from "../locks/settings.ts";
import type { View } from "../node/contract.ts";

const claimsShown = 100;

export function metadataView(metadata: Metadata): WireMetadata {
  return Object.fromEntries(metadata);
}

export function wallTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

// ---- sessions ------------------------------------------------------------------------------------------------------

/** The lease as its client counts it. Renewals are spread, so that clients that began together do not stay together. */
function leaseView(
  { ttlMs, ref }: Session,
  revision: number,
): {
  readonly ttlMs: number;
  readonly leaseMs: number;
  readonly renewAfterMs: number;
} {
  const renewAfterMs = Math.floor((ttlMs / 3) * (0.85 + 0.15 * spreadOf(ref, revision)));
  return { ttlMs, leaseMs: Math.max(0, ttlMs - marginMs(ttlMs)), renewAfterMs };
}

/** 0 … 1: another one for each session and each renewal, and no random source needed for it. */
function spreadOf(ref: string, revision: number): number {
  let bits = Math.imul(Number.parseInt(ref.slice(0, 8), 16) ^ revision, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 15), 0x85ebca6b);
  return ((bits ^ (bits >>> 13)) >>> 0) / 0x100000000;
}

export function sessionView(session: Session, view: View, revision: number): SessionView {
  return {
    sessionRef: session.ref,
    state: "live",
    ...leaseView(session, revision),
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
  const { reason, wallMs, revision, note } = session.end;
  const said = note === "" ? undefined : { note };
  return { sessionRef: session.ref, state: "ended", reason, ...said, endedAt: wallTime(wallMs), revision };
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
    ...leaseView(session, revision),
    clusterTimeMs,
    revision,
    ended: endedHolds(ends),
    revokes: [],
  };
}

// ---- claims --------------------------------------------------------------------------------------------------------

export function claimView(claim: Claim, view: View): ClaimView {
  const { grant, end, session } = claim;
  const { clusterTimeMs } = view;
  const who = { claimId: claim.id, sessionRef: session.ref };
  if (end !== undefined) {
    const held = grant === undefined ? undefined : { fence: grant.fence, heldMs: end.at - grant.at };
    return { ...who, state: "ended", reason: end.reason, ...held, revision: claim.revision };
  }
  if (grant === undefined) return waitingView(claim, clusterTimeMs);
  const { maxHoldMs, owner } = claim;
  return {
    claimId: claim.id,
    sessionRef: session.ref,
    state: "held",
    resources: claim.resources.map((claimed) => heldView(claim, claimed, view.state.clusterId)),
    fence: grant.fence,
    ...ownerView(owner),
    waitedMs: grant.at - claim.enqueuedAt,
    heldMs: Math.max(0, clusterTimeMs - grant.at),
    ...(maxHoldMs === undefined
      ? undefined
      : { maxHoldLeftMs: Math.max(0, grant.at + maxHoldMs - clusterTimeMs) }),
    heldSince: wallTime(grant.wallMs),
    revision: claim.revision,
  };
}

function waitingView(claim: Claim, clusterTimeMs: number): WaitingClaimView {
  return {
    claimId: claim.id,
    sessionRef: claim.session.ref,
    state: "waiting",
    resources: claim.resources.map(resourceView),
    ...ownerView(claim.owner),
    position: positionOf(claim),
    waitedMs: Math.max(0, clusterTimeMs - claim.enqueuedAt),
    waitLeftMs: Math.max(0, (claim.waitDeadline ?? clusterTimeMs) - clusterTimeMs),
    ...obstacleView(obstacleOf(claim), clusterTimeMs),
    revision: claim.revision,
  };
}

function resourceView(claimed: ClaimedResource): ResourceView {
  const { name } = claimed.resource;
  return claimed.mode === "permits"
    ? { semaphore: name, permits: claimed.kept }
    : { lock: name, mode: claimed.mode };
}

/** With its sequencer: only a grant has something to show. */
function heldView({ id, grant }: Claim, claimed: ClaimedResource, clusterId: string): ResourceView {
  const { mode } = claimed;
  const { name } = claimed.resource;
  const sequencer = encodeSequencer({ clusterId, mode, fence: grant?.fence ?? 0, claimId: id, name });
  return mode === "permits"
    ? { semaphore: name, permits: claimed.kept, sequencer }
    : { lock: name, mode, sequencer };
}

export function ownerView(owner: string | undefined): { readonly owner: string } | undefined {
  return owner === undefined ? undefined : { owner };
}

/** The worst place in the queues it waits in: that many grants at most until its own. */
function positionOf(claim: Claim): number {
  return Math.max(1, ...claim.resources.map(({ resource }) => resource.queue.position(claim) ?? 1));
}

/** What stands in the way of a waiting claim now. */
function obstacleOf(claim: Claim): Refusal {
  for (const claimed of claim.resources) {
    const refusal = refusalFor(claimed, claim);
    if (refusal !== undefined) return refusal;
  }
  const queueLength = claim.resources[0]?.resource.queue.size ?? 0;
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
  const { claimId, sessionRef, label, owner, heldAt } = blocker;
  return {
    claimId,
    sessionRef,
    label,
    ...ownerView(owner),
    ...(heldAt === undefined ? undefined : { heldMs: Math.max(0, clusterTimeMs - heldAt) }),
    metadata: metadataView(blocker.metadata),
  };
}
