/**
 * What the state machine remembers: sessions, claims, locks. The only mutable records of this folder; only `machine.ts`
 * and the files it calls change them. Everything is reachable from `LockState`, and nothing else is state.
 */
import type { LockMode, Metadata, ResourceRequest } from "./commands.ts";
import type { DeadlineQueue } from "./deadlines.ts";
import type { OrderedSet } from "./ordered-set.ts";
import type { Settings } from "./settings.ts";

/** Why a session ended. All but `closed` are unclean: its holds leave a lock-delay behind. */
export type SessionEndReason = "expired" | "closed" | "killed";

/** Why a claim ended; exactly once (I4). Later issues add the other reasons of SEMANTICS §3. */
export type ClaimEndReason =
  | "refused"
  | "released"
  | "cancelled"
  | "wait-timeout"
  | "session-expired"
  | "session-closed"
  | "session-killed"
  | "max-hold"
  | "exceeds-capacity";

/** Why a claim is not granted now. */
export type BlockReason = "held" | "queue-ahead" | "lock-delay" | "hand-back" | "capacity";

export interface Session {
  readonly id: string;
  readonly ref: string;
  readonly ttlMs: number;
  readonly askedTtlMs: number;
  readonly lockDelayMs: number | undefined;
  readonly label: string;
  readonly metadata: Metadata;
  readonly createdWallMs: number;
  /** Cluster time at which it is due; only ever later (I5). */
  expiresAt: number;
  /** Milliseconds that grace after fail-overs may still add; refilled by a keepalive (SEMANTICS rule 6). */
  graceLeftMs: number;
  /** Revision of the last create or keepalive answer. Invariant: seen <= lastRenewal. */
  lastRenewal: number;
  seen: number;
  /** Live claims, oldest first. */
  readonly claims: Map<string, Claim>;
  /** Live claims that name an owner, by owner. */
  readonly owners: Map<string, Owner>;
  /** Holds that ended otherwise than by the session's own request and are not acknowledged, oldest first. */
  unseenEnds: UnseenEnd[];
  /** Ended claims still remembered, oldest first. */
  readonly remembered: Map<string, Claim>;
  /** Highest revision of a forgotten claim: whoever polls from before it has missed something. */
  forgottenRevision: number;
  /** Highest n of a forgotten claim `<ref>_<n>`: at or below it, an unknown id was used before. */
  forgottenUpTo: number;
  end: SessionEnd | undefined;
}

export interface SessionEnd {
  readonly reason: SessionEndReason;
  /** Cluster time: of the deadline when it expired, else of the entry. */
  readonly at: number;
  readonly wallMs: number;
  readonly revision: number;
  /** What the operator who killed it said; else empty. */
  readonly note: string;
}

/** A thread of control inside a session: what it holds and what it waits for. Follows from the claims. */
export interface Owner {
  /** At most one. */
  waiting: Claim | undefined;
  /** Its holds of locks, by the lock's name. */
  readonly held: Map<string, Claim>;
}

export interface UnseenEnd {
  readonly claimId: string;
  /** Remembered by this until it is acknowledged, and only then as one of those that are forgotten in time. */
  readonly claim: Claim;
  readonly reason: ClaimEndReason;
  readonly revision: number;
}

export interface Claim {
  readonly id: string;
  readonly session: Session;
  /** What it asked for; nothing, for an id that was cancelled before it was heard of. */
  readonly asked: readonly ResourceRequest[];
  /** How it stands to what it asked for, in the same order; empty once it has ended. */
  resources: readonly ClaimedResource[];
  readonly lockDelayMs: number | undefined;
  readonly maxHoldMs: number | undefined;
  readonly owner: string | undefined;
  readonly metadata: Metadata;
  readonly cancelOnDisconnect: boolean;
  /** Revision and cluster time of the acquire. */
  readonly enqueuedRevision: number;
  readonly enqueuedAt: number;
  /** Cluster time; undefined for a claim that never waited. */
  readonly waitDeadline: number | undefined;
  state: "waiting" | "held" | "ended";
  /** Revision of the last change. */
  revision: number;
  grant: Grant | undefined;
  end: ClaimEnd | undefined;
}

export interface Grant {
  readonly fence: number;
  readonly at: number;
  readonly wallMs: number;
  readonly revision: number;
}

export interface ClaimEnd {
  readonly reason: ClaimEndReason;
  readonly at: number;
  readonly revision: number;
  /** For a claim that was never held: what the first answer said, to be said again. */
  readonly refusal: Refusal | undefined;
  /** The same for an acquire that came to no place in any queue. */
  readonly denial?: Denial;
}

