/**
 * The driver: one member of a cluster, between the pure parts and the world.
 *
 *   HTTP ── propose, read, watch ──▶ ┌────────────────────────────────┐ ──▶ storage   one synced step at a time
 *   clock ── tick ─────────────────▶ │ close batch → raft → carry out │ ──▶ transport messages
 *   network ── message, lost ──────▶ │ apply committed → answer       │ ──▶ replies   in one synchronous loop
 *   disk ── done ──────────────────▶ └────────────────────────────────┘ ──▶ trace     what happened
 *
 * Everything is a callback of one event loop; inputs only note what arrived, and one `turn` after them carries it all
 * out. It makes no decision about consensus or locks. The simulator runs this very file.
 */
import { assert, present } from "../base/assert.ts";
import { memberName } from "../base/identity.ts";
import type { Prng } from "../base/prng.ts";
import { decodeCommand, encodeCommand } from "../codec/command.ts";
import { DecodeError } from "../codec/entry.ts";
import type { PeerMessage } from "../codec/message.ts";
import type { Command, KeepAliveItem } from "../locks/commands.ts";
import { apply, nextDeadline, timeLogIntervalMs } from "../locks/machine.ts";
import type { KeepAliveOutcome, Outcome } from "../locks/outcomes.ts";
import type { Claim, LockState } from "../locks/records.ts";
import type { Settings } from "../locks/settings.ts";
import type { RaftConfig } from "../raft/config.ts";
import { createRaft, type Raft } from "../raft/raft.ts";
import type { Entry, LogBoundary, MemberId, RaftOutput, TraceEvent, WriteJob } from "../raft/types.ts";
import type { RaftStorage, SnapshotFiles } from "../storage/contract.ts";
import type { PeerStatus } from "../transport/contract.ts";
import { Attachments, type CancelRequest } from "./attachments.ts";
import { createClusterClock } from "./clock.ts";
import type {
  ClaimListener,
  HoldfastNode,
  NodeStatus,
  NotLeading,
  Proposal,
  ReadReply,
  Reply,
  SessionListener,
  View,
} from "./contract.ts";
import { Dooms } from "./dooms.ts";
import { type Fate, Pending } from "./pending.ts";
import { ProposalQueue, type QueuedProposal } from "./proposals.ts";
import { Reads } from "./reads.ts";
import type { StartState } from "./snapshot-loader.ts";
import type { SnapshotMaker } from "./snapshot-maker.ts";
import type { LoadedSnapshot } from "./snapshot-reader.ts";
import { type SnapshotEvent, Snapshots } from "./snapshots.ts";
import { memberStatuses } from "./status.ts";

/** What happened here, for logs and traces. */
export type NodeEvent = TraceEvent | SnapshotEvent;

/** The world, as the driver sees it. */
export interface NodeHost {
  /** Milliseconds that never run back; only differences count. */
  monotonicMs(): number;
  /** Unix milliseconds, for people. */
  wallMs(): number;
  /** Runs `turn` once, after the events that are at hand now. */
  defer(turn: () => void): void;
  send(to: MemberId, message: PeerMessage): void;
  probe(member: MemberId): void;
  peers(): readonly PeerStatus[];
  trace(event: NodeEvent): void;
  /** An entry was applied, with this outcome: for checkers that want to know. */
  applied?(entry: Entry, outcome: Outcome): void;
  /** The state after this entry came from another member, in the place of what was applied: for the same. */
  installed?(last: LogBoundary): void;
  /** Runs what follows a finished write or read; a broken invariant in it must end the process. */
  guard(input: () => void): void;
  /** The disk failed: the process must end with exit code 70. Nothing is called afterwards. */
  storageFailed(error: Error): void;
}

export interface NodeOptions {
  readonly name: string;
  readonly raft: RaftConfig;
  readonly voters: readonly MemberId[];
  readonly prng: Prng;
  readonly storage: RaftStorage;
  /** Of the same directory. The state that `storage` and its snapshots make is `start` (`snapshot-loader.ts`). */
  readonly snapshotFiles: SnapshotFiles;
  readonly snapshotMaker: SnapshotMaker;
  readonly start: StartState;
  readonly host: NodeHost;
  readonly tickMs: number;
  readonly clusterId: string;
  /** What the first leader proposes; later leaders find settings in the log. */
  readonly settings: Settings;
  readonly limits: NodeLimits;
}

