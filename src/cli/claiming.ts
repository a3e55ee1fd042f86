/**
 * From "I want this lock" to a held claim, through waiting, changes of leader and timed-out polls. Every request
 * names its claim, so that a repeated one never takes a second place in the queue.
 */
import { randomBytes } from "node:crypto";
import { encodeLockName, pollMsMax } from "../api/names.ts";
import { apiFailure } from "./api-failure.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer, HttpClient } from "./http-client.ts";
import type { SessionLease } from "./lease.ts";

export interface ClaimRequest {
  readonly client: HttpClient;
  readonly lease: SessionLease;
  readonly lock: string;
  /** Milliseconds; 0 only tries, undefined waits without limit. */
  readonly waitMs: number | undefined;
  readonly lockDelayMs: number | undefined;
  readonly signal: AbortSignal;
  /** A claim of this id is about to be asked for. */
  asking(claimId: string): void;
  /** It waits now; called at most once. */
  waiting(answer: ApiAnswer): void;
}

export interface HeldClaim {
  readonly claimId: string;
  /** Says `held`. */
  readonly answer: ApiAnswer;
}

/** Longest wait that one claim may ask for, unless the cluster says less; a limitless one is several claims. */
const defaultWaitMsMax = 86_400_000;

/** The first answer comes that soon, so that a person hears early what is waited for. */
const firstPollMs = 500;

/** Rejects with CliError (75 when it was not acquired), or with an aborted signal's reason. */
export async function claimLock(request: ClaimRequest): Promise<HeldClaim> {
  const startedMs = performance.now();
  let waitMsMax = defaultWaitMsMax;
  let waiting: ((answer: ApiAnswer) => void) | undefined = request.waiting;
  for (let count = 1; ; count++) {
    const claimId = claimIdFor(request.lease, count);
    const leftMs =
      request.waitMs === undefined
        ? waitMsMax
        : Math.max(0, request.waitMs - (performance.now() - startedMs));
    request.asking(claimId);
    let answer = await ask(request, claimId, Math.floor(Math.min(leftMs, waitMsMax)));
    while (answer.body["state"] === "waiting") {
      waiting?.(answer);
      waiting = undefined;
      answer = await poll(request, claimId);
    }
    if (answer.status === 200 && answer.body["state"] === "held") return { claimId, answer };
    if (answer.status === 422 && request.waitMs === undefined && waitMsMax === defaultWaitMsMax) {
      waitMsMax = await shorterWaitMs(request);
      continue;
    }
    // The server gives up a place for us when a connection broke, and a limitless wait outlives the longest claim.
    const canGoOn = request.waitMs === undefined || performance.now() - startedMs < request.waitMs;
    const ending = endingOf(answer);
    if (canGoOn && (ending === "cancelled" || (ending === "wait-timeout" && request.waitMs !== 0))) continue;
    throw notAcquired(answer, ending);
  }
}

/** Ids of the session's own form are remembered for ever; a borrowed session's count is not ours to know. */
function claimIdFor({ isOwn, sessionRef }: SessionLease, count: number): string {
  return isOwn ? `${sessionRef}_${count}` : `c_${randomBytes(16).toString("hex")}`;
}

function ask(request: ClaimRequest, claimId: string, waitMs: number): Promise<ApiAnswer> {
  const { client, lease, lock, lockDelayMs, signal } = request;
  const pollMs = Math.min(waitMs, firstPollMs);
  const { sessionId } = lease;
  const body = { sessionId, claimId, waitMs, pollMs, ...(lockDelayMs === undefined ? {} : { lockDelayMs }) };
  const path = `/v1/locks/${encodeLockName(lock)}:acquire`;
  return client.request({ method: "POST", path, body, heldMs: pollMs, signal });
}

function poll({ client, lease, signal }: ClaimRequest, claimId: string): Promise<ApiAnswer> {
  const path = `/v1/claims/${claimId}?pollMs=${pollMsMax}`;
  const { sessionId } = lease;
  return client.request({ method: "GET", path, sessionId, heldMs: pollMsMax, signal });
}

/** What the cluster's own limit allows; a little less than the default when that is not known. */
async function shorterWaitMs({ client, signal }: ClaimRequest): Promise<number> {
  const { body } = await client.request({ method: "GET", path: "/v1/cluster", signal });
  const { waitMsMax } = (body["settings"] ?? {}) as { readonly waitMsMax?: unknown };
  return Math.min(typeof waitMsMax === "number" ? waitMsMax : 60_000, defaultWaitMsMax - 1);
}

/** Why the claim is no more, whichever way the answer says it. */
function endingOf({ status, body }: ApiAnswer): string | undefined {
  if (status === 200 && body["state"] === "ended") return String(body["reason"]);
  if (body["code"] === "wait-timeout") return "wait-timeout";
  return body["code"] === "claim-ended" ? "cancelled" : undefined;
}

function notAcquired(answer: ApiAnswer, ending: string | undefined): CliError {
  if (answer.status !== 200) return apiFailure(answer);
  const isOutOfTime = ending === "wait-timeout" || ending === "refused";
  const detail = isOutOfTime
    ? "the lock was not acquired in time"
    : `the lock was not acquired: the claim has ended (${ending ?? "for no known reason"})`;
  const exitCode = isOutOfTime ? exitCodes.notAcquired : exitCodes.failed;
  return new CliError({ exitCode, code: ending ?? "claim-ended", detail, body: answer.text });
}
