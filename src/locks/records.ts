/**
 * What the state machine remembers: sessions, claims, locks. The only mutable records of this folder; only `machine.ts`
 * and the files it calls change them. Everything is reachable from `LockState`, and nothing else is state.
 */
import type { LockMode, Metadata } from "./commands.ts";
import type { DeadlineQueue } from "./deadlines.ts";
import type { OrderedSet } from "./ordered-set.ts";
import type { Settings } from "./settings.ts";

/** Why a session ended. `expired` is unclean: its holds leave a lock-delay behind. */
export type SessionEndReason = "expired" | "closed";

/** Why a claim ended; exactly once (I4). Later issues add the other reasons of SEMANTICS §3. */
export type ClaimEndReason =
  | "refused"
  | "released"
  | "cancelled"
  | "wait-timeout"
  | "session-expired"
  | "session-closed";

/** Why a claim is not granted now. */
export type BlockReason = "held" | "queue-ahead" | "lock-delay";

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
  /** Holds that ended otherwise than by the session's own request and are not acknowledged, oldest first. */
  unseenEnds: UnseenEnd[];
  /** Ended claims still remembered, oldest first. */
  readonly remembered: Map<string, Claim>;
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
}

export interface UnseenEnd {
  readonly claimId: string;
  readonly reason: ClaimEndReason;
  readonly revision: number;
}

export interface Claim {
  readonly id: string;
  readonly session: Session;
  readonly resources: readonly ClaimedResource[];
  readonly lockDelayMs: number | undefined;
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
}

/** Why not, and who is in the way: a copy, because those claims move on. */
export interface Refusal {
  readonly reason: BlockReason;
  readonly blockedBy: readonly Blocker[];
  readonly queueLength: number;
  /** Cluster time at which the lock-delay ends. */
  readonly availableAt: number | undefined;
}

export interface Blocker {
  readonly claimId: string;
  readonly sessionRef: string;
  readonly label: string;
  readonly heldAt: number | undefined;
  readonly metadata: Metadata;
}

export interface ClaimedResource {
  readonly lock: Lock;
  readonly mode: LockMode;
}

/** A lock with state: held, waited for, or in its lock-delay. Idle locks are deleted. */
export interface Lock {
  readonly name: string;
  /** I1: at most one, while only exclusive mode exists. */
  readonly holders: OrderedSet<Claim>;
  readonly queue: OrderedSet<Claim>;
  /** Cluster time before which nothing is granted; 0 is none. */
  delayUntil: number;
  revision: number;
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
  readonly locks: Map<string, Lock>;
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
