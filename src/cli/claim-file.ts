/**
 * The file that `acquire --claim-file` keeps for `release --claim-file`: session id, claim id and where they count.
 * Readable by its owner only, because a session id is a secret. It is there before the claim is asked for, so that a
 * crash in between leaves nothing that nobody can release.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { isClaimId, isSessionId } from "../api/names.ts";
import { CliError, exitCodes } from "./exit-codes.ts";

export interface ClaimRecord {
  readonly lock: string;
  readonly claimId: string;
  readonly sessionId: string;
  /** True: the session was opened for this claim and ends with it. */
  readonly ownSession: boolean;
  /** Absent until the claim is held. */
  readonly fence?: number | undefined;
  readonly endpoints: readonly string[];
}

/** Throws CliError (73) when the file is there already: it may be all that is left of a held claim. */
export function createClaimFile(path: string, record: ClaimRecord): void {
  write(path, record, "wx");
}

/** Puts another record in its place, whole or not at all. */
export function replaceClaimFile(path: string, record: ClaimRecord): void {
  const temporary = `${path}.${process.pid}.tmp`;
  write(temporary, record, "w");
  renameSync(temporary, path);
}

export function removeClaimFile(path: string): void {
  rmSync(path, { force: true });
}

/** Throws CliError: 73 when it cannot be read, 64 when it holds something else. */
export function readClaimFile(path: string): ClaimRecord {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file; was the claim released already?" : message;
    throw fileError(`cannot read the claim file ${path}: ${why}`, error);
  }
  try {
    const record = JSON.parse(text) as ClaimRecord;
    const { lock, claimId, sessionId, ownSession, endpoints } = record;
    const isWhole =
      typeof lock === "string" &&
      isClaimId(String(claimId)) &&
      isSessionId(String(sessionId)) &&
      typeof ownSession === "boolean" &&
      Array.isArray(endpoints);
    if (isWhole) return record;
  } catch {
    // Falls through to the one message for everything that is no such record.
  }
  const detail = `${path} is no claim file\nName the file that \`holdfast acquire --claim-file\` wrote.`;
  throw new CliError({ exitCode: exitCodes.usage, code: "usage", detail });
}

function write(path: string, record: ClaimRecord, flag: "wx" | "w"): void {
  try {
    const file = openSync(path, flag, 0o600);
    try {
      writeSync(file, `${JSON.stringify({ format: 1, ...record }, undefined, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") throw fileError(`cannot write the claim file ${path}: ${message}`, error);
    const what = `the claim file ${path} is there already, and may be all that is left of a held claim`;
    throw fileError(
      `${what}\nRelease it with \`holdfast release --claim-file ${path}\`, or remove the file.`,
      error,
    );
  }
}

function fileError(detail: string, cause: unknown): CliError {
  return new CliError({ exitCode: exitCodes.cannotCreate, code: "claim-file", detail }, cause);
}