export interface NodeLimits {
  /** Log size at which writes are refused; releases, keepalives and time pass for another tenth. */
  readonly logBytes: number;
  /** Bytes of entries after which a snapshot is made; never more than a quarter of `logBytes`. */
  readonly snapshotEveryBytes: number;
  /** Bytes of a snapshot in one answer to who fetches it, at most `snapshotPartBytesMax`. */
  readonly snapshotPartBytes: number;
  /** Proposals that may wait for the next batch. */
  readonly queuedProposals: number;
}

export interface NodeDriver extends HoldfastNode {
  /** One tick passed; call it late rather than twice. */
  tick(): void;
  message(from: MemberId, message: PeerMessage): void;
  leaderLost(member: MemberId): void;
  /** No reply is given any more. The storage's write under way is the caller's to wait for. */
  stop(): void;
}

export function createNode(options: NodeOptions): NodeDriver {
  return new Driver(options);
}

/** Entries applied in one turn at most: a few milliseconds. */
const entriesAppliedAtOnce = 500;

/** What is taken although the log is full: it ends things, and without it nobody could get out of that. */
const relieving: ReadonlySet<Proposal["kind"]> = new Set([
  "release",
  "shrink",
  "cancel",
  "close-session",
  "kill-session",
]);

class Driver implements NodeDriver {
  readonly #options: NodeOptions;
  readonly #host: NodeHost;
  readonly #raft: Raft;
  /** Another one after an install. */
  #state: LockState;
  readonly #clock;
  readonly #queue = new ProposalQueue();
  readonly #pending = new Pending();
  readonly #reads = new Reads();
  readonly #dooms = new Dooms();
  /** Commands as they were read back from the very bytes that were proposed here. */
  readonly #decoded = new WeakMap<Uint8Array, Command>();
  readonly #attachments = new Attachments();
  readonly #snapshots: Snapshots;