/** Why an acquire was refused before it could wait or hold. Plain facts: what they name may be gone by the next time. */
export type Denial =
  | { readonly kind: "already-held"; readonly claimId: string }
  | { readonly kind: "already-waiting"; readonly claimId: string }
  | { readonly kind: "kind-mismatch"; readonly name: string; readonly is: Resource["kind"] }
  | { readonly kind: "semaphore-unknown"; readonly name: string }
  | { readonly kind: "exceeds-capacity"; readonly permits: number; readonly capacity: number }
  | { readonly kind: "capacity-conflict"; readonly name: string; readonly capacity: number };

/** Why not, and who is in the way: a copy, because those claims move on. */
export interface Refusal {
  readonly reason: BlockReason;
  readonly blockedBy: readonly Blocker[];
  readonly queueLength: number;
  /** Cluster time at which enough of a lock-delay or hand-back is over. */
  readonly availableAt: number | undefined;
}

export interface Blocker {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly label: string;
  readonly owner: string | undefined;
  readonly heldAt: number | undefined;
  readonly metadata: Metadata;
}

/** One thing that a claim names, and how. */
export type ClaimedResource = ClaimedLock | ClaimedPermits;

export interface ClaimedLock {
  readonly resource: Lock;
  readonly mode: LockMode;
}

export interface ClaimedPermits {
  readonly resource: Semaphore;
  readonly mode: "permits";
  /** What was asked for, at least 1. */
  readonly permits: number;
  /** What is left of it: 1 <= kept <= permits. */
  kept: number;
}

/** Something with state under a name: held, waited for, or not to be granted for a while. */
export type Resource = Lock | Semaphore;

interface ResourceState {
  readonly name: string;
  readonly holders: OrderedSet<Claim>;
  readonly queue: OrderedSet<Claim>;
  /** What ended holds left behind, in the order of their ends. */
  barriers: ReadonlySet<Barrier>;
  revision: number;
}

/** Idle locks are deleted. I1: one exclusive holder, or shared ones only. */
export interface Lock extends ResourceState {
  readonly kind: "lock";
  /** Of its holders; undefined when there are none. */
  mode: LockMode | undefined;
  /** Exclusive claims in its queue. */
  exclusiveWaiters: number;
  /** The highest fences granted in each mode since the lock has state; 0 is none. */
  exclusiveMark: number;
  sharedMark: number;
}

/** Deleted when idle, unless it was set. I2: held + cooling <= capacity, except after a decrease. */
export interface Semaphore extends ResourceState {
  readonly kind: "semaphore";
  capacity: number;
  /** True: made or resized by an operator, stays until deleted. */
  isSet: boolean;
  /** Permits of its holders. */
  held: number;
  /** Permits of its barriers. */
  cooling: number;
}

/**
 * What an unclean end leaves behind: for a while its resources are not granted, because the holder may still act on
 * what it believed. Over when both times have passed.
 */
export interface Barrier {
  /** Of the hold that ended. */
  readonly fence: number;
  readonly resources: readonly ClaimedResource[];
  /** Cluster time at which the lock-delay is over (Chubby §2.4). */
  readonly delayUntil: number;
  /**
   * Cluster time at which the session's lease as it stood at the end is over; 0 when nothing is to be handed back,
   * also since the session acknowledged the end.
   */
  handBackUntil: number;
}

/** What a step did to a claim, in order: whoever waits for one is woken by it. */
export interface ClaimChange {
  readonly claim: Claim;
  readonly state: Claim["state"];
}

export interface LockState {
  /** Undefined until the Found entry applied. */
  settings: Settings | undefined;
  clusterId: string;
  /** The last fence given out. */
  fence: number;
  /** Cluster time, milliseconds. */
  now: number;
  /** Cluster time at which the current term began. */
  termStart: number;
  wallMs: number;
  /** Index of the last applied entry. */
  revision: number;
  readonly sessions: Map<string, Session>;
  /** Ended sessions, in the order of their ends. */
  readonly tombstones: Map<string, Session>;
  /** Live and ended sessions by ref. */
  readonly sessionsByRef: Map<string, Session>;
  /** Live and remembered claims. */
  readonly claims: Map<string, Claim>;
  /** Remembered claims in the order of their ends. */
  readonly remembered: Map<string, Claim>;
  /** Locks and semaphores share one space of names. */
  readonly resources: Map<string, Resource>;
  /** By the fence of the hold that ended. */
  readonly barriers: Map<number, Barrier>;
  /** Of the resources, those that are semaphores; and of these, those that stay until deleted. */
  semaphoreCount: number;
  setSemaphores: number;
  readonly deadlines: DeadlineQueue;
  /** Live sessions for each ttl: the shortest decides how often time is logged. */
  readonly ttlCounts: Map<number, number>;
  heldCount: number;
  waitingCount: number;
  /** Of the entry that is being applied. */
  changes: ClaimChange[];
  /** Claims that its due deadlines may still touch. */
  budgetLeft: number;
}
