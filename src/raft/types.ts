/**
 * The vocabulary of consensus: entries, messages between members, what the core asks of its host, what it traces.
 * Types only. The core and its host share nothing else. Words are the papers' (Raft Fig. 3.1).
 */

/** Election term, from 0; increases by campaigns. A safe integer, as every number in this folder. */
export type Term = number;
/** Position in the log, from 1; 0 means "before the first entry". */
export type LogIndex = number;
/** `name@incarnation`: a wiped node that comes back under its old name is another member. */
export type MemberId = string;

/**
 * One entry of the log. `time` is the cluster time stamp in milliseconds, never less than that of the entry before.
 * `chain` is the hash of this entry and the chain of the one before, so that equal chains mean equal prefixes.
 */
export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly time: number;
  /** `noop`: the first entry of a term, made by the core, empty. `command`: opaque bytes of the state machine. */
  readonly kind: EntryKind;
  readonly data: Uint8Array;
  readonly chain: number;
}

/** What remains known of an entry whose data is gone: index 0 and term 0 stand for "before the first entry". */
export interface LogBoundary {
  readonly index: LogIndex;
  readonly term: Term;
  readonly time: number;
  readonly chain: number;
}

export type EntryKind = "noop" | "command";

/** What must survive a crash before the member answers anything in that term (Raft §3.8). */
export interface HardState {
  readonly currentTerm: Term;
  readonly votedFor: MemberId | undefined;
}

/** The members that count. Read through `configuration.ts` only, so that joint consensus can arrive later. */
export interface Configuration {
  readonly voters: readonly MemberId[];
}

/** "I have lost leader L of term T": the reason a pre-vote or vote may pass stickiness (see `hint.ts`). */
export interface LeaderLostHint {
  readonly leader: MemberId;
  readonly term: Term;
}

/**
 * A mark that the leader puts on every message and that the answer returns: `round` numbers the message within the
 * term (read rounds are confirmed by it), `sentTick` is the leader's own tick count when it left (check-quorum).
 */
export interface Echo {
  readonly round: number;
  readonly sentTick: number;
}

export type Message =
  | PreVoteRequest
  | PreVoteResponse
  | VoteRequest
  | VoteResponse
  | AppendRequest
  | AppendResponse
  | SnapshotOffer
  | Heartbeat
  | HeartbeatResponse
  | TermOver
  | TimeoutNow;

/** Would you vote for me in `nextTerm`? Changes nothing at the receiver (Raft §9.6). */
export interface PreVoteRequest {
  readonly kind: "pre-vote";
  /** The sender's current term. */
  readonly term: Term;
  /** The term that the sender would campaign in. */
  readonly nextTerm: Term;
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  readonly hint: LeaderLostHint | undefined;
}

export interface PreVoteResponse {
  readonly kind: "pre-vote-response";
  /** The responder's current term; the asker adopts a higher one (etcd #8243). */
  readonly term: Term;
  readonly nextTerm: Term;
  readonly granted: boolean;
}

/** RequestVote (Raft §3.4). */
export interface VoteRequest {
  readonly kind: "vote";
  readonly term: Term;
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  /** True when the leader itself asked for this election: stickiness does not apply (Raft §3.10). */
  readonly transfer: boolean;
  readonly hint: LeaderLostHint | undefined;
}

export interface VoteResponse {
  readonly kind: "vote-response";
  readonly term: Term;
  readonly granted: boolean;
}

/** AppendEntries (Raft §3.5). `entries` are contiguous and begin at prevLogIndex + 1; they may be empty. */
export interface AppendRequest {
  readonly kind: "append";
  readonly term: Term;
  readonly prevLogIndex: LogIndex;
  readonly prevLogTerm: Term;
  readonly prevLogChain: number;
  readonly entries: readonly Entry[];
  readonly leaderCommit: LogIndex;
  readonly echo: Echo;
}

export interface AppendResponse {
  readonly kind: "append-response";
  readonly term: Term;
  readonly result:
    | { readonly kind: "matched"; readonly matchIndex: LogIndex }
    /** The log does not hold prevLogIndex in that term; try at or below the hint. */
    | {
        readonly kind: "mismatch";
        readonly prevLogIndex: LogIndex;
        readonly hintIndex: LogIndex;
        readonly hintTerm: Term;
      };
  readonly echo: Echo;
}

/**
 * In place of the heartbeats to a follower that lacks entries which this leader no longer holds: the state up to `last`
 * is there to be fetched (Raft §5.3, as an offer: the bytes travel between the hosts, beside all this). Answered like an
 * append by who needs it no more, like a heartbeat by who fetches.
 */
export interface SnapshotOffer {
  readonly kind: "snapshot-offer";
  readonly term: Term;
  readonly last: LogBoundary;
  readonly echo: Echo;
}

