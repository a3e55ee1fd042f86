/**
 * Locks and semaphores by name, and the rules of their queues: who may be next, and why not. First come, first served:
 * no newcomer passes the queue, and a shared claim only those that are shared too. Decides, changes no claim.
 * SEMANTICS §3–5.
 */
import { barrierBlock, barrierMode, freePermits, noBarriers } from "./barriers.ts";
import type { ResourceRequest } from "./commands.ts";
import { OrderedSet } from "./ordered-set.ts";
import type {
  Blocker,
  BlockReason,
  Claim,
  ClaimedLock,
  ClaimedPermits,
  ClaimedResource,
  Denial,
  Lock,
  LockState,
  Refusal,
  Resource,
  Semaphore,
} from "./records.ts";

/** Blockers that a refusal names at most; more would only repeat the queue. */
const blockersMax = 8;
/** Places of a queue that are looked at for them. */
const blockersLooked = 100;

export function createSemaphore(state: LockState, name: string, capacity: number): Semaphore {
  const semaphore: Semaphore = {
    kind: "semaphore",
    name,
    holders: new OrderedSet(),
    queue: new OrderedSet(),
    barriers: noBarriers,
    revision: state.revision,
    capacity,
    isSet: false,
    held: 0,
    cooling: 0,
  };
  state.resources.set(name, semaphore);
  state.semaphoreCount++;
  return semaphore;
}

export function createLock(state: LockState, name: string): Lock {
  const lock: Lock = {
    kind: "lock",
    name,
    holders: new OrderedSet(),
    queue: new OrderedSet(),
    barriers: noBarriers,
    revision: state.revision,
    mode: undefined,
    exclusiveWaiters: 0,
    exclusiveMark: 0,
    sharedMark: 0,
  };
  state.resources.set(name, lock);
  return lock;
}

/**
 * The record that a request names, made when the name has no state, with how the claim would stand to it; or why there
 * is none. Drop a new one with `dropIfIdle` when nothing comes of it.
 */
export function claimedBy(state: LockState, request: ResourceRequest): ClaimedResource | Denial {
  const { name } = request;
  const known = state.resources.get(name);
  if (known !== undefined && known.kind !== request.kind)
    return { kind: "kind-mismatch", name, is: known.kind };
  if (request.kind === "lock") {
    return { resource: (known as Lock | undefined) ?? createLock(state, name), mode: request.mode };
  }
  const { permits } = request;
  const semaphore = known as Semaphore | undefined;
  const capacity = semaphore?.capacity ?? request.capacity;
  if (capacity === undefined) return { kind: "semaphore-unknown", name };
  if (request.capacity !== undefined && request.capacity !== capacity) {
    return { kind: "capacity-conflict", name, capacity };
  }
  if (permits > capacity) return { kind: "exceeds-capacity", permits, capacity };
  const resource = semaphore ?? createSemaphore(state, name, capacity);
  return { resource, mode: "permits", permits, kept: permits };
}

/** Idle names vanish: fences come from one counter, so they need no residue. A set semaphore stays. */
export function dropIfIdle(state: LockState, resource: Resource): void {
  const isUsed = resource.holders.size > 0 || resource.queue.size > 0 || resource.barriers.size > 0;
  if (isUsed || (resource.kind === "semaphore" && resource.isSet)) return;
  // A name may stand for another record by now.
  if (state.resources.get(resource.name) !== resource) return;
  state.resources.delete(resource.name);
  if (resource.kind === "semaphore") state.semaphoreCount--;
}

/** How this claim stands to the resource; undefined when it does not name it. */
export function standingOf(claim: Claim, resource: Resource): ClaimedResource | undefined {
  return claim.resources.find((claimed) => claimed.resource === resource);
}

function isExclusive(claim: Claim, lock: Lock): boolean {
  return standingOf(claim, lock)?.mode === "exclusive";
}

// ---- who may be next -----------------------------------------------------------------------------------------------

/** True when the waiting claim may be granted now in every queue that it stands in. */
export function isGrantable(claim: Claim): boolean {
  return claim.resources.every((claimed) => isClear(claimed) && !isAnyoneAhead(claimed, claim));
}

/** Holders and barriers allow it. */
function isClear(claimed: ClaimedResource): boolean {
  if (claimed.mode === "permits") return freePermits(claimed.resource) >= claimed.permits;
  const { resource: lock, mode } = claimed;
  if (mode === "exclusive") return lock.mode === undefined && lock.barriers.size === 0;
  return lock.mode !== "exclusive" && barrierMode(lock) !== "exclusive";
}

