/**
 * W1a, and the breakdown of where its time goes: clusters are started, warmed, measured, and ended. A fresh cluster
 * for each number of clients, so that no window pays for the memory of another number's log.
 */
import type { BesideSystem } from "./beside.ts";
import { BenchCluster, type ClusterOptions } from "./cluster.ts";
import { type LoadRun, runLoad } from "./load-run.ts";
import { bucketTimes, type CpuProfile, idleBucket } from "./profile.ts";
import type { Progress, Step } from "./progress.ts";
import type { BesideResult, BesideRow, Breakdown, BucketRow, WindowRow } from "./result.ts";
import { hostClockMs, type PairsSpec } from "./spec.ts";

export interface PairsPlan {
  readonly clients: readonly number[];
  readonly rounds: number;
  readonly warmupMs: number;
  readonly windowMs: number;
}

/** Where `fetch` is reported beside the bench's own generator, and where the breakdown is taken. */
export const fetchClients = 64;

const warmingClients = 16;

export function pairsSteps(plan: PairsPlan, beside: readonly string[]): readonly Step[] {
  const windowSeconds = (plan.warmupMs + plan.windowMs) / 1_000 + 1;
  return plan.clients.flatMap((clients) => [
    { title: `W1a, ${clients} clients: starting and warming a cluster`, seconds: 3 + plan.warmupMs / 1_000 },
    ...Array.from({ length: plan.rounds }, (_, round) => [
      { title: `W1a, ${clients} clients, window ${round + 1} of ${plan.rounds}`, seconds: windowSeconds },
      ...beside.map((name) => ({
        title: `${name}, ${clients} clients, window ${round + 1} of ${plan.rounds}`,
        seconds: windowSeconds + 4,
      })),
    ]).flat(),
    ...(clients === fetchClients
      ? [{ title: `W1a, ${clients} clients through fetch`, seconds: windowSeconds }]
      : []),
  ]);
}

export async function runPairsWindows(
  plan: PairsPlan,
  options: ClusterOptions,
  { systems, progress }: { readonly systems: readonly BesideSystem[]; readonly progress: Progress },
): Promise<{ readonly windows: readonly WindowRow[]; readonly beside: readonly BesideResult[] }> {
  const windows: WindowRow[] = [];
  const theirs = new Map<BesideSystem, BesideRow[]>(systems.map((system) => [system, []]));
  for (const clients of plan.clients) {
    progress.begin();
    const cluster = await BenchCluster.start(options);
    await measureWindow(cluster, options, { ...plan, clients: warmingClients, via: "net", round: 0 });
    for (let round = 1; round <= plan.rounds; round++) {
      progress.begin();
      const row = await measureWindow(cluster, options, { ...plan, clients, via: "net", round });
      windows.push(row);
      progress.note(oneLine(row));
      for (const [system, rows] of theirs) {
        progress.begin();
        const { warmupMs, windowMs } = plan;
        const other = await system.measure({ workload: "W1a", clients, warmupMs, windowMs }, round);
        rows.push(other);
        progress.note(`${oneLine(other)}; ratio ${(row.pairsPerSecond / other.pairsPerSecond).toFixed(2)}`);
      }
    }
    if (clients === fetchClients) {
      progress.begin();
      const row = await measureWindow(cluster, options, { ...plan, clients, via: "fetch", round: 1 });
      windows.push(row);
      progress.note(oneLine(row));
    }
    await cluster.destroy();
  }
  const beside = [...theirs].map(([{ name, description, version }, rows]) => ({
    name,
    description,
    version,
    windows: rows,
  }));
  return { windows, beside };
}

function oneLine(row: {
  readonly pairsPerSecond: number;
  readonly serverCpuMicrosPerPair?: number;
  readonly pairMs?: { readonly p50: number; readonly p99: number };
}): string {
  const { pairsPerSecond, serverCpuMicrosPerPair, pairMs } = row;
  const latency =
    pairMs === undefined ? "" : `, pair p50 ${pairMs.p50.toFixed(2)} p99 ${pairMs.p99.toFixed(2)} ms`;
  return `${Math.round(pairsPerSecond)} pairs/s${latency}, ${serverCpuMicrosPerPair?.toFixed(0) ?? "?"} µs of server CPU a pair`;
}

