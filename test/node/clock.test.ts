/** The cluster clock (SEMANTICS rule 2). */
import { expect, it } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { createClusterClock } from "../../src/node/clock.ts";

const stamp = (
  clock: ReturnType<typeof createClusterClock>,
  monotonicMs: number,
  mayRun = true,
  lastStampMs = 0,
) => clock.stamp({ monotonicMs, lastStampMs, mayRun });

it("goes on from the last entry's stamp and adds what passed, in whole milliseconds", () => {
  const clock = createClusterClock(100);
  clock.start(5_000, 1_000.25);

  expect([stamp(clock, 1_050.5), stamp(clock, 1_051), stamp(clock, 1_051.5)]).toEqual([5_050, 5_050, 5_051]);
});

it("adds two ticks at most between two readings, and forgets the rest", () => {
  const clock = createClusterClock(100);
  clock.start(0, 0);

  expect([stamp(clock, 60_000), stamp(clock, 60_010)]).toEqual([100, 110]);
});

it("stands still while no majority answers, also for the time that it missed", () => {
  const clock = createClusterClock(100);
  clock.start(0, 0);

  expect([stamp(clock, 50, false), stamp(clock, 60)]).toEqual([0, 10]);
});

it("is never below the last entry's stamp", () => {
  const clock = createClusterClock(100);
  clock.start(0, 0);

  expect(stamp(clock, 1, true, 700)).toBe(700);
});

it("gives no stamps to who does not lead", () => {
  const clock = createClusterClock(100);
  expect(() => stamp(clock, 0)).toThrow(InvariantError);
  clock.start(0, 0);
  clock.stop();

  expect(() => stamp(clock, 0)).toThrow(InvariantError);
});
