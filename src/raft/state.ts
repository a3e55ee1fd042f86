/**
 * All that one member knows, in one record. The functions of this folder take it as their first argument and change
 * it; nothing else holds state. Here too: the three transitions that every part needs (a new term, a message to send,
 * a trace event).
 */
import { assert } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import type { RaftConfig } from "./config.ts";
import type { RaftLog } from "./log.ts";
import type {
  Configuration,
  Envelope,
  HardState,
  LeaderLostHint,
  LogBoundary,
  LogIndex,
  MemberId,
  Message,
  PreVoteRequest,
  Role,
  SnapshotStep,
  Term,
  TraceEvent,
  VoteRequest,
} from "./types.ts";

/** What a leader knows of one follower (Raft Fig. 3.1 nextIndex, matchIndex; pipelining §10.2.1). */
export interface Progress {
  /** Highest index known to be durable there. Never decreases within a term. */
  matchIndex: LogIndex;
  /** First index to send. Invariant: nextIndex > matchIndex. */
  nextIndex: LogIndex;
  /**
   * `probe`: one append at a time until the logs are known to agree. `replicate`: pipelined. `snapshot`: what it needs
   * next is gone, so it is offered `offered` until it has that.
   */
  mode: "probe" | "replicate" | "snapshot";
  /** In snapshot mode. Invariant: not below the boundary, so that the log goes on where it ends (S4). */
  offered: LogBoundary | undefined;
  /** In probe mode: an append is under way. Cleared by its answer and by every heartbeat's answer. */
  probeSent: boolean;
  /** Appends with entries that are not answered yet, oldest first. */
  inflight: { readonly lastIndex: LogIndex; readonly bytes: number }[];
  inflightBytes: number;
  /** Highest round that it answered in this term; 0 is none. */
  ackedRound: number;
  /** When (leader's ticks) the newest message that it answered had been sent; −1 is none in this term. */
  ackedSentTick: number;
  /** When (leader's ticks) it was last heard at all; −1 is never in this term. */
  heardTick: number;
}

/** The write job that the host is carrying out. */
export interface JobUnderWay {
  readonly jobId: number;
  readonly hardState: HardState | undefined;
  /** Last entry of the log that is durable once the job is; lowered when the log is truncated meanwhile. */
  durableIndexAfter: LogIndex;
  readonly startedTick: number;
}

export interface PendingRead {
  readonly readId: number;
  /** The round that must be confirmed; undefined until it is sent. */
  round: number | undefined;
  /** The commit index when it was registered; undefined before the first commit of the term. */
  index: LogIndex | undefined;
}

/** A hinted request whose answer waits for the network's word on the leader, one tick at most. */
export interface DeferredRequest {
  readonly from: MemberId;
  readonly request: PreVoteRequest | VoteRequest;
}

export interface RaftState {
  readonly config: RaftConfig;
  readonly prng: Prng;
  readonly log: RaftLog;
  /** The newest snapshot of the own state that is durable. Invariant: boundary <= snapshot <= handedIndex. */
  snapshot: LogBoundary | undefined;
  configuration: Configuration;

  currentTerm: Term;
  /** Invariant: within a term it changes at most once, from undefined (E2). */
  votedFor: MemberId | undefined;
  role: Role;
  leader: MemberId | undefined;
  /** Whoever was known to lead this term at any time, also after it was given up. Invariant: set once a term. */
  termLeader: MemberId | undefined;
  commitIndex: LogIndex;
  /** Highest committed index that was handed to the host. Invariant: at most commitIndex. */
  handedIndex: LogIndex;

  /** Ticks since start. */
  ticks: number;
  electionElapsed: number;
  /** Drawn afresh at every campaign and every reset (E14). */
  electionTimeout: number;
  /** When the current leader was last heard. */
  heardLeaderTick: number;

  /** Durable: what the disk is known to hold. */
  durableHardState: HardState;
  durableIndex: LogIndex;
  /** First index that no job has taken yet. */
  unwrittenFrom: LogIndex;
  /** Entries at and above were written once and are gone now; the next job deletes them. */
  truncateOnDisk: LogIndex | undefined;
  /** The log was compacted or replaced; the next job says so. */
  snapshotOnDisk: SnapshotStep | undefined;
  job: JobUnderWay | undefined;
  nextJobId: number;
  /** Messages that rest on what is not durable yet. */
  held: Envelope[];

