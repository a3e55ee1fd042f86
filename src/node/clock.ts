/**
 * The leader's cluster clock: how much time the log may say has passed (SEMANTICS rule 2).
 * It runs only while this node leads and a majority answers, in capped steps, so a pause, a partition or a time
 * without a leader never counts, and cluster time never runs faster than real time. Wall clocks never enter.
 */
import { assert } from "../base/assert.ts";

export interface ClusterClock {
  /** This node became leader: go on from the last entry's stamp; `monotonicMs` was read after the core said so. */
  start(lastStampMs: number, monotonicMs: number): void;
  stop(): void;
  /**
   * Cluster time now, whole milliseconds, at least `lastStampMs`. Adds what passed since the last call when `mayRun`,
   * at most the cap; what was not added is gone for good.
   */
  stamp(now: {
    readonly monotonicMs: number;
    readonly lastStampMs: number;
    readonly mayRun: boolean;
  }): number;
}

/** `stepMaxMs` is two ticks: more than that between two calls means that this process did not run. */
export function createClusterClock(stepMaxMs: number): ClusterClock {
  let value = 0;
  let base: number | undefined;
  return {
    start(lastStampMs, monotonicMs) {
      value = lastStampMs;
      base = monotonicMs;
    },
    stop() {
      base = undefined;
    },
    stamp({ monotonicMs, lastStampMs, mayRun }) {
      assert(base !== undefined, "only a leader's clock gives stamps");
      const passed = Math.max(0, monotonicMs - base);
      base = monotonicMs;
      if (mayRun) value += Math.min(passed, stepMaxMs);
      value = Math.max(value, lastStampMs);
      return Math.floor(value);
    },
  };
}
