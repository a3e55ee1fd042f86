/**
 * Timers and requests around the machine of `lease.ts`: renews a session, and checks its deadline at least twice a
 * second, also while a request is out. How a keepalive is sent is the caller's. Decides nothing about leases by itself.
 */
import { deriveController, sleep } from "./abort.ts";
import type { ElapsedClock } from "./elapsed-clock.ts";
import {
  beginLease,
  isDue,
  isOver,
  type Lease,
  type LeaseGrant,
  type LeaseInput,
  retryEveryMs,
  stepLease,
  wakeAtMs,
} from "./lease.ts";

export type KeepAliveReply =
  | { readonly kind: "granted"; readonly grant: LeaseGrant }
  /** The session is no more. */
  | { readonly kind: "gone"; readonly detail: string }
  /** Nobody answered, or not with anything that decides. */
  | { readonly kind: "unanswered" };

export interface KeepAliveRequest {
  /** Milliseconds until the deadline: no use in trying for longer. */
  readonly leftMs: number;
  /** Ends up to this revision were acted on. */
  readonly seen: number | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface LeaseKeeper {
  readonly clock: ElapsedClock;
  /** As it stands this instant: the deadline is checked at every reading. */
  current(): Lease;
  /** One attempt, until it is answered or the lease is over. Rejects with the reason of an aborted signal. */
  renew(options?: { readonly seen?: number; readonly signal?: AbortSignal | undefined }): Promise<Lease>;
  /** Renews until the lease is over or the signal is aborted. `observe` is called at every step. One at a time. */
  keep(signal: AbortSignal, observe: (lease: Lease) => void): Promise<Lease>;
}

export interface LeaseKeeperOptions {
  readonly clock: ElapsedClock;
  readonly grant: LeaseGrant;
  /** Of the request that was answered with `grant`, by `clock`; its first send, if it was repeated. */
  readonly sentAtMs: number;
  /** One request. Rejects only with the reason of an aborted signal. */
  readonly ask: (request: KeepAliveRequest) => Promise<KeepAliveReply>;
}

export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  return new Keeper(options);
}

/** After a suspend the deadline may have passed although no timer is due yet. */
const lookEveryMs = 500;

class Keeper implements LeaseKeeper {
  readonly clock: ElapsedClock;
  readonly #ask: LeaseKeeperOptions["ask"];
  #lease: Lease;

  constructor({ clock, grant, sentAtMs, ask }: LeaseKeeperOptions) {
    this.clock = clock;
    this.#ask = ask;
    this.#lease = beginLease({ grant, sentAtMs, nowMs: clock.now() });
  }

  current(): Lease {
    return this.#step({ kind: "checked", nowMs: this.clock.now() });
  }

  #step(input: LeaseInput): Lease {
    this.#lease = stepLease(this.#lease, input);
    return this.#lease;
  }

  async renew(
    options: { readonly seen?: number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Lease> {
    for (;;) {
      const lease = this.current();
      if (isOver(lease)) return lease;
      const { attemptSinceMs } = await this.#request(options.seen, options.signal);
      if (attemptSinceMs === undefined || isOver(this.current())) return this.current();
      await sleep(retryEveryMs, options.signal);
    }
  }

  async #request(seen: number | undefined, signal: AbortSignal | undefined): Promise<Lease> {
    const { validUntilMs, nowMs } = this.#step({ kind: "asked", nowMs: this.clock.now() });
    try {
      const reply = await this.#ask({ leftMs: validUntilMs - nowMs, seen, signal });
      const at = { nowMs: this.clock.now() };
      if (reply.kind === "granted") return this.#step({ kind: "answered", grant: reply.grant, ...at });
      return this.#step(reply.kind === "gone" ? { ...reply, ...at } : { kind: "unanswered", ...at });
    } catch (error) {
      this.#step({ kind: "unanswered", nowMs: this.clock.now() });
      throw error;
    }
  }

  async keep(signal: AbortSignal, observe: (lease: Lease) => void): Promise<Lease> {
    const { controller, release } = deriveController(signal);
    let wake = () => {};
    let isOut = false;
    let failure: { readonly error: unknown } | undefined;
    const onAbort = () => wake();
    signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        const lease = this.current();
        observe(lease);
        if (signal.aborted || isOver(lease)) return lease;
        if (failure !== undefined) throw failure.error;
        if (!isOut && isDue(lease)) {
          isOut = true;
          this.#request(undefined, controller.signal)
            .catch((error: unknown) => (failure = { error }))
            .finally(() => {
              isOut = false;
              wake();
            });
          continue;
        }
        const untilMs = (wakeAtMs(lease) ?? 0) - this.clock.now();
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, Math.max(0, Math.min(untilMs, lookEveryMs)));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      release();
      // A request that hangs must not outlive the belief in what it renews.
      controller.abort();
    }
  }
}
