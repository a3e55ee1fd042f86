/**
 * The state as one canonical value: what a replica is, without how it keeps it. Two replicas that applied the same
 * entries have equal canonical states and so equal hashes, whatever their process, restart or version of Node (I12).
 * Deadline marks and counters are left out: they follow from the rest.
 */
import { createHasher, type Hasher, hashHex } from "../base/hash.ts";
import type { Metadata } from "./commands.ts";
import type { Barrier, Claim, LockState, Refusal, Resource, Session } from "./records.ts";
import { settingNames } from "./settings.ts";

/** 14 hex digits. Linear in the state. */
export function stateHash(state: LockState): string {
  const hasher = createHasher();
  hasher.text(state.clusterId).uint(state.fence).uint(state.now).uint(state.termStart);
  hasher.uint(state.wallMs).uint(state.revision);
  for (const name of settingNames) hasher.uint(state.settings?.[name] ?? -1);
  // Insertion order is part of the state: which is oldest decides what is forgotten.
  for (const session of state.sessions.values()) hashSession(hasher.text("session"), session);
  for (const session of state.tombstones.values()) hashSession(hasher.text("tombstone"), session);
  for (const id of state.remembered.keys()) hasher.text(id);
  for (const name of [...state.resources.keys()].sort()) {
    hashResource(hasher, state.resources.get(name) as Resource);
  }
  return hashHex(hasher.digest());
}

function hashSession(hasher: Hasher, session: Session): void {
  hasher.text(session.id).text(session.ref).uint(session.ttlMs).uint(session.askedTtlMs);
  hasher
    .uint(session.lockDelayMs ?? -1)
    .text(session.label)
    .uint(session.createdWallMs);
  hasher.uint(session.expiresAt).uint(session.graceLeftMs).uint(session.lastRenewal).uint(session.seen);
  hasher.uint(session.forgottenUpTo).uint(session.forgottenRevision);
  hashMetadata(hasher, session.metadata);
  for (const { claim } of session.unseenEnds) hashClaim(hasher.text("unseen"), claim);
  if (session.end !== undefined) {
    hasher.text(session.end.reason).uint(session.end.at).uint(session.end.wallMs).uint(session.end.revision);
    hasher.text(session.end.note);
  }
  for (const claim of session.claims.values()) hashClaim(hasher.text("live"), claim);
  for (const claim of session.remembered.values()) hashClaim(hasher.text("ended"), claim);
}

function hashClaim(hasher: Hasher, claim: Claim): void {
  hasher.text(claim.id).text(claim.state).uint(claim.revision);
  hasher
    .uint(claim.enqueuedRevision)
    .uint(claim.enqueuedAt)
    .uint(claim.waitDeadline ?? -1);
  hasher
    .uint(claim.lockDelayMs ?? -1)
    .uint(claim.maxHoldMs ?? -1)
    .uint(claim.cancelOnDisconnect ? 1 : 0);
  hashOptional(hasher, claim.owner);
  hashMetadata(hasher, claim.metadata);
  for (const asked of claim.asked) {
    hasher.text(asked.kind).text(asked.name);
    if (asked.kind === "lock") hasher.text(asked.mode);
    else hasher.uint(asked.permits).uint(asked.capacity ?? -1);
  }
  for (const claimed of claim.resources) if (claimed.mode === "permits") hasher.uint(claimed.kept);
  if (claim.grant !== undefined) {
    hasher.uint(claim.grant.fence).uint(claim.grant.at).uint(claim.grant.wallMs).uint(claim.grant.revision);
  }
  if (claim.end !== undefined) {
    hasher.text(claim.end.reason).uint(claim.end.at).uint(claim.end.revision);
    if (claim.end.refusal !== undefined) hashRefusal(hasher, claim.end.refusal);
    if (claim.end.denial !== undefined) hasher.text(JSON.stringify(claim.end.denial));
  }
}

function hashRefusal(hasher: Hasher, refusal: Refusal): void {
  hasher
    .text(refusal.reason)
    .uint(refusal.queueLength)
    .uint(refusal.availableAt ?? -1);
  for (const blocker of refusal.blockedBy) {
    hasher
      .text(blocker.claimId)
      .text(blocker.sessionRef)
      .text(blocker.label)
      .uint(blocker.heldAt ?? -1);
    hashOptional(hasher, blocker.owner);
    hashMetadata(hasher, blocker.metadata);
  }
}

function hashResource(hasher: Hasher, resource: Resource): void {
  hasher.text(resource.kind).text(resource.name).uint(resource.revision);
  if (resource.kind === "lock") hasher.uint(resource.exclusiveMark).uint(resource.sharedMark);
  else hasher.uint(resource.capacity).uint(resource.isSet ? 1 : 0);
  for (const holder of resource.holders) hasher.text("held").text(holder.id);
  for (const waiter of resource.queue) hasher.text("waits").text(waiter.id);
  for (const barrier of resource.barriers) hashBarrier(hasher.text("barrier"), barrier, resource);
}

/** As far as it concerns this resource. */
function hashBarrier(hasher: Hasher, barrier: Barrier, resource: Resource): void {
  hasher.uint(barrier.fence).uint(barrier.delayUntil).uint(barrier.handBackUntil);
  for (const claimed of barrier.resources) {
    if (claimed.resource !== resource) continue;
    hasher.text(claimed.mode);
    if (claimed.mode === "permits") hasher.uint(claimed.kept);
  }
}

/** Absent and empty differ. */
function hashOptional(hasher: Hasher, text: string | undefined): void {
  hasher.uint(text === undefined ? 0 : 1);
  if (text !== undefined) hasher.text(text);
}

function hashMetadata(hasher: Hasher, metadata: Metadata): void {
  for (const [key, value] of metadata) hasher.text(key).text(value);
}
