import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { simulateSeeds } from "./seeds.ts";
import { run } from "./world.ts";

simulateSeeds(1, 50);

it("seeds that found a fault once stay sound", () => {
  const corpus = JSON.parse(readFileSync(new URL("corpus.json", import.meta.url), "utf8")) as {
    seed: number;
  }[];
  for (const { seed } of corpus) expect(run(seed).violation, `seed ${seed}`).toBeUndefined();
});
