/**
 * Elapsed time as one who holds a lease must count it: step by step the larger of what the monotonic and the wall clock
 * say, and never less than nothing. A suspended machine and a clock that is set then only make a lease end earlier.
 * Pure; `elapsed-clock.ts` reads the clocks. SEMANTICS §1 rule 9.
 */

/** Both clocks, read together, in milliseconds of their own. */
export interface ClockSample {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export interface Elapsed extends ClockSample {
  /** Since the first sample. Invariant: never runs back. */
  readonly elapsedMs: number;
}

export function beginElapsed(sample: ClockSample): Elapsed {
  return { ...sample, elapsedMs: 0 };
}

/** Steps of at most a second: over a longer one, a wall clock set back could hide a suspend. */
export function advanceElapsed(before: Elapsed, sample: ClockSample): Elapsed {
  const { monotonicMs, wallMs } = sample;
  const stepMs = Math.max(monotonicMs - before.monotonicMs, wallMs - before.wallMs, 0);
  return { monotonicMs, wallMs, elapsedMs: before.elapsedMs + stepMs };
}