/** Somebody is before this claim in the queue and must not be passed. */
function isAnyoneAhead(claimed: ClaimedResource, waiter: Claim): boolean {
  if (claimed.mode !== "shared") return claimed.resource.queue.first() !== waiter;
  const { resource: lock } = claimed;
  if (lock.exclusiveWaiters === 0) return false;
  for (const claim of lock.queue) {
    if (claim === waiter) return false;
    if (isExclusive(claim, lock)) return true;
  }
  return false;
}

/** The oldest waiting claim that may be granted now, if there is one. */
export function nextGrantable(resource: Resource): Claim | undefined {
  for (const claim of resource.queue) {
    if (isGrantable(claim)) return claim;
    if (resource.kind === "semaphore" || isExclusive(claim, resource)) return undefined;
    // A shared claim that waits for something else as well does not hold up the shared ones behind it.
    if (resource.mode === "exclusive" || barrierMode(resource) === "exclusive") return undefined;
  }
  return undefined;
}

/** The waiting claims that could be granted together now, in order, if none of them were due. */
export function* prospects(resource: Resource): Generator<Claim, void, undefined> {
  let free = resource.kind === "semaphore" ? freePermits(resource) : 0;
  for (const claim of resource.queue) {
    const claimed = standingOf(claim, resource) as ClaimedResource;
    if (claimed.mode === "permits") {
      if (free < claimed.permits) return;
      yield claim;
      // One that was ended by whoever asked left its permits to the next.
      if (claim.state === "waiting") free -= claimed.permits;
    } else {
      if (!isClear(claimed)) return;
      yield claim;
      if (claimed.mode === "exclusive" && claim.state === "waiting") return;
    }
  }
}

// ---- why not -------------------------------------------------------------------------------------------------------

/** What stands between this resource and a newcomer, or `waiter`, who does not stand in its own way. */
export function refusalFor(claimed: ClaimedResource, waiter?: Claim): Refusal | undefined {
  const block = claimed.mode === "permits" ? permitBlock(claimed, waiter) : lockBlock(claimed, waiter);
  if (block === undefined) return undefined;
  const { resource } = claimed;
  const blockedBy: Blocker[] = [];
  for (const claim of inTheWay(claimed, block.reason, waiter)) {
    if (blockedBy.length === blockersMax || claim === waiter) break;
    blockedBy.push(blockerOf(claim));
  }
  return {
    reason: block.reason,
    blockedBy,
    queueLength: resource.queue.size,
    availableAt: block.availableAt,
  };
}

interface Block {
  readonly reason: BlockReason;
  readonly availableAt: number | undefined;
}

function lockBlock(claimed: ClaimedLock, waiter: Claim | undefined): Block | undefined {
  const { resource: lock, mode } = claimed;
  if (lock.mode === "exclusive" || (lock.mode === "shared" && mode === "exclusive")) {
    return { reason: "held", availableAt: undefined };
  }
  if (!isClear(claimed)) return barrierBlock(lock, 1);
  return queueBlock(claimed, waiter);
}

function permitBlock(claimed: ClaimedPermits, waiter: Claim | undefined): Block | undefined {
  const { resource: semaphore, permits } = claimed;
  if (isClear(claimed)) return queueBlock(claimed, waiter);
  if (semaphore.barriers.size > 0 && freePermits(semaphore) + semaphore.cooling >= permits) {
    return barrierBlock(semaphore, permits);
  }
  return { reason: "capacity", availableAt: undefined };
}

function queueBlock(claimed: ClaimedResource, waiter: Claim | undefined): Block | undefined {
  const { resource, mode } = claimed;
  const isBlocked =
    waiter !== undefined
      ? isAnyoneAhead(claimed, waiter)
      : mode === "shared" && resource.kind === "lock"
        ? resource.exclusiveWaiters > 0
        : resource.queue.size > 0;
  return isBlocked ? { reason: "queue-ahead", availableAt: undefined } : undefined;
}

function inTheWay(claimed: ClaimedResource, reason: BlockReason, waiter: Claim | undefined): Iterable<Claim> {
  const { resource, mode } = claimed;
  if (reason === "held" || reason === "capacity") return resource.holders;
  if (reason !== "queue-ahead") return [];
  if (mode !== "shared" || resource.kind !== "lock") return resource.queue;
  return exclusivesIn(resource, waiter);
}

/** Those ahead of the waiter, as far as one looks. */
function* exclusivesIn(lock: Lock, waiter: Claim | undefined): Generator<Claim, void, undefined> {
  let looked = 0;
  for (const claim of lock.queue) {
    if (claim === waiter || ++looked > blockersLooked) return;
    if (isExclusive(claim, lock)) yield claim;
  }
}

export function blockerOf(claim: Claim): Blocker {
  return {
    claimId: claim.id,
    sessionRef: claim.session.ref,
    label: claim.session.label,
    owner: claim.owner,
    heldAt: claim.grant?.at,
    metadata: claim.metadata,
  };
}
