/**
 * A share of the seeds of `npm test`, held to the floors that are fit for it. The many seeds are for `npm run sim`.
 * Two test files call it, so that two cores work.
 */
import { expect, it } from "vitest";
import { addRun, noTotals, perSecond, shortcomings } from "./totals.ts";
import { run } from "./world.ts";

/** `SIM_SEED_BASE` moves all seeds: `npm run test:repeat` gives every repetition its own. */
const base = Number(process.env["SIM_SEED_BASE"] ?? 0);

export function simulateSeeds(from: number, count: number): void {
  it(`${count} seeds from ${base + from}: nothing promised is broken, and the cluster comes to rest`, () => {
    const totals = noTotals();
    for (let seed = base + from; seed < base + from + count; seed++) {
      const result = run(seed);
      expect(result.violation?.message, `replay with: npm run sim -- --seed ${seed} --trace`).toBeUndefined();
      addRun(totals, result);
    }
    const { simulatedMs, events, operations, unknown, calm, quorumSafe } = totals;
    process.stdout.write(
      `simulated ${count} seeds from ${base + from}: ${(simulatedMs / 3_600_000).toFixed(2)} h of cluster time, ` +
        `${events} events, ${operations} operations, ${unknown} of unknown outcome, ` +
        `${perSecond(calm).toFixed(0)}/s before faults, ${perSecond(quorumSafe).toFixed(0)}/s while a majority could work\n`,
    );
    expect(shortcomings(totals, { withSeldom: false })).toEqual([]);
  });
}
