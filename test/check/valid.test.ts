import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { check } from "../prop.ts";
import { checkers, checkHistory } from "./all.ts";
import { decodeHistory, encodeHistory, formatFindings } from "./format.ts";
import { generateHistory } from "./generate.ts";

describe("valid histories", () => {
  it("10 000 small ones are accepted by all checkers", () => {
    for (let seed = 1; seed <= 10_000; seed++) {
      const history = generateHistory({ seed, clients: 2 + (seed % 4), operations: 10 + (seed % 40) });

      const findings = checkHistory(history);

      expect(findings.length, `seed ${seed}\n${formatFindings(history, findings)}`).toBe(0);
    }
  });

  it("long ones are accepted by all checkers", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const history = generateHistory({ seed, clients: 8, operations: 1_000 });

      const findings = checkHistory(history);

      expect(findings.length, `seed ${seed}\n${formatFindings(history, findings)}`).toBe(0);
    }
  });

  it("survive being written and read", () => {
    check(
      fc.property(fc.nat(), (seed) => {
        const history = generateHistory({ seed, clients: 4, operations: 60 });

        const read = decodeHistory(encodeHistory(history));

        expect(read).toStrictEqual(history);
      }),
    );
  });

  it("every rule has one checker", () => {
    const rules = checkers.flatMap((checker) => checker.rules);

    expect(new Set(rules).size).toBe(rules.length);
  });
});
