/**
 * What is broken when, and how. The times and kinds of all faults are drawn before the run, each fault has a random stream
 * of its own: leaving one out (`without`) leaves all others as they were, so that a failure can be made smaller.
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";
import type { SimClient } from "./client.ts";
import type { SimMember } from "./member.ts";
import type { SimNetwork } from "./network.ts";
import type { FaultKind, Plan } from "./plan.ts";
import type { Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

export interface FaultWorld {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly members: readonly SimMember[];
  readonly clients: readonly SimClient[];
  leader(): SimMember | undefined;
  /** The process ends; another one starts after so long. False when none runs. */
  crash(member: SimMember, downMs: number): boolean;
  /** All connections between two members break and come back at once. */
  reset(a: SimMember, b: SimMember): void;
  /** True when this member may be lost for good: a majority remains that never was. */
  mayLose(member: SimMember): boolean;
}

type Link = readonly [from: string, to: string];

export class Faults {
  readonly #world: FaultWorld;
  readonly #plan: Plan;
  #isOver = false;
  /** What is under way now, by number. */
  readonly #active = new Set<number>();

  constructor(world: FaultWorld, plan: Plan) {
    this.#world = world;
    this.#plan = plan;
  }

  /** Faults that broke something so far. */
  count = 0;
  /** The highest number of a fault. */
  scheduled = 0;

