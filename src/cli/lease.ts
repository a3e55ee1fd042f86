/**
 * A session as a command sees it: opened or borrowed, renewed and closed over HTTP. What may be believed and when to
 * renew is decided by `client/lease.ts`, and nowhere here. SEMANTICS §2.
 */
import { randomBytes } from "node:crypto";
import type { EndedHold } from "../api/types.ts";
import { deriveController } from "../client/abort.ts";
import { createElapsedClock, type ElapsedClock } from "../client/elapsed-clock.ts";
import { isOver, type Lease, type LeaseGrant, type LeaseOver, standingOf } from "../client/lease.ts";
import {
  createLeaseKeeper,
  type KeepAliveReply,
  type KeepAliveRequest,
  type LeaseKeeper,
} from "../client/lease-keeper.ts";
import { apiFailure, mustSucceed } from "./api-failure.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer, HttpClient } from "./http-client.ts";

export type { LeaseOver } from "../client/lease.ts";

export interface SessionLease {
  readonly sessionId: string;
  readonly sessionRef: string;
  /** True when it was opened here: then it is closed here too. */
  readonly isOwn: boolean;
  /** Of claims that name none, when the session names one. Known of an own session only. */
  readonly lockDelayMs: number | undefined;
  readonly keeper: LeaseKeeper;
  /** Milliseconds since the renewal that counts was sent. */
  readonly renewedAgoMs: number;
  /** Until the deadline; 0 when it has passed. */
  leftMs(): number;
  /** One renewal, tried until the deadline. Undefined: it worked. Rejects with an aborted signal's reason. */
  renew(claimId: string | undefined, signal?: AbortSignal): Promise<LeaseOver | undefined>;
  /** Renews until something is over or the signal is aborted (undefined then). `claimId` is asked at every answer. */
  keep(claimId: () => string | undefined, signal: AbortSignal): Promise<LeaseOver | undefined>;
  /**
   * Tells the cluster that every end it has told of was acted on, so that hand-back may end. Best effort, and only for an
   * own session: of a borrowed one others may still believe in a claim. SEMANTICS §4.
   */
  acknowledge(): Promise<void>;
  /** A clean end of the session; best effort, within two seconds. Only for an own one that has not lapsed. */
  close(): Promise<void>;
}

const closeMsMax = 2000;

/** A new session, under an id made here, so that a repeated request finds the same one. */
export async function openLease(
  client: HttpClient,
  options: {
    readonly ttlMs: number | undefined;
    readonly label: string | undefined;
    readonly signal: AbortSignal;
  },
): Promise<SessionLease> {
  const { ttlMs, label, signal } = options;
  const sessionId = randomBytes(16).toString("hex");
  const body = {
    sessionId,
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(label === undefined ? {} : { label }),
  };
  const clock = createElapsedClock();
  const answer = mustSucceed(await client.request({ method: "POST", path: "/v1/sessions", body, signal }));
  return new HttpLease(client, { sessionId, isOwn: true, clock, answer });
}

/** A session that somebody else opened: renewed at once, to see that it lives. Rejects with CliError if it does not. */
export async function adoptLease(
  client: HttpClient,
  sessionId: string,
  signal: AbortSignal,
): Promise<SessionLease> {
  const clock = createElapsedClock();
  const request = { method: "POST", path: keepAlivePath(sessionId), body: {}, signal } as const;
  const answer = mustSucceed(await client.request(request));
  return new HttpLease(client, { sessionId, isOwn: false, clock, answer });
}

function keepAlivePath(sessionId: string): string {
  return `/v1/sessions/${sessionId}:keepalive`;
}

class HttpLease implements SessionLease {
  readonly sessionId: string;
  readonly sessionRef: string;
  readonly isOwn: boolean;
  readonly lockDelayMs: number | undefined;
  readonly keeper: LeaseKeeper;
  readonly #client: HttpClient;
  readonly #clock: ElapsedClock;

