/**
 * One simulated run: a cluster, clients and a mix of faults, all drawn from a seed. First nothing is broken, then anything
 * may be and nothing may be wrong (safety), then a majority is healed and must come to rest (liveness). The same seed gives
 * the same run, to the byte.
 */
import { type Identity, memberId } from "../../src/base/identity.ts";
import { createPrng } from "../../src/base/prng.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { defaultSettings, type Settings } from "../../src/locks/settings.ts";
import { checkHistory } from "../check/all.ts";
import { latestExpiryMs } from "../check/expiry.ts";
import type { History } from "../check/history.ts";
import { latestCancelMs } from "../check/unattended.ts";
import { SimClient } from "./client.ts";
import { SimDisk } from "./disk.ts";
import { Faults, type FaultWorld } from "./faults.ts";
import { HistoryWriter } from "./history.ts";
import { SimMember } from "./member.ts";
import { createSimNetwork, type SimNetwork } from "./network.ts";
import { isCalm, type Plan, planOf } from "./plan.ts";
import { Recorder, Violation } from "./recorder.ts";
import { Resource } from "./resource.ts";
import { createScheduler, type Scheduler } from "./scheduler.ts";

/** Operations that were answered for good, and true milliseconds, of one kind of time. */
export interface Traffic {
  readonly operations: number;
  readonly ms: number;
}

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  /** Equal for equal runs. */
  readonly traceHash: number;
  readonly events: number;
  /** Simulated milliseconds. */
  readonly simulatedMs: number;
  readonly operations: number;
  /** Operations that nobody was told of. */
  readonly unknown: number;
  /** Before the first fault. */
  readonly calm: Traffic;
  /** While faults were under way and a majority could work. */
  readonly quorumSafe: Traffic;
  /** Faults that broke something, and the highest number of a fault that was planned. */
  readonly faults: number;
  readonly planned: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly lines: readonly string[];
  readonly history: History;
}

/** Permits of every simulated semaphore. */
const capacity = 2;

/** Longest `disconnectGraceMs` that anybody sets. */
const graceMaxMs = 4_000;

const clusterId = "simulated";