  /** Schedules all faults. */
  schedule(seed: number): void {
    const random = createPrng(seed, "faults");
    const { calmMs, faultyMs, everyMs, faults, without } = this.#plan;
    if (faults.length === 0) return;
    let number = 0;
    for (let at = calmMs; at < calmMs + faultyMs; at += 0.1 * everyMs + random.next() * 1.8 * everyMs) {
      const kind = random.pick(faults);
      const own = ++number;
      this.scheduled = number;
      if (without.includes(own)) continue;
      this.#world.scheduler.at(at, () => {
        if (this.#isOver) return;
        const isDone = this.#inject(kind, own, createPrng(seed, `fault ${own}`));
        // What found nothing to break proves nothing, and is not counted.
        this.#world.recorder.count(isDone ? `fault ${kind}` : "fault without effect, or of another kind");
        if (isDone) this.count++;
      });
    }
  }

  /** Nothing more is broken. What was stays until it is healed. */
  stop(): void {
    this.#isOver = true;
    this.#active.clear();
  }

  get isAnyActive(): boolean {
    return this.#active.size > 0;
  }

  /** The leader half of the time: most faults matter there. */
  #victim(random: Prng): SimMember {
    const { members } = this.#world;
    return (random.chance(0.5) ? this.#world.leader() : undefined) ?? random.pick(members);
  }

  #during(number: number, ms: number, undo: () => void): void {
    this.#active.add(number);
    this.#world.scheduler.after(ms, () => {
      if (this.#isOver) return;
      this.#active.delete(number);
      undo();
    });
  }

  #cut(number: number, links: readonly Link[], ms: number): boolean {
    const { network, recorder } = this.#world;
    if (links.length === 0) return false;
    const undo = links.map(([from, to]) => network.cut(from, to));
    recorder.note("net", `cut ${links.map(([from, to]) => `${from}>${to}`).join(" ")} fault=${number}`);
    this.#during(number, ms, () => {
      recorder.note("net", `cut healed fault=${number}`);
      for (const heal of undo) heal();
    });
    return true;
  }

  /** False when there was nothing that it could break. */
  #inject(kind: FaultKind, number: number, random: Prng): boolean {
    const { members, clients, scheduler, network, recorder } = this.#world;
    const victim = this.#victim(random);
    // A cut from another one is a cut, but not what its name says.
    const isLeader = victim === this.#world.leader();
    const others = members.filter((member) => member !== victim);
    const names = members.map(({ name }) => name);
    const clientNames = clients.map(({ name }) => name);
    const downMs = random.between(20, this.#plan.downMaxMs);
    recorder.note("plan", `fault=${number} ${kind} ${victim.name}`);
    switch (kind) {
      case "crash":
        return this.#world.crash(victim, downMs);
      case "crash-all": {
        const ended = members.map((member) =>
          this.#world.crash(member, random.between(20, this.#plan.downMaxMs)),
        );
        return ended.includes(true);
      }
      case "fuse":
        if (!victim.isUp) return false;
        victim.armFuse(random.between(1, 40));
        return true;
      case "pause":
        if (!victim.isUp || victim.isPaused) return false;
        victim.pause();
        this.#during(number, random.pick([150, 2_000, 9_000]) * random.next(), () => victim.resume());
        return true;
      case "cut": {
        // One of them on each side at least.
        const side = [
          victim.name,
          ...without(names, [victim.name, random.pick(names)]).filter(() => random.chance(0.4)),
        ];
        return this.#cut(number, between(side, without(names, side)), random.between(200, 5_000));
      }
      case "one-way":
        if (others.length === 0) return false;
        return this.#cut(
          number,
          [
            random.chance(0.5)
              ? [victim.name, random.pick(others).name]
              : [random.pick(others).name, victim.name],
          ],
          random.between(200, 5_000),
        );
      case "bridge": {
        // Two halves that only the victim reaches.
        const half = without(names, [victim.name]).filter((_, i) => i % 2 === 0);
        return this.#cut(
          number,
          between(half, without(names, [...half, victim.name])),
          random.between(500, 6_000),
        );
      }
      case "ring": {
        // Everybody reaches a majority, and no two the same one.
        const links = names.flatMap((from, i) =>
          names.flatMap((to, j) => {
            const distance = Math.min(
              (i - j + names.length) % names.length,
              (j - i + names.length) % names.length,
            );
            return distance > 1 ? [[from, to] as const] : [];
          }),
        );
        return this.#cut(number, links, random.between(500, 6_000));
      }
      case "flap":
        return this.#flap(number, random, between([victim.name], without(names, [victim.name])));
      case "isolate-leader":
        return (
          this.#cut(
            number,
            between([victim.name], without([...names, ...clientNames], [victim.name])),
            random.between(200, 8_000),
          ) && isLeader
        );
      case "leader-from-peers":
        return (
          this.#cut(
            number,
            between([victim.name], without(names, [victim.name])),
            random.between(200, 8_000),
          ) && isLeader
        );
      case "client-cut":
        return this.#cut(number, between([random.pick(clientNames)], names), random.between(200, 5_000));
      case "clients-from-leader":
        return this.#cut(number, between(clientNames, [victim.name]), random.between(200, 5_000)) && isLeader;
      case "slow-link": {
        if (others.length === 0) return false;
        const undo = network.slow(victim.name, random.pick(others).name, random.between(20, 400));
        this.#during(number, random.between(500, 5_000), undo);
        return true;
      }
      case "disk-stall":
        victim.disk.stallUntil(scheduler.now + random.between(200, 5_000));
        return victim.isUp;
      case "disk-full":
        victim.disk.setFull(true);
        this.#during(number, random.between(200, 4_000), () => victim.disk.setFull(false));
        return victim.isUp;
      case "sync-error":
        victim.disk.failNextSync();
        return victim.isUp;
      case "bit-rot":
      case "wipe": {
        if (!this.#world.mayLose(victim)) return false;
        this.#world.crash(victim, downMs);
        if (kind === "bit-rot") return victim.disk.rot();
        return victim.disk.wipe();
      }
      case "client-crash":
        random.pick(clients).crash();
        return true;
      case "client-pause":
      case "client-suspend": {
        // Rather one that holds something: that is where a pause hurts.
        const holding = clients.filter(({ heldClaims }) => heldClaims.length > 0);
        const client = random.pick(holding.length > 0 ? holding : clients);
        const ms = random.pick([0.1, 1.2, 2]) * random.next() * this.#plan.ttlMs + 50;
        return kind === "client-pause" ? client.pause(ms) : client.suspend(ms);
      }
      case "client-clock":
        return random.pick(clients).jumpWallClock(random.pick([-60_000, -500, 300, 2_000, 60_000]));
      case "reset": {
        // All connections of one member at once: what a short outage of its switch port looks like.
        for (const other of others) this.#world.reset(victim, other);
        return others.length > 0;
      }
      case "transfer": {
        const leader = this.#world.leader();
        if (leader === undefined || leader.isPaused || others.length === 0) return false;
        leader.receive((driver) => {
          driver.transferLeadership(undefined);
        });
        return true;
      }
      default:
        throw new Error(`unknown fault ${String(kind)}`);
    }
  }

  /** On and off, on and off. */
  #flap(number: number, random: Prng, links: readonly Link[]): boolean {
    const { network, recorder, scheduler } = this.#world;
    if (links.length === 0) return false;
    const endAt = scheduler.now + random.between(1_000, 8_000);
    const periodMs = random.pick([100, 400, 1_500]);
    recorder.note("net", `flaps every ${periodMs} ms fault=${number}`);
    let undo: readonly (() => void)[] = [];
    const turn = (): void => {
      const isOn = undo.length > 0;
      for (const heal of undo) heal();
      undo = [];
      if (this.#isOver || scheduler.now >= endAt) return;
      if (!isOn) undo = links.map(([from, to]) => network.cut(from, to));
      scheduler.after(periodMs * (0.5 + random.next()), turn);
    };
    turn();
    this.#during(number, endAt - scheduler.now, () => undefined);
    return true;
  }
}

function without(names: readonly string[], left: readonly string[]): readonly string[] {
  return names.filter((name) => !left.includes(name));
}

/** Both directions between every two of different sides. */
function between(side: readonly string[], rest: readonly string[]): readonly Link[] {
  return side.flatMap((a) => rest.flatMap((b) => [[a, b] as const, [b, a] as const]));
}
