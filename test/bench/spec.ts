/**
 * What the bench and its load processes say to each other: the work as JSON in the last argument, then one JSON line
 * an event on standard output. Only types and the clock that both sides share.
 */
import type { Distribution } from "./stats.ts";

/** W1a: acquire and release, one name and one session for each client, closed loop. */
export interface PairsSpec {
  readonly work: "pairs";
  /** `net`: the bench's own generator. `fetch`: Node's built-in one, what most programs would use. */
  readonly via: "net" | "fetch";
  /** `host:port` of the leader. A redirect is a wrong answer. */
  readonly endpoint: string;
  readonly clients: number;
  readonly warmupMs: number;
  readonly windowMs: number;
  /** Begins the names of locks, sessions and claims; unlike any other of this cluster. */
  readonly prefix: string;
}

/** W4: the same with retries at every node, while a fault is made. */
export interface FailoverSpec {
  readonly work: "failover";
  readonly endpoints: readonly string[];
  readonly clients: number;
  readonly warmupMs: number;
  readonly windowMs: number;
  readonly prefix: string;
  /** One attempt, a followed redirect included, may take that long. */
  readonly attemptMs: number;
  /** Between two attempts of one client. */
  readonly pauseMs: number;
}

export type LoadSpec = PairsSpec | FailoverSpec;

export interface PairsResult {
  readonly pairs: number;
  readonly elapsedMs: number;
  readonly acquireMs: Distribution;
  readonly pairMs: Distribution;
  /** User and system time of the load process within the window. */
  readonly cpuMicros: number;
}

export interface FailoverResult {
  /** For each client, when its acquires were answered (`hostClockMs`). */
  readonly acquired: readonly (readonly number[])[];
  /** When the window closed. */
  readonly endedMs: number;
  readonly failedAttempts: number;
}

export type LoadEvent =
  /** The window opens, warm-up is over. */
  | { readonly kind: "start" }
  /** The window has closed. */
  | { readonly kind: "end" }
  | { readonly kind: "pairs"; readonly result: PairsResult }
  | { readonly kind: "failover"; readonly result: FailoverResult }
  /** A wrong answer, or none: the bench fails with this text. */
  | { readonly kind: "failed"; readonly text: string };

/** Milliseconds of a clock that never runs back and that all processes of this host read alike. */
export function hostClockMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
