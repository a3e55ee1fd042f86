import { describe, expect, it } from "vitest";
import { checkHistory } from "./all.ts";
import { formatFinding } from "./format.ts";
import { createRandom, generateHistory, type Recipe } from "./generate.ts";
import { budgetRule, linearizabilityRule } from "./linearizability.ts";
import { type Mutation, mutations } from "./mutate.ts";

/** What the checkers must be able to decide within their bound, whether it is valid or not. */
const sizes: readonly Omit<Recipe, "seed">[] = [
  { clients: 200, operations: 3_000, isOneLock: true },
  { clients: 15, operations: 1_000, isOneLock: true },
  { clients: 200, operations: 3_000 },
];

function mutation(name: string): Mutation {
  const found = mutations.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no mutation is called ${name}`);
  return found;
}

describe("large histories", () => {
  for (const size of sizes) {
    const what = `${size.operations} operations of ${size.clients} clients${size.isOneLock ? " on one lock" : ""}`;

    it(`${what}: a valid one is accepted within the bound`, () => {
      const history = generateHistory({ ...size, seed: 11 });

      const findings = checkHistory(history);

      expect(findings.map(formatFinding)).toStrictEqual([]);
    });

    it(`${what}: one hold too many is refused within the bound`, () => {
      const history = generateHistory({ ...size, seed: 12 });
      const { mutate } = mutation("a hold beside a hold");
      const invalid = mutate(history, createRandom(1));
      if (invalid === undefined) throw new Error("a large history has a place for it");

      const rules = checkHistory(invalid).map(({ rule }) => rule);

      expect(rules).toContain(linearizabilityRule);
      expect(rules).not.toContain(budgetRule);
    });
  }
});
