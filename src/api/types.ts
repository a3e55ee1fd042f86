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
  /** In the answer to a GET of one: its live claims, the oldest 1000; `claimCount` says how many there are. */
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
  readonly reason: "expired" | "closed";
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

export interface ResourceView {
  readonly lock: string;
  readonly mode: "exclusive";
}

export interface BlockerView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly label: string;
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
  readonly waitedMs: number;
  readonly heldMs: number;
  readonly heldSince: string;
  /** Of the claim's last change. */
  readonly revision: number;
}

export interface WaitingClaimView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly state: "waiting";
  readonly resources: readonly ResourceView[];
  /** 1 is the next to be granted. */
  readonly position: number;
  readonly waitedMs: number;
  readonly waitLeftMs: number;
  readonly reason?: string;
  readonly blockedBy: readonly BlockerView[];
  readonly queueLength: number;
  /** While a lock-delay runs. */
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
  readonly mode?: "exclusive";
  readonly holders: readonly HolderView[];
  /** The first hundred; left out in lists. */
  readonly queue?: readonly QueuedView[];
  readonly queueLength: number;
  readonly availableInMs?: number;
  readonly revision: number;
}

export interface HolderView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly label: string;
  readonly fence: number;
  readonly heldMs: number;
  readonly metadata: WireMetadata;
}

export interface QueuedView {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly mode: "exclusive";
  readonly waitedMs: number;
  readonly label: string;
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
