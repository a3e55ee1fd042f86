/**
 * The consensus core: the table of contents of this folder.
 *
 *      tick ─┐                                            ┌─ send        leaves now
 *   message ─┤                                            ├─ write       one durable step, then its messages
 *   propose ─┤      ┌───────────────────────────────┐     ├─ committed   to the state machine, in order
 * readIndex ─┼────▶ │ election  replication  reads  │ ───▶├─ reads       confirmed, or dropped
 * writeDone ─┤      │ durability  transfer   hint   │     ├─ probe       look whether the leader lives
 *  transfer ─┤      └───────────────────────────────┘     └─ trace       what happened
 *   … lost  ─┘
 *
 * Pure and synchronous: no clock, no randomness but the injected generator, no I/O, no logging, no promises. Each
 * input changes the record in `state.ts` and gathers output; `takeOutput` hands it over. Raft = Ongaro 2014.
 */
import { assert, unreachable } from "../base/assert.ts";
import type { Prng } from "../base/prng.ts";
import { checkRaftConfig, type RaftConfig } from "./config.ts";
import { createConfiguration } from "./configuration.ts";
import { finishJob, takeJob } from "./durability.ts";
import {
  answerDeferred,
  becomeFollower,
  handleElectionTimeout,
  handlePreVote,
  handlePreVoteResponse,
  handleTimeoutNow,
  handleVote,
  handleVoteDurable,
  handleVoteResponse,
} from "./election.ts";
import { handleLeaderLost, maybeCampaignOnHint } from "./hint.ts";
import { checkDelta, checkState, remember } from "./invariants.ts";
import { boundaryAt, createLog, lastIndex, lastTime, slice } from "./log.ts";
import { registerRead, sendReadRound, takeConfirmedReads } from "./reads.ts";
import {
  handleAppend,
  handleAppendResponse,
  handleHeartbeat,
  handleHeartbeatResponse,
  handleOwnDurable,
  isMajorityFetching,
  propose,
  quorumSentTick,
  sendAppends,
  sendHeartbeats,
} from "./replication.ts";
import { handleSnapshotFetched, handleSnapshotOffer, handleSnapshotTaken } from "./snapshots.ts";
import { isOwnWriteOlderThan, type RaftState, resetElectionTimer, send } from "./state.ts";
import { maybeAbortTransfer, maybeFinishTransfer, startTransfer, type TransferResult } from "./transfer.ts";
import type {
  Entry,
  HardState,
  LogBoundary,
  LogIndex,
  MemberId,
  Message,
  ProposeResult,
  RaftOutput,
  Term,
} from "./types.ts";

/** What a member starts from: what its disk held, and who counts. It always starts as a follower (E6). */
export interface RaftStart {
  readonly config: RaftConfig;
  readonly voters: readonly MemberId[];
  readonly hardState: HardState;
  /** Where the log begins, and the newest snapshot; the host has put its state in place, so all up to there is applied. */
  readonly boundary: LogBoundary;
  readonly snapshot: LogBoundary | undefined;
  readonly entries: readonly Entry[];
  readonly prng: Prng;
}

/** What others may see of a member. */
export interface RaftStatus {
  readonly role: RaftState["role"];
  readonly currentTerm: Term;
  readonly votedFor: MemberId | undefined;
  readonly leader: MemberId | undefined;
  readonly commitIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly durableIndex: LogIndex;
  /** The last entry that is gone from the log; 0 when none is. */
  readonly boundaryIndex: LogIndex;
  /** The last entry that the newest snapshot covers; 0 without one. */
  readonly snapshotIndex: LogIndex;
  /** Leader only: the entry that opened its term; reads and proposals count from its commit on. */
  readonly termStartIndex: LogIndex;
  readonly isTransferring: boolean;
}

export interface FollowerStatus {
  readonly member: MemberId;
  readonly matchIndex: LogIndex;
  /** Ticks since it was last heard in this term; undefined when never. */
  readonly silentTicks: number | undefined;
}