/** Keeps followers from campaigning, tells them the commit index, confirms read rounds. */
export interface Heartbeat {
  readonly kind: "heartbeat";
  readonly term: Term;
  /** Never beyond what this follower is known to hold. */
  readonly leaderCommit: LogIndex;
  readonly echo: Echo;
}

export interface HeartbeatResponse {
  readonly kind: "heartbeat-response";
  readonly term: Term;
  readonly echo: Echo;
}

/** To a leader of an older term: it is over. Carries no echo, which another term could take for its own (R2). */
export interface TermOver {
  readonly kind: "term-over";
  readonly term: Term;
}

/** The leader hands over: campaign at once (Raft §3.10). */
export interface TimeoutNow {
  readonly kind: "timeout-now";
  readonly term: Term;
}

export interface Envelope {
  readonly to: MemberId;
  readonly message: Message;
}

/**
 * One durable step. The host writes it whole, in one synced write, in the order: truncation, entries, snapshot, hard state.
 * It reports `writeDone(jobId)`; there is at most one job at a time.
 */
export interface WriteJob {
  readonly jobId: number;
  /** Present when term or vote changed. */
  readonly hardState: HardState | undefined;
  /** Entries at and above this index are deleted first. */
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
  /** Present when the log begins elsewhere from now on. */
  readonly snapshot: SnapshotStep | undefined;
  /** Leave only once the job is durable: they promise what it writes (Raft §3.8). */
  readonly thenSend: readonly Envelope[];
}

/** Entries up to `boundary` are given up, because the snapshot of all up to `last` stands for them. Both are durable first. */
export interface SnapshotStep {
  readonly boundary: LogBoundary;
  readonly last: LogBoundary;
  /** It came from another member: whatever entries were held before go first, all of them (S1). */
  readonly isInstalled: boolean;
}

/** What the host must do now, in this order: send `send`, start `write`, `install`, apply `committed`, answer reads. */
export interface RaftOutput {
  /** May leave at once: they rest only on what is already durable. */
  readonly send: readonly Envelope[];
  readonly write: WriteJob | undefined;
  /** Fetch this snapshot from that member, if it is not under way; `snapshotFetched` says when it is durable here. */
  readonly fetch: { readonly from: MemberId; readonly last: LogBoundary } | undefined;
  /** Put the state of this fetched snapshot in the place of what was applied; entries that waited for that are covered. */
  readonly install: LogBoundary | undefined;
  /** Newly committed entries in log order, each handed out once. */
  readonly committed: readonly Entry[];
  /** Reads that may be answered once the state machine has applied `index`. */
  readonly reads: readonly ReadReady[];
  /** Reads that will never be confirmed here: leadership was lost. */
  readonly readsDropped: readonly number[];
  /** Ask the network at once whether this leader still lives; report through `leaderLost`. */
  readonly probe: MemberId | undefined;
  readonly trace: readonly TraceEvent[];
}

export interface ReadReady {
  readonly readId: number;
  readonly index: LogIndex;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** What happened, for logs, the simulator and transcripts. One stream, three readers. */
export type TraceEvent =
  | {
      readonly kind: "role";
      readonly role: Role;
      readonly term: Term;
      readonly leader: MemberId | undefined;
      readonly reason: string;
    }
  | {
      readonly kind: "campaign";
      readonly phase: "pre-vote" | "vote";
      readonly term: Term;
      readonly reason: string;
    }
  | {
      readonly kind: "vote";
      readonly phase: "pre-vote" | "vote";
      readonly term: Term;
      readonly candidate: MemberId;
      readonly granted: boolean;
      readonly reason: string;
    }
  | { readonly kind: "append"; readonly from: LogIndex; readonly to: LogIndex; readonly term: Term }
  | { readonly kind: "truncate"; readonly from: LogIndex; readonly to: LogIndex }
  | { readonly kind: "mismatch"; readonly member: MemberId; readonly next: LogIndex }
  | { readonly kind: "commit"; readonly index: LogIndex; readonly term: Term }
  /** The log begins after `boundary` now; the newest snapshot covers all up to `snapshot`. */
  | { readonly kind: "compact"; readonly boundary: LogIndex; readonly snapshot: LogIndex }
  /** The follower lacks what is gone: it is offered the snapshot. */
  | { readonly kind: "offer"; readonly member: MemberId; readonly snapshot: LogIndex }
  | { readonly kind: "install"; readonly snapshot: LogIndex; readonly lost: LogIndex }
  | { readonly kind: "transfer"; readonly target: MemberId; readonly result: "started" | "sent" | "aborted" }
  | { readonly kind: "leader-lost"; readonly leader: MemberId; readonly term: Term };

export type ProposeResult =
  | { readonly kind: "accepted"; readonly index: LogIndex; readonly term: Term }
  | { readonly kind: "not-leader"; readonly leader: MemberId | undefined }
  /** A hand-over is running; the next leader will take it. */
  | { readonly kind: "transferring" }
  /** Too many bytes or entries wait for a majority. Nothing was appended. */
  | { readonly kind: "overloaded" };
