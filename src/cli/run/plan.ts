/**
 * What `holdfast run` was told, as one checked plan; and its arithmetic: when to signal, when to kill, which exit code.
 * No clock, no process, no request. docs/RUN.md has the same rules in prose.
 */
import { constants } from "node:os";
import { unreachable } from "../../base/assert.ts";
import type { Standing } from "../../client/lease.ts";
import type { ClaimTarget } from "../claiming.ts";
import { lockNameOf } from "../connect.ts";
import { type CliFailure, exitCodes, usageError } from "../exit-codes.ts";
import type { ConnectionOptions } from "../options.ts";
import { checkTarget, type TargetOptions, targetOf } from "../target.ts";
import type { EndSignal } from "./end-signals.ts";

export interface RunOptions extends ConnectionOptions, TargetOptions {
  readonly nonblock?: boolean;
  readonly wait?: number;
  readonly conflictExitCode?: number;
  readonly ifHeld?: "fail" | "skip";
  readonly ttl?: number;
  readonly lockDelay?: number;
  readonly maxHold?: number;
  readonly onLost?: EndSignal;
  readonly grace?: number;
  readonly command?: string;
  readonly label?: string;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

export interface RunPlan {
  readonly target: ClaimTarget;
  /** What is executed, without a shell unless this is one. */
  readonly file: string;
  readonly args: readonly string[];
  /** Milliseconds; 0 only tries, undefined waits without limit. */
  readonly waitMs: number | undefined;
  /** Instead of 75. */
  readonly conflictCode: number;
  readonly onLost: EndSignal;
  readonly graceMs: number;
  /** Somebody chose it: then it is worth a warning when it cannot be kept. */
  readonly isGraceGiven: boolean;
  readonly maxHoldMs: number | undefined;
}

export const defaultGraceMs = 5000;

/** `argv` is the whole command line: only there it shows where `--` stood. Throws usage errors. */
export function planRun(options: RunOptions, operands: readonly string[], argv: readonly string[]): RunPlan {
  const { nonblock, wait, ifHeld } = options;
  checkTarget(options);
  if (nonblock === true && wait !== undefined) throw usageError("-n does not wait: leave out --wait");
  if (ifHeld !== undefined && wait !== undefined) {
    throw usageError("--if-held does not wait: leave out --wait");
  }
  if (ifHeld === "skip" && options.conflictExitCode !== undefined) {
    throw usageError("--if-held skip exits with 0: leave out -E");
  }
  if (options.maxHold === 0) throw usageError("--max-hold 0 would end the command before it starts");
  const { name, file, args } = commandOf(options, operands, argv);
  const isTry = nonblock === true || ifHeld !== undefined;
  return {
    target: targetOf(name, options),
    file,
    args,
    waitMs: isTry ? 0 : wait,
    conflictCode: ifHeld === "skip" ? exitCodes.ok : (options.conflictExitCode ?? exitCodes.notAcquired),
    onLost: options.onLost ?? "TERM",
    graceMs: options.grace ?? defaultGraceMs,
    isGraceGiven: options.grace !== undefined,
    maxHoldMs: options.maxHold,
  };
}

/** Flags may stand on both sides of the name, so the command begins at `--` and nowhere else. */
function commandOf(
  { command }: RunOptions,
  operands: readonly string[],
  argv: readonly string[],
): { readonly name: string; readonly file: string; readonly args: readonly string[] } {
  const dashes = argv.indexOf("--");
  const words = dashes < 0 ? [] : argv.slice(dashes + 1);
  const before = operands.slice(0, operands.length - words.length);
  const name = lockNameOf(before[0]);
  if (before.length > 1) {
    const rest = before.slice(1).join(" ");
    throw usageError(`put -- before the command: holdfast run ${name} -- ${rest}`);
  }
  if (command !== undefined) {
    if (words.length > 0) throw usageError("-c is the whole command: leave out what follows --");
    return { name, file: "/bin/sh", args: ["-c", command] };
  }
  const [file, ...args] = words;
  if (file === undefined) {
    throw usageError(`the command is missing: holdfast run ${name} -- COMMAND, or -c 'SHELL TEXT'`);
  }
  return { name, file, args };
}

/**
 * How long the group may take between signal and KILL: never longer than the lock-delay, which is what keeps others out
 * after the client's own deadline.
 */
export function clipGrace(graceMs: number, lockDelayMs: number): number {
  return Math.min(graceMs, lockDelayMs);
}

/** When the group must be gone after a loss, in the lease's time. */
export function killAtMs(
  standing: Standing & { readonly kind: "over" },
  times: { readonly nowMs: number; readonly graceMs: number; readonly lockDelayMs: number },
): number {
  const { over, knownUntilMs } = standing;
  const { nowMs, graceMs, lockDelayMs } = times;
  switch (over.kind) {
    case "lapsed":
      // From the deadline, not from when it was noticed: after a suspend the lock-delay may be over too.
      return knownUntilMs + clipGrace(graceMs, lockDelayMs);
    case "claim-ended":
    case "session-ended":
      // Hand-back lasts no longer than the deadline that was known before the notice (SEMANTICS §4).
      return Math.min(nowMs + graceMs, knownUntilMs);
    default:
      return unreachable(over);
  }
}

/**
 * When to end a group by itself before its max-hold ends at `untilMs`. The signal leaves `graceMs`, but at most half of
 * the whole hold; the KILL comes a little before the end, for what it takes to be carried out.
 */
export function maxHoldTimes(options: {
  readonly untilMs: number;
  readonly maxHoldMs: number;
  readonly graceMs: number;
}): { readonly signalAtMs: number; readonly killAtMs: number } {
  const { untilMs, maxHoldMs, graceMs } = options;
  const killAt = untilMs - Math.min(500, maxHoldMs / 10);
  return { signalAtMs: killAt - Math.min(graceMs, maxHoldMs / 2), killAtMs: killAt };
}

/** As a shell shows it: the child's own code, 128 + n when signal n ended it. */
export function childExitCode(ended: {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}): number {
  return ended.signal === null ? (ended.code ?? exitCodes.fault) : signalExitCode(ended.signal);
}

export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

/** Why nothing could be executed: 127 is "not there", 126 everything else. */
export function spawnExitCode(code: string | undefined): number {
  return code === "ENOENT" || code === "ENOTDIR" ? exitCodes.notFound : exitCodes.notExecutable;
}

/** Refusals of something that the asker must change. */
const wrongAsks: ReadonlySet<string> = new Set([
  "capacity-conflict",
  "exceeds-capacity",
  "kind-mismatch",
  "not-found",
]);

/**
 * Of a failure before the command ran. Only 75 is exchanged for the code of -E; 1 is never used, since the command's own
 * 1 could not be told from it.
 */
export function refusalExitCode({ exitCode, code }: CliFailure, conflictCode: number): number {
  if (exitCode === exitCodes.notAcquired) return conflictCode;
  if (wrongAsks.has(code)) return exitCodes.usage;
  // The session or the claim went away before there was a command: nothing was lost that anybody relied on.
  if (code === "session-expired" || code === "claim-lost") return exitCodes.notAcquired;
  if (code === "already-waiting") return conflictCode;
  if (code === "quota") return exitCodes.unavailable;
  return exitCode === exitCodes.failed ? exitCodes.fault : exitCode;
}
