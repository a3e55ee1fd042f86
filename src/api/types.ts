/**
 * What answers look like: the wire, as types. Not the inner records: those may change without the API changing.
 * Durations are milliseconds left or gone, in cluster time; strings that end in `At` or `Since` are wall time for people.
 * Absent values are left out, never null. Pure.
 */
import type { ErrorCode } from "./errors.ts";

/** RFC 9457, `application/problem+json`, plus the facts that a program needs, by code. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** For a person, with what to do. */
  readonly detail: string;
  /** The request id, also in `Holdfast-Request-Id`. */
  readonly instance: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly [fact: string]: unknown;
}

export interface FieldError {
  /** JSON pointer into the body, or the name of a path or query parameter. */
  readonly path: string;
  readonly message: string;
}

export type WireMetadata = Readonly<Record<string, string>>;

export interface SessionView {
  /** Only for whoever asked by it. */
  readonly sessionId?: string;
  readonly sessionRef: string;
  readonly state: "live";
  readonly ttlMs: number;
  /** From the sending of the request: how long its client may believe. */
  readonly leaseMs: number;
  readonly renewAfterMs: number;
  readonly expiresInMs: number;
  /** Absent: the setting counts. */
  readonly lockDelayMs?: number;
  readonly label: string;
  readonly metadata: WireMetadata;
  readonly createdAt: string;
  readonly clusterTimeMs: number;
  /** In the answer to a GET of one: its live claims, the oldest 100; `claimCount` says how many there are. */
  readonly claims?: readonly ClaimView[];
  readonly claimCount?: number;
  /** When a create found it: as in a keepalive. */
  readonly ended?: readonly EndedHold[];
  readonly revokes?: readonly never[];
  readonly revision: number;
}

export interface EndedSessionView {
  readonly sessionRef: string;
  readonly state: "ended";
  readonly reason: "expired" | "closed" | "killed";
  /** What the operator who killed it said. */
  readonly note?: string;
  readonly endedAt: string;
  readonly revision: number;
}

/** A hold that ended otherwise than by its session's own request; repeated until `seen`. */
export interface EndedHold {
  readonly claimId: string;
  readonly reason: string;
  readonly revision: number;
}

export interface KeepAliveView {
  readonly sessionRef: string;
  readonly ttlMs: number;
  readonly leaseMs: number;
  readonly renewAfterMs: number;
  readonly clusterTimeMs: number;
  readonly revision: number;
  readonly ended: readonly EndedHold[];
  readonly revokes: readonly never[];
}

export type LockMode = "exclusive" | "shared";

export type ResourceView = LockClaimed | PermitsClaimed;

export interface LockClaimed {
  readonly lock: string;
  readonly mode: LockMode;
  /** While it is held. */
  readonly sequencer?: string;
}

export interface PermitsClaimed {
  readonly semaphore: string;
  readonly permits: number;
  readonly sequencer?: string;
}

export interface BlockerView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly label: string;
  readonly owner?: string;
  /** Absent for one that waits too. */
  readonly heldMs?: number;
  readonly metadata: WireMetadata;
}

export type ClaimView = HeldClaimView | WaitingClaimView | EndedClaimView;

export interface HeldClaimView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly state: "held";
  readonly resources: readonly ResourceView[];
  readonly fence: number;
  readonly owner?: string;
  readonly waitedMs: number;
  readonly heldMs: number;
  /** Until the server ends the hold; absent without a max-hold. */
  readonly maxHoldLeftMs?: number;
  readonly heldSince: string;
  /** Of the claim's last change. */
  readonly revision: number;
}

export interface WaitingClaimView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly state: "waiting";
  readonly resources: readonly ResourceView[];
  readonly owner?: string;
  /** 1 is the next to be granted. */
  readonly position: number;
  readonly waitedMs: number;
  readonly waitLeftMs: number;
  readonly reason?: string;
  readonly blockedBy: readonly BlockerView[];
  readonly queueLength: number;
  /** While a lock-delay or a hand-back runs. */
  readonly availableInMs?: number;
  readonly revision: number;
}

export interface EndedClaimView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly state: "ended";
  readonly reason: string;
  /** Of a claim that was held. */
  readonly fence?: number;
  readonly heldMs?: number;
  readonly revision: number;
}

export interface LockView {
  readonly lock: string;
  readonly state: "free" | "held" | "delayed";
  readonly mode?: LockMode;
  readonly holders: readonly HolderView[];
  /** The first hundred; left out in lists. */
  readonly queue?: readonly QueuedView[];
  readonly queueLength: number;
  readonly availableInMs?: number;
  readonly revision: number;
}

export interface SemaphoreView {
  readonly semaphore: string;
  readonly capacity: number;
  /** Negative after a decrease below what is held. */
  readonly available: number;
  /** Permits of ended holds that are not given out yet. */
  readonly cooling: number;
  /** True: it stays until it is deleted. */
  readonly isSet: boolean;
  readonly holders: readonly PermitHolderView[];
  /** The first hundred; left out in lists. */
  readonly queue?: readonly QueuedPermitsView[];
  readonly queueLength: number;
  readonly revision: number;
}

export interface HolderView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly owner?: string;
  readonly label: string;
  readonly fence: number;
  readonly heldMs: number;
  readonly metadata: WireMetadata;
}

export interface PermitHolderView extends HolderView {
  readonly permits: number;
}

interface Queued {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly owner?: string;
  readonly waitedMs: number;
  readonly label: string;
}

export interface QueuedView extends Queued {
  readonly mode: LockMode;
}

export interface QueuedPermitsView extends Queued {
  readonly permits: number;
}

export interface SettingsView {
  readonly settings: Readonly<Record<string, number>>;
  readonly revision: number;
}

/** Anything but `current` means no. */
export type SequencerStatus = "current" | "superseded" | "released" | "expired" | "unknown" | "malformed";

export interface CheckView {
  readonly status: SequencerStatus;
  /** As the sequencer says; absent when it is malformed. */
  readonly name?: string;
  readonly fence?: number;
  /** The newest grant of the name that is held. */
  readonly currentFence?: number;
}

export interface ListView<T> {
  readonly items: readonly T[];
  /** Absent: that was all. */
  readonly cursor?: string;
}

export interface ClusterView {
  readonly clusterId?: string;
  readonly name?: string;
  /** Whose view this is. */
  readonly node: string;
  readonly term: number;
  readonly leader?: string;
  readonly members: readonly MemberView[];
  readonly clusterTimeMs: number;
  readonly revision: number;
  readonly settings?: Readonly<Record<string, number>>;
  readonly counts: {
    readonly sessions: number;
    readonly claimsHeld: number;
    readonly claimsWaiting: number;
    readonly locks: number;
    readonly semaphores: number;
    readonly logBytes: number;
  };
}

export interface MemberView {
  readonly id: string;
  readonly http?: string;
  readonly role: "leader" | "follower";
  readonly state: "up" | "down";
  /** Known to the leader only. */
  readonly match?: number;
  readonly lagEntries?: number;
  readonly lastContactMs?: number;
}
