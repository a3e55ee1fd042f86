/**
 * The simulator's command line: `--seeds N [--from S]` runs many seeds, `--seed S --trace` shows one, line by line.
 * stdout of a trace is the same, to the byte, from run to run; talk goes to stderr.
 */
import { parseArgs } from "node:util";
import { type Plan, planOf, type RunResult, run } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    /** JSON with parts of a plan to force, for directed runs. */
    plan: { type: "string", default: "{}" },
    /** Stop at the first violation and print it as JSON. */
    first: { type: "boolean", default: false },
  },
});
const forced = JSON.parse(values.plan) as Partial<Plan>;

if (values.seed !== undefined) process.exitCode = showOne(Number(values.seed));
else process.exitCode = runMany(Number(values.from), Number(values.seeds));

function showOne(seed: number): number {
  const result = run(seed, { keepLines: values.trace, plan: forced });
  if (values.trace) {
    process.stdout.write(`plan ${JSON.stringify({ ...planOf(seed), ...forced })}\n`);
    for (const line of result.lines) process.stdout.write(`${line}\n`);
  }
  process.stdout.write(`${summary(result)}\n`);
  return result.violation === undefined ? 0 : 1;
}

function summary(result: RunResult): string {
  const verdict = result.violation === undefined ? "ok" : result.violation.message;
  return `seed ${result.seed} hash ${result.traceHash.toString(16)} events ${result.events} operations ${result.operations} unknown ${result.unknown}: ${verdict}`;
}

function runMany(from: number, count: number): number {
  const started = performance.now();
  let failures = 0;
  let events = 0;
  let simulatedMs = 0;
  for (let seed = from; seed < from + count; seed++) {
    const result = run(seed, { plan: forced });
    events += result.events;
    simulatedMs += result.simulatedMs;
    if (result.violation !== undefined) {
      failures++;
      process.stdout.write(
        `${values.first ? JSON.stringify({ seed, rule: result.violation.rule }) : summary(result)}\n`,
      );
      if (values.first) return 1;
    }
    if ((seed - from + 1) % 100 === 0) process.stderr.write(`${seed - from + 1} of ${count} seeds\n`);
  }
  const seconds = (performance.now() - started) / 1000;
  process.stderr.write(
    `${count} seeds, ${(simulatedMs / 3_600_000).toFixed(2)} h of cluster time, ${events} events in ${seconds.toFixed(1)} s: ` +
      `${(simulatedMs / 1000 / seconds).toFixed(0)} × real time, ${Math.round(events / seconds)} events/s\n`,
  );
  process.stdout.write(`${count - failures} passed, ${failures} failed, 0 skipped\n`);
  return failures === 0 ? 0 : 1;
}
