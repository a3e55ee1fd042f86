import { describe, expect, it } from "vitest";
import { checkers, checkHistory } from "./all.ts";
import { createRandom, generateHistory } from "./generate.ts";
import type { History, Operation } from "./history.ts";
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

/** Some operations get the answers of others of their kind. */
function withSwappedAnswers(history: History, random: () => number): History {
  const operations = history.operations.map((operation) => {
    const others = history.operations.filter(({ kind }) => kind === operation.kind);
    const other = others[Math.floor(random() * others.length)];
    return random() < 0.8 || other === undefined
      ? operation
      : ({ ...operation, answer: other.answer } as Operation);
  });
  return { ...history, operations };
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

  it("of any kind are judged without an error, and twice the same", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const history = withSwappedAnswers(
        generateHistory({ seed, clients: 4, operations: 60 }),
        createRandom(seed),
      );

      const findings = checkHistory(history);

      expect(checkHistory({ ...history })).toStrictEqual(findings);
      expect(findings.every(({ rule }) => checkers.some(({ rules }) => rules.includes(rule)))).toBe(true);
    }
  });

  it("are more than a thousand, and every checker is alone to see one kind", () => {
    expect(mutations.length * wanted).toBeGreaterThan(1_000);
    const lonely = new Set(mutations.flatMap(({ alone }) => (alone === undefined ? [] : [alone])));
    expect(checkers.map((checker) => checker.name).filter((name) => !lonely.has(name))).toStrictEqual([]);
  });
});
