/**
 * Locks and semaphores as they look on the wire. Reads only, and synchronously, as in render.ts.
 */
import type { HolderView, LockView, PermitHolderView, SemaphoreView } from "../api/types.ts";
import { barrierBlock, freePermits } from "../locks/barriers.ts";
import type { Claim, Lock, Resource, Semaphore } from "../locks/records.ts";
import { standingOf } from "../locks/resources.ts";
import type { View } from "../node/contract.ts";
import { metadataView, ownerView } from "./render.ts";

const queueShown = 100;
/** Of a lock held in shared mode, or of a semaphore. */
const holdersShown = 100;

/** A lock that nobody uses is free, never absent. */
export function freeLockView(name: string, revision: number): LockView {
  return { lock: name, state: "free", holders: [], queue: [], queueLength: 0, revision };
}

export function lockStateOf(lock: Lock, clusterTimeMs: number): LockView["state"] {
  return lock.mode !== undefined ? "held" : availableInMs(lock, clusterTimeMs) > 0 ? "delayed" : "free";
}

/** Until no lock-delay or hand-back keeps anybody out. */
function availableInMs(resource: Resource, clusterTimeMs: number): number {
  if (resource.barriers.size === 0) return 0;
  return Math.max(0, barrierBlock(resource, Infinity).availableAt - clusterTimeMs);
}

/** Without its queue: how a lock stands in a list. */
export function lockSummary(lock: Lock, { clusterTimeMs }: View): LockView {
  const leftMs = availableInMs(lock, clusterTimeMs);
  return {
    lock: lock.name,
    state: lockStateOf(lock, clusterTimeMs),
    ...(lock.mode === undefined ? undefined : { mode: lock.mode }),
    holders: first(lock.holders, holdersShown, (claim) => holderView(claim, clusterTimeMs)),
    queueLength: lock.queue.size,
    ...(leftMs > 0 ? { availableInMs: leftMs } : undefined),
    revision: lock.revision,
  };
}

export function lockView(lock: Lock, view: View): LockView {
  const queue = first(lock.queue, queueShown, (claim) => ({
    ...queuedView(claim, view.clusterTimeMs),
    mode: standingOf(claim, lock)?.mode === "shared" ? ("shared" as const) : ("exclusive" as const),
  }));
  return { ...lockSummary(lock, view), queue };
}

/** Without its queue. */
export function semaphoreSummary(semaphore: Semaphore, { clusterTimeMs }: View): SemaphoreView {
  return {
    semaphore: semaphore.name,
    capacity: semaphore.capacity,
    available: freePermits(semaphore),
    cooling: semaphore.cooling,
    isSet: semaphore.isSet,
    holders: first(semaphore.holders, holdersShown, (claim): PermitHolderView => {
      const claimed = standingOf(claim, semaphore);
      return { ...holderView(claim, clusterTimeMs), permits: claimed?.mode === "permits" ? claimed.kept : 0 };
    }),
    queueLength: semaphore.queue.size,
    revision: semaphore.revision,
  };
}

export function semaphoreView(semaphore: Semaphore, view: View): SemaphoreView {
  const queue = first(semaphore.queue, queueShown, (claim) => {
    const claimed = standingOf(claim, semaphore);
    return {
      ...queuedView(claim, view.clusterTimeMs),
      permits: claimed?.mode === "permits" ? claimed.permits : 0,
    };
  });
  return { ...semaphoreSummary(semaphore, view), queue };
}

function holderView(claim: Claim, clusterTimeMs: number): HolderView {
  return {
    claimId: claim.id,
    sessionRef: claim.session.ref,
    ...ownerView(claim.owner),
    label: claim.session.label,
    fence: claim.grant?.fence ?? 0,
    heldMs: Math.max(0, clusterTimeMs - (claim.grant?.at ?? clusterTimeMs)),
    metadata: metadataView(claim.metadata),
  };
}

function queuedView(
  claim: Claim,
  clusterTimeMs: number,
): { claimId: string; sessionRef: string; owner?: string; waitedMs: number; label: string } {
  return {
    claimId: claim.id,
    sessionRef: claim.session.ref,
    ...ownerView(claim.owner),
    waitedMs: Math.max(0, clusterTimeMs - claim.enqueuedAt),
    label: claim.session.label,
  };
}

function first<T>(claims: Iterable<Claim>, max: number, show: (claim: Claim) => T): readonly T[] {
  const shown: T[] = [];
  for (const claim of claims) {
    if (shown.length === max) break;
    shown.push(show(claim));
  }
  return shown;
}
