import { describe, expect, it } from "vitest";
import { checkHistory } from "./all.ts";
import { type Bug, generateHistory } from "./generate.ts";

/** A service with a bug, and the rules of which at least one is found broken in one of a few histories. */
const rulesFor: Readonly<Record<Bug, readonly string[]>> = {
  "readers do not exclude writers": ["I1-exclusion"],
  "nothing keeps back what was lost": ["I8-lock-delay"],
  "last come, first served": ["I6-fifo"],
  "leases run for half their time": ["L9-never-early"],
  "sessions never expire": ["L10-never-late"],
  "one permit too many": ["I2-permits"],
  "released readers stay": ["witness-look"],
  "readers share a fence": ["I3-one-fence"],
  "ended claims are forgotten": ["I4-one-end"],
  "the dead may be granted": ["witness-claim"],
  "every second try-lock is refused": ["witness-refusal"],
};

describe("a service with a bug", () => {
  for (const [bug, rules] of Object.entries(rulesFor)) {
    it(`${bug}: ${rules.join(" and ")} in few histories`, () => {
      const broken = new Set<string>();
      for (let seed = 1; seed <= 8; seed++) {
        const history = generateHistory({ seed, clients: 5, operations: 800, bug: bug as Bug });

        for (const { rule } of checkHistory(history)) broken.add(rule);
      }

      expect([...broken]).toEqual(expect.arrayContaining([...rules]));
    });
  }
});
