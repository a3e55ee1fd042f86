/**
 * The simulator's command line: `--seeds N [--from S]` runs many seeds on all cores, `--seed S --trace` shows one, line by
 * line. stdout is the same, to the byte, from run to run and machine to machine: no wall time and no path; what took how
 * long goes to stderr.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Plan, planOf } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { add, addRun, noTotals, perSecond, shortcomings, type Totals } from "./totals.ts";
import { type RunResult, run } from "./world.ts";

interface Share {
  readonly from: number;
  readonly count: number;
  readonly step: number;
  readonly plan: Partial<Plan>;
  /** No seed is begun after this time of day. */
  readonly untilMs: number | undefined;
}

/** What a worker says: after each run, and at its end. */
type Said = { readonly kind: "ran" } | { readonly kind: "done"; readonly totals: Totals };

if (isMainThread) process.exitCode = await main();
else work(workerData as Share);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      trace: { type: "boolean", default: false },
      /** Makes a failing seed as small as it gets, and prints the command that shows it. */
      shrink: { type: "boolean", default: false },
      /** JSON with parts of a plan to force, for directed runs. */
      plan: { type: "string", default: "{}" },
      /** Stops at the first violation and prints it as JSON. */
      first: { type: "boolean", default: false },
      jobs: { type: "string", default: String(availableParallelism()) },
      /** Goes on with seeds from --from for so long, in place of --seeds. */
      minutes: { type: "string" },
      /** The figures, for programs. */
      json: { type: "string" },
    },
  });
  const plan = JSON.parse(values.plan) as Partial<Plan>;
  const from = Number(values.from);
  const isTimed = values.minutes !== undefined;
  const count = isTimed ? Number.MAX_SAFE_INTEGER - from : Number(values.seeds);
  if (values.seed !== undefined && values.shrink) return showShrunk(Number(values.seed), plan);
  if (values.seed !== undefined) return showOne(Number(values.seed), plan, values.trace);
  if (values.first) return showFirst(from, count, plan);
  const jobs = Math.min(Number(values.jobs), count);
  const untilMs = isTimed ? Date.now() + Number(values.minutes) * 60_000 : undefined;
  return showMany({ from, count, step: jobs, plan, untilMs }, values.json);
}

function showOne(seed: number, plan: Partial<Plan>, isTraced: boolean): number {
  const result = run(seed, { keepLines: isTraced, plan });
  if (isTraced) {
    process.stdout.write(`plan ${JSON.stringify({ ...planOf(seed), ...plan })}\n`);
    for (const line of result.lines) process.stdout.write(`${line}\n`);
  }
  process.stdout.write(`${summary(result)}\n`);
  return result.violation === undefined ? 0 : 1;
}

function summary({ seed, traceHash, events, operations, unknown, violation }: RunResult): string {
  const verdict = violation === undefined ? "ok" : violation.message;
  return `seed ${seed} hash ${traceHash.toString(16)} events ${events} operations ${operations} unknown ${unknown}: ${verdict}`;
}

function showFirst(from: number, count: number, plan: Partial<Plan>): number {
  for (let seed = from; seed < from + count; seed++) {
    const { violation } = run(seed, { plan });
    if (violation === undefined) continue;
    process.stdout.write(`${JSON.stringify({ seed, rule: violation.rule })}\n`);
    return 1;
  }
  return 0;
}

function showShrunk(seed: number, plan: Partial<Plan>): number {
  const small = shrink(seed, plan, (text) => process.stderr.write(`${text}\n`));
  if (small === undefined) {
    process.stdout.write(`seed ${seed} finds nothing\n`);
    return 1;
  }
  const { violation, plan: smallest, faults } = small;
  process.stdout.write(`seed ${seed}: ${violation.rule}, with ${faults} faults left\n`);
  process.stdout.write(`npm run sim -- --seed ${seed} --trace --plan '${JSON.stringify(smallest)}'\n`);
  return 0;
}

function work({ from, count, step, plan, untilMs = Infinity }: Share): void {
  const totals = noTotals();
  for (let seed = from; seed < from + count && Date.now() < untilMs; seed += step) {
    addRun(totals, run(seed, { plan }));
    parentPort?.postMessage({ kind: "ran" } satisfies Said);
  }
  parentPort?.postMessage({ kind: "done", totals } satisfies Said);
}

async function showMany(all: Share, json: string | undefined): Promise<number> {
  const { from, count, step, plan, untilMs } = all;
  const started = performance.now();
  const totals = noTotals();
  let ran = 0;
  const listen = (said: Said): void => {
    if (said.kind === "done") add(totals, said.totals);
    else if (++ran % 100 === 0) {
      process.stderr.write(`${ran}${untilMs === undefined ? ` of ${count}` : ""} seeds\n`);
    }
  };
  const shares = Array.from({ length: step }, (_, i) => ({ ...all, from: from + i, count: count - i }));
  await Promise.all(shares.map((share) => worked(share, listen)));
  const seconds = (performance.now() - started) / 1_000;
  const speed = {
    seconds: Math.round(seconds),
    cores: step,
    timesRealTime: Math.round(totals.simulatedMs / 1_000 / seconds / step),
    eventsPerSecond: Math.round(totals.events / seconds / step),
  };
  process.stderr.write(
    `${speed.seconds} s on ${step} cores: ${speed.timesRealTime} × real time and ${speed.eventsPerSecond} events/s a core\n`,
  );
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ from, ...totals, speed }, undefined, 1)}\n`);
  return report(totals, from, Object.keys(plan).length === 0);
}

function worked(share: Share, listen: (said: Said) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    // Most objects die young: a large nursery saves a tenth of the time.
    const resourceLimits = { maxYoungGenerationSizeMb: 128 };
    const worker = new Worker(new URL(import.meta.url), { workerData: share, resourceLimits });
    worker.on("message", listen);
    worker.once("error", reject);
    worker.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`a worker ended with ${code}`)),
    );
  });
}

function report(totals: Totals, from: number, isHeldToFloors: boolean): number {
  const { seeds, failed, events, simulatedMs, operations, unknown, calm, quorumSafe, faults, counts } =
    totals;
  const out = (line: string): void => void process.stdout.write(`${line}\n`);
  for (const [what, count] of Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)))
    out(`${String(count).padStart(10)} ${what}`);
  out(
    `${seeds} seeds from ${from}: ${(simulatedMs / 3_600_000).toFixed(2)} h of cluster time, ${events} events, ${faults} faults`,
  );
  out(
    `${operations} operations, ${((100 * unknown) / Math.max(1, operations)).toFixed(2)} % of unknown outcome; ` +
      `${perSecond(calm).toFixed(0)}/s before faults, ${perSecond(quorumSafe).toFixed(0)}/s in quorum-safe fault windows`,
  );
  for (const { seed, message } of failed)
    out(`FAILED seed ${seed}: ${message.split("\n")[0]}\n  npm run sim -- --seed ${seed} --trace`);
  const missing = isHeldToFloors && seeds >= 100 ? shortcomings(totals, { withSeldom: seeds >= 1_000 }) : [];
  for (const what of missing) out(`MISSED ${what}`);
  out(`${seeds - failed.length} passed, ${failed.length + missing.length} failed, 0 skipped`);
  return failed.length + missing.length === 0 ? 0 : 1;
}
