import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareText } from "../../src/base/order.ts";
import { pageOf } from "../../src/http/lists.ts";

describe("pages", () => {
  it("of any collection, put together, are the collection in order, each item once", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        (keys, limit) => {
          const shown: string[] = [];
          let after: string | undefined;
          do {
            const { items, cursor } = pageOf(keys, (key) => key, { after, limit });
            expect(items.length).toBeLessThanOrEqual(limit);
            shown.push(...items);
            after = cursor === undefined ? undefined : items[items.length - 1];
          } while (after !== undefined);

          expect(shown).toEqual(keys.toSorted(compareText));
        },
      ),
    );
  });
});
