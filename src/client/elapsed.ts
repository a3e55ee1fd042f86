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

/** Invariant: `elapsedMs` never runs back. */
export interface Elapsed {
  /** Since the first sample. */
  readonly elapsedMs: number;
  /** Where the step under way began, and what had elapsed by then. */
  readonly base: ClockSample;
  readonly baseElapsedMs: number;
}

/** A wall clock is read in whole milliseconds: between two readings it may seem to have run that much further than it has. */
const wallGrainMs = 1;

/** A step ends after this, whatever the clocks say. */
const stepMaxMs = 100;

export function beginElapsed(sample: ClockSample): Elapsed {
  return { elapsedMs: 0, base: sample, baseElapsedMs: 0 };
}

/**
 * Samples are at most a second apart. Those of one step are all measured from its beginning, and the grain is left out
 * until the step ends: a clock that is read ten thousand times a second must not count each rounding up. What ends, counts
 * in full, so that no suspend is lost, however short and however many; the roundings add at most one per cent.
 */
export function advanceElapsed(before: Elapsed, sample: ClockSample): Elapsed {
  const { base, baseElapsedMs } = before;
  const ranMs = sample.monotonicMs - base.monotonicMs;
  const wallRanMs = sample.wallMs - base.wallMs;
  const isAhead = wallRanMs - wallGrainMs > ranMs;
  // A wall clock that was set back would hide a later suspend of the same step.
  const isBehind = wallRanMs < ranMs - 2 * wallGrainMs;
  const isOver = isAhead || isBehind || ranMs >= stepMaxMs;
  const stepMs = Math.max(ranMs, isOver ? wallRanMs : wallRanMs - wallGrainMs, 0);
  const elapsedMs = Math.max(before.elapsedMs, baseElapsedMs + stepMs);
  return isOver ? { elapsedMs, base: sample, baseElapsedMs: elapsedMs } : { elapsedMs, base, baseElapsedMs };
}
