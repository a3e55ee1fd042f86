/**
 * What commands that talk to a cluster begin with: a client for the endpoints, names and ids that were checked.
 */
import { isClaimId, isSessionId, lockNameFault } from "../api/names.ts";
import { usageError } from "./exit-codes.ts";
import { createHttpClient, type HttpClient } from "./http-client.ts";
import { type ConnectionOptions, defaultEndpoint } from "./options.ts";

export function connect(
  options: ConnectionOptions,
  otherwise: readonly string[] = [defaultEndpoint],
): HttpClient {
  return createHttpClient({ endpoints: options.endpoint ?? otherwise, timeoutMs: options.timeout });
}

/** The name of a lock; throws what is wrong with it. */
export function lockNameOf(operand: string | undefined): string {
  const name = operand ?? "";
  const fault = lockNameFault(name);
  if (fault !== undefined) throw usageError(`the name ${JSON.stringify(name)} ${fault}`);
  return name;
}

export function claimIdOf(operand: string): string {
  if (isClaimId(operand)) return operand;
  throw usageError(`${JSON.stringify(operand)} is no claim id: 1 to 64 letters, digits and .-_~`);
}

/** Operand, flag or environment; `what` says how to give it. */
export function sessionIdOf(given: string | undefined, what: string): string {
  const id = given ?? process.env["HOLDFAST_SESSION"] ?? "";
  if (id === "") throw usageError(`the session is missing: ${what}, or set HOLDFAST_SESSION`);
  if (isSessionId(id)) return id;
  throw usageError("that is no session id: 16 to 64 letters, digits and .-_~");
}
