/**
 * `holdfast release`: gives a claim back. Says loudly (90) when it had been lost before: work may have run unprotected.
 */
import { apiFailure } from "../api-failure.ts";
import { readClaimFile, removeClaimFile } from "../claim-file.ts";
import { claimIdOf, connect, sessionIdOf } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { CliError, exitCodes, usageError } from "../exit-codes.ts";
import type { HttpClient } from "../http-client.ts";
import type { ConnectionOptions } from "../options.ts";
import { properties } from "../output.ts";

export interface ReleaseOptions extends ConnectionOptions {
  readonly session?: string;
  readonly claimFile?: string;
}

export async function release({ operands, options, output }: Invocation<ReleaseOptions>): Promise<number> {
  const [operand] = operands;
  const { claimFile } = options;
  if ((operand === undefined) === (claimFile === undefined)) {
    throw usageError("name one claim: its id, or the file that acquire --claim-file wrote");
  }
  const record = claimFile === undefined ? undefined : readClaimFile(claimFile);
  const claimId = record?.claimId ?? claimIdOf(operand ?? "");
  const sessionId = record?.sessionId ?? sessionIdOf(options.session, "name it with --session");
  const client = connect(options, record?.endpoints);
  const path = `/v1/claims/${claimId}`;
  const answer = await client.request({ method: "DELETE", path, sessionId });
  const isOver = answer.status === 200 || isLost(answer.body["code"]);
  if (isOver && record?.ownSession === true) await closeSession(client, sessionId);
  if (isOver && claimFile !== undefined) removeClaimFile(claimFile);
  if (answer.status !== 200) throw failureOf(apiFailure(answer), claimFile);
  const { reason } = answer.body;
  output.data(
    answer,
    properties([
      ["lock", record?.lock],
      ["claim", claimId],
      ["state", `ended (${String(reason)})`],
    ]),
  );
  return exitCodes.ok;
}

/** The session's end is the claim's, and it came before this release. */
function isLost(code: unknown): boolean {
  return code === "claim-lost" || code === "session-expired";
}

function failureOf({ failure }: CliError, claimFile: string | undefined): CliError {
  if (isLost(failure.code)) return new CliError({ ...failure, exitCode: exitCodes.lost });
  if (failure.code !== "not-found" || claimFile === undefined) return new CliError(failure);
  const detail = `${failure.detail}\nThe cluster knows nothing of it any more: remove ${claimFile}.`;
  return new CliError({ ...failure, detail });
}

/** It was opened for the claim alone, and nothing renews it: where this fails, it ends by itself. */
async function closeSession(client: HttpClient, sessionId: string): Promise<void> {
  await client.request({ method: "DELETE", path: `/v1/sessions/${sessionId}` }).catch(() => {});
}
