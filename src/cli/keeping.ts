/**
 * Holding on to a claim in the foreground: renews its session, releases it when asked to stop, and says at once when
 * it can no longer be relied on. After a loss nothing is released or closed: the work under it may still run, and
 * only the lock-delay of an unclean end keeps others out meanwhile.
 */
import { unreachable } from "../base/assert.ts";
import { apiFailure } from "./api-failure.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer, HttpClient } from "./http-client.ts";
import type { LeaseOver, SessionLease } from "./lease.ts";
import type { Output } from "./output.ts";
import { age } from "./wording.ts";

export interface Hold {
  readonly client: HttpClient;
  readonly output: Output;
  readonly lock: string;
  readonly lease: SessionLease;
  readonly claimId: string;
  /** Aborted: release and end. */
  readonly signal: AbortSignal;
}

const releaseMsMax = 5000;

/** 0 when it was released, 90 when it was lost; throws CliError when nobody could be told of the release. */
export async function holdOn({ client, output, lock, lease, claimId, signal }: Hold): Promise<number> {
  void client.learnMembers();
  const over = await lease.keep(() => claimId, signal);
  if (over !== undefined) {
    const detail = `${lock} is lost: ${lossText(over)}\nStop at once whatever relies on it.`;
    output.failure({ exitCode: exitCodes.lost, code: "claim-lost", detail });
    return exitCodes.lost;
  }
  const leftMs = lease.leftMs();
  let answer: ApiAnswer;
  try {
    answer = await releaseHold(client, lease, claimId);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const { failure } = error;
    const detail = `${lock} could not be released and ends by itself within ${age(leftMs)}: ${failure.detail}`;
    throw new CliError({ ...failure, detail }, error);
  }
  if (answer.status !== 200) throw apiFailure(answer);
  await lease.close();
  output.note("released", `released ${lock}`);
  return exitCodes.ok;
}

/** Whatever the answer is. */
export function releaseHold(
  client: HttpClient,
  { sessionId }: SessionLease,
  claimId: string,
): Promise<ApiAnswer> {
  const path = `/v1/claims/${claimId}`;
  return client.request({ method: "DELETE", path, sessionId, timeoutMs: releaseMsMax });
}

/** The end of a sentence: why a claim can no longer be relied on. */
export function lossText(over: LeaseOver): string {
  switch (over.kind) {
    case "lapsed":
      return "its session could not be renewed in time";
    case "session-ended":
      return `its session is over: ${over.detail}`;
    case "claim-ended":
      return `it was ended (${over.reason})`;
    default:
      return unreachable(over);
  }
}