export interface Raft {
  /** One tick passed. The host processes what has arrived before it reports a late one, and reports only one. */
  tick(): void;
  message(from: MemberId, message: Message): void;
  /** Appends commands under one stamp, all or none. */
  propose(commands: readonly Uint8Array[], time: number): ProposeResult;
  /** Registers a linearizable read; false when this member does not lead. Ids are the host's and used once. */
  readIndex(readId: number): boolean;
  transferLeadership(target: MemberId | undefined): TransferResult;
  writeDone(jobId: number): void;
  /**
   * A snapshot of the state as it was after entry `last` is durable; entries behind the one before it may go. `mayPin`: the
   * log has room for what followers are fetching.
   */
  snapshotTaken(last: LogBoundary, mayPin: boolean): void;
  /** What `fetch` asked for is here, verified and durable; answered by `install` if it is still needed. */
  snapshotFetched(last: LogBoundary): void;
  /** Entries from `from` to `to`, about `bytesMax` of data, at least one; undefined when they are not all held. */
  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] | undefined;
  /** The entry there, as what a snapshot of the state after it stands for; it must be held. */
  boundaryAt(index: LogIndex): LogBoundary;
  /** Evidence that this member's process ended (see the transport's contract). */
  leaderLost(member: MemberId): void;
  /** What to do now. Hands everything over once; an empty output is normal. */
  takeOutput(): RaftOutput;
  /** Of `status`, what is asked for with every entry; reading them makes nothing. */
  readonly role: RaftStatus["role"];
  readonly currentTerm: Term;
  readonly leader: MemberId | undefined;
  readonly termStartIndex: LogIndex;
  status(): RaftStatus;
  followers(): readonly FollowerStatus[];
  /** The stamp of the last entry in the log. */
  lastTime(): number;
  /** True while a majority has answered something sent less than B ago: the leader's clock may run. */
  isQuorumFresh(): boolean;
}

export function createRaft(start: RaftStart): Raft {
  return new RaftCore(start);
}

class RaftCore implements Raft {
  readonly #state: RaftState;

  constructor(start: RaftStart) {
    checkRaftConfig(start.config);
    const log = createLog(start.boundary, start.entries);
    const last = lastIndex(log);
    const appliedIndex = (start.snapshot ?? log.boundary).index;
    assert(
      appliedIndex >= log.boundary.index && appliedIndex <= last,
      "a snapshot stands inside the log or at its beginning (S5)",
      { boundary: log.boundary.index, snapshot: appliedIndex, last },
    );
    this.#state = {
      config: start.config,
      prng: start.prng,
      log,
      snapshot: start.snapshot,
      configuration: createConfiguration(start.voters),
      currentTerm: start.hardState.currentTerm,
      votedFor: start.hardState.votedFor,
      role: "follower",
      leader: undefined,
      termLeader: undefined,
      commitIndex: appliedIndex,
      handedIndex: appliedIndex,
      ticks: 0,
      electionElapsed: 0,
      electionTimeout: 0,
      heardLeaderTick: 0,
      durableHardState: start.hardState,
      durableIndex: last,
      unwrittenFrom: last + 1,
      truncateOnDisk: undefined,
      snapshotOnDisk: undefined,
      job: undefined,
      nextJobId: 1,
      held: [],
      votes: new Map(),
      campaignHint: undefined,
      progress: new Map(),
      leaderSinceTick: 0,
      termStartIndex: 0,
      heartbeatElapsed: 0,
      round: 0,
      reads: [],
      majorityIndex: 0,
      majorityProgressTick: 0,
      uncommittedBytes: 0,
      transfer: undefined,
      lost: undefined,
      deferred: [],
      outSend: [],
      outReadsDropped: [],
      outProbe: undefined,
      outFetch: undefined,
      outInstall: undefined,
      outTrace: [],
    };
    resetElectionTimer(this.#state);
    checkState(this.#state);
  }

  /** Every input runs between two checks. */
  #guarded<T>(input: () => T): T {
    const before = remember(this.#state);
    const result = input();
    checkState(this.#state);
    checkDelta(before, this.#state);
    return result;
  }

  tick(): void {
    this.#guarded(() => {
      const state = this.#state;
      state.ticks++;
      answerDeferred(state);
      if (state.role === "leader") tickLeader(state);
      else tickFollower(state);
    });
  }

  message(from: MemberId, message: Message): void {
    this.#guarded(() => step(this.#state, from, message));
  }

  propose(commands: readonly Uint8Array[], time: number): ProposeResult {
    return this.#guarded(() => propose(this.#state, commands, time));
  }

  readIndex(readId: number): boolean {
    return registerRead(this.#state, readId);
  }

  transferLeadership(target: MemberId | undefined): TransferResult {
    return this.#guarded(() => startTransfer(this.#state, target));
  }

  writeDone(jobId: number): void {
    this.#guarded(() => {
      const state = this.#state;
      const vote = state.job?.hardState;
      finishJob(state, jobId);
      // A vote of an older term is history: the term has moved on while the disk was busy.
      if (vote !== undefined && vote.currentTerm === state.currentTerm)
        handleVoteDurable(state, vote.votedFor);
      if (state.role === "leader") handleOwnDurable(state);
    });
  }

