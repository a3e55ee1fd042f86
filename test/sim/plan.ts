/**
 * What a seed decides: swarm testing. Every seed switches each class of fault on or off and draws its own sizes, so that
 * no mix is missed because another one always drowns it. Only draws; does nothing.
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";

/** All plain data: parts of it can be forced from a command line, and shrinking makes it smaller. */
export interface Plan {
  readonly members: number;
  readonly clients: number;
  /** Of each client. */
  readonly threads: number;
  readonly locks: number;
  /** Semaphores. */
  readonly pools: number;
  readonly tickMs: number;
  /** B, in ticks. */
  readonly electionTicks: number;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  /** Between two pieces of work of one thread, at most; before the first fault clients do not think at all. */
  readonly thinkMs: number;
  /** Chance that an acquire is given up within 300 ms. */
  readonly impatience: number;
  /** Longest hold, mostly a tenth of it. */
  readonly holdMs: number;
  /** Nothing is broken before this. */
  readonly calmMs: number;
  /** How long it is broken after that. */
  readonly faultyMs: number;
  /** Between two faults, on average. */
  readonly everyMs: number;
  readonly loss: number;
  readonly duplication: number;
  readonly delayMax: number;
  readonly reorder: boolean;
  /** Messages between members go through the real codec. */
  readonly encode: boolean;
  readonly diskMaxMs: number;
  readonly inflight: number;
  readonly appendBytesMax: number;
  /** Clock rates differ from true time by up to this share. */
  readonly drift: number;
  /** How long a crashed process stays away, at most. */
  readonly downMaxMs: number;
  readonly cancelOnDisconnect: boolean;
  /** Chance that a request arrives once more, much later. */
  readonly strays: number;
  /** Clients choose ids of their own form too; these are safe only as long as they are remembered. */
  readonly ownIds: boolean;
  /** Bytes of entries after which a member makes a snapshot; an entry has 60 to 200. */
  readonly snapshotEveryBytes: number;
  readonly snapshotPartBytes: number;
  /** Every so many entries the whole state is hashed and checked. */
  readonly wholeEvery: number;
  /** What the locks protect checks fences. Without, the checker must see stale writes get through. */
  readonly isFenced: boolean;
  /** After the faults, a minority stays broken. */
  readonly staysBroken: boolean;
  readonly faults: readonly FaultKind[];
  /** Numbers of faults that are left out: for shrinking. */
  readonly without: readonly number[];
}

