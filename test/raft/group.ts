/**
 * A group of cores without time, disk or network: the test decides what is delivered, written, lost and when.
 */
import { createPrng } from "../../src/base/prng.ts";
import { chainOf, chainStart, emptyBoundary } from "../../src/raft/chain.ts";
import { defaultRaftConfig, type RaftConfig } from "../../src/raft/config.ts";
import { createRaft, type Raft } from "../../src/raft/raft.ts";
import type {
  Entry,
  HardState,
  LogBoundary,
  LogIndex,
  Message,
  RaftOutput,
  ReadReady,
  Term,
  TraceEvent,
  WriteJob,
} from "../../src/raft/types.ts";

export interface Packet {
  readonly from: string;
  readonly to: string;
  readonly message: Message;
}

/** A log with one entry for each given term. */
export function logOf(terms: readonly Term[], time = 0): readonly Entry[] {
  const entries: Entry[] = [];
  let chain = chainStart;
  for (const [i, term] of terms.entries()) {
    const body = { index: i + 1, term, time, kind: "command" as const, data: Uint8Array.of(term, i) };
    chain = chainOf(chain, body);
    entries.push({ ...body, chain });
  }
  return entries;
}

export class Member {
  readonly id: string;
  readonly #voters: readonly string[];
  readonly #config: RaftConfig;
  #boots = 0;
  raft: Raft;
  /** On disk. */
  hardState: HardState;
  /** Where the entries begin. */
  boundary: LogBoundary = emptyBoundary;
  snapshot: LogBoundary | undefined;
  entries: Entry[];
  job: WriteJob | undefined;
  /** The newest snapshot that it was asked to fetch, and those that took the place of its state. */
  fetch: RaftOutput["fetch"];
  readonly installs: LogBoundary[] = [];
  readonly committed: Entry[] = [];
  readonly reads: ReadReady[] = [];
  readonly readsDropped: number[] = [];
  readonly probes: string[] = [];
  trace: TraceEvent[] = [];

  constructor(
    id: string,
    voters: readonly string[],
    config: RaftConfig,
    start: { hardState: HardState; entries: Entry[] },
  ) {
    this.id = id;
    this.#voters = voters;
    this.#config = config;
    this.hardState = start.hardState;
    this.entries = start.entries;
    this.raft = this.#boot();
  }

  #boot(): Raft {
    this.#boots++;
    return createRaft({
      config: this.#config,
      voters: this.#voters,
      hardState: this.hardState,
      boundary: this.boundary,
      snapshot: this.snapshot,
      entries: this.entries,
      prng: createPrng(this.#boots, this.id),
    });
  }

  /** A new process on the same disk; what was not written is gone. */
  restart(): void {
    this.job = undefined;
    this.fetch = undefined;
    this.committed.length = 0;
    this.installs.length = 0;
    this.raft = this.#boot();
  }

  note(output: RaftOutput): void {
    if (output.fetch !== undefined) this.fetch = output.fetch;
    if (output.install !== undefined) this.installs.push(output.install);
    this.committed.push(...output.committed);
    this.reads.push(...output.reads);
    this.readsDropped.push(...output.readsDropped);
    if (output.probe !== undefined) this.probes.push(output.probe);
    this.trace.push(...output.trace);
    if (output.write !== undefined) this.job = output.write;
  }
}

export interface GroupOptions {
  readonly size: number;
  readonly config?: Partial<RaftConfig>;
  /** Terms of each member's log, and its current term; empty logs in term 0 otherwise. */
  readonly start?: Readonly<
    Record<string, { readonly log?: readonly Term[]; readonly term?: Term; readonly vote?: string }>
  >;
}

export class Group {
  readonly members = new Map<string, Member>();
  /** Messages that have left and not arrived, in order. */
  wire: Packet[] = [];
  /** Links `a>b` that lose everything. */
  readonly cuts = new Set<string>();
  /** Members whose disk does not finish by itself. */
  readonly slowDisks = new Set<string>();

  constructor(options: GroupOptions) {
    const ids = Array.from({ length: options.size }, (_, i) => `n${i + 1}`);
    for (const id of ids) {
      const start = options.start?.[id];
      const entries = logOf(start?.log ?? []);
      const lastTerm = entries[entries.length - 1]?.term ?? 0;
      const config: RaftConfig = {
        ...defaultRaftConfig,
        electionTicks: 10,
        heartbeatTicks: 2,
        ...options.config,
        self: id,
      };
      this.members.set(
        id,
        new Member(id, ids, config, {
          hardState: { currentTerm: start?.term ?? lastTerm, votedFor: start?.vote },
          entries: [...entries],
        }),
      );
    }
  }

