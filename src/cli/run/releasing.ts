/**
 * Giving back a claim after its command has ended, and learning from the answer whether it was held to the end. Tried
 * until the cluster has ended the session by itself. SEMANTICS §3.
 */
import { sleep } from "../../client/abort.ts";
import { apiFailure } from "../api-failure.ts";
import { CliError } from "../exit-codes.ts";
import type { ApiAnswer, HttpClient } from "../http-client.ts";
import type { SessionLease } from "../lease.ts";

export type ReleaseOutcome =
  /** It was held until now. */
  | { readonly kind: "released" }
  /** It had ended before: the command ran unprotected, for a while at least. */
  | { readonly kind: "lost"; readonly detail: string }
  /** Nobody said; it ends by itself with its session. */
  | { readonly kind: "untold"; readonly detail: string; readonly leftMs: number };

const retryEveryMs = 250;
/** Also when the session must have ended by now: the answer is worth something. */
const tryMsMin = 2000;

/** Never rejects for want of an answer; an aborted signal ends the tries. */
export async function releaseClaim(request: {
  readonly client: HttpClient;
  readonly lease: SessionLease;
  readonly claimId: string;
  readonly signal: AbortSignal;
}): Promise<ReleaseOutcome> {
  const { client, lease, claimId, signal } = request;
  const { sessionId, keeper } = lease;
  const startedMs = keeper.clock.now();
  const { ttlUntilMs } = keeper.current();
  const untilMs = Math.max(ttlUntilMs, startedMs + tryMsMin);
  let detail = "no node answered";
  for (;;) {
    const leftMs = untilMs - keeper.clock.now();
    if (leftMs <= 0 || signal.aborted) {
      return { kind: "untold", detail, leftMs: Math.max(0, ttlUntilMs - keeper.clock.now()) };
    }
    try {
      const path = `/v1/claims/${claimId}`;
      const answer = await client.request({ method: "DELETE", path, sessionId, timeoutMs: leftMs, signal });
      const outcome = outcomeOf(answer);
      if (outcome !== undefined) return outcome;
      detail = apiFailure(answer).failure.detail;
    } catch (error) {
      if (error instanceof CliError) detail = error.failure.detail;
      else if (!signal.aborted) throw error;
    }
    await sleep(retryEveryMs, signal).catch(() => {});
  }
}

/** Undefined: an answer that says nothing about the claim. */
function outcomeOf(answer: ApiAnswer): ReleaseOutcome | undefined {
  const { status } = answer;
  if (status === 200) return { kind: "released" };
  if (status === 409 || status === 404 || status === 410 || status === 403) {
    return { kind: "lost", detail: apiFailure(answer).failure.detail };
  }
  return undefined;
}