  snapshotTaken(last: LogBoundary, mayPin: boolean): void {
    this.#guarded(() => handleSnapshotTaken(this.#state, last, mayPin));
  }

  snapshotFetched(last: LogBoundary): void {
    this.#guarded(() => handleSnapshotFetched(this.#state, last));
  }

  entries(from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] | undefined {
    const { log } = this.#state;
    return from > log.boundary.index && to <= lastIndex(log) ? slice(log, from, to, bytesMax) : undefined;
  }

  boundaryAt(index: LogIndex): LogBoundary {
    return boundaryAt(this.#state.log, index);
  }

  leaderLost(member: MemberId): void {
    this.#guarded(() => handleLeaderLost(this.#state, member));
  }

  takeOutput(): RaftOutput {
    return this.#guarded(() => {
      const state = this.#state;
      if (state.role === "leader") {
        sendReadRound(state);
        sendAppends(state);
        maybeFinishTransfer(state);
      }
      const write = takeJob(state);
      const committed = slice(state.log, state.handedIndex + 1, state.commitIndex, Number.MAX_SAFE_INTEGER);
      state.handedIndex = state.commitIndex;
      const output: RaftOutput = {
        send: state.outSend,
        write,
        fetch: state.outFetch,
        install: state.outInstall,
        committed,
        reads: state.role === "leader" ? takeConfirmedReads(state) : [],
        readsDropped: state.outReadsDropped,
        probe: state.outProbe,
        trace: state.outTrace,
      };
      state.outSend = [];
      state.outReadsDropped = [];
      state.outProbe = undefined;
      state.outFetch = undefined;
      state.outInstall = undefined;
      state.outTrace = [];
      return output;
    });
  }

  get role(): RaftStatus["role"] {
    return this.#state.role;
  }

  get currentTerm(): Term {
    return this.#state.currentTerm;
  }

  get leader(): MemberId | undefined {
    // One whose process is gone is nobody to send anybody to.
    return this.#state.lost === undefined ? this.#state.leader : undefined;
  }

  get termStartIndex(): LogIndex {
    return this.#state.termStartIndex;
  }

  status(): RaftStatus {
    const {
      role,
      currentTerm,
      votedFor,
      commitIndex,
      durableIndex,
      termStartIndex,
      transfer,
      log,
      snapshot,
    } = this.#state;
    return {
      role,
      currentTerm,
      votedFor,
      leader: this.leader,
      commitIndex,
      lastIndex: lastIndex(log),
      durableIndex,
      boundaryIndex: log.boundary.index,
      snapshotIndex: snapshot?.index ?? 0,
      termStartIndex,
      isTransferring: transfer !== undefined,
    };
  }

  followers(): readonly FollowerStatus[] {
    const { progress, ticks, config } = this.#state;
    return [...progress]
      .filter(([member]) => member !== config.self)
      .map(([member, { matchIndex, heardTick }]) => ({
        member,
        matchIndex,
        silentTicks: heardTick < 0 ? undefined : ticks - heardTick,
      }));
  }

  lastTime(): number {
    return lastTime(this.#state.log);
  }

  isQuorumFresh(): boolean {
    const state = this.#state;
    if (state.role !== "leader") return false;
    const sent = quorumSentTick(state);
    return sent >= 0 && state.ticks - sent < state.config.electionTicks;
  }
}

