/** The arithmetic of the bench. */
import { describe, expect, it } from "vitest";
import { distribution, longestGap, median, pairRows, percentile, ratios } from "./stats.ts";

describe("percentiles", () => {
  it("are samples that were measured, by rank", () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);

    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 1)).toBe(100);
    expect(percentile([7], 0.5)).toBe(7);
    expect(percentile([1, 2], 0.5)).toBe(1);
    expect(percentile([1, 2], 0.51)).toBe(2);
  });

  it("leave no sample out and sort by number", () => {
    expect(distribution([10, 9, 100, 1])).toEqual({ count: 4, p50: 9, p99: 100, max: 100 });
  });

  it("of nothing are an error, not zero", () => {
    expect(() => distribution([])).toThrow(RangeError);
    expect(() => median([])).toThrow(RangeError);
  });

  it("the median of an even count is the mean of the middle", () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
  });
});

describe("the longest gap", () => {
  it("is the longest that ends after the fault", () => {
    const times = [0, 500, 600, 610, 900, 950];

    expect(longestGap(times, { after: 605, until: 1_000 })).toEqual({ from: 610, to: 900, ms: 290 });
  });

  it("begins with the last event before the fault", () => {
    expect(longestGap([90, 100, 400, 410], { after: 150, until: 420 })).toEqual({
      from: 100,
      to: 400,
      ms: 300,
    });
  });

  it("that is still open counts to the end of the window", () => {
    expect(longestGap([10, 20, 30], { after: 25, until: 5_000 }).ms).toBe(4_970);
    expect(longestGap([10, 20], { after: 25, until: 5_000 })).toEqual({ from: 20, to: 5_000, ms: 4_980 });
  });

  it("of whoever never got anything begins with the fault", () => {
    expect(longestGap([], { after: 25, until: 5_000 })).toEqual({ from: 25, to: 5_000, ms: 4_975 });
    expect(longestGap([4_000], { after: 25, until: 5_000 }).ms).toBe(3_975);
  });

  it("takes events in any order, and late ones for the end", () => {
    expect(longestGap([30, 10, 20, 99], { after: 15, until: 50 })).toEqual({ from: 30, to: 50, ms: 20 });
  });
});

describe("ratios", () => {
  const row = (clients: number, round: number, value: number) => ({ clients, round, value });

  it("are of windows with the same number of clients in the same round", () => {
    const ours = [row(1, 1, 10), row(1, 2, 30), row(64, 1, 500)];
    const theirs = [row(64, 1, 100), row(1, 2, 10), row(1, 1, 5)];

    const values = ratios(
      pairRows(ours, theirs),
      ({ value }) => value,
      ({ value }) => value,
    );

    expect(values).toEqual([2, 3, 5]);
  });

  it("leave out what has no partner, no figure, or nothing to divide by", () => {
    const pairs = pairRows([row(1, 1, 10), row(2, 1, 10), row(3, 1, 10)], [row(1, 1, 0), row(3, 1, 4)]);

    expect(pairs.length).toBe(2);
    expect(
      ratios(
        pairs,
        ({ value }) => value,
        ({ value }) => value,
      ),
    ).toEqual([2.5]);
    expect(
      ratios(
        pairs,
        () => undefined,
        ({ value }) => value,
      ),
    ).toEqual([]);
  });
});
