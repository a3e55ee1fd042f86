/**
 * The list of mutants fits today's sources. Whether each is caught is `npm run mutants`, which takes minutes.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { applyMutant, type Kills, mutants, seedsMax } from "./mutants.ts";

const root = new URL("../../", import.meta.url);
const textOf = (path: string): string => readFileSync(fileURLToPath(new URL(path, root)), "utf8");
const kills = JSON.parse(textOf("test/sim/mutants.json")) as Kills;

it("has thirty and more, each under a name of its own", () => {
  expect(mutants.length).toBeGreaterThanOrEqual(30);
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
});

for (const mutant of mutants) {
  it(`finds its place in today's sources: ${mutant.name}`, () => {
    const before = textOf(mutant.file);

    expect(applyMutant(mutant, before)).not.toBe(before);
  });
}

it("records a seed for each, found within the bound, and for nothing else", () => {
  expect(Object.keys(kills).sort()).toEqual(mutants.map(({ name }) => name).sort());
  for (const { name, killedBy } of mutants) {
    expect(kills[name]?.seed, name).toBeLessThanOrEqual(seedsMax);
    expect(killedBy, name).toContain(kills[name]?.rule);
  }
});