function tickLeader(state: RaftState): void {
  const { electionTicks, heartbeatTicks } = state.config;
  maybeAbortTransfer(state);
  const lastProof = Math.max(quorumSentTick(state), state.leaderSinceTick);
  if (state.ticks - lastProof > electionTicks) {
    stepDown(state, "no majority answers (check-quorum)");
  } else if (
    lastIndex(state.log) > state.commitIndex &&
    state.ticks - state.majorityProgressTick > patienceTicks(state)
  ) {
    stepDown(state, "no majority takes more while entries wait");
  } else if (isOwnWriteOlderThan(state, 3 * electionTicks)) {
    // Followers alone may still commit what was sent; a leader that cannot write must not lead (D6).
    stepDown(state, "the own disk hangs");
  } else {
    state.heartbeatElapsed++;
    if (state.heartbeatElapsed >= heartbeatTicks) sendHeartbeats(state);
  }
}

/** How long a leader waits for its majority to take more: much longer when that majority is fetching what it lacks. */
function patienceTicks(state: RaftState): number {
  const { electionTicks } = state.config;
  return isMajorityFetching(state) ? 200 * electionTicks : 3 * electionTicks;
}

function stepDown(state: RaftState, reason: string): void {
  becomeFollower(state, state.currentTerm, undefined, reason);
  resetElectionTimer(state);
}

function tickFollower(state: RaftState): void {
  state.electionElapsed++;
  if (state.electionElapsed >= state.electionTimeout) handleElectionTimeout(state);
  else maybeCampaignOnHint(state);
}

/** Every message passes here: first the term, then the kind (Raft §3.3; one path for all, L10). */
function step(state: RaftState, from: MemberId, message: Message): void {
  assert(from !== state.config.self, "a message from oneself", { kind: message.kind });
  switch (message.kind) {
    // Elections judge terms themselves: a request may have to be ignored whatever its term.
    case "pre-vote":
      return handlePreVote(state, from, message);
    case "pre-vote-response":
      return handlePreVoteResponse(state, from, message);
    case "vote":
      return handleVote(state, from, message);
    case "vote-response":
      if (isFromNewerTerm(state, message.term)) return;
      return handleVoteResponse(state, from, message);
    case "append":
    case "snapshot-offer":
    case "heartbeat":
      if (message.term < state.currentTerm) {
        // A leader that was deposed without knowing: the answer's term tells it.
        send(state, from, { kind: "term-over", term: state.currentTerm });
        return;
      }
      followLeader(state, from, message.term);
      if (message.kind === "append") return handleAppend(state, from, message);
      if (message.kind === "snapshot-offer") return handleSnapshotOffer(state, from, message);
      return handleHeartbeat(state, from, message);
    case "append-response":
      if (isFromNewerTerm(state, message.term) || message.term < state.currentTerm) return;
      return handleAppendResponse(state, from, message);
    case "heartbeat-response":
      if (isFromNewerTerm(state, message.term) || message.term < state.currentTerm) return;
      return handleHeartbeatResponse(state, from, message);
    case "term-over":
      isFromNewerTerm(state, message.term);
      return;
    case "timeout-now":
      if (message.term !== state.currentTerm || state.leader !== from) return;
      return handleTimeoutNow(state);
    default:
      return unreachable(message);
  }
}

/** An answer showed a higher term: adopt it, and take nothing else from the answer. */
function isFromNewerTerm(state: RaftState, term: Term): boolean {
  if (term <= state.currentTerm) return false;
  becomeFollower(state, term, undefined, "an answer showed a higher term");
  resetElectionTimer(state);
  return true;
}

function followLeader(state: RaftState, leader: MemberId, term: Term): void {
  assert(state.role !== "leader" || term > state.currentTerm, "two leaders in one term", { leader, term });
  becomeFollower(state, term, leader, "heard the leader");
  resetElectionTimer(state);
}
