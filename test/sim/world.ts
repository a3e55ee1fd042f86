/**
 * One simulated run: a cluster, clients and a mix of faults, all drawn from a seed; then everything is healed, and the
 * cluster must come to rest. The same seed gives the same run, to the byte.
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { defaultSettings } from "../../src/locks/settings.ts";
import { SimClient } from "./client.ts";
import { createSimDisk } from "./disk.ts";
import { SimMember } from "./member.ts";
import { createSimNetwork, type SimNetwork } from "./network.ts";
import { createRecorder, type Recorder, Violation } from "./recorder.ts";
import { createScheduler, type Scheduler } from "./scheduler.ts";

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  /** Equal for equal runs. */
  readonly traceHash: number;
  readonly events: number;
  /** Simulated milliseconds. */
  readonly simulatedMs: number;
  readonly operations: number;
  readonly unknown: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly lines: readonly string[];
}

/** Everything that a seed decides. */
export interface Plan {
  readonly members: number;
  readonly clients: number;
  readonly locks: number;
  /** Semaphores. */
  readonly pools: number;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly faultyMs: number;
  readonly loss: number;
  readonly duplication: number;
  readonly delayMax: number;
  readonly reorder: boolean;
  readonly encode: boolean;
  readonly diskMaxMs: number;
  readonly inflight: number;
  readonly appendBytesMax: number;
  readonly drift: number;
  /** How long a crashed process stays away, at most. */
  readonly downMaxMs: number;
  readonly cancelOnDisconnect: boolean;
  readonly faults: readonly FaultKind[];
}

type FaultKind =
  | "crash"
  | "fuse"
  | "pause"
  | "cut"
  | "one-way"
  | "isolate-leader"
  | "client-cut"
  | "disk-stall"
  | "client-crash"
  | "client-pause"
  | "reset"
  | "transfer";

const faultKinds: readonly FaultKind[] = [
  "crash",
  "fuse",
  "pause",
  "cut",
  "one-way",
  "isolate-leader",
  "client-cut",
  "disk-stall",
  "client-crash",
  "client-pause",
  "reset",
  "transfer",
];

const tickMs = 50;
const electionTicks = 15;
const settings = { ...defaultSettings, tombstoneMs: 120_000 };

/** Permits of every simulated semaphore. */
const capacity = 2;

