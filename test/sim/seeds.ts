/**
 * Runs a share of the seeds of one CI run, and demands that what must be exercised was: a run that met no fault proves
 * nothing. Two test files call it, so that two cores work.
 */
import { expect, it } from "vitest";
import { type RunResult, run } from "./world.ts";

/** Each of these must have happened at least once in every share. */
const sometimes = [
  "append sent",
  "check-quorum step-down",
  "crash",
  "grant after waiting",
  "grant exclusive",
  "grant permits",
  "grant shared",
  "hold ended max-hold",
  "hold ended session-closed",
  "hold ended session-expired",
  "hold ended session-killed",
  "hung disk step-down",
  "leader lost",
  "outcome claim-ended",
  "outcome claim-lost",
  "outcome keep-alive",
  "outcome session-closed",
  "outcome session-killed",
  "session expired",
  "several granted at once",
  "truncated",
  "truncated two or more",
  "vote refused",
];

/** `SIM_SEED_BASE` moves all seeds: `npm run test:repeat` gives every repetition its own. */
const base = Number(process.env["SIM_SEED_BASE"] ?? 0);

export function simulateSeeds(from: number, count: number): void {
  it(`${count} seeds from ${base + from}: nothing promised is broken, and the cluster comes to rest`, () => {
    const results: RunResult[] = [];
    for (let seed = base + from; seed < base + from + count; seed++) {
      const result = run(seed);
      const replay = `npm run sim -- --seed ${seed} --trace`;
      expect(result.violation?.message, `replay with: ${replay}`).toBeUndefined();
      results.push(result);
    }
    const total = (of: (result: RunResult) => number): number => results.reduce((sum, r) => sum + of(r), 0);
    const operations = total((r) => r.operations);
    const unknown = total((r) => r.unknown);
    process.stdout.write(
      `simulated ${count} seeds from ${base + from}: ${(total((r) => r.simulatedMs) / 3_600_000).toFixed(2)} h of cluster time, ` +
        `${total((r) => r.events)} events, ${operations} operations, ${unknown} of unknown outcome\n`,
    );
    for (const what of sometimes)
      expect(
        total((r) => r.counts[what] ?? 0),
        what,
      ).toBeGreaterThan(0);
    // About a hundred a seed, with holds of up to three seconds; far fewer would mean that the clients hardly ran.
    expect(operations).toBeGreaterThan(60 * count);
    expect(unknown).toBeLessThan(operations / 5);
  });
}
