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
import { assert } from "../base/assert.ts";
import { memberName } from "../base/identity.ts";
import type { Prng } from "../base/prng.ts";
import { decodeCommand, encodeCommand } from "../codec/command.ts";
import type { Command, KeepAliveItem } from "../locks/commands.ts";
import { apply, createLockState, nextDeadline, timeLogIntervalMs } from "../locks/machine.ts";
import type { KeepAliveOutcome, Outcome } from "../locks/outcomes.ts";
import type { Claim, LockState } from "../locks/records.ts";
import type { Settings } from "../locks/settings.ts";
import type { RaftConfig } from "../raft/config.ts";
import { createRaft, type Raft } from "../raft/raft.ts";
import type { Entry, MemberId, Message, RaftOutput, TraceEvent, WriteJob } from "../raft/types.ts";
import type { RaftStorage } from "../storage/contract.ts";
import type { PeerStatus } from "../transport/contract.ts";
import { Attachments, type CancelRequest } from "./attachments.ts";
import { createClusterClock } from "./clock.ts";
import type {
  ClaimListener,
  HoldfastNode,
  MemberStatus,
  NodeStatus,
  NotLeading,
  Proposal,
  ReadReply,
  Reply,
  SessionListener,
  View,
} from "./contract.ts";
import { type Fate, Pending, type Waiter } from "./pending.ts";

/** The world, as the driver sees it. */
export interface NodeHost {
  /** Milliseconds that never run back; only differences count. */
  monotonicMs(): number;
  /** Unix milliseconds, for people. */
  wallMs(): number;
  /** Runs `turn` once, after the events that are at hand now. */
  defer(turn: () => void): void;
  send(to: MemberId, message: Message): void;
  probe(member: MemberId): void;
  peers(): readonly PeerStatus[];
  trace(event: TraceEvent): void;
  /** An entry was applied, with this outcome: for checkers that want to know. */
  applied?(entry: Entry, outcome: Outcome): void;
  /** Runs what follows a finished write; a broken invariant in it must end the process. */
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
  /** Proposals that may wait for the next batch. */
  readonly queuedProposals: number;
}

export interface NodeDriver extends HoldfastNode {
  /** One tick passed; call it late rather than twice. */
  tick(): void;
  message(from: MemberId, message: Message): void;
  leaderLost(member: MemberId): void;
  /** No reply is given any more. The storage's write under way is the caller's to wait for. */
  stop(): void;
}

export function createNode(options: NodeOptions): NodeDriver {
  return new Driver(options);
}

interface QueuedProposal {
  readonly proposal: Proposal;
  readonly waiter: Waiter;
}

interface QueuedKeepAlive {
  readonly item: KeepAliveItem;
  readonly reply: (reply: Reply<KeepAliveOutcome>) => void;
}

/** Entries applied in one turn at most: a few milliseconds. */
const entriesAppliedAtOnce = 500;

