/**
 * Elapsed time as one who holds a lease must count it: never too short. The larger of what the monotonic and the wall
 * clock say, step by step, so that a suspended machine and a clock that is set both only make a lease end earlier.
 * SEMANTICS rule 9: samples at most a second apart, and at every check.
 */

export interface ElapsedClock {
  /** Milliseconds since the clock was made; never runs back. */
  now(): number;
  /** Stops the sampling. May be called twice. */
  stop(): void;
}

/** The clocks to read, for tests. */
export interface ClockSources {
  monotonicMs(): number;
  wallMs(): number;
}

const sampleEveryMs = 500;

export function createElapsedClock(
  sources: ClockSources = { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
): ElapsedClock {
  let monotonicMs = sources.monotonicMs();
  let wallMs = sources.wallMs();
  let elapsedMs = 0;
  const now = (): number => {
    const monotonicNow = sources.monotonicMs();
    const wallNow = sources.wallMs();
    elapsedMs += Math.max(monotonicNow - monotonicMs, wallNow - wallMs, 0);
    monotonicMs = monotonicNow;
    wallMs = wallNow;
    return elapsedMs;
  };
  const timer = setInterval(now, sampleEveryMs);
  timer.unref();
  return { now, stop: () => clearInterval(timer) };
}
