/**
 * The HTTP API as the commands use it. Finds the leader, goes on to the next node when one fails, repeats what may be
 * repeated: every request carries its own ids, so doing it twice is doing it once. Gives back every answer that
 * decides something; throws only when no node gave one in time.
 */
import { sleep } from "../client/abort.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import { type Attempt, attempt, type Trouble } from "./http-attempt.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With its query, encoded. */
  readonly path: string;
  /** Sent byte for byte the same in every attempt. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Presented as `Holdfast-Session`. */
  readonly sessionId?: string;
  /** How long the server may hold the request before it answers, milliseconds; default 0. */
  readonly heldMs?: number;
  /** Instead of the client's own. */
  readonly timeoutMs?: number;
  readonly attemptMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  /** As it came. */
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface HttpClient {
  /** As they were given, and those that were learned. */
  readonly endpoints: readonly string[];
  /** Rejects with CliError 69, or with the reason of an aborted signal. */
  request(request: ApiRequest): Promise<ApiAnswer>;
  /** Asks the cluster for its members, to have more nodes to go to. Best effort. */
  learnMembers(): Promise<void>;
}

export interface HttpClientOptions {
  /** Origins, at least one. */
  readonly endpoints: readonly string[];
  /** In all, for one request; time that the server may hold it comes on top. */
  readonly timeoutMs: number;
  /** For one attempt. Default 5000. */
  readonly attemptMs?: number;
}

const defaultAttemptMs = 5000;
/** Where nobody listens at all, nobody will soon: no use in trying on for long. */
const nobodyListensMs = 2000;
const redirectsMax = 5;
const pauseMsMin = 50;
const pauseMsMax = 1000;

export function createHttpClient(options: HttpClientOptions): HttpClient {
  return new RotatingClient(options);
}

class RotatingClient implements HttpClient {
  readonly #options: HttpClientOptions;
  #endpoints: readonly string[];
  /** Where the last answer came from: the leader, mostly. */
  #origin: string;
  #next = 0;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#endpoints = options.endpoints;
    this.#origin = options.endpoints[0] ?? "";
  }

  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  async request(request: ApiRequest): Promise<ApiAnswer> {
    const timeoutMs = request.timeoutMs ?? this.#options.timeoutMs;
    const ownMs = request.attemptMs ?? this.#options.attemptMs ?? defaultAttemptMs;
    const attemptMs = Math.min(ownMs, timeoutMs) + (request.heldMs ?? 0);
    const startedMs = performance.now();
    const deadlineMs = startedMs + timeoutMs + (request.heldMs ?? 0);
    let origin = this.#origin;
    let redirects = 0;
    let failures = 0;
    let isAnybody = false;
    let answered: Trouble | undefined;
    for (;;) {
      request.signal?.throwIfAborted();
      const leftMs = Math.max(1, deadlineMs - performance.now());
      const result: Attempt = await attempt(origin, request, Math.min(attemptMs, leftMs));
      if (result.kind === "answer") {
        this.#origin = origin;
        return result.answer;
      }
      if (result.kind === "redirect" && redirects < redirectsMax) {
        redirects++;
        isAnybody = true;
        origin = result.origin;
        continue;
      }
      redirects = 0;
      const trouble = result.kind === "redirect" ? circle(origin) : result.trouble;
      if (trouble.kind !== "refused") isAnybody = true;
      if (trouble.kind === "answered") answered = trouble;
      const isNobody = !isAnybody && performance.now() - startedMs > nobodyListensMs;
      const pauseMs = this.#pauseMs(failures++, trouble);
      if (isNobody || performance.now() + pauseMs >= deadlineMs) {
        // The last attempt may have had no time left: what a node said before tells more than that.
        throw this.#unavailable(trouble.kind === "late" ? (answered ?? trouble) : trouble);
      }
      await sleep(pauseMs, request.signal);
      origin = this.#after(origin);
    }
  }

  /** Goes through the nodes at once, then waits longer from round to round. Spread, so that clients do not march. */
  #pauseMs(failures: number, trouble: Trouble): number {
    if (trouble.retryAfterMs !== undefined) return Math.min(trouble.retryAfterMs, 2 * pauseMsMax);
    const round = Math.floor(failures / this.#endpoints.length);
    if ((failures + 1) % this.#endpoints.length !== 0) return 0;
    return Math.min(pauseMsMin * 2 ** round, pauseMsMax) * (0.5 + Math.random() / 2);
  }

  /** The endpoints in turn, never the one that was tried just now if there is another. */
  #after(tried: string): string {
    const count = this.#endpoints.length;
    for (let step = 0; step < count; step++) {
      const origin = this.#endpoints[this.#next++ % count];
      if (origin !== undefined && origin !== tried) return origin;
    }
    return this.#endpoints[0] ?? tried;
  }

  async learnMembers(): Promise<void> {
    try {
      const { body } = await this.request({ method: "GET", path: "/v1/cluster" });
      const members = (body["members"] ?? []) as readonly { readonly http?: unknown }[];
      const learned = members.flatMap(({ http }) => (typeof http === "string" ? [originOf(http)] : []));
      this.#endpoints = [...new Set([...this.#endpoints, ...learned])];
    } catch {
      // The endpoints that were given have to do.
    }
  }

  #unavailable({ kind, text, code }: Trouble): CliError {
    const asked = this.#endpoints.join(", ");
    if (kind === "answered") {
      const detail = `the cluster does not serve this now: ${text}\nIt may be electing a leader, or a majority of its nodes is down; \`holdfast cluster status\` says more.`;
      return new CliError({ exitCode: exitCodes.unavailable, code: code ?? "unavailable", detail });
    }
    const detail = `no node answers (${text}); asked: ${asked}\nStart a cluster here with \`holdfast dev\`, or name its nodes with --endpoint or HOLDFAST_ENDPOINTS.`;
    const isLate = kind === "late";
    return new CliError({
      exitCode: exitCodes.unavailable,
      code: isLate ? "timeout" : "unreachable",
      detail,
    });
  }
}

function circle(origin: string): Trouble {
  return {
    kind: "answered",
    text: `${origin} and others redirect in a circle`,
    code: "no-leader",
    retryAfterMs: undefined,
  };
}

function originOf(address: string): string {
  return new URL(address.includes("://") ? address : `http://${address}`).origin;
}
