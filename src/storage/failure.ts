/**
 * Why a data directory cannot be created, used or trusted, in words for the person who must act on it.
 * The composition root prints `message` and exits with `exitCode`; nothing here is ever retried or repaired.
 */
import { InvariantError, unreachable } from "../base/assert.ts";
import { DecodeError } from "../codec/entry.ts";

export type DataDirectoryCode =
  /** There is no data directory here: `init` never ran. */
  | "missing"
  /** `init` found something in the directory. */
  | "not-empty"
  /** Another process has it open. */
  | "in-use"
  /** It belongs to a node of another name. */
  | "wrong-node"
  /** It belongs to a cluster of another name. */
  | "wrong-cluster"
  /** A later version of Holdfast wrote it. */
  | "newer-format"
  /** Not a directory, not readable, not writable, or the disk is full. */
  | "unusable"
  /** What is there contradicts itself. */
  | "damaged"
  /** What is there is whole but older than what this node has acknowledged. */
  | "lost";

/** 73: cannot be created or used. 78: must not be used with this configuration. 70: must not be trusted. */
export class DataDirectoryError extends Error {
  override readonly name = "DataDirectoryError";
  readonly code: DataDirectoryCode;
  readonly exitCode: 70 | 73 | 78;
  readonly path: string;

  constructor(
    failure: { readonly code: DataDirectoryCode; readonly path: string; readonly what: string },
    cause?: unknown,
  ) {
    super(`${failure.what}\n${remedy(failure.code)}`, cause === undefined ? undefined : { cause });
    this.code = failure.code;
    this.exitCode = exitCodeOf(failure.code);
    this.path = failure.path;
  }
}

/** Bytes at rest are not what was written, or pieces do not fit together. `data-directory.ts` turns it into `damaged`. */
export class DamageError extends Error {
  override readonly name = "DamageError";
}

/** The store or the anchor went back behind what was acknowledged. `data-directory.ts` turns it into `lost`. */
export class LossError extends Error {
  override readonly name = "LossError";
}

/** Bytes at rest were written by a later version. `data-directory.ts` turns it into `newer-format`. */
export class NewerFormatError extends Error {
  override readonly name = "NewerFormatError";
}

/** True when the database could not be opened because it is open elsewhere, in this process or another. */
export function isLocked(error: unknown): boolean {
  return ((error as Error | undefined)?.cause as { code?: unknown } | undefined)?.code === "LEVEL_LOCKED";
}

/** Any error of the start as the refusal it means. An InvariantError is a bug and goes through. */
export function asDirectoryError(path: string, error: unknown): DataDirectoryError {
  if (error instanceof DataDirectoryError) return error;
  if (error instanceof InvariantError) throw error;
  if (error instanceof LossError)
    return failure("lost", path, `${path} has lost data: ${error.message}`, error);
  if (error instanceof NewerFormatError) {
    return failure("newer-format", path, `${path} was written by a later version: ${error.message}`, error);
  }
  if (error instanceof DamageError || error instanceof DecodeError) {
    return failure("damaged", path, `${path} is damaged: ${error.message}`, error);
  }
  if (isLocked(error)) return failure("in-use", path, `${path} is open in another process`, error);
  if ((error as NodeJS.ErrnoException | undefined)?.code === "ENOENT") {
    return failure("missing", path, `there is no data directory ${path}`, error);
  }
  if (isEnvironmentError(error))
    return failure("unusable", path, `cannot use ${path}: ${textOf(error)}`, error);
  return failure("damaged", path, `${path} is damaged: ${textOf(error)}`, error);
}

/** A refusal about `path`; `what` says what happened. */
export function failure(
  code: DataDirectoryCode,
  path: string,
  what: string,
  cause?: unknown,
): DataDirectoryError {
  return new DataDirectoryError({ code, path, what }, cause);
}

/** Level wraps LevelDB's words in "Database failed to open". */
export function textOf(error: unknown): string {
  const cause = (error as Error | undefined)?.cause;
  const text = error instanceof Error ? error.message : String(error);
  return cause instanceof Error ? `${text} (${cause.message})` : text;
}

/** A pure fact about operating system errors: these mean "fix the machine", not "the bytes are bad". */
export function isEnvironmentError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code !== undefined && environmentCodes.has(code)) return true;
  const text = `${String(error)} ${String((error as Error | undefined)?.cause ?? "")}`;
  return environmentTexts.test(text);
}

const environmentCodes: ReadonlySet<string> = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOSPC",
  "EDQUOT",
  "EFBIG",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ENOTDIR",
]);

/** LevelDB hands the system's words through and nothing else. */
const environmentTexts =
  /Permission denied|Operation not permitted|Read-only file system|No space left|Disk quota exceeded|File too large|Too many open files|Cannot allocate memory|Not a directory/;

function exitCodeOf(code: DataDirectoryCode): 70 | 73 | 78 {
  switch (code) {
    case "missing":
    case "not-empty":
    case "in-use":
    case "unusable":
      return 73;
    case "wrong-node":
    case "wrong-cluster":
    case "newer-format":
      return 78;
    case "damaged":
    case "lost":
      return 70;
    default:
      return unreachable(code);
  }
}

function remedy(code: DataDirectoryCode): string {
  switch (code) {
    case "missing":
      return (
        "Create it once with `holdfast init`, or name the right one with --data. If this node ran before, " +
        "do not: look for its directory (an unmounted disk?), because an empty one makes it another member."
      );
    case "not-empty":
      return "`holdfast init` only fills an empty directory: name another one, or start this one with `holdfast server`.";
    case "in-use":
      return "Stop the process that runs on it, or give this node a directory of its own.";
    case "wrong-node":
    case "wrong-cluster":
      return "Name this node's own directory with --data, or its own name with --id and its cluster file with --config.";
    case "newer-format":
      return "Start it with that version of Holdfast or a later one; this version changes nothing in it.";
    case "unusable":
      return "Correct the path, its owner and permissions, or make room on the disk, and start again.";
    case "damaged":
    case "lost":
      return (
        "This node does not start, because it could go back on votes and entries that it has acknowledged. " +
        "The other nodes serve on while a majority of them runs. Look at the disk. If an older copy was put in place " +
        "of this directory, put the complete newest copy back; otherwise keep it as it is. Never just delete it: " +
        "an empty node is another member. `holdfast cluster replace` and `holdfast recover` come with a later version."
      );
    default:
      return unreachable(code);
  }
}
