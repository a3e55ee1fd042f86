/**
 * A session as its client sees it: how long it may still be believed in, and its renewal. A lapsed deadline is final:
 * nothing is renewed after it. SEMANTICS §2, rule 9.
 */
import { randomBytes } from "node:crypto";
import type { EndedHold } from "../api/types.ts";
import { apiFailure, mustSucceed } from "./api-failure.ts";
import { createElapsedClock, type ElapsedClock } from "./elapsed-clock.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type ApiAnswer, type HttpClient, sleep } from "./http-client.ts";

/** Why nothing of a session can be relied on any more. */
export type LeaseOver =
  /** No renewal was answered in time. */
  | { readonly kind: "lapsed" }
  /** The cluster says that the session is no more. */
  | { readonly kind: "session-ended"; readonly detail: string }
  /** The watched claim was ended by somebody else. */
  | { readonly kind: "claim-ended"; readonly reason: string };

export interface Lease {
  readonly sessionId: string;
  readonly sessionRef: string;
  /** True when it was opened here: then it is closed here too. */
  readonly isOwn: boolean;
  /** Milliseconds since the renewal that counts was sent. */
  readonly renewedAgoMs: number;
  /** Until the deadline; 0 when it has passed. */
  leftMs(): number;
  /** One renewal, tried until the deadline. Undefined: it worked. Rejects with an aborted signal's reason. */
  renew(claimId: string | undefined, signal?: AbortSignal): Promise<LeaseOver | undefined>;
  /** Renews until something is over or the signal is aborted (undefined then). `claimId` is asked at every answer. */
  keep(claimId: () => string | undefined, signal: AbortSignal): Promise<LeaseOver | undefined>;
  /** A clean end of the session; best effort, within two seconds. Only for an own one that has not lapsed. */
  close(): Promise<void>;
}

const closeMsMax = 2000;
const retryEveryMs = 200;

/** A new session, under an id made here, so that a repeated request finds the same one. */
export async function openLease(
  client: HttpClient,
  options: {
    readonly ttlMs: number | undefined;
    readonly label: string | undefined;
    readonly signal: AbortSignal;
  },
): Promise<Lease> {
  const { ttlMs, label, signal } = options;
  const sessionId = randomBytes(16).toString("hex");
  const body = {
    sessionId,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(label === undefined ? {} : { label }),
  };
  const clock = createElapsedClock();
  const answer = mustSucceed(await client.request({ method: "POST", path: "/v1/sessions", body, signal }));
  return new RunningLease(client, { sessionId, isOwn: true, clock, sentAtMs: 0 }, answer);
}

/** A session that somebody else opened: renewed at once, to see that it lives. Rejects with CliError if it does not. */
export async function adoptLease(client: HttpClient, sessionId: string, signal: AbortSignal): Promise<Lease> {
  const clock = createElapsedClock();
  const request = { method: "POST", path: keepAlivePath(sessionId), body: {}, signal } as const;
  const answer = mustSucceed(await client.request(request));
  return new RunningLease(client, { sessionId, isOwn: false, clock, sentAtMs: 0 }, answer);
}

function keepAlivePath(sessionId: string): string {
  return `/v1/sessions/${sessionId}:keepalive`;
}

interface LeaseNumbers {
  readonly sessionRef: string;
  readonly leaseMs: number;
  readonly renewAfterMs: number;
}

class RunningLease implements Lease {
  readonly sessionId: string;
  readonly sessionRef: string;
  readonly isOwn: boolean;
  readonly #client: HttpClient;
  readonly #clock: ElapsedClock;
  #sentAtMs: number;
  #numbers: LeaseNumbers;
  #isLapsed = false;

  constructor(
    client: HttpClient,
    start: {
      readonly sessionId: string;
      readonly isOwn: boolean;
      readonly clock: ElapsedClock;
      readonly sentAtMs: number;
    },
    answer: ApiAnswer,
  ) {
    this.#client = client;
    this.sessionId = start.sessionId;
    this.isOwn = start.isOwn;
    this.#clock = start.clock;
    this.#sentAtMs = start.sentAtMs;
    this.#numbers = numbersIn(answer);
    this.sessionRef = this.#numbers.sessionRef;
  }

  get renewedAgoMs(): number {
    return this.#clock.now() - this.#sentAtMs;
  }

  leftMs(): number {
    const leftMs = this.#numbers.leaseMs - this.renewedAgoMs;
    if (leftMs <= 0) this.#isLapsed = true;
    return this.#isLapsed ? 0 : leftMs;
  }

  async renew(claimId: string | undefined, signal?: AbortSignal): Promise<LeaseOver | undefined> {
    const sentAtMs = this.#clock.now();
    for (;;) {
      const leftMs = this.leftMs();
      if (leftMs === 0) return { kind: "lapsed" };
      const answer = await this.#tryRenewing(leftMs, signal);
      if (answer === undefined) {
        await sleep(Math.min(retryEveryMs, leftMs), signal);
        continue;
      }
      if (this.leftMs() === 0) return { kind: "lapsed" };
      if (answer.status === 404 || answer.status === 410) {
        return { kind: "session-ended", detail: apiFailure(answer).failure.detail };
      }
      mustSucceed(answer);
      this.#sentAtMs = sentAtMs;
      this.#numbers = numbersIn(answer);
      const ended = ((answer.body["ended"] ?? []) as readonly EndedHold[]).find(
        (hold) => hold.claimId === claimId,
      );
      return ended === undefined ? undefined : { kind: "claim-ended", reason: ended.reason };
    }
  }

  /** Undefined when no node answered; the deadline decides how often that may happen. */
  async #tryRenewing(leftMs: number, signal: AbortSignal | undefined): Promise<ApiAnswer | undefined> {
    try {
      const request = { method: "POST", path: keepAlivePath(this.sessionId), body: {}, signal } as const;
      // A node that hangs must leave time to ask another one.
      return await this.#client.request({
        ...request,
        timeoutMs: leftMs,
        attemptMs: Math.max(250, leftMs / 4),
      });
    } catch (error) {
      if (error instanceof CliError && error.failure.exitCode === exitCodes.unavailable) return undefined;
      throw error;
    }
  }

  async keep(claimId: () => string | undefined, signal: AbortSignal): Promise<LeaseOver | undefined> {
    try {
      for (;;) {
        const waitMs = Math.min(this.#numbers.renewAfterMs - this.renewedAgoMs, this.leftMs());
        // Short steps: after a suspend the deadline may have passed although no timer was due yet.
        if (waitMs > 0) {
          await sleep(Math.min(waitMs, 500), signal);
          continue;
        }
        const over = await this.renew(claimId(), signal);
        if (over !== undefined) return over;
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    const isLive = this.leftMs() > 0;
    this.#clock.stop();
    if (!this.isOwn || !isLive) return;
    const request = {
      method: "DELETE",
      path: `/v1/sessions/${this.sessionId}`,
      timeoutMs: closeMsMax,
    } as const;
    await this.#client.request(request).catch(() => {});
  }
}

function numbersIn({ body, text }: ApiAnswer): LeaseNumbers {
  const { sessionRef, leaseMs, renewAfterMs } = body;
  if (typeof sessionRef === "string" && typeof leaseMs === "number" && typeof renewAfterMs === "number") {
    return { sessionRef, leaseMs, renewAfterMs };
  }
  const detail = `the answer is no session: ${text.slice(0, 200)}`;
  throw new CliError({ exitCode: exitCodes.failed, code: "unexpected-answer", detail });
}