  /** Members that answered the running campaign, and how. A set of ids: a repeated answer counts once (E3). */
  votes: Map<MemberId, boolean>;
  campaignHint: LeaderLostHint | undefined;

  /** Leader only; empty otherwise. The leader's own entry holds its durable index. */
  progress: Map<MemberId, Progress>;
  leaderSinceTick: number;
  /** Index of the entry that opened this leader's term; nothing is committed by counting below it (L1). */
  termStartIndex: LogIndex;
  heartbeatElapsed: number;
  /** Numbers messages for read rounds; made here, never by a caller (R2). */
  round: number;
  reads: PendingRead[];
  /** Leader only: up to where a majority is known to hold the log durably, whatever the terms. Never falls in a term. */
  majorityIndex: LogIndex;
  /** When majorityIndex last moved, or the log was last fully committed. */
  majorityProgressTick: number;
  uncommittedBytes: number;
  transfer: { readonly target: MemberId; readonly startedTick: number; sent: boolean } | undefined;

  /** The leader of this term, when the network proved its process gone (`hint.ts`). */
  lost: { readonly hint: LeaderLostHint; readonly sinceTick: number; skipSlot: boolean } | undefined;
  deferred: DeferredRequest[];

  /** Gathered for the next output. */
  outSend: Envelope[];
  outReadsDropped: number[];
  outProbe: MemberId | undefined;
  outFetch: { readonly from: MemberId; readonly last: LogBoundary } | undefined;
  outInstall: LogBoundary | undefined;
  outTrace: TraceEvent[];
}

export function trace(state: RaftState, event: TraceEvent): void {
  state.outTrace.push(event);
}

export function isHardStateDurable(state: RaftState): boolean {
  return (
    state.durableHardState.currentTerm === state.currentTerm &&
    state.durableHardState.votedFor === state.votedFor
  );
}

/**
 * Sends now what rests only on durable state; holds the rest for the write that makes it true (E1, L7, R7).
 * A matched append promises its entries, every message promises its term.
 */
export function send(state: RaftState, to: MemberId, message: Message): void {
  assert(to !== state.config.self, "a member sends nothing to itself", { kind: message.kind });
  if (isTrueNow(state, message)) state.outSend.push({ to, message });
  else hold(state, { to, message });
}

/** True when everything that the message promises is on disk. */
export function isTrueNow(state: RaftState, message: Message): boolean {
  const restsOn =
    message.kind === "append-response" && message.result.kind === "matched" ? message.result.matchIndex : 0;
  return isHardStateDurable(state) && restsOn <= state.durableIndex;
}

/**
 * Keeps a message until the write that makes it true: the newest of each kind for each member. While a disk hangs the
 * others go on asking; only their newest question is answered, so what is held stays bounded.
 */
function hold(state: RaftState, envelope: Envelope): void {
  const { to, message } = envelope;
  const isOlder = (held: Envelope): boolean => held.to === to && held.message.kind === message.kind;
  const older = state.held.filter(isOlder);
  state.held = state.held.filter((held) => !isOlder(held));
  state.held.push({ to, message: older.reduce(mergeMatched, message) });
}

/** What matched this term's leader once matches it for the whole term. */
function mergeMatched(message: Message, { message: older }: Envelope): Message {
  if (message.kind !== "append-response" || message.result.kind !== "matched") return message;
  if (older.kind !== "append-response" || older.term !== message.term) return message;
  if (older.result.kind !== "matched" || older.result.matchIndex <= message.result.matchIndex) return message;
  return { ...message, result: older.result };
}

/** Moves to a higher term: the vote is free again, and whatever belonged to the old term is dropped. */
export function adoptTerm(state: RaftState, term: Term): void {
  assert(term > state.currentTerm, "a term is only ever raised", { from: state.currentTerm, to: term });
  state.currentTerm = term;
  state.votedFor = undefined;
  state.termLeader = undefined;
  state.lost = undefined;
}

/** A fresh timeout in [B, 2B), counted from now. */
export function resetElectionTimer(state: RaftState): void {
  const b = state.config.electionTicks;
  state.electionElapsed = 0;
  state.electionTimeout = state.prng.between(b, 2 * b - 1);
}

/** True while the write under way is older than `ticks`: a disk that slow must neither lead nor campaign (D6). */
export function isOwnWriteOlderThan(state: RaftState, ticks: number): boolean {
  return state.job !== undefined && state.ticks - state.job.startedTick > ticks;
}
