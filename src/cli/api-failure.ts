/**
 * Answers that refuse, as failures of a command: what a person reads and which code it exits with.
 */
import { CliError, type CliFailure, exitCodes } from "./exit-codes.ts";
import type { ApiAnswer } from "./http-client.ts";
import { blockersText } from "./wording.ts";

/** `answer` is no 2xx. */
export function apiFailure(answer: ApiAnswer): CliError {
  const { status, body, text } = answer;
  const code = typeof body["code"] === "string" ? body["code"] : `http-${status}`;
  const detail = code === "locked" ? lockedText(body) : detailOf(answer);
  const failure: CliFailure = { exitCode: exitCodeFor(status, code), code, detail, body: text };
  return new CliError({
    ...failure,
    detail: [detail, ...invalidFields(body), ...blockersText(body)].join("\n  "),
  });
}

/** The server speaks of `waitMs`, which is not a word of the command line. */
function lockedText({ reason }: Readonly<Record<string, unknown>>): string {
  return `the lock was not acquired${typeof reason === "string" ? ` (${reason})` : ""}`;
}

function detailOf({ status, body }: ApiAnswer): string {
  return typeof body["detail"] === "string" ? body["detail"] : `the node answers ${status}`;
}

function exitCodeFor(status: number, code: string): number {
  if (code === "claim-lost") return exitCodes.lost;
  if (status === 423 || code === "deadlock") return exitCodes.notAcquired;
  if (status === 401 || status === 403) return exitCodes.notAllowed;
  if (status === 400 || status === 422) return exitCodes.usage;
  return exitCodes.failed;
}

function invalidFields(body: Readonly<Record<string, unknown>>): readonly string[] {
  const errors = Array.isArray(body["errors"]) ? (body["errors"] as unknown[]) : [];
  return errors.flatMap((error) => {
    const { path, message } = error as { readonly path?: unknown; readonly message?: unknown };
    return typeof message === "string" ? [`${String(path ?? "")} ${message}`] : [];
  });
}

/** The answer, when it says that it was done. Throws otherwise. */
export function mustSucceed(answer: ApiAnswer): ApiAnswer {
  if (answer.status >= 200 && answer.status < 300) return answer;
  throw apiFailure(answer);
}
