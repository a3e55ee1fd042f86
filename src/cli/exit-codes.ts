/**
 * How a command ends: the codes of docs, and the one error that carries them. Nothing here prints.
 */

export const exitCodes = {
  ok: 0,
  /** An answer that no other code stands for. */
  failed: 1,
  usage: 64,
  /** No node answered, or none leads; nothing was acquired. */
  unavailable: 69,
  /** A fault of the disk or of the program itself. */
  fault: 70,
  cannotListen: 71,
  /** A file or directory that cannot be created or used. */
  cannotCreate: 73,
  /** Not acquired: held, or out of time. */
  notAcquired: 75,
  notAllowed: 77,
  configuration: 78,
  /** A lock was lost while it was relied on. */
  lost: 90,
  /** The command was ended because it may not hold the lock for longer. */
  maxHold: 91,
  /** `run`: a command that is there and cannot be executed, and one that is not there. */
  notExecutable: 126,
  notFound: 127,
} as const;

export interface CliFailure {
  readonly exitCode: number;
  /** A stable word for programs: one of the API's codes, or `usage`, `unreachable`, `timeout`, `configuration`, … */
  readonly code: string;
  /** A sentence, and on further lines what to do. */
  readonly detail: string;
  /** The body of the answer, printed unchanged where JSON is asked for. */
  readonly body?: string | undefined;
  readonly facts?: Readonly<Record<string, unknown>> | undefined;
}

/** Ends the command; `main.ts` prints it and exits with its code. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly failure: CliFailure;

  constructor(failure: CliFailure, cause?: unknown) {
    super(failure.detail, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}

export function usageError(detail: string): CliError {
  return new CliError({ exitCode: exitCodes.usage, code: "usage", detail });
}

/** Any error as the failure it means; errors of other parts carry their own `exitCode`. */
export function asFailure(error: unknown): CliFailure {
  if (error instanceof CliError) return error.failure;
  const { name, message, exitCode, code, problems } = error as {
    readonly name?: string;
    readonly message?: string;
    readonly exitCode?: unknown;
    readonly code?: unknown;
    readonly problems?: unknown;
  };
  if (name === "ConfigError") {
    const detail = message ?? "";
    return { exitCode: exitCodes.configuration, code: "configuration", detail, facts: { problems } };
  }
  if (name === "ListenError" || name === "HttpListenError") {
    const detail = `${message}\nStop that process, or give this node another address in the cluster file.`;
    return { exitCode: exitCodes.cannotListen, code: "cannot-listen", detail };
  }
  if (typeof exitCode === "number" && name !== "CommanderError") {
    return { exitCode, code: typeof code === "string" ? code : "failed", detail: message ?? String(error) };
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exitCode: exitCodes.fault, code: "internal", detail: `an internal error: ${detail}` };
}