function numbered(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}-${number}`);
}

export interface RunOptions {
  readonly keepLines?: boolean;
  readonly plan?: Partial<Plan>;
}

export function run(seed: number, options: RunOptions = {}): RunResult {
  return new World(seed, { ...planOf(seed), ...options.plan }, options.keepLines === true).run();
}

export class World implements FaultWorld {
  readonly seed: number;
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly history: HistoryWriter;
  readonly members: SimMember[] = [];
  readonly clients: SimClient[] = [];
  readonly #resource: Resource;
  readonly #faults: Faults;
  #servingSince: number | undefined;
  #isHealed = false;
  /** Healed, with a leader that serves: from here on everything has its time. */
  #wellSince: number | undefined;
  #changesBefore = 0;
  /** The members that must come to rest; others stay as broken as they are. */
  #core: readonly SimMember[] = [];
  #calm: Traffic = { operations: 0, ms: 0 };
  #quorumSafe: Traffic = { operations: 0, ms: 0 };

  constructor(seed: number, plan: Plan, keepLines: boolean) {
    this.seed = seed;
    this.plan = plan;
    this.scheduler = createScheduler(() => undefined);
    const { loss, duplication, delayMax, reorder, encode } = plan;
    const delays = { delayMin: 0.1, delayMax };
    this.network = createSimNetwork(seed, this.scheduler, { loss, duplication, reorder, encode, ...delays });
    this.recorder = new Recorder({
      now: () => this.scheduler.now,
      members: () => this.members,
      believers: () => this.clients,
      keepLines,
      capacity,
      wholeEvery: plan.wholeEvery,
    });
    this.history = new HistoryWriter(() => this.scheduler.now);
    this.#resource = new Resource({
      isFenced: plan.isFenced,
      now: () => this.scheduler.now,
      used: (use) => this.history.used(use),
    });
    this.#createMembers();
    this.#createClients();
    this.#faults = new Faults(this, plan);
  }

  // ---- who is there --------------------------------------------------------------------------------------------------

  #createMembers(): void {
    const names = numbered("n", this.plan.members).map((name) => name.replace("-", ""));
    const voters = names.map((name) => memberId(name, name));
    const founders = Object.fromEntries(names.map((name) => [name, name]));
    for (const name of names) {
      const random = createPrng(this.seed, `member ${name}`);
      const id = memberId(name, name);
      const identity: Identity = {
        format: 1,
        clusterName: "sim",
        name,
        incarnation: name,
        state: "founded",
        clusterId,
        founders,
      };
      const { tickMs, electionTicks, diskMaxMs, drift, inflight, appendBytesMax } = this.plan;
      this.members.push(
        new SimMember({
          seed: this.seed,
          id,
          name,
          voters,
          scheduler: this.scheduler,
          disk: new SimDisk({
            scheduler: this.scheduler,
            random: createPrng(this.seed, `disk ${name}`),
            snapshotRandom: createPrng(this.seed, `snapshots ${name}`),
            latencyMaxMs: diskMaxMs,
            identity,
            memberId: id,
          }),
          recorder: this.recorder,
          settings: this.#settingsOf(random.between),
          tickMs,
          electionTicks,
          inflightMessagesMax: random.chance(0.8) ? inflight : 3,
          appendBytesMax: random.chance(0.8) ? appendBytesMax : 300,
          clockRate: 1 + (random.next() * 2 - 1) * drift,
          wallOffsetMs: random.between(-86_400_000, 86_400_000),
          logBytes: 1 << 30,
          snapshotEveryBytes: this.plan.snapshotEveryBytes,
          snapshotPartBytes: this.plan.snapshotPartBytes,
          send: (from, to, message) => {
            const target = this.#member(to);
            this.network.send(from.name, target.name, message, (arrived) =>
              target.receive((driver) => driver.message(from.id, arrived)),
            );
          },
          probe: (from, member) => this.#showDeath(from, this.#member(member)),
          ended: (member, isForGood) => this.#handleEnd(member, isForGood),
        }),
      );
    }
  }

  /** Only the founding leader's file counts; all others must not matter (SEMANTICS rule 8). */
  #settingsOf(between: (low: number, high: number) => number): Settings {
    const { tickMs, electionTicks } = this.plan;
    return {
      ...defaultSettings,
      electionTimeoutMaxMs: 2 * tickMs * electionTicks,
      tombstoneMs: 120_000,
      rememberedClaimsPerSession: this.plan.ownIds ? 300 : between(2, 40),
      sweepBudget: between(1, 50),
      disconnectGraceMs: between(1, graceMaxMs / 1_000) * 1_000,
      lockDelayMs: between(0, 5_000),
    };
  }

  #createClients(): void {
    for (let i = 1; i <= this.plan.clients; i++) {
      const random = createPrng(this.seed, `client ${i}`);
      const { locks, pools, ttlMs, lockDelayMs, drift, cancelOnDisconnect, threads } = this.plan;
      this.clients.push(
        new SimClient({
          name: `c${i}`,
          random,
          scheduler: this.scheduler,
          network: this.network,
          recorder: this.recorder,
          history: this.history,
          resource: this.#resource,
          members: this.members,
          names: [...numbered("lock", locks), ...numbered("pool", pools)],
          capacity,
          refs: () =>
            this.clients.flatMap(({ sessionRef }) => (sessionRef === undefined ? [] : [sessionRef])),
          others: () => this.clients.flatMap(({ heldClaims }) => heldClaims),
          ttlMs,
          lockDelayMs,
          rates: {
            clock: 1 + (random.next() * 2 - 1) * drift,
            wall: 1 + (random.next() * 2 - 1) * drift,
          },
          graceMaxMs,
          // Forced plans may have disks so slow that all is well, and everything still takes its time.
          isPrompt: this.plan.diskMaxMs <= 20,
          isWell: (member) =>
            this.#wellSince !== undefined && this.#core.includes(member) && !member.disk.isRefused,
          cancelOnDisconnect,
          threads,
          rushUntil: this.plan.calmMs,
          thinkMs: this.plan.thinkMs,
          holdMs: this.plan.holdMs,
          impatience: this.plan.impatience,
          strays: this.plan.strays,
          ownIds: this.plan.ownIds,
        }),
      );
    }
  }

  #member(id: string): SimMember {
    const found = this.members.find((member) => member.id === id);
    if (found === undefined) throw new Error(`no member ${id}`);
    return found;
  }

  leader(): SimMember | undefined {
    return this.members.find((member) => member.driver?.status().isServing === true);
  }

  // ---- deaths and connections ----------------------------------------------------------------------------------------

  /** A refused connect: only from a host that can be reached and whose process is gone. */
  #showDeath(observer: SimMember, dead: SimMember): void {
    this.scheduler.after(0.5, () => {
      const isReachable =
        !this.network.isCut(observer.name, dead.name) && !this.network.isCut(dead.name, observer.name);
      if (!dead.isUp && isReachable) observer.receive((driver) => driver.leaderLost(dead.id));
    });
  }

  crash(member: SimMember, downMs: number): boolean {
    if (!member.isUp) return false;
    member.crash("crashes by order");
    this.#noteDeath(member, downMs);
    return true;
  }

  #handleEnd(member: SimMember, isForGood: boolean): void {
    const random = createPrng(this.seed, `end ${member.name} ${member.boot}`);
    // Whoever starts processes again waits a while when they end by themselves.
    this.#noteDeath(member, isForGood ? undefined : random.between(200, 200 + this.plan.downMaxMs));
  }

  /** What follows from a death, however it came about: evidence at the others, broken connections, a restart later. */
  #noteDeath(dead: SimMember, downMs: number | undefined): void {
    for (const other of this.members) if (other !== dead) this.#showDeath(other, dead);
    for (const client of this.clients) client.handleDeath(dead);
    if (downMs === undefined) return;
    this.scheduler.after(downMs, () => this.#restart(dead));
  }

  #restart(dead: SimMember): void {
    if (dead.isUp || dead.disk.isRefused || this.#isLeftBroken(dead)) return;
    dead.start();
    // The new process says hello with another boot id: evidence that the old one ended.
    for (const other of this.members) {
      if (other === dead || this.network.isCut(dead.name, other.name)) continue;
      this.scheduler.after(1, () => other.receive((driver) => driver.leaderLost(dead.id)));
    }
  }

  #isLeftBroken(member: SimMember): boolean {
    return this.#isHealed && !this.#core.includes(member);
  }

  /** Not evidence of anything. */
  reset(a: SimMember, b: SimMember): void {
    this.recorder.note("net", `reset ${a.name} ${b.name}`);
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const heal = this.network.cut(from.name, to.name);
      this.scheduler.after(2, () => this.onReset(from, to));
      this.scheduler.after(5, heal);
    }
  }

  /** What a member makes of a connection that broke: nothing, until a later connect is refused. */
  onReset(observer: SimMember, other: SimMember): void {
    this.#showDeath(observer, other);
  }

  mayLose(member: SimMember): boolean {
    const lost = this.members.filter(({ disk }) => disk.isRefused || this.#marked.has(disk));
    if (!lost.includes(member) && (lost.length + 1) * 2 >= this.members.length) return false;
    this.#marked.add(member.disk);
    return true;
  }

  /** Disks that were damaged once: only a minority ever is. */
  readonly #marked = new Set<SimDisk>();

  // ---- the run -------------------------------------------------------------------------------------------------------

  run(): RunResult {
    let violation: Violation | undefined;
    try {
      for (const member of this.members) member.start();
      for (const client of this.clients) client.start();
      this.#faults.schedule(this.seed);
      this.#watch();
      this.scheduler.at(this.plan.calmMs, () => this.network.storm());
      this.scheduler.runUntil(this.plan.calmMs + this.plan.faultyMs, () => false);
      this.#heal();
      this.#untilWell();
      this.#watchOver();
      for (const client of this.clients) client.stopSoon();
      this.#untilQuiet();
      if (isCalm(this.plan) && (this.recorder.counts["leader elected"] ?? 0) > 1) {
        throw new Violation("leader-stays", "a leader that always reached a quorum was replaced");
      }
    } catch (error) {
      violation = asViolation(error);
    }
    const history = this.#finishHistory();
    const [finding] = violation === undefined ? checkHistory(history) : [];
    if (finding !== undefined) violation = new Violation(finding.rule, finding.detail);
    if (violation !== undefined) this.recorder.note("run", `VIOLATION ${violation.message}`);
    const { operations } = this.history;
    return {
      seed: this.seed,
      violation,
      traceHash: this.recorder.traceHash,
      events: this.scheduler.eventCount,
      simulatedMs: this.scheduler.now,
      operations: operations.length,
      unknown: operations.filter(({ answer }) => answer === undefined).length,
      calm: this.#calm,
      quorumSafe: this.#quorumSafe,
      faults: this.#faults.count,
      planned: this.#faults.scheduled,
      counts: this.recorder.counts,
      lines: this.recorder.lines,
      history,
    };
  }

  #finishHistory(): History {
    const { calmMs, pools, lockDelayMs } = this.plan;
    if (this.#servingSince !== undefined) this.history.healthy(this.#servingSince, calmMs);
    if (this.#wellSince !== undefined) this.history.healthy(this.#wellSince, this.scheduler.now);
    return this.history.finish({
      capacities: new Map(numbered("pool", pools).map((name) => [name, capacity])),
      drift: this.#driftBound,
      lockDelayMs,
      remembered: this.plan.ownIds ? 300 : 2,
    });
  }

  /** A client that is slow by `drift` against a server that is fast by as much. */
  get #driftBound(): number {
    return 2.5 * this.plan.drift;
  }

  /** Ten longest election timeouts: by then there is a leader, whatever was before. */
  get #electionMs(): number {
    return 10 * 2 * this.plan.tickMs * this.plan.electionTicks;
  }

  /** Counts what gets through, and when a majority could work at all. */
  #watch(): void {
    const everyMs = 250;
    let answered = 0;
    let wasSafe = false;
    const look = (): void => {
      const now = this.history.answered;
      const isSafe = this.#isQuorumSafe();
      const part = { operations: now - answered, ms: everyMs };
      if (this.#servingSince === undefined && this.leader() !== undefined)
        this.#servingSince = this.scheduler.now;
      else if (this.scheduler.now <= this.plan.calmMs) this.#calm = plus(this.#calm, part);
      else if (!this.#isHealed && isSafe && wasSafe) this.#quorumSafe = plus(this.#quorumSafe, part);
      this.#checkQuorum(everyMs);
      answered = now;
      wasSafe = isSafe;
      this.scheduler.after(everyMs, look);
    };
    look();
  }

  /** Some majority is up, awake, with disks that work, and every two of it reach each other. */
  #isQuorumSafe(): boolean {
    const { members, network } = this;
    const good = members.filter(
      (member) => member.driver !== undefined && !member.isPaused && !member.disk.isBroken,
    );
    const majority = Math.floor(members.length / 2) + 1;
    for (let set = 0; set < 1 << good.length; set++) {
      const chosen = good.filter((_, i) => (set >> i) & 1);
      if (chosen.length !== majority) continue;
      const isWhole = chosen.every((a) => chosen.every((b) => a === b || !network.isCut(a.name, b.name)));
      if (isWhole) return true;
    }
    return false;
  }

  /** How long each leader has been without a majority that it could hear. */
  readonly #alone = new Map<SimMember, number>();

  /** A leader that cannot hear a majority steps down within two election timeouts (check-quorum), and a bit. */
  #checkQuorum(passedMs: number): void {
    const limit = 2.5 * this.plan.tickMs * this.plan.electionTicks + 2 * passedMs;
    for (const member of this.members) {
      const isLeading = member.driver?.notLeading() === undefined && member.driver !== undefined;
      if (!isLeading || member.isPaused || this.#hears(member, passedMs) * 2 > this.members.length) {
        this.#alone.delete(member);
        continue;
      }
      const ms = (this.#alone.get(member) ?? 0) + passedMs;
      this.#alone.set(member, ms);
      if (ms > limit) this.recorder.leadsWithoutQuorum(member, ms);
    }
  }

  /** Members from which something may have reached it since the last look, itself among them. */
  #hears(member: SimMember, passedMs: number): number {
    const since = this.scheduler.now - passedMs;
    const heard = this.members.filter(
      (other) =>
        other === member ||
        (other.wasAliveSince(since) &&
          !other.isPaused &&
          !this.network.isCutSince(other.name, member.name, since)),
    );
    return heard.length;
  }

  // ---- liveness ------------------------------------------------------------------------------------------------------

  /** A majority is healed; sometimes the rest stays as broken as it is, and cut off. */
  #heal(): void {
    const { members } = this;
    const random = createPrng(this.seed, "heal");
    const able = members.filter(({ disk }) => !disk.isRefused && !this.#marked.has(disk));
    const majority = Math.floor(members.length / 2) + 1;
    const left = this.plan.staysBroken ? shuffled(able, random.next).slice(majority) : [];
    this.#core = members.filter((member) => !left.includes(member));
    this.#isHealed = true;
    this.#faults.stop();
    this.recorder.note("run", `heal core=${this.#core.map(({ name }) => name).join(",")}`);
    this.network.heal();
    this.network.calm();
    for (const member of left) this.#breakForGood(member, random.chance(0.5));
    for (const member of this.#core) {
      member.resume();
      member.disk.heal();
      if (!member.isUp && !member.disk.isRefused) member.start();
    }
    // Somebody who leaves without a word now: all that is well must get rid of its session in time.
    if (random.chance(0.5)) random.pick(this.clients).crash();
  }

  #breakForGood(member: SimMember, isCutOff: boolean): void {
    if (!isCutOff) return member.crash("stays away");
    this.recorder.note("net", `${member.name} stays cut off`);
    for (const other of [...this.members, ...this.clients]) {
      if (other.name === member.name) continue;
      this.network.cut(member.name, other.name);
      this.network.cut(other.name, member.name);
    }
  }

  /** Within ten longest election timeouts a leader serves. */
  #untilWell(): void {
    const { scheduler } = this;
    const stalledUntil = Math.max(...this.#core.map(({ disk }) => disk.stalledUntil));
    const by = Math.max(scheduler.now, stalledUntil) + this.#electionMs;
    for (;;) {
      this.#pass(250);
      const isDiskWell = this.#core.every(({ disk }) => disk.isRefused || !disk.isBroken);
      if (isDiskWell && this.#coreLeader() !== undefined) break;
      if (scheduler.now >= by)
        throw new Violation("liveness-leader", `no leader serves ${this.#electionMs} ms after the healing`);
    }
    this.#wellSince = scheduler.now;
    this.#changesBefore = this.#leaderChanges;
    this.recorder.note("run", "well");
  }

  /** All is well, and clients look: for as long as anything may outlive its time, and a bit (L10, L11). */
  #watchOver(): void {
    const { ttlMs } = this.plan;
    for (const client of this.clients) client.lookOn();
    this.#pass(
      Math.max(latestExpiryMs(ttlMs, this.#driftBound), latestCancelMs(graceMaxMs, this.#driftBound)) + 1_500,
    );
  }

  /** Within the longest session equal states, and every operation answered. */
  #untilQuiet(): void {
    const { scheduler } = this;
    const limit = scheduler.now + 4 * this.plan.ttlMs + 30_000;
    while (scheduler.now < limit) {
      this.#pass(250);
      if (this.#unrest() !== undefined) continue;
      const changes = this.#leaderChanges - this.#changesBefore;
      if (changes > 2) throw new Violation("leader-stays", `${changes} changes of leader while all was well`);
      return;
    }
    throw new Violation("liveness", this.#unrest() ?? "quiet at last");
  }

  /** Elections that no death explains. */
  get #leaderChanges(): number {
    const { counts } = this.recorder;
    return (counts["leader elected"] ?? 0) - (counts["crash"] ?? 0);
  }

  /** Who ends by itself is started again. */
  #pass(ms: number): void {
    const until = this.scheduler.now + ms;
    while (this.scheduler.now < until) {
      this.scheduler.runUntil(Math.min(until, this.scheduler.now + 250), () => false);
      for (const member of this.#core) if (!member.isUp && !member.disk.isRefused) member.start();
    }
  }

  #coreLeader(): SimMember | undefined {
    return this.#core.find((member) => member.driver?.status().isServing === true);
  }

  #unrest(): string | undefined {
    const leader = this.#coreLeader();
    if (leader?.driver === undefined) return "no leader serves";
    const { state, revision } = leader.driver.staleView();
    for (const client of this.clients) {
      if (!client.isIdle) return `${client.name} waits for ${client.pendingOperations.join(", ")}`;
    }
    if (state.sessions.size > 0) return `${state.sessions.size} abandoned sessions live on`;
    if (state.heldCount + state.waitingCount > 0) return "claims without a session";
    const hash = stateHash(state);
    for (const member of this.#core) {
      if (member.disk.isRefused) continue;
      const view = member.driver?.staleView();
      if (view === undefined) return `${member.name} is down`;
      if (view.revision !== revision || stateHash(view.state) !== hash) {
        return `${member.name} is at ${view.revision}, the leader at ${revision}`;
      }
    }
    return undefined;
  }
}

function plus(a: Traffic, b: Traffic): Traffic {
  return { operations: a.operations + b.operations, ms: a.ms + b.ms };
}

function asViolation(error: unknown): Violation {
  if (error instanceof Violation) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new Violation("no-crash", text);
}

function shuffled<T>(items: readonly T[], random: () => number): readonly T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