export const faultKinds = [
  "crash",
  "crash-all",
  "fuse",
  "pause",
  "cut",
  "one-way",
  "bridge",
  "ring",
  "flap",
  "isolate-leader",
  "leader-from-peers",
  "client-cut",
  "clients-from-leader",
  "slow-link",
  "disk-stall",
  "disk-full",
  "sync-error",
  "bit-rot",
  "wipe",
  "client-crash",
  "client-pause",
  "client-suspend",
  "client-clock",
  "reset",
  "transfer",
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** What a healthy leader keeps its place through. */
export const calmFaults: readonly FaultKind[] = [
  "reset",
  "client-crash",
  "client-pause",
  "client-suspend",
  "client-clock",
];

/** Ticks and their number: B of 750, 200 and 1 000 ms. */
const clocks = [
  { tickMs: 50, electionTicks: 15 },
  { tickMs: 50, electionTicks: 15 },
  { tickMs: 20, electionTicks: 10 },
  { tickMs: 100, electionTicks: 10 },
] as const;

/** The smallest ttl is four times the longest election timeout: 8 B. */
function ttlOf(random: Prng, clock: { readonly tickMs: number; readonly electionTicks: number }): number {
  const smallest = 8 * clock.tickMs * clock.electionTicks;
  return Math.round(smallest * random.pick([1, 1, 1.5]));
}

export function planOf(seed: number): Plan {
  const random = createPrng(seed, "plan");
  const clock = random.pick(clocks);
  const basis = sizesOf(random);
  const fixed = { impatience: 0.03, isFenced: true, without: [], ...snapshotsOf(seed) };
  const common = { ...clock, ...basis, ttlMs: ttlOf(random, clock), ...fixed };
  if (random.chance(0.06)) return { ...common, ...calmPlan(random) };
  const some = <T>(chance: number, value: T, otherwise: T): T => (random.chance(chance) ? value : otherwise);
  return {
    ...common,
    members: random.pick([3, 3, 3, 3, 5, 5, 1]),
    faultyMs: random.between(10, 22) * 1_000,
    loss: some(0.4, random.next() * 0.2, 0),
    duplication: some(0.5, random.next() * 0.3, 0),
    delayMax: some(0.2, random.between(5, 60), 1.5),
    reorder: random.chance(0.4),
    encode: random.chance(0.2),
    diskMaxMs: random.pick([0.5, 0.5, 0.5, 2, 10]),
    inflight: random.pick([1, 2, 64]),
    appendBytesMax: random.pick([1, 500, 1 << 20]),
    drift: some(0.5, 0.04, 0),
    downMaxMs: random.pick([60, 1_000, 4_000]),
    cancelOnDisconnect: random.chance(0.6),
    strays: some(0.5, 0.01, 0),
    ownIds: random.chance(0.3),
    staysBroken: random.chance(0.4),
    faults: faultKinds.filter(() => random.chance(0.3)),
  };
}

/** A third of the seeds make snapshots, every 5 to 100 entries; the smallest seldom, for they take much time. */
function snapshotsOf(seed: number): Pick<Plan, "snapshotEveryBytes" | "snapshotPartBytes"> {
  const random = createPrng(seed, "snapshots");
  return {
    snapshotEveryBytes: random.chance(0.35)
      ? random.between(random.chance(0.15) ? 600 : 2_500, 12_000)
      : 1 << 28,
    snapshotPartBytes: random.pick([100, 1_000, 1_000, 1 << 16]),
  };
}

/** Of the load, and how closely it is watched. */
function sizesOf(
  random: Prng,
): Pick<
  Plan,
  | "clients"
  | "threads"
  | "locks"
  | "pools"
  | "lockDelayMs"
  | "thinkMs"
  | "holdMs"
  | "calmMs"
  | "everyMs"
  | "wholeEvery"
> {
  const isCrowd = random.chance(0.03);
  const clients = isCrowd ? random.pick([20, 40, 200]) : random.between(2, 7);
  return {
    clients,
    threads: isCrowd ? 1 : random.between(1, 4),
    locks: isCrowd ? random.between(1, 20) : random.between(1, 8),
    pools: random.pick([0, 1, 1, 2]),
    lockDelayMs: random.pick([0, 200, 200, 1_000]),
    thinkMs: isCrowd ? Math.max(2_000, 40 * clients) : random.pick([1, 50, 200, 800]),
    holdMs: isCrowd ? 100 : random.pick([5, 10, 10, 20, 300, 3_000]),
    calmMs: 2_000,
    everyMs: random.pick([600, 1_300, 2_600]),
    wholeEvery: isCrowd ? 601 : random.pick([31, 101, 307, 307]),
  };
}

/** Nothing happens here that could cost a healthy leader its place: it must keep it. */
function calmPlan(
  random: Prng,
): Omit<
  Plan,
  | keyof ReturnType<typeof sizesOf>
  | "tickMs"
  | "electionTicks"
  | "ttlMs"
  | "isFenced"
  | "snapshotEveryBytes"
  | "snapshotPartBytes"
  | "without"
  | "impatience"
> {
  return {
    members: random.pick([3, 5]),
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
    strays: 0.01,
    ownIds: false,
    staysBroken: false,
    faults: calmFaults,
  };
}

export function isCalm({ loss, delayMax, diskMaxMs, staysBroken, faults }: Plan): boolean {
  const isQuiet = loss === 0 && delayMax <= 5 && diskMaxMs <= 2 && !staysBroken;
  return isQuiet && faults.every((kind) => calmFaults.includes(kind));
}
