/**
 * From "I want this" to a held claim, through waiting, changes of leader and timed-out polls. Every request names its
 * claim, so that a repeated one never takes a second place in the queue. The session is renewed meanwhile.
 */
import { randomBytes } from "node:crypto";
import { encodeLockName, pollMsMax } from "../api/names.ts";
import { deriveController, sleep } from "../client/abort.ts";
import type { LeaseOver } from "../client/lease.ts";
import { apiFailure } from "./api-failure.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer, HttpClient } from "./http-client.ts";
import type { SessionLease } from "./lease.ts";

/** What is claimed. */
export type ClaimTarget =
  | { readonly kind: "lock"; readonly name: string; readonly mode: "exclusive" | "shared" }
  | {
      readonly kind: "semaphore";
      readonly name: string;
      readonly permits: number;
      /** Undefined: it must exist. */
      readonly capacity: number | undefined;
    };

export interface ClaimRequest {
  readonly client: HttpClient;
  readonly lease: SessionLease;
  readonly target: ClaimTarget;
  /** Milliseconds; 0 only tries, undefined waits without limit. */
  readonly waitMs: number | undefined;
  readonly lockDelayMs: number | undefined;
  readonly maxHoldMs?: number | undefined;
  /** Which thread of control asks. Undefined: the claim stands for itself. */
  readonly owner?: string | undefined;
  readonly signal: AbortSignal;
  /** A claim of this id is about to be asked for. */
  asking(claimId: string): void;
  /** It waits now; called at every answer that says so. */
  waiting(answer: ApiAnswer): void;
}

export interface HeldClaim {
  readonly claimId: string;
  /** Says `held`; as the claim of a 409 when the owner has it already. */
  readonly answer: ApiAnswer;
  /** The same owner holds it already, by the claim named here: nothing new was acquired, and nothing is to be released. */
  readonly isCovered: boolean;
}

/** Longest wait that one claim may ask for, unless the cluster says less; a limitless one is several claims. */
const defaultWaitMsMax = 86_400_000;

/** The first answer comes that soon, or after half of the wait: a person hears early what is waited for, and in any case. */
const firstPollMs = 500;

/** Between two attempts of an owner that waits for something else already. */
const otherWaitMs = 500;

/** Rejects with CliError (75 when it was not acquired or the session was lost), or with an aborted signal's reason. */
export async function claimAndRenew(request: ClaimRequest): Promise<HeldClaim> {
  const { lease } = request;
  const { controller, release } = deriveController(request.signal);
  const renewing = lease.keep(() => undefined, controller.signal);
  try {
    const claiming = claim({ ...request, signal: controller.signal });
    claiming.catch(() => {});
    const result = await Promise.race([claiming, renewing]);
    if (result === undefined) return await claiming;
    if (!("claimId" in result)) throw sessionLost(result);
    if (lease.leftMs() === 0) throw sessionLost({ kind: "lapsed" });
    return result;
  } finally {
    release();
    controller.abort();
  }
}

async function claim(request: ClaimRequest): Promise<HeldClaim> {
  const startedMs = performance.now();
  let waitMsMax = defaultWaitMsMax;
  for (let count = 1; ; count++) {
    const claimId = claimIdFor(request.lease, count);
    const leftMs =
      request.waitMs === undefined
        ? waitMsMax
        : Math.max(0, request.waitMs - (performance.now() - startedMs));
    request.asking(claimId);
    let answer = await ask(request, claimId, Math.floor(Math.min(leftMs, waitMsMax)));
    while (answer.body["state"] === "waiting") {
      request.waiting(answer);
      answer = await poll(request, claimId);
    }
    if (answer.status === 200 && answer.body["state"] === "held") {
      return { claimId, answer, isCovered: false };
    }
    const covering = coveringClaim(answer);
    if (covering !== undefined) return covering;
    if (answer.status === 422 && request.waitMs === undefined && waitMsMax === defaultWaitMsMax) {
      waitMsMax = await shorterWaitMs(request);
      continue;
    }
    // The server gives up a place for us when a connection broke, and a limitless wait outlives the longest claim.
    const canGoOn = request.waitMs === undefined || performance.now() - startedMs < request.waitMs;
    const ending = endingOf(answer);
    if (canGoOn && (ending === "cancelled" || (ending === "wait-timeout" && request.waitMs !== 0))) continue;
    if (canGoOn && ending === "already-waiting") {
      await sleep(otherWaitMs, request.signal);
      continue;
    }
    throw notAcquired(answer, ending);
  }
}

/** Ids of the session's own form are remembered for ever; a borrowed session's count is not ours to know. */
function claimIdFor({ isOwn, sessionRef }: SessionLease, count: number): string {
  return isOwn ? `${sessionRef}_${count}` : `c_${randomBytes(16).toString("hex")}`;
}

function ask(request: ClaimRequest, claimId: string, waitMs: number): Promise<ApiAnswer> {
  const { client, lease, target, lockDelayMs, maxHoldMs, owner, signal } = request;
  const pollMs = Math.min(Math.floor(waitMs / 2), firstPollMs);
  const body = {
    sessionId: lease.sessionId,
    claimId,
    waitMs,
    pollMs,
    ...targetFields(target),
    ...(lockDelayMs === undefined ? {} : { lockDelayMs }),
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
    ...(owner === undefined ? {} : { owner }),
  };
  return client.request({ method: "POST", path: acquirePath(target), body, heldMs: pollMs, signal });
}

function acquirePath({ kind, name }: ClaimTarget): string {
  return `/v1/${kind === "lock" ? "locks" : "semaphores"}/${encodeLockName(name)}:acquire`;
}

/** What is the default is left out. */
function targetFields(target: ClaimTarget): Readonly<Record<string, unknown>> {
  if (target.kind === "lock") return target.mode === "shared" ? { mode: "shared" } : {};
  const { permits, capacity } = target;
  return { permits, ...(capacity === undefined ? {} : { capacity }) };
}

function poll({ client, lease, signal }: ClaimRequest, claimId: string): Promise<ApiAnswer> {
  const path = `/v1/claims/${claimId}?pollMs=${pollMsMax}`;
  const { sessionId } = lease;
  return client.request({ method: "GET", path, sessionId, heldMs: pollMsMax, signal });
}

/** 409 `already-held` carries the claim of the same owner that covers this one. */
function coveringClaim({ status, body }: ApiAnswer): HeldClaim | undefined {
  if (status !== 409 || body["code"] !== "already-held") return undefined;
  const held = body["claim"] as Readonly<Record<string, unknown>> | undefined;
  const claimId = held?.["claimId"];
  if (held === undefined || typeof claimId !== "string") return undefined;
  return { claimId, answer: { status: 200, text: JSON.stringify(held), body: held }, isCovered: true };
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
  const { code } = body;
  if (code === "wait-timeout" || code === "already-waiting") return code;
  return code === "claim-ended" ? "cancelled" : undefined;
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

/** The session did not outlive the wait. */
export function sessionLost(over: LeaseOver): CliError {
  const [exitCode, code, why] =
    over.kind === "lapsed"
      ? [exitCodes.unavailable, "lapsed", "the session could not be renewed in time"]
      : over.kind === "session-ended"
        ? [exitCodes.failed, "session-expired", `the session is over: ${over.detail}`]
        : [exitCodes.lost, "claim-lost", `the claim has ended (${over.reason})`];
  return new CliError({ exitCode, code, detail: `not acquired: ${why}` });
}
