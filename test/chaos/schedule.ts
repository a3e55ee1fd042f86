/**
 * Which faults a run injects, in which order, how long, how strong and at whom: all of it drawn from one seed before
 * anything runs. Each fault has a random stream of its own, so taking one out leaves all others as they are. Pure: who
 * leads when a fault comes is not known here, so a target is a wish (`leader`, or the nth of those there are).
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";

/** In the order of the report. */
export const faultKinds = [
  "kill",
  "restart",
  "terminate",
  "pause",
  "pause-beyond-ttl",
  "client-pause",
  "split",
  "one-way",
  "bridge",
  "flapping",
  "leader-from-peers",
  "clients-from-leader",
  "slow-link",
  "reset",
  "wiped",
  "swapped",
  "flipped",
  "disk-full",
  "power-cut",
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface PlannedFault {
  /** Names its random stream; counts from 0 over the whole run. */
  readonly index: number;
  readonly kind: FaultKind;
  readonly wantsLeader: boolean;
  /** Members that it takes at once, in the order of preference: positions among those that are left. */
  readonly victims: readonly number[];
  /** False: more members than the cluster can spare are taken, or its clients cannot reach the one that leads. */
  readonly isQuorumSafe: boolean;
  readonly holdMs: number;
  /** 0 … 1, for whatever the kind has to choose besides. */
  readonly draws: readonly number[];
}

/** Faults that are under way together: one or two. */
export interface Strike {
  readonly faults: readonly PlannedFault[];
  /** How long nothing is wrong before it. */
  readonly quietMs: number;
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly faults: number;
  /** Kinds that must come, as far as there are faults for them; the rest is drawn from `kinds`. */
  readonly mustHave: readonly FaultKind[];
  readonly kinds: readonly FaultKind[];
  readonly ttlMs: number;
}

export function createSchedule(options: ScheduleOptions): readonly Strike[] {
  const { seed, nodes, faults, mustHave, kinds: allowed } = options;
  const order = createPrng(seed, `order of ${nodes}`);
  const must = shuffled(mustHave, order).slice(0, faults);
  const drawn = Array.from({ length: faults - must.length }, () => order.pick(allowed));
  // Shuffled together: what must come is not always what comes first.
  const kinds = shuffled([...must, ...drawn], order);
  const planned = kinds.map((kind, index) => planFault(options, kind, index));
  return inStrikes(planned, options);
}

/** Those of `kinds` that run `part` of `parts` must have, so that together they have all. */
export function shareOfKinds(
  kinds: readonly FaultKind[],
  { seed, part, parts }: { readonly seed: number; readonly part: number; readonly parts: number },
): readonly FaultKind[] {
  return shuffled(kinds, createPrng(seed, "kinds")).filter((_, i) => i % parts === part);
}

/** It takes no member away from the rest. */
export function isLight(kind: FaultKind): boolean {
  return kind === "client-pause" || kind === "slow-link" || kind === "reset";
}

/** Members that may be away while the rest still decides. */
export function spareOf(nodes: number): number {
  return Math.floor((nodes - 1) / 2);
}

const canBreakQuorum: ReadonlySet<FaultKind> = new Set(["kill", "pause", "split", "power-cut"]);
/** They need the whole cluster as it is, or say something only when nothing else is wrong. */
const isAlone: ReadonlySet<FaultKind> = new Set([
  "wiped",
  "swapped",
  "flipped",
  "disk-full",
  "power-cut",
  "bridge",
]);

function planFault({ seed, nodes, ttlMs }: ScheduleOptions, kind: FaultKind, index: number): PlannedFault {
  const random = createPrng(seed, `fault ${index} of ${nodes}`);
  const breaksQuorum = canBreakQuorum.has(kind) && random.chance(0.6);
  const spare = spareOf(nodes);
  const taken = breaksQuorum ? random.between(spare + 1, nodes) : random.between(1, spare);
  return {
    index,
    kind,
    wantsLeader: random.chance(0.5),
    victims: shuffled(
      Array.from({ length: nodes }, (_, i) => i),
      random,
    ).slice(0, isLight(kind) ? 1 : taken),
    isQuorumSafe: !breaksQuorum && kind !== "clients-from-leader",
    holdMs: holdMsOf(kind, ttlMs, random),
    draws: Array.from({ length: 8 }, () => random.next()),
  };
}

function holdMsOf(kind: FaultKind, ttlMs: number, random: Prng): number {
  switch (kind) {
    case "restart":
      return 0;
    case "kill":
    case "terminate":
      return random.between(100, 1_500);
    case "pause":
      return random.between(200, 2_500);
    case "pause-beyond-ttl":
      return ttlMs + random.between(200, 900);
    case "power-cut":
      return random.between(0, 500);
    case "wiped":
    case "swapped":
    case "flipped":
    case "disk-full":
    case "client-pause":
      // They last as long as it takes.
      return 0;
    default:
      return random.between(800, 2_800);
  }
}

/** About every third of those that can share has a companion. */
function inStrikes(planned: readonly PlannedFault[], { seed, nodes }: ScheduleOptions): readonly Strike[] {
  const strikes: Strike[] = [];
  const left = [...planned];
  for (let first = left.shift(); first !== undefined; first = left.shift()) {
    const random = createPrng(seed, `strike ${first.index} of ${nodes}`);
    const at = random.chance(0.45) ? left.findIndex((other) => canShare(first, other, nodes)) : -1;
    const companion = at < 0 ? [] : left.splice(at, 1);
    strikes.push({ faults: [first, ...companion], quietMs: random.between(200, 700) });
  }
  return strikes;
}

/** Together they leave a majority, and each still shows what it is there for. */
function canShare(a: PlannedFault, b: PlannedFault, nodes: number): boolean {
  if (a.kind === b.kind || !a.isQuorumSafe || !b.isQuorumSafe) return false;
  if (isAlone.has(a.kind) || isAlone.has(b.kind)) {
    return a.kind === "client-pause" || b.kind === "client-pause";
  }
  const takenBy = ({ kind, victims }: PlannedFault) => (isLight(kind) ? 0 : victims.length);
  return takenBy(a) + takenBy(b) <= spareOf(nodes);
}

function shuffled<T>(items: readonly T[], random: Prng): readonly T[] {
  const keyed = items.map((item) => ({ item, key: random.next() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}