  /** Committed, and not applied yet. */
  #toApply: Entry[] = [];
  /** Verified and durable, until the core has said whether it is needed. */
  #fetched: LoadedSnapshot | undefined;
  #isTurnDue = false;
  #isStopped = false;
  #isWriting = false;
  /** The term this node leads in; undefined when it does not. */
  #leadingTerm: number | undefined;
  #isTimeProposed = false;
  #isFoundProposed = false;
  #leaderHeardMs: number | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#clock = createClusterClock(2 * options.tickMs);
    const { hardState, boundary, entries } = options.storage.restored;
    const { state, snapshot } = options.start;
    this.#state = state;
    this.#raft = createRaft({
      config: options.raft,
      voters: options.voters,
      prng: options.prng,
      hardState,
      boundary,
      snapshot,
      entries,
    });
    this.#snapshots = this.#createSnapshots(snapshot);
  }

  #createSnapshots(newest: LogBoundary | undefined): Snapshots {
    const { clusterId, voters, snapshotFiles, snapshotMaker, limits, raft, host } = this.#options;
    return new Snapshots(
      {
        scope: { clusterId, voters },
        files: snapshotFiles,
        maker: snapshotMaker,
        self: raft.self,
        everyBytes: Math.min(limits.snapshotEveryBytes, limits.logBytes / 4),
        partBytes: limits.snapshotPartBytes,
        patienceTicks: raft.electionTicks,
        host: {
          monotonicMs: () => host.monotonicMs(),
          send: (to, message) => host.send(to, message),
          trace: (event) => host.trace(event),
          entries: (from, to, bytesMax) => this.#raft.entries(from, to, bytesMax),
          taken: (last) => {
            // A follower that takes too long must not fill the log: it begins again with a newer one.
            const mayPin = this.#options.storage.logBytes < limits.logBytes / 2;
            this.#raft.snapshotTaken(last, mayPin);
            this.#turn();
          },
          fetched: (loaded) => this.#handleFetched(loaded),
          guard: (input) => host.guard(input),
          storageFailed: (error) => this.#storageFailed(error),
        },
      },
      newest,
    );
  }

  // ---- inputs --------------------------------------------------------------------------------------------------

  tick(): void {
    if (this.#isStopped) return;
    this.#raft.tick();
    this.#snapshots.tick();
    this.#queue.noteTick();
    if (this.#isServing()) this.#tickServing();
    else if (this.#leadingTerm !== undefined) this.#stamp();
    this.#turn();
  }

  message(from: MemberId, message: PeerMessage): void {
    // Until membership can change, whoever is not a founder has no say.
    if (this.#isStopped || !this.#options.voters.includes(from)) return;
    if (message.kind === "snapshot-request") return this.#snapshots.handleRequest(from, message);
    if (message.kind === "snapshot-part") return this.#snapshots.handlePart(message);
    this.#raft.message(from, message);
    if (this.#raft.leader === from && message.term === this.#raft.currentTerm)
      this.#leaderHeardMs = this.#host.monotonicMs();
    this.#requestTurn();
  }

  leaderLost(member: MemberId): void {
    if (this.#isStopped) return;
    this.#raft.leaderLost(member);
    this.#requestTurn();
  }

  propose(proposal: Proposal, reply: (reply: Reply<Outcome>) => void): void {
    const notLeading = this.notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    const fullness = this.#logFullness();
    if (fullness === "exhausted" || (fullness === "full" && !relieving.has(proposal.kind))) {
      return reply({ kind: "overloaded", reason: "log-full" });
    }
    if (this.#queue.size >= this.#options.limits.queuedProposals) {
      return reply({ kind: "overloaded", reason: "queue" });
    }
    this.#queue.add(proposal, (fate) => this.#answer(fate, reply));
    this.#requestTurn();
  }

  keepAlive(item: KeepAliveItem, reply: (reply: Reply<KeepAliveOutcome>) => void): void {
    const notLeading = this.notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    if (this.#logFullness() === "exhausted") return reply({ kind: "overloaded", reason: "log-full" });
    this.#queue.addKeepAlive(item, (fate) => reply(fate.kind === "applied" ? fate : this.#unanswered(fate)));
  }

  read(reply: (reply: ReadReply) => void): void {
    const notLeading = this.notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    const isRegistered = this.#raft.readIndex(this.#reads.register(reply));
    assert(isRegistered, "a leader takes reads");
    this.#requestTurn();
  }

  watchClaim(claimId: string, listener: ClaimListener): () => void {
    return this.#attachments.watch(claimId, listener);
  }

  attend(sessionId: string, claimId: string): () => void {
    const stop = this.#attachments.attend(sessionId, claimId);
    return () => {
      stop();
      const claim = this.#state.claims.get(claimId);
      if (claim !== undefined && this.#leadingTerm !== undefined)
        this.#attachments.noteLeft(claim, this.#host.monotonicMs());
    };
  }

  watchSession(sessionId: string, listener: SessionListener): () => void {
    const stop = this.#attachments.watchSession(sessionId, this.#waitingOf(sessionId), listener);
    return () => {
      stop();
      if (this.#leadingTerm === undefined) return;
      this.#attachments.leaveSession(this.#waitingOf(sessionId), this.#host.monotonicMs());
    };
  }

  *#waitingOf(sessionId: string): Generator<Claim, void, undefined> {
    const claims = this.#state.sessions.get(sessionId)?.claims.values() ?? [];
    for (const claim of claims) if (claim.state === "waiting") yield claim;
  }

  noteAnswered(claimId: string): void {
    const claim = this.#state.claims.get(claimId);
    if (claim !== undefined && this.#leadingTerm !== undefined) {
      this.#attachments.noteAnswered(claim, this.#host.monotonicMs());
    }
  }

  abandon(claimId: string): void {
    const claim = this.#state.claims.get(claimId);
    if (claim === undefined || this.#leadingTerm === undefined) return;
    this.#proposeCancel(this.#attachments.abandon(claim));
  }

  transferLeadership(to: string | undefined): ReturnType<HoldfastNode["transferLeadership"]> {
    const target =
      to === undefined ? undefined : this.#options.voters.find((voter) => memberName(voter) === to);
    if (to !== undefined && target === undefined)
      return { kind: "refused", reason: `no member is named ${to}` };
    const result = this.#raft.transferLeadership(target);
    this.#requestTurn();
    if (result.kind === "not-leader") return this.#notLeadingNow();
    return result.kind === "refused" ? result : { kind: "started", target: memberName(result.target) };
  }

  stop(): void {
    this.#isStopped = true;
    this.#snapshots.stop();
  }

  // ---- the turn ------------------------------------------------------------------------------------------------

  #requestTurn(): void {
    if (this.#isTurnDue || this.#isStopped) return;
    this.#isTurnDue = true;
    this.#host.defer(() => {
      this.#isTurnDue = false;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#isStopped) return;
    this.#noteRole();
    this.#closeBatch();
    this.#carryOut(this.#raft.takeOutput());
    this.#noteRole();
  }

  #carryOut(output: RaftOutput): void {
    for (const event of output.trace) this.#host.trace(event);
    for (const { to, message } of output.send) this.#host.send(to, message);
    if (output.write !== undefined) this.#write(output.write);
    if (output.probe !== undefined) this.#host.probe(output.probe);
    for (const readId of output.readsDropped) this.#reads.drop(readId, this.#notLeadingNow());
    if (output.fetch !== undefined) this.#snapshots.offer(output.fetch.from, output.fetch.last);
    if (output.install !== undefined) this.#install(output.install);
    for (const entry of output.committed) this.#toApply.push(entry);
    this.#reads.noteConfirmed(output.reads);
    this.#applySome();
    this.#answerReads();
  }

  /** After a restart the whole log commits at once: a share each turn, with ticks and messages in between. */
  #applySome(): void {
    for (const entry of this.#toApply.splice(0, entriesAppliedAtOnce)) this.#applyEntry(entry);
    if (this.#toApply.length > 0) this.#requestTurn();
    this.#snapshots.maybeMake(() => this.#raft.boundaryAt(this.#state.revision));
  }

  #handleFetched(loaded: LoadedSnapshot): void {
    this.#fetched = loaded;
    this.#raft.snapshotFetched(loaded.last);
    this.#turn();
    this.#fetched = undefined;
  }

  /** The state becomes that of another member: whatever waits to be applied is covered by it. */
  #install(last: LogBoundary): void {
    assert(this.#leadingTerm === undefined, "a leader's log has all that is committed");
    const { state } = present(this.#fetched, "the snapshot that is to be installed");
    assert(state.revision === last.index && state.revision > this.#state.revision, "an install goes forward");
    this.#state = state;
    this.#toApply = [];
    this.#snapshots.noteInstalled(last);
    this.#host.installed?.(last);
  }

  #write(job: WriteJob): void {
    assert(!this.#isWriting, "one write at a time");
    this.#isWriting = true;
    const { hardState, truncateFrom, entries, snapshot } = job;
    this.#options.storage.write({ hardState, truncateFrom, entries, snapshot }, (error) => {
      if (this.#isStopped) return;
      if (error === undefined) this.#host.guard(() => this.#finishWrite(job));
      else this.#storageFailed(error);
    });
  }

  #storageFailed(error: Error): void {
    if (this.#isStopped) return;
    this.stop();
    this.#host.storageFailed(error);
  }

  #finishWrite(job: WriteJob): void {
    this.#isWriting = false;
    for (const { to, message } of job.thenSend) this.#host.send(to, message);
    this.#raft.writeDone(job.jobId);
    if (job.snapshot !== undefined) this.#snapshots.noteBoundary(job.snapshot.boundary.index);
    this.#turn();
  }

  // ---- leading ---------------------------------------------------------------------------------------------------

  /** Notices that the core began or ceased to lead, whatever input caused it. */
  #noteRole(): void {
    const { role, currentTerm } = this.#raft;
    const leadingTerm = role === "leader" ? currentTerm : undefined;
    if (leadingTerm === this.#leadingTerm) return;
    if (this.#leadingTerm !== undefined) this.#stopLeading();
    this.#leadingTerm = leadingTerm;
    if (leadingTerm !== undefined) this.#clock.start(this.#raft.lastTime(), this.#host.monotonicMs());
  }

  #stopLeading(): void {
    this.#leadingTerm = undefined;
    this.#clock.stop();
    this.#isTimeProposed = false;
    this.#isFoundProposed = false;
    this.#dooms.clear();
    // Before the rest: what follows may look for reads that can be answered, and nobody here can answer any.
    this.#reads.dropAll(this.#notLeadingNow());
    this.#queue.dropAll();
    this.#pending.dropAll();
    this.#attachments.endTenure(this.staleView());
    this.#releaseHeldBack();
  }

  /** Leads, has applied an entry of its own term, and the cluster has its settings. */
  #isServing(): boolean {
    return (
      this.#leadingTerm !== undefined &&
      this.#state.settings !== undefined &&
      this.#state.revision >= this.#raft.termStartIndex
    );
  }

  notLeading(): NotLeading | undefined {
    const { role, leader } = this.#raft;
    if (role === "leader") return undefined;
    return { kind: "not-leader", leader: leader === undefined ? undefined : memberName(leader) };
  }

  /** For those whose request ends with leadership. */
  #notLeadingNow(): NotLeading {
    return this.notLeading() ?? { kind: "not-leader", leader: undefined };
  }

  #logFullness(): "no" | "full" | "exhausted" {
    const { logBytes } = this.#options.limits;
    const held = this.#options.storage.logBytes;
    return held < logBytes ? "no" : held < logBytes * 1.1 ? "full" : "exhausted";
  }

  /** Reads the clock, as rule 2 wants: at every tick and in the step that appends. */
  #stamp(): number {
    return this.#clock.stamp({
      monotonicMs: this.#host.monotonicMs(),
      lastStampMs: this.#raft.lastTime(),
      // Without room for time to be logged it must not pass: nobody expires for want of room.
      mayRun: this.#raft.isQuorumFresh() && this.#logFullness() !== "exhausted",
    });
  }

  #tickServing(): void {
    const now = this.#stamp();
    const { settings } = this.#state;
    assert(settings !== undefined, "a serving leader has settings");
    const { disconnectGraceMs } = settings;
    for (const { id } of this.#attachments.takeUnattended(this.#host.monotonicMs(), disconnectGraceMs)) {
      this.#proposeCancel({ claimId: id, fence: undefined });
    }
    this.#maybeAdvanceTime(now);
  }

  /** Logs the time when a deadline is due, and often enough that a change of leader forgets little (rule 5). */
  #maybeAdvanceTime(now: number): void {
    if (this.#isTimeProposed || this.#logFullness() === "exhausted") return;
    const deadline = nextDeadline(this.#state);
    if (deadline === undefined) return;
    if (now < deadline && now - this.#state.now < timeLogIntervalMs(this.#state)) return;
    this.#isTimeProposed = true;
    this.#queue.add({ kind: "advance-time" }, () => {
      this.#isTimeProposed = false;
    });
  }

  /** The first leader gives the cluster its settings, once (rule 8). */
  #maybeFound(): void {
    const { clusterId, settings } = this.#options;
    const isOpen = this.#state.revision >= this.#raft.termStartIndex;
    if (this.#state.settings !== undefined || this.#isFoundProposed || !isOpen) return;
    this.#isFoundProposed = true;
    const firstFence = Math.floor(this.#host.wallMs() / 1000) * 2 ** 20;
    this.#queue.addFirst({ kind: "found", clusterId, firstFence, settings }, () => undefined);
  }

  // ---- proposing ---------------------------------------------------------------------------------------------------

  /**
   * Everything that came while the last write ran goes into the log together, under one stamp taken now, when the
   * batch closes: a stamp from when it opened would promise less time than its clients count on.
   */
  #closeBatch(): void {
    if (this.#leadingTerm === undefined || this.#isWriting) return;
    this.#maybeFound();
    const isOpen = this.#state.settings !== undefined;
    const taken = isOpen ? this.#queue.takeBatch() : this.#queue.takeFounding();
    if (taken.length === 0) return;
    const wallMs = Math.floor(this.#host.wallMs());
    const batch: QueuedProposal[] = [];
    const bytes: Uint8Array[] = [];
    for (const queued of taken) {
      const written = this.#writable(queued.proposal, wallMs);
      if (written === undefined) {
        queued.waiter({ kind: "unwritable" });
        continue;
      }
      batch.push(queued);
      bytes.push(written);
    }
    if (batch.length === 0) return;
    const result = this.#raft.propose(bytes, this.#stamp());
    if (result.kind === "accepted") {
      for (const [i, { waiter }] of batch.entries()) this.#pending.add(result.index + i, result.term, waiter);
    } else {
      // A hand-over is running or too much waits: they keep their place until it ends, or leadership does.
      this.#queue.putBack(batch);
    }
  }

  /**
   * The bytes of the entry, which are read back at once: what cannot be decoded must never be committed, for it would
   * end every replica at every start. What was read is kept for the apply, which wants just that.
   */
  #writable(proposal: Proposal, wallMs: number): Uint8Array | undefined {
    const bytes = encodeCommand({ ...proposal, wallMs } as Command);
    try {
      this.#decoded.set(bytes, decodeCommand(bytes));
      return bytes;
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  }

  #unanswered(fate: Exclude<Fate, { kind: "applied" }>): Exclude<Reply<never>, { kind: "applied" }> {
    if (fate.kind === "unknown") return { kind: "indeterminate" };
    return fate.kind === "unwritable" ? fate : this.#notLeadingNow();
  }

  #proposeCancel(request: CancelRequest | undefined): void {
    if (request === undefined) return;
    const { claimId, fence } = request;
    const isAnswerWaiting = this.#reads.isAnyReady(this.#state.revision);
    if (fence !== undefined && !this.#dooms.add(claimId, isAnswerWaiting)) return;
    this.#queue.add({ kind: "cancel", claimId, fence }, () => {
      // Only the cancel that gives the grant back ends its being unheard of; one that found it waiting does not.
      if (fence !== undefined) this.#dooms.remove(claimId);
      if (this.#dooms.isEmpty) this.#releaseHeldBack();
    });
    this.#requestTurn();
  }

  // ---- applying and answering ----------------------------------------------------------------------------------------

  #applyEntry(entry: Entry): void {
    const command =
      entry.kind === "noop" ? undefined : (this.#decoded.get(entry.data) ?? decodeCommand(entry.data));
    const { outcome, changes } = apply(this.#state, { index: entry.index, time: entry.time, command });
    this.#snapshots.noteApplied(entry);
    this.#host.applied?.(entry, outcome);
    this.#pending.settle(entry.index, entry.term, outcome);
    if (this.#leadingTerm === undefined) return;
    if (entry.index === this.#raft.termStartIndex) this.#startTenure();
    for (const change of changes)
      this.#proposeCancel(this.#attachments.handleChange(change, this.#leaderView));
    // What the budget left over is swept by the next entry, at once.
    if (this.#isServing()) this.#maybeAdvanceTime(this.#state.now);
    if (this.#queue.size > 0) this.#requestTurn();
  }

  #startTenure(): void {
    const waiting: Claim[] = [];
    for (const claim of this.#state.claims.values()) if (claim.state === "waiting") waiting.push(claim);
    this.#attachments.startTenure(waiting, this.#raft.termStartIndex, this.#host.monotonicMs());
    this.#requestTurn();
  }

  #answer(fate: Fate, reply: (reply: Reply<Outcome>) => void): void {
    if (fate.kind !== "applied") return reply(this.#unanswered(fate));
    const { outcome, revision } = fate;
    if (!("claim" in outcome) || !this.#dooms.has(outcome.claim.id)) return reply(fate);
    const { kind, claim } = outcome;
    const isItself = kind === "claim" || kind === "shrunk";
    this.#dooms.holdBack(() => {
      // Given back: that is its answer. One that only named it is to be asked again; and when leadership ended first,
      // nobody here knows.
      if (claim.state === "ended" && isItself)
        reply({ kind: "applied", outcome: { kind: "claim-ended", claim }, revision });
      else reply({ kind: "indeterminate" });
    });
  }

  #releaseHeldBack(): void {
    for (const answer of this.#dooms.takeAnswers()) answer();
    this.#answerReads();
    for (const claimId of this.#dooms.takeAbandoned()) this.abandon(claimId);
  }

  #answerReads(): void {
    if (this.#dooms.isEmpty) this.#reads.answerReady(this.#state.revision, this.#leaderView);
  }

  /** Made when somebody listens, which is seldom. */
  readonly #leaderView = (): View => {
    return { state: this.#state, clusterTimeMs: this.#stamp(), revision: this.#state.revision };
  };

  staleView(): View {
    return { state: this.#state, clusterTimeMs: this.#state.now, revision: this.#state.revision };
  }

  // ---- looking in ------------------------------------------------------------------------------------------------------

  get term(): number {
    return this.#raft.currentTerm;
  }

  status(): NodeStatus {
    const raft = this.#raft.status();
    const { role, currentTerm, leader, commitIndex, lastIndex } = raft;
    const isLeader = role === "leader";
    const quietMs =
      isLeader && this.#raft.isQuorumFresh()
        ? 0
        : this.#leaderHeardMs === undefined
          ? undefined
          : this.#host.monotonicMs() - this.#leaderHeardMs;
    return {
      name: this.#options.name,
      leader: leader === undefined ? undefined : memberName(leader),
      role: isLeader ? "leader" : role === "follower" ? "follower" : "candidate",
      term: currentTerm,
      clusterId: this.#options.clusterId,
      commitIndex,
      appliedIndex: this.#state.revision,
      lastIndex,
      logBytes: this.#options.storage.logBytes,
      isFounded: this.#state.settings !== undefined,
      isServing: this.#isServing(),
      quietMs,
      members: memberStatuses({
        voters: this.#options.voters,
        self: this.#options.raft.self,
        raft,
        followers: this.#raft.followers(),
        peers: this.#host.peers(),
        tickMs: this.#options.tickMs,
      }),
    };
  }
}