  at(id: string): Member {
    const member = this.members.get(id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member;
  }

  raft(id: string): Raft {
    return this.at(id).raft;
  }

  /** Takes a member's output and puts its messages on the wire. */
  drain(id: string): RaftOutput {
    const output = this.raft(id).takeOutput();
    this.at(id).note(output);
    for (const { to, message } of output.send) this.#leave(id, to, message);
    return output;
  }

  /** Nothing leaves that the disk could not bear witness to (invariant 9). */
  #leave(from: string, to: string, message: Message): void {
    const { entries, boundary, hardState } = this.at(from);
    if (message.kind === "append-response" && message.result.kind === "matched") {
      const end = entries.at(-1)?.index ?? boundary.index;
      if (message.result.matchIndex > end || message.term > hardState.currentTerm)
        throw new Error(`${from} promises ${message.result.matchIndex}, its disk ends at ${end}`);
    }
    this.wire.push({ from, to, message });
  }

  /** The member's disk finishes its job. */
  finishWrite(id: string): void {
    const member = this.at(id);
    const { job } = member;
    if (job === undefined) throw new Error(`${id} writes nothing`);
    member.job = undefined;
    if (job.snapshot?.isInstalled === true) member.entries = [];
    const { truncateFrom } = job;
    if (truncateFrom !== undefined)
      member.entries = member.entries.filter(({ index }) => index < truncateFrom);
    member.entries.push(...job.entries);
    if (job.snapshot !== undefined) {
      const { boundary, last } = job.snapshot;
      member.boundary = boundary;
      member.snapshot = last;
      member.entries = member.entries.filter(({ index }) => index > boundary.index);
    }
    if (job.hardState !== undefined) member.hardState = job.hardState;
    for (const { to, message } of job.thenSend) this.#leave(id, to, message);
    member.raft.writeDone(job.jobId);
  }

  /** Takes the messages that match off the wire. */
  take(matches: (packet: Packet) => boolean): readonly Packet[] {
    const taken = this.wire.filter(matches);
    this.wire = this.wire.filter((packet) => !matches(packet));
    return taken;
  }

  deliver(packet: Packet): void {
    if (this.cuts.has(`${packet.from}>${packet.to}`)) return;
    this.raft(packet.to).message(packet.from, packet.message);
  }

  /** Lets everything happen that needs no time: outputs, writes, deliveries. */
  settle(): void {
    for (let rounds = 0; rounds < 10_000; rounds++) {
      let isBusy = false;
      for (const [id, member] of this.members) {
        this.drain(id);
        if (member.job !== undefined && !this.slowDisks.has(id)) {
          this.finishWrite(id);
          isBusy = true;
        }
      }
      const packets = this.wire;
      this.wire = [];
      for (const packet of packets) this.deliver(packet);
      if (packets.length > 0) isBusy = true;
      if (!isBusy) return;
    }
    throw new Error("the group does not come to rest");
  }

  tick(id: string, count = 1): void {
    for (let i = 0; i < count; i++) this.raft(id).tick();
  }

  /** Time passes for everybody, with everything delivered in between. */
  run(ticks: number): void {
    for (let i = 0; i < ticks; i++) {
      for (const id of this.members.keys()) this.tick(id);
      this.settle();
    }
  }

  /** Makes `id` campaign by its own timer, while time stands still for the others. */
  campaign(id: string): void {
    const { currentTerm } = this.raft(id).status();
    for (let i = 0; i < 1_000; i++) {
      this.tick(id);
      this.drain(id);
      const isCampaigning = this.at(id).trace.some(
        (event) => event.kind === "campaign" && event.term === currentTerm + 1,
      );
      if (isCampaigning) return;
    }
    throw new Error(`${id} does not campaign`);
  }

  /** Runs until exactly one member leads the highest term, and returns its id. */
  elect(): string {
    for (let i = 0; i < 1_000; i++) {
      const leader = this.leader();
      if (leader !== undefined) return leader;
      this.run(1);
    }
    throw new Error("nobody is elected");
  }

  /** The leader of the highest term, if the others that can hear it follow. */
  leader(): string | undefined {
    let best: { readonly id: string; readonly term: Term } | undefined;
    for (const id of this.members.keys()) {
      const { role, currentTerm } = this.raft(id).status();
      if (role === "leader" && currentTerm > (best?.term ?? -1)) best = { id, term: currentTerm };
    }
    return best?.id;
  }

  propose(id: string, text: string, time = this.raft(id).lastTime()): ReturnType<Raft["propose"]> {
    return this.raft(id).propose([new TextEncoder().encode(text)], time);
  }

  /** Its state after the entry `index` is written down, durably. */
  takeSnapshot(id: string, index: LogIndex): void {
    const raft = this.raft(id);
    raft.snapshotTaken(raft.boundaryAt(index), true);
  }

  /** What it was asked to fetch is there. */
  finishFetch(id: string): void {
    const { fetch, raft } = this.at(id);
    if (fetch === undefined) throw new Error(`${id} fetches nothing`);
    this.at(id).fetch = undefined;
    raft.snapshotFetched(fetch.last);
  }

  terms(id: string): readonly Term[] {
    return this.at(id).entries.map((entry) => entry.term);
  }

  commitIndex(id: string): LogIndex {
    return this.raft(id).status().commitIndex;
  }

  isolate(id: string): void {
    for (const other of this.members.keys()) {
      if (other === id) continue;
      this.cuts.add(`${id}>${other}`);
      this.cuts.add(`${other}>${id}`);
    }
  }

  heal(): void {
    this.cuts.clear();
  }
}