interface WindowPlan {
  readonly clients: number;
  readonly via: "net" | "fetch";
  readonly round: number;
  readonly warmupMs: number;
  readonly windowMs: number;
}

let serial = 0;

async function measureWindow(
  cluster: BenchCluster,
  { cleanUps }: ClusterOptions,
  plan: WindowPlan,
  edges: { readonly onStart?: () => void; readonly onEnd?: () => void } = {},
): Promise<WindowRow> {
  const { clients, via, round, warmupMs, windowMs } = plan;
  const leader = await cluster.leader();
  const prefix = `bench-${++serial}`;
  const { endpoint } = leader;
  const spec: PairsSpec = { work: "pairs", via, endpoint, clients, warmupMs, windowMs, prefix };
  const run = await runLoad(spec, { cluster, leader, cleanUps, ...edges });
  return { via, clients, round, windowMs, ...figures(run) };
}

/** Throws when the load process ended well and without a result, which would be a bug of the bench. */
function figures({
  pairs: result,
  usage,
}: LoadRun): Omit<WindowRow, "via" | "clients" | "round" | "windowMs"> {
  if (result === undefined) throw new Error("the load process gave no result");
  const { pairs, elapsedMs, acquireMs, pairMs, cpuMicros } = result;
  const each = (micros: number | undefined) => (micros === undefined ? undefined : micros / pairs);
  return withoutAbsent({
    pairsPerSecond: (pairs / elapsedMs) * 1_000,
    acquireMs,
    pairMs,
    clientCpuMicrosPerPair: cpuMicros / pairs,
    serverCpuMicrosPerPair: each(usage.serverCpuMicros),
    leaderCpuMicrosPerPair: each(usage.leaderCpuMicros),
    leaderMainThreadMicrosPerPair: each(usage.leaderMainThreadMicros),
    peakRssBytes: usage.peakRssBytes,
    otherCores: usage.otherCores,
  });
}

type WithoutAbsent<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** What is absent is left out. */
function withoutAbsent<T extends object>(fields: T): WithoutAbsent<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as WithoutAbsent<T>;
}

export const breakdownStep: Step = { title: "W1a: where the time goes, with a CPU profile", seconds: 14 };

/** A run of its own, because profiling costs. Only the window counts, and only the main thread is in a profile. */
export async function runBreakdown(plan: PairsPlan, options: ClusterOptions): Promise<Breakdown> {
  const cluster = await BenchCluster.start({ ...options, isProfiled: true });
  const window = { ...plan, clients: fetchClients, via: "net" as const, round: 1 };
  await measureWindow(cluster, options, { ...window, clients: warmingClients, round: 0 });
  let fromMicros = 0;
  let toMicros = 0;
  const row = await measureWindow(cluster, options, window, {
    onStart: () => {
      fromMicros = hostClockMs() * 1_000;
    },
    onEnd: () => {
      toMicros = hostClockMs() * 1_000;
    },
  });
  const leader = await cluster.leader();
  const follower = cluster.nodes.find((node) => node !== leader) ?? leader;
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  const pairs = (row.pairsPerSecond * (toMicros - fromMicros)) / 1e6;
  const [ofLeader, ofFollower] = [leader, follower].map((node) =>
    bucketTimes(JSON.parse(cluster.profileOf(node)) as CpuProfile, { fromMicros, toMicros }),
  );
  await cluster.destroy();
  const { clients, windowMs, pairsPerSecond } = row;
  return { clients, windowMs, pairsPerSecond, buckets: bucketRows(ofLeader, ofFollower, pairs) };
}

function bucketRows(
  leader: ReadonlyMap<string, number> = new Map(),
  follower: ReadonlyMap<string, number> = new Map(),
  pairs: number,
): readonly BucketRow[] {
  return [...new Set([...leader.keys(), ...follower.keys()])]
    .map((bucket) => ({
      bucket,
      leader: (leader.get(bucket) ?? 0) / pairs,
      follower: (follower.get(bucket) ?? 0) / pairs,
    }))
    .sort((a, b) => Number(a.bucket === idleBucket) - Number(b.bucket === idleBucket) || b.leader - a.leader);
}