function numbered(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}-${number}`);
}

/** Swarm testing: every seed switches each fault on or off and draws its own sizes. */
export function planOf(seed: number): Plan {
  const random = createPrng(seed, "plan");
  if (random.chance(0.06)) return calmPlan(random);
  const some = <T>(chance: number, value: T, otherwise: T): T => (random.chance(chance) ? value : otherwise);
  return {
    members: random.pick([3, 3, 3, 3, 5, 5, 1]),
    clients: random.between(2, 7),
    locks: random.between(1, 3),
    pools: random.pick([0, 1, 1]),
    ttlMs: random.pick([6_000, 6_000, 9_000]),
    lockDelayMs: random.pick([0, 200, 1_000]),
    faultyMs: random.between(10, 25) * 1000,
    loss: some(0.5, random.next() * 0.2, 0),
    duplication: some(0.5, random.next() * 0.3, 0),
    delayMax: some(0.3, random.between(5, 60), 1.5),
    reorder: random.chance(0.4),
    encode: random.chance(0.2),
    diskMaxMs: random.pick([0.5, 2, 10]),
    inflight: random.pick([1, 2, 64]),
    appendBytesMax: random.pick([1, 500, 1 << 20]),
    drift: some(0.5, 0.04, 0),
    downMaxMs: random.pick([60, 1_000, 4_000]),
    cancelOnDisconnect: random.chance(0.5),
    faults: faultKinds.filter(() => random.chance(0.4)),
  };
}

/** Nothing happens here that could cost a healthy leader its place: it must keep it. */
function calmPlan(random: Prng): Plan {
  return {
    members: random.pick([3, 5]),
    clients: random.between(2, 5),
    locks: 2,
    pools: 1,
    ttlMs: 6_000,
    lockDelayMs: 200,
    faultyMs: 12_000,
    loss: 0,
    duplication: random.next() * 0.3,
    delayMax: 5,
    reorder: random.chance(0.5),
    encode: true,
    diskMaxMs: 2,
    inflight: 64,
    appendBytesMax: 1 << 20,
    drift: 0,
    downMaxMs: 1_000,
    cancelOnDisconnect: true,
    faults: calmFaults,
  };
}

const calmFaults: readonly FaultKind[] = ["reset", "client-crash", "client-pause"];

function isCalm(plan: Plan): boolean {
  return plan.loss === 0 && plan.faults.every((kind) => calmFaults.includes(kind));
}

export function run(
  seed: number,
  options: { readonly keepLines?: boolean; readonly plan?: Partial<Plan> } = {},
): RunResult {
  const world = new World(seed, { ...planOf(seed), ...options.plan }, options.keepLines === true);
  return world.run();
}

export class World {
  readonly seed: number;
  readonly plan: Plan;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly members: SimMember[] = [];
  readonly clients: SimClient[] = [];
  readonly #random: Prng;

  constructor(seed: number, plan: Plan, keepLines: boolean) {
    this.seed = seed;
    this.plan = plan;
    this.#random = createPrng(seed, "faults");
    this.scheduler = createScheduler(() => undefined);
    const { loss, duplication, delayMax, reorder, encode } = plan;
    this.network = createSimNetwork(seed, this.scheduler, {
      loss,
      duplication,
      delayMin: 0.1,
      delayMax,
      reorder,
      encode,
    });
    this.recorder = createRecorder({
      now: () => this.scheduler.now,
      members: () => this.members,
      believers: () => this.clients,
      keepLines,
      capacity,
    });
    this.#createMembers();
    this.#createClients();
  }

  #createMembers(): void {
    const names = Array.from({ length: this.plan.members }, (_, i) => `n${i + 1}`);
    const voters = names.map((name) => `${name}@${name}`);
    for (const name of names) {
      const random = createPrng(this.seed, `disk ${name}`);
      this.members.push(
        new SimMember({
          seed: this.seed,
          id: `${name}@${name}`,
          name,
          voters,
          scheduler: this.scheduler,
          disk: createSimDisk(this.scheduler, random, this.plan.diskMaxMs),
          recorder: this.recorder,
          // Only the founding leader's settings count; the others must not matter (SEMANTICS rule 8).
          settings: {
            ...settings,
            rememberedClaimsPerSession: random.between(2, 40),
            sweepBudget: random.between(1, 50),
          },
          tickMs,
          electionTicks,
          inflightMessagesMax: this.plan.inflight,
          appendBytesMax: this.plan.appendBytesMax,
          clockRate: 1 + (random.next() * 2 - 1) * this.plan.drift,
          send: (from, to, message) => {
            const target = this.#member(to);
            this.network.send(from.name, target.name, message, (arrived) =>
              target.receive((driver) => driver.message(from.id, arrived)),
            );
          },
          probe: (from, member) => this.#showDeath(from, this.#member(member)),
        }),
      );
    }
  }

  #createClients(): void {
    for (let i = 1; i <= this.plan.clients; i++) {
      const random = createPrng(this.seed, `client ${i}`);
      this.clients.push(
        new SimClient({
          name: `c${i}`,
          random,
          scheduler: this.scheduler,
          network: this.network,
          recorder: this.recorder,
          members: this.members,
          names: [...numbered("lock", this.plan.locks), ...numbered("pool", this.plan.pools)],
          capacity,
          refs: () =>
            this.clients.flatMap(({ sessionRef }) => (sessionRef === undefined ? [] : [sessionRef])),
          ttlMs: this.plan.ttlMs,
          lockDelayMs: this.plan.lockDelayMs,
          clockRate: 1 + (random.next() * 2 - 1) * this.plan.drift,
          cancelOnDisconnect: this.plan.cancelOnDisconnect,
          thinkMs: random.pick([20, 200, 1_000]),
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

  /** A refused connect: only from a host that can be reached and whose process is gone. */
  #showDeath(observer: SimMember, dead: SimMember): void {
    this.scheduler.after(0.5, () => {
      const isReachable =
        !this.network.isCut(observer.name, dead.name) && !this.network.isCut(dead.name, observer.name);
      if (!dead.isUp && isReachable) observer.receive((driver) => driver.leaderLost(dead.id));
    });
  }

  crash(member: SimMember, downMs: number): void {
    if (!member.isUp) return;
    member.crash("by order");
    this.noteDeath(member, downMs);
  }

  /** What follows from a death, however it came about: evidence at the others, a restart later. */
  noteDeath(dead: SimMember, downMs: number): void {
    for (const other of this.members) if (other !== dead) this.#showDeath(other, dead);
    this.scheduler.after(downMs, () => {
      if (dead.isUp) return;
      dead.start();
      // The new process says hello with another boot id: evidence that the old one ended.
      for (const other of this.members) {
        if (other === dead || this.network.isCut(dead.name, other.name)) continue;
        this.scheduler.after(1, () => other.receive((driver) => driver.leaderLost(dead.id)));
      }
    });
  }

  /** Connections between two members break and come back at once. Not evidence of anything. */
  reset(a: SimMember, b: SimMember): void {
    this.recorder.note(`reset ${a.name} ${b.name}`);
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.network.cut(from.name, to.name);
      this.scheduler.after(2, () => this.onReset(from, to));
    }
    this.scheduler.after(5, () => this.#healOnly(a.name, b.name));
  }

  /** What a member makes of a connection that broke: nothing, until a later connect is refused. */
  onReset(observer: SimMember, other: SimMember): void {
    this.#showDeath(observer, other);
  }

  readonly #lastingCuts = new Set<string>();

  #healOnly(a: string, b: string): void {
    // Cuts that a longer fault made stay: heal everything and cut those again.
    this.network.heal();
    for (const link of this.#lastingCuts) {
      const [from, to] = link.split(">") as [string, string];
      if (!(from === a && to === b) && !(from === b && to === a)) this.network.cut(from, to);
    }
  }

  #cutFor(links: readonly (readonly [string, string])[], ms: number): void {
    this.recorder.note(`cut ${links.map(([from, to]) => `${from}>${to}`).join(" ")}`);
    for (const [from, to] of links) {
      this.network.cut(from, to);
      this.#lastingCuts.add(`${from}>${to}`);
    }
    this.scheduler.after(ms, () => {
      this.recorder.note("cut healed");
      this.network.heal();
      this.#lastingCuts.clear();
    });
  }

  // ---- the run -------------------------------------------------------------------------------------------------------

  run(): RunResult {
    let violation: Violation | undefined;
    try {
      this.#start();
      this.scheduler.runUntil(this.plan.faultyMs, () => false);
      this.#heal();
      this.#untilQuiet();
      if (isCalm(this.plan) && (this.recorder.counts["leader elected"] ?? 0) > 1) {
        throw new Violation("leader-stays", "a leader that always reached a quorum was replaced");
      }
    } catch (error) {
      violation =
        error instanceof Violation
          ? error
          : new Violation(
              "no-crash",
              error instanceof Error ? (error.stack ?? error.message) : String(error),
            );
      this.recorder.note(`VIOLATION ${violation.message}`);
    }
    return {
      seed: this.seed,
      violation,
      traceHash: this.recorder.traceHash,
      events: this.scheduler.eventCount,
      simulatedMs: this.scheduler.now,
      operations: this.clients.reduce((sum, client) => sum + client.operations, 0),
      unknown: this.clients.reduce((sum, client) => sum + client.unknown, 0),
      counts: this.recorder.counts,
      lines: this.recorder.lines,
    };
  }

  #start(): void {
    for (const member of this.members) member.start();
    for (const client of this.clients) client.start();
    if (this.plan.faults.length > 0) this.#nextFault();
    this.#watchDeaths();
  }

  /** A process that died in the middle of a turn is noticed here. */
  #watchDeaths(): void {
    const known = new Map<SimMember, boolean>();
    const look = (): void => {
      for (const member of this.members) {
        if (known.get(member) === true && !member.isUp && this.#fused.delete(member)) {
          this.noteDeath(member, this.#random.between(20, this.plan.downMaxMs));
        }
        known.set(member, member.isUp);
      }
      this.scheduler.after(5, look);
    };
    look();
  }

  readonly #fused = new Set<SimMember>();

  #nextFault(): void {
    this.scheduler.after(this.#random.between(100, 2_500), () => {
      if (this.scheduler.now >= this.plan.faultyMs) return;
      this.#injectFault(this.#random.pick(this.plan.faults));
      this.#nextFault();
    });
  }

  /** The leader half of the time: most faults matter there. */
  #victim(): SimMember {
    return (this.#random.chance(0.5) ? this.leader() : undefined) ?? this.#random.pick(this.members);
  }

  #injectFault(kind: FaultKind): void {
    const random = this.#random;
    const victim = this.#victim();
    const others = this.members.filter((member) => member !== victim);
    switch (kind) {
      case "crash":
        return this.crash(victim, random.between(20, this.plan.downMaxMs));
      case "fuse":
        if (victim.isUp) {
          this.#fused.add(victim);
          victim.armFuse(random.between(1, 30));
        }
        return;
      case "pause":
        victim.pause();
        return this.scheduler.after(random.between(100, 9_000), () => victim.resume());
      case "cut": {
        const side = this.members.filter(() => random.chance(0.4));
        const rest = this.members.filter((member) => !side.includes(member));
        const links = side.flatMap((a) =>
          rest.flatMap((b) => [[a.name, b.name] as const, [b.name, a.name] as const]),
        );
        return this.#cutFor(links, random.between(200, 5_000));
      }
      case "one-way": {
        const other = others.length === 0 ? undefined : random.pick(others);
        return other === undefined
          ? undefined
          : this.#cutFor([[victim.name, other.name]], random.between(200, 5_000));
      }
      case "isolate-leader":
        return this.#cutFor(
          others.flatMap((other) => [[victim.name, other.name] as const, [other.name, victim.name] as const]),
          random.between(200, 8_000),
        );
      case "client-cut": {
        const client = random.pick(this.clients);
        return this.#cutFor(
          [
            [client.name, victim.name],
            [victim.name, client.name],
          ],
          random.between(200, 5_000),
        );
      }
      case "disk-stall":
        return victim.disk.stallUntil(this.scheduler.now + random.between(200, 5_000));
      case "client-crash":
        return random.pick(this.clients).crash();
      case "client-pause":
        return random.pick(this.clients).pause(random.between(100, 10_000));
      case "reset": {
        // All connections of one member at once: what a short outage of its switch port looks like.
        for (const other of others) this.reset(victim, other);
        return;
      }
      case "transfer":
        return victim.receive((driver) => {
          driver.transferLeadership(undefined);
        });
      default:
        throw new Error(`unknown fault ${String(kind)}`);
    }
  }

  // ---- liveness ------------------------------------------------------------------------------------------------------

  #heal(): void {
    this.recorder.note("heal");
    this.network.heal();
    this.#lastingCuts.clear();
    this.network.calm();
    for (const member of this.members) {
      member.resume();
      if (!member.isUp) member.start();
    }
    for (const client of this.clients) client.stopSoon();
  }

  /** Within ten election timeouts and the longest session: one leader, equal states, every operation answered. */
  #untilQuiet(): void {
    const limit = this.scheduler.now + 10 * 2 * electionTicks * tickMs + 4 * this.plan.ttlMs + 30_000;
    while (this.scheduler.now < limit) {
      this.scheduler.runUntil(this.scheduler.now + 250, () => false);
      for (const member of this.members) if (!member.isUp && !this.#fused.has(member)) member.start();
      if (this.#unrest() === undefined) return;
    }
    throw new Violation("liveness", this.#unrest() ?? "quiet at last");
  }

  #unrest(): string | undefined {
    const leader = this.leader();
    if (leader?.driver === undefined) return "no leader serves";
    const { state, revision } = leader.driver.staleView();
    const hash = stateHash(state);
    for (const member of this.members) {
      const view = member.driver?.staleView();
      if (view === undefined) return `${member.name} is down`;
      if (view.revision !== revision || stateHash(view.state) !== hash) {
        return `${member.name} is at ${view.revision}, the leader at ${revision}`;
      }
    }
    for (const client of this.clients) {
      if (!client.isIdle) return `${client.name} waits for ${client.pendingOperations.join(", ")}`;
    }
    if (state.sessions.size > 0) return `${state.sessions.size} abandoned sessions live on`;
    if (state.heldCount + state.waitingCount > 0) return "claims without a session";
    return undefined;
  }
}