  constructor(
    client: HttpClient,
    start: {
      readonly sessionId: string;
      readonly isOwn: boolean;
      /** Made when the request was sent: its answer counts from 0. */
      readonly clock: ElapsedClock;
      readonly answer: ApiAnswer;
    },
  ) {
    const { sessionId, isOwn, clock, answer } = start;
    const { sessionRef, lockDelayMs } = answer.body;
    if (typeof sessionRef !== "string") throw noSession(answer);
    this.#client = client;
    this.#clock = clock;
    this.sessionId = sessionId;
    this.sessionRef = sessionRef;
    this.isOwn = isOwn;
    this.lockDelayMs = typeof lockDelayMs === "number" ? lockDelayMs : undefined;
    const ask = (request: KeepAliveRequest) => this.#ask(request);
    this.keeper = createLeaseKeeper({ clock, grant: grantIn(answer), sentAtMs: 0, ask });
  }

  get renewedAgoMs(): number {
    return this.#clock.now() - this.keeper.current().renewedAtMs;
  }

  leftMs(): number {
    const lease = this.keeper.current();
    return isOver(lease) ? 0 : lease.validUntilMs - lease.nowMs;
  }

  async renew(claimId: string | undefined, signal?: AbortSignal): Promise<LeaseOver | undefined> {
    return overOf(await this.keeper.renew({ signal }), claimId);
  }

  async keep(claimId: () => string | undefined, signal: AbortSignal): Promise<LeaseOver | undefined> {
    const { controller, release } = deriveController(signal);
    const observe = (lease: Lease) => {
      if (overOf(lease, claimId()) !== undefined) controller.abort();
    };
    try {
      const lease = await this.keeper.keep(controller.signal, observe);
      return signal.aborted ? undefined : overOf(lease, claimId());
    } finally {
      release();
    }
  }

  /** A node that refuses what cannot be refused is one that did not answer: the deadline decides. */
  async #ask({ leftMs, seen, signal }: KeepAliveRequest): Promise<KeepAliveReply> {
    try {
      const answer = await this.#client.request({
        method: "POST",
        path: keepAlivePath(this.sessionId),
        body: seen === undefined ? {} : { seen },
        signal,
        timeoutMs: leftMs,
        // A node that hangs must leave time to ask another one.
        attemptMs: Math.max(250, leftMs / 4),
      });
      if (answer.status === 404 || answer.status === 410) {
        return { kind: "gone", detail: apiFailure(answer).failure.detail };
      }
      return answer.status === 200 ? { kind: "granted", grant: grantIn(answer) } : { kind: "unanswered" };
    } catch (error) {
      if (error instanceof CliError) return { kind: "unanswered" };
      throw error;
    }
  }

  async acknowledge(): Promise<void> {
    const { ended, revision } = this.keeper.current();
    if (!this.isOwn || ended.length === 0 || revision === 0 || this.leftMs() === 0) return;
    const request = {
      method: "POST",
      path: keepAlivePath(this.sessionId),
      body: { seen: revision },
      timeoutMs: closeMsMax,
    } as const;
    await this.#client.request(request).catch(() => {});
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

function overOf(lease: Lease, claimId: string | undefined): LeaseOver | undefined {
  const standing = standingOf(lease, claimId);
  return standing.kind === "over" ? standing.over : undefined;
}

function grantIn(answer: ApiAnswer): LeaseGrant {
  const { leaseMs, ttlMs, renewAfterMs, revision, ended } = answer.body;
  if (typeof leaseMs !== "number" || typeof renewAfterMs !== "number") throw noSession(answer);
  return {
    leaseMs,
    ttlMs: typeof ttlMs === "number" ? ttlMs : leaseMs,
    renewAfterMs,
    revision: typeof revision === "number" ? revision : 0,
    ended: Array.isArray(ended) ? (ended as readonly EndedHold[]) : [],
  };
}

function noSession({ text }: ApiAnswer): CliError {
  const detail = `the answer is no session: ${text.slice(0, 200)}`;
  return new CliError({ exitCode: exitCodes.failed, code: "unexpected-answer", detail });
}
