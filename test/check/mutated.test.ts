import { describe, expect, it } from "vitest";
import { checkers } from "./all.ts";
import { createRandom, generateHistory } from "./generate.ts";
import type { History } from "./history.ts";
import { type Mutation, mutations } from "./mutate.ts";

/** Of each mutation. */
const wanted = 50;

/** As many as wanted, each from another valid history. */
function* mutated({ mutate }: Mutation): Generator<{ readonly seed: number; readonly history: History }> {
  let made = 0;
  for (let seed = 1; made < wanted && seed < 3_000; seed++) {
    const valid = generateHistory({
      seed: seed + 50_000,
      clients: 2 + (seed % 3),
      operations: 30 + (seed % 40),
    });
    const history = mutate(valid, createRandom(seed));
    if (history === undefined) continue;
    made++;
    yield { seed, history };
  }
}

describe("mutated histories", () => {
  for (const mutation of mutations) {
    const { name, rules, alone } = mutation;

    it(`${name}: refused by ${rules.join(" or ")}`, () => {
      const seenBy = new Set<string>();
      let count = 0;
      for (const { seed, history } of mutated(mutation)) {
        count++;

        const findings = checkers.map((checker) => ({
          checker: checker.name,
          found: checker.check(history),
        }));

        const found = findings.flatMap((one) => one.found.map(({ rule }) => rule));
        expect(
          rules.some((rule) => found.includes(rule)),
          `seed ${seed}: found ${found.join(", ") || "nothing"}`,
        ).toBe(true);
        seenBy.add(findings.flatMap((one) => (one.found.length > 0 ? [one.checker] : [])).join(" and "));
      }
      expect(count).toBe(wanted);
      if (alone !== undefined) expect([...seenBy]).toContain(alone);
    });
  }

  it("are more than a thousand, and every checker is alone to see one kind", () => {
    expect(mutations.length * wanted).toBeGreaterThan(1_000);
    const lonely = new Set(mutations.flatMap(({ alone }) => (alone === undefined ? [] : [alone])));
    expect(checkers.map((checker) => checker.name).filter((name) => !lonely.has(name))).toStrictEqual([]);
  });
});
