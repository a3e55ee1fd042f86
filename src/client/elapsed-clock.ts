/**
 * The clock that leases are counted by: reads the monotonic and the wall clock at every check, and by itself twice a
 * second (SEMANTICS §1 rule 9: samples at most a second apart). How they are added up is in `elapsed.ts`.
 */
import { advanceElapsed, beginElapsed, type ClockSample } from "./elapsed.ts";

export interface ElapsedClock {
  /** Milliseconds since the clock was made; never runs back. */
  now(): number;
  /** Stops the sampling. May be called twice. */
  stop(): void;
}

const sampleEveryMs = 500;

/** `read` is for tests. */
export function createElapsedClock(read: () => ClockSample = readClocks): ElapsedClock {
  let elapsed = beginElapsed(read());
  const now = (): number => {
    elapsed = advanceElapsed(elapsed, read());
    return elapsed.elapsedMs;
  };
  const timer = setInterval(now, sampleEveryMs);
  timer.unref();
  return { now, stop: () => clearInterval(timer) };
}

function readClocks(): ClockSample {
  return { monotonicMs: performance.now(), wallMs: Date.now() };
}
