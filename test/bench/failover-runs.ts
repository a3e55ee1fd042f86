/**
 * W4: a fault is made in the leader while clients work; how long does nobody acquire? One cluster for all repetitions
 * of a kind; between two of them the node comes back and has caught up.
 */
import { BenchCluster, type BenchNode, type ClusterOptions } from "./cluster.ts";
import { runLoad } from "./load-run.ts";
import type { Progress, Step } from "./progress.ts";
import type { FailoverRepetition, FailoverRow } from "./result.ts";
import { type FailoverSpec, hostClockMs, pause } from "./spec.ts";
import { longestGap } from "./stats.ts";

export interface FailoverPlan {
  readonly repetitions: number;
  readonly isQuick: boolean;
}

const clients = 16;
const attemptMs = 250;
const pauseMs = 10;
const faults = ["kill", "stop"] as const;

/** The fault comes that long after the window opened; the window stays open for `afterMs` more. */
function timing({ isQuick }: FailoverPlan) {
  return isQuick
    ? { warmupMs: 500, beforeMs: 500, afterMs: 3_500 }
    : { warmupMs: 1_000, beforeMs: 1_000, afterMs: 5_000 };
}

export function failoverSteps(plan: FailoverPlan): readonly Step[] {
  const { warmupMs, beforeMs, afterMs } = timing(plan);
  const seconds = (warmupMs + beforeMs + afterMs) / 1_000 + 2;
  return faults.flatMap((fault) =>
    Array.from({ length: plan.repetitions }, (_, i) => ({
      title: `W4, the leader ${fault === "kill" ? "is killed" : "hangs"}, ${i + 1} of ${plan.repetitions}`,
      seconds,
    })),
  );
}

export async function runFailovers(
  plan: FailoverPlan,
  options: ClusterOptions,
  progress: Progress,
): Promise<readonly FailoverRow[]> {
  const rows: FailoverRow[] = [];
  for (const fault of faults) {
    const repetitions: FailoverRepetition[] = [];
    const cluster = await BenchCluster.start(options);
    for (let i = 0; i < plan.repetitions; i++) {
      progress.begin();
      const repetition = await once(fault, plan, cluster, options);
      repetitions.push(repetition);
      progress.note(
        `nobody for ${repetition.nobodyMs.toFixed(0)} ms, worst client ${repetition.worstClientMs.toFixed(0)} ms`,
      );
    }
    await cluster.destroy();
    rows.push({ fault, clients, attemptMs, repetitions });
  }
  return rows;
}

let serial = 0;

async function once(
  fault: FailoverRow["fault"],
  plan: FailoverPlan,
  cluster: BenchCluster,
  { cleanUps }: ClusterOptions,
): Promise<FailoverRepetition> {
  const { warmupMs, beforeMs, afterMs } = timing(plan);
  const leader = await cluster.leader();
  const spec: FailoverSpec = {
    work: "failover",
    endpoints: [leader, ...cluster.nodes.filter((node) => node !== leader)].map(({ endpoint }) => endpoint),
    clients,
    warmupMs,
    windowMs: beforeMs + afterMs,
    prefix: `failover-${++serial}`,
    attemptMs,
    pauseMs,
  };
  let faultMs = 0;
  let timer: NodeJS.Timeout | undefined;
  const onStart = () => {
    timer = setTimeout(() => {
      faultMs = hostClockMs();
      if (fault === "kill") void leader.kill();
      else leader.freeze();
    }, beforeMs);
  };
  const { failover } = await runLoad(spec, { cluster, leader, cleanUps, onStart }).finally(() =>
    clearTimeout(timer),
  );
  if (failover === undefined || faultMs === 0) throw new Error("the load process gave no result");
  await bringBack(fault, leader, cluster);
  const span = { after: faultMs, until: failover.endedMs };
  const times = failover.acquired;
  return {
    nobodyMs: longestGap(times.flat(), span).ms,
    worstClientMs: Math.max(...times.map((own) => longestGap(own, span).ms)),
    failedAttempts: failover.failedAttempts,
    acquires: times.reduce((sum, own) => sum + own.length, 0),
  };
}

async function bringBack(fault: FailoverRow["fault"], node: BenchNode, cluster: BenchCluster): Promise<void> {
  if (fault === "kill") node.start();
  else node.thaw();
  await cluster.ready(node);
  await cluster.leader();
  // Everybody knows the leader and has its log; a moment of calm, so that no fault meets the end of another.
  await pause(500);
}