/** Sessions renewed by one entry at most. */
const keepAliveItemsMax = 1_000;

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
  readonly #state: LockState = createLockState();
  readonly #clock;
  readonly #pending = new Pending();
  readonly #attachments = new Attachments();

  /** Committed, and not applied yet. */
  #toApply: Entry[] = [];
  #isTurnDue = false;
  #isStopped = false;
  #isWriting = false;
  #queue: QueuedProposal[] = [];
  #keepAlives: QueuedKeepAlive[] = [];
  /** A tick passed since the oldest keepalive came: it waits no longer for company. */
  #isKeepAliveDue = false;

  /** The term this node leads in; undefined when it does not. */
  #leadingTerm: number | undefined;
  #isTimeProposed = false;
  #isFoundProposed = false;
  #reads = new Map<number, (reply: ReadReply) => void>();
  /** Confirmed, waiting for the machine to reach their index. */
  #readsReady: { readonly index: number; readonly readId: number }[] = [];
  #nextReadId = 1;
  /** Claims whose unheard-of grant is being given back: no answer names them until that applied. */
  readonly #doomed = new Set<string>();
  #answersHeldBack: (() => void)[] = [];
  /** Abandoned while answers waited for earlier dooms: looked at again when those were given. */
  #abandonedLater: string[] = [];
  #leaderHeardMs: number | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#clock = createClusterClock(2 * options.tickMs);
    const { hardState, entries } = options.storage.restored;
    this.#raft = createRaft({
      config: options.raft,
      voters: options.voters,
      prng: options.prng,
      hardState,
      entries,
    });
  }

  // ---- inputs --------------------------------------------------------------------------------------------------

  tick(): void {
    if (this.#isStopped) return;
    this.#raft.tick();
    this.#isKeepAliveDue = true;
    if (this.#isServing()) this.#tickServing();
    else if (this.#leadingTerm !== undefined) this.#stamp();
    this.#turn();
  }

  message(from: MemberId, message: Message): void {
    // Until membership can change, whoever is not a founder has no say.
    if (this.#isStopped || !this.#options.voters.includes(from)) return;
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
    const notLeading = this.#notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    const fullness = this.#logFullness();
    if (fullness === "exhausted" || (fullness === "full" && !relieving.has(proposal.kind))) {
      return reply({ kind: "overloaded", reason: "log-full" });
    }
    if (this.#queue.length >= this.#options.limits.queuedProposals) {
      return reply({ kind: "overloaded", reason: "queue" });
    }
    const waiter: Waiter = (fate) => this.#answer(fate, reply);
    this.#queue.push({ proposal, waiter });
    this.#requestTurn();
  }

  keepAlive(item: KeepAliveItem, reply: (reply: Reply<KeepAliveOutcome>) => void): void {
    const notLeading = this.#notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    if (this.#logFullness() === "exhausted") return reply({ kind: "overloaded", reason: "log-full" });
    // It waits for the next tick, or for whatever entry goes first (SEMANTICS rule 3).
    if (this.#keepAlives.length === 0) this.#isKeepAliveDue = false;
    this.#keepAlives.push({ item, reply });
  }

  read(reply: (reply: ReadReply) => void): void {
    const notLeading = this.#notLeading();
    if (notLeading !== undefined) return reply(notLeading);
    const readId = this.#nextReadId++;
    const isRegistered = this.#raft.readIndex(readId);
    assert(isRegistered, "a leader takes reads");
    this.#reads.set(readId, reply);
    this.#requestTurn();
  }

  watchClaim(claimId: string, listener: ClaimListener): () => void {
    return this.#attachments.watch(claimId, listener);
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
    if (result.kind === "not-leader") return this.#notLeading() ?? { kind: "not-leader", leader: undefined };
    return result.kind === "refused" ? result : { kind: "started", target: memberName(result.target) };
  }

  stop(): void {
    this.#isStopped = true;
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
    for (const readId of output.readsDropped) this.#dropRead(readId);
    for (const entry of output.committed) this.#toApply.push(entry);
    for (const { readId, index } of output.reads) this.#readsReady.push({ readId, index });
    this.#applySome();
    this.#answerReads();
  }

  /** After a restart the whole log commits at once: a share each turn, with ticks and messages in between. */
  #applySome(): void {
    for (const entry of this.#toApply.splice(0, entriesAppliedAtOnce)) this.#applyEntry(entry);
    if (this.#toApply.length > 0) this.#requestTurn();
  }

  #write(job: WriteJob): void {
    assert(!this.#isWriting, "one write at a time");
    this.#isWriting = true;
    const { hardState, truncateFrom, entries } = job;
    this.#options.storage.write({ hardState, truncateFrom, entries }, (error) => {
      if (this.#isStopped) return;
      if (error === undefined) return this.#host.guard(() => this.#finishWrite(job));
      this.#isStopped = true;
      this.#host.storageFailed(error);
    });
  }

  #finishWrite(job: WriteJob): void {
    this.#isWriting = false;
    for (const { to, message } of job.thenSend) this.#host.send(to, message);
    this.#raft.writeDone(job.jobId);
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
    this.#doomed.clear();
    this.#abandonedLater = [];
    const queue = this.#queue;
    const keepAlives = this.#keepAlives;
    this.#queue = [];
    this.#keepAlives = [];
    this.#readsReady = [];
    const notLeading = this.#notLeading() ?? { kind: "not-leader", leader: undefined };
    for (const { reply } of keepAlives) reply(notLeading);
    for (const { waiter } of queue) waiter({ kind: "never" });
    this.#pending.dropAll();
    for (const readId of this.#reads.keys()) this.#dropRead(readId);
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

  #notLeading(): NotLeading | undefined {
    const { role, leader } = this.#raft;
    if (role === "leader") return undefined;
    return { kind: "not-leader", leader: leader === undefined ? undefined : memberName(leader) };
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
    for (const claimId of this.#attachments.takeUnattended(
      this.#host.monotonicMs(),
      settings.disconnectGraceMs,
    )) {
      this.#proposeCancel({ claimId, fence: undefined });
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
    this.#queue.push({
      proposal: { kind: "advance-time" },
      waiter: () => {
        this.#isTimeProposed = false;
      },
    });
  }

  /** The first leader gives the cluster its settings, once (rule 8). */
  #maybeFound(): void {
    const { clusterId, settings } = this.#options;
    const isOpen = this.#state.revision >= this.#raft.termStartIndex;
    if (this.#state.settings !== undefined || this.#isFoundProposed || !isOpen) return;
    this.#isFoundProposed = true;
    const firstFence = Math.floor(this.#host.wallMs() / 1000) * 2 ** 20;
    const proposal: Proposal = { kind: "found", clusterId, firstFence, settings };
    this.#queue.unshift({ proposal, waiter: () => undefined });
  }

  // ---- proposing ---------------------------------------------------------------------------------------------------

  /**
   * Everything that came while the last write ran goes into the log together, under one stamp taken now, when the
   * batch closes: a stamp from when it opened would promise less time than its clients count on.
   */
  #closeBatch(): void {
    if (this.#leadingTerm === undefined || this.#isWriting) return;
    this.#maybeFound();
    if (this.#state.settings === undefined && !this.#isFoundProposed) return;
    const batch = this.#takeBatch();
    if (batch.length === 0) return;
    const wallMs = Math.floor(this.#host.wallMs());
    const bytes = batch.map(({ proposal }) => encodeCommand({ ...proposal, wallMs } as Command));
    const result = this.#raft.propose(bytes, this.#stamp());
    if (result.kind === "accepted") {
      for (const [i, { waiter }] of batch.entries()) this.#pending.add(result.index + i, result.term, waiter);
    } else {
      // A hand-over is running or too much waits: they keep their place until it ends, or leadership does.
      this.#queue = [...batch, ...this.#queue];
    }
  }

  #takeBatch(): readonly QueuedProposal[] {
    const isOpen = this.#state.settings !== undefined;
    const queue = isOpen ? this.#queue : this.#queue.filter(({ proposal }) => proposal.kind === "found");
    this.#queue = isOpen ? [] : this.#queue.filter(({ proposal }) => proposal.kind !== "found");
    if (!isOpen || this.#keepAlives.length === 0 || (queue.length === 0 && !this.#isKeepAliveDue))
      return queue;
    // In front: time must not pass over a keepalive that was there first (rule 5).
    const renewals: QueuedProposal[] = [];
    for (let i = 0; i < this.#keepAlives.length; i += keepAliveItemsMax) {
      renewals.push(this.#renewal(this.#keepAlives.slice(i, i + keepAliveItemsMax)));
    }
    this.#keepAlives = [];
    this.#isKeepAliveDue = false;
    return [...renewals, ...queue];
  }

  #renewal(batch: readonly QueuedKeepAlive[]): QueuedProposal {
    return {
      proposal: { kind: "keep-alive", items: batch.map(({ item }) => item) },
      waiter: (fate) => {
        for (const [i, { reply }] of batch.entries()) this.#answerRenewal(fate, i, reply);
      },
    };
  }

  #answerRenewal(fate: Fate, i: number, reply: (reply: Reply<KeepAliveOutcome>) => void): void {
    if (fate.kind !== "applied") return reply(this.#unanswered(fate));
    assert(fate.outcome.kind === "keep-alive", "a renewal has its own outcome", { kind: fate.outcome.kind });
    const outcome = fate.outcome.items[i];
    assert(outcome !== undefined, "every keepalive has an outcome");
    reply({ kind: "applied", outcome, revision: fate.revision });
  }

  #unanswered(fate: Exclude<Fate, { kind: "applied" }>): NotLeading | { readonly kind: "indeterminate" } {
    if (fate.kind === "unknown") return { kind: "indeterminate" };
    return this.#notLeading() ?? { kind: "not-leader", leader: undefined };
  }

  #proposeCancel(request: CancelRequest | undefined): void {
    if (request === undefined) return;
    const { claimId, fence } = request;
    if (fence !== undefined) {
      // New dooms wait for the answers that wait for old ones, or impatient clients could keep everybody waiting.
      if (this.#isAnswerWaiting()) {
        this.#abandonedLater.push(claimId);
        return;
      }
      this.#doomed.add(claimId);
    }
    this.#queue.push({
      proposal: { kind: "cancel", claimId, fence },
      waiter: () => {
        // Only the cancel that gives the grant back ends its being unheard of; one that found it waiting does not.
        if (fence !== undefined) this.#doomed.delete(claimId);
        if (this.#doomed.size === 0) this.#releaseHeldBack();
      },
    });
    this.#requestTurn();
  }

  // ---- applying and answering ----------------------------------------------------------------------------------------

  #applyEntry(entry: Entry): void {
    const command = entry.kind === "noop" ? undefined : decodeCommand(entry.data);
    const { outcome, changes } = apply(this.#state, { index: entry.index, time: entry.time, command });
    this.#host.applied?.(entry, outcome);
    this.#pending.settle(entry.index, entry.term, outcome);
    if (this.#leadingTerm === undefined) return;
    if (entry.index === this.#raft.termStartIndex) this.#startTenure();
    for (const change of changes) this.#proposeCancel(this.#attachments.handleChange(change, this.#view));
    // What the budget left over is swept by the next entry, at once.
    if (this.#isServing()) this.#maybeAdvanceTime(this.#state.now);
    if (this.#queue.length > 0) this.#requestTurn();
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
    const isDoomed = outcome.kind === "claim" && this.#doomed.has(outcome.claim.id);
    if (!isDoomed) return reply(fate);
    const { claim } = outcome;
    this.#answersHeldBack.push(() => {
      // Either it was given back, or leadership ended first and nobody here knows.
      if (claim.state === "ended")
        reply({ kind: "applied", outcome: { kind: "claim-ended", claim }, revision });
      else reply({ kind: "indeterminate" });
    });
  }

  #releaseHeldBack(): void {
    const answers = this.#answersHeldBack;
    this.#answersHeldBack = [];
    for (const answer of answers) answer();
    this.#answerReads();
    const abandoned = this.#abandonedLater;
    this.#abandonedLater = [];
    for (const claimId of abandoned) this.abandon(claimId);
  }

  #isAnswerWaiting(): boolean {
    if (this.#doomed.size === 0) return false;
    return (
      this.#answersHeldBack.length > 0 || (this.#readsReady[0]?.index ?? Infinity) <= this.#state.revision
    );
  }

  #answerReads(): void {
    if (this.#doomed.size > 0) return;
    while ((this.#readsReady[0]?.index ?? Infinity) <= this.#state.revision) {
      const { readId } = this.#readsReady.shift() as { readId: number };
      const reply = this.#reads.get(readId);
      this.#reads.delete(readId);
      reply?.({ kind: "confirmed", view: this.#leaderView() });
    }
  }

  #dropRead(readId: number): void {
    const reply = this.#reads.get(readId);
    this.#reads.delete(readId);
    reply?.(this.#notLeading() ?? { kind: "not-leader", leader: undefined });
  }

  /** Made when somebody listens, which is seldom. */
  readonly #view = (): View => this.#leaderView();

  #leaderView(): View {
    return { state: this.#state, clusterTimeMs: this.#stamp(), revision: this.#state.revision };
  }

  staleView(): View {
    return { state: this.#state, clusterTimeMs: this.#state.now, revision: this.#state.revision };
  }

  // ---- looking in ------------------------------------------------------------------------------------------------------

  get term(): number {
    return this.#raft.currentTerm;
  }

  status(): NodeStatus {
    const { role, currentTerm, leader, commitIndex, lastIndex } = this.#raft.status();
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
      members: this.#members(leader),
    };
  }

  #members(leader: MemberId | undefined): readonly MemberStatus[] {
    const peers = new Map(this.#host.peers().map((peer) => [peer.name, peer]));
    const followers = new Map(this.#raft.followers().map((follower) => [follower.member, follower]));
    const { durableIndex } = this.#raft.status();
    return this.#options.voters.map((voter) => {
      const name = memberName(voter);
      const isSelf = voter === this.#options.raft.self;
      const follower = followers.get(voter);
      const silentTicks = follower?.silentTicks;
      return {
        name,
        role: voter === leader ? "leader" : "follower",
        state: isSelf || peers.get(name)?.connected === true ? "up" : "down",
        matchIndex: isSelf ? durableIndex : follower?.matchIndex,
        lastContactMs: isSelf
          ? 0
          : silentTicks === undefined
            ? peers.get(name)?.lastContactMs
            : silentTicks * this.#options.tickMs,
      };
    });
  }
}
