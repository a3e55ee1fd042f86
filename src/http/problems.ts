/**
 * Errors as the wire wants them: RFC 9457 problem documents, and the headers that every answer carries.
 * The rows come from the one catalogue; nothing here decides what went wrong.
 */
import { type ErrorCode, errorEntry, errorType } from "../api/errors.ts";
import type { FieldError, ProblemBody } from "../api/types.ts";
import { InvariantError } from "../base/assert.ts";
import type { HttpServerOptions } from "./contract.ts";

export const problemType = "application/problem+json; charset=utf-8";
export const jsonType = "application/json; charset=utf-8";

export type Facts = Readonly<Record<string, unknown>>;

/** A refusal before it has a request: what `problemBody` and the exchange make an answer of. */
export interface Problem {
  readonly code: ErrorCode;
  /** A sentence for a person that says what to do. */
  readonly detail: string;
  readonly facts?: Facts;
}

/** What became of one operation, alone or in a batch. `claimId`: its answer names this live claim. */
export type OperationResult =
  | { readonly status: number; readonly body: object; readonly claimId?: string }
  | { readonly problem: Problem };

/** Thrown by whatever reads a request; answered by the error handler. Never for outcomes of the cluster. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** A body, query or path that is not what the endpoint takes. */
export function invalid(path: string, message: string): ProblemError {
  const errors: readonly FieldError[] = [{ path, message }];
  return new ProblemError({ code: "invalid", detail: `${path} ${message}`, facts: { errors } });
}

export function badRequest(detail: string): ProblemError {
  return new ProblemError({ code: "bad-request", detail });
}

/** Says that there is a bug, to whoever runs this node and to whoever asked. */
export function bugFound(options: HttpServerOptions, error: unknown, requestId: string): Problem {
  if (options.internalError !== undefined) options.internalError(error, requestId);
  else if (error instanceof InvariantError) {
    setImmediate(() => {
      throw error;
    });
  } else process.emitWarning(error instanceof Error ? error : String(error));
  return { code: "internal", detail: "This is a bug in the server; please report it with the request id." };
}

export function problemBody({ code, detail, facts }: Problem, requestId: string): ProblemBody {
  const { title, status, retryable, retryAfterMs } = errorEntry(code);
  return {
    type: errorType(code),
    title,
    status,
    detail,
    instance: requestId,
    code,
    retryable,
    ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
    ...facts,
  };
}

/** `Retry-After` has whole seconds only; the body has the milliseconds. */
export function retryHeaders(code: ErrorCode): Record<string, string> {
  const { retryAfterMs } = errorEntry(code);
  return retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1000)) };
}

/** On every answer: who says it, in which term, having applied what. */
export function commonHeaders(options: HttpServerOptions, requestId: string): Record<string, string> {
  const headers: Record<string, string> = {
    "cache-control": "no-store",
    "holdfast-node": options.name,
    "holdfast-request-id": requestId,
  };
  const node = options.node();
  if (node !== undefined) {
    headers["holdfast-term"] = String(node.term);
    headers["holdfast-revision"] = String(node.staleView().revision);
  }
  return headers;
}
