import { expect, it } from "vitest";
import { simulateSeeds } from "./seeds.ts";
import { run } from "./world.ts";

simulateSeeds(51, 50);

it("a seed replays byte for byte", () => {
  for (const seed of [3, 17, 29]) {
    const first = run(seed, { keepLines: true });
    const second = run(seed, { keepLines: true });

    expect(second.lines).toEqual(first.lines);
    expect(second.traceHash).toBe(first.traceHash);
    expect(first.lines.length).toBeGreaterThan(100);
  }
});
