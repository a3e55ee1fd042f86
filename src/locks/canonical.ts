/**
 * The state as one canonical value: what a replica is, without how it keeps it. Two replicas that applied the same
 * entries have equal canonical states and so equal hashes, whatever their process, restart or version of Node (I12).
 * Deadline marks and counters are left out: they follow from the rest.
 */
import { createHasher, type Hasher, hashHex } from "../base/hash.ts";
import type { Metadata } from "./commands.ts";
import type { Claim, Lock, LockState, Refusal, Session } from "./records.ts";
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
  for (const name of [...state.locks.keys()].sort()) hashLock(hasher, state.locks.get(name) as Lock);
  return hashHex(hasher.digest());
}

function hashSession(hasher: Hasher, session: Session): void {
  hasher.text(session.id).text(session.ref).uint(session.ttlMs).uint(session.askedTtlMs);
  hasher
    .uint(session.lockDelayMs ?? -1)
    .text(session.label)
    .uint(session.createdWallMs);
  hasher.uint(session.expiresAt).uint(session.graceLeftMs).uint(session.lastRenewal).uint(session.seen);
  hasher.uint(session.forgottenUpTo);
  hashMetadata(hasher, session.metadata);
  for (const end of session.unseenEnds) hasher.text(end.claimId).text(end.reason).uint(end.revision);
  if (session.end !== undefined) {
    hasher.text(session.end.reason).uint(session.end.at).uint(session.end.wallMs).uint(session.end.revision);
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
  hasher.uint(claim.lockDelayMs ?? -1).uint(claim.cancelOnDisconnect ? 1 : 0);
  hashMetadata(hasher, claim.metadata);
  for (const { lock, mode } of claim.resources) hasher.text(lock.name).text(mode);
  if (claim.grant !== undefined) {
    hasher.uint(claim.grant.fence).uint(claim.grant.at).uint(claim.grant.wallMs).uint(claim.grant.revision);
  }
  if (claim.end !== undefined) {
    hasher.text(claim.end.reason).uint(claim.end.at).uint(claim.end.revision);
    if (claim.end.refusal !== undefined) hashRefusal(hasher, claim.end.refusal);
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
    hashMetadata(hasher, blocker.metadata);
  }
}

function hashLock(hasher: Hasher, lock: Lock): void {
  hasher.text(lock.name).uint(lock.delayUntil).uint(lock.revision);
  for (const holder of lock.holders) hasher.text("held").text(holder.id);
  for (const waiter of lock.queue) hasher.text("waits").text(waiter.id);
}

function hashMetadata(hasher: Hasher, metadata: Metadata): void {
  for (const [key, value] of metadata) hasher.text(key).text(value);
}
