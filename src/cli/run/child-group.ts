/**
 * The command and everything it starts, as one thing that can be signalled and waited for. Knows nothing of locks.
 *
 * Its own process group (a session of its own, setsid) where nothing stands against it: then one kill reaches all of it,
 * and the group is gone when the system says so. On a terminal it stays in the foreground group, because only that may
 * read the terminal and is stopped and continued by it; a nested run stays in the group of the run around it, so that
 * the outer one's signals reach its command too. There its members are looked up (`processes.ts`): descendants, and
 * orphans of the same group. Either way, a process that leaves by setsid and a second fork is out of reach.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { isatty } from "node:tty";
import { CliError } from "../exit-codes.ts";
import { spawnExitCode } from "./plan.ts";
import { livingIn, membersOf, readProcesses } from "./processes.ts";

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ChildGroup {
  readonly pid: number;
  /** Of the command itself; others of its group may go on. */
  readonly ended: Promise<ChildEnd>;
  /** To all of it. Nothing happens to those that are gone. */
  signal(signal: NodeJS.Signals): void;
  /** No process of it lives. */
  isGone(): boolean;
  /** How many live, as far as can be seen. */
  count(): number;
}

export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isOwnGroup: boolean;
}

/**
 * Whether one of the standard streams is a terminal. Not `process.stdin.isTTY`: making that stream would switch a pipe
 * to non-blocking, and the command reads the same one.
 */
export function isOnTerminal(): boolean {
  return isatty(0) || isatty(1) || isatty(2);
}

/** Spawns before it returns; nothing can come in between. Rejects with CliError 126 or 127. */
export async function startGroup(launch: Launch): Promise<ChildGroup> {
  const before = launch.isOwnGroup ? undefined : snapshot();
  const child = tryToSpawn(launch);
  const { pid } = child;
  if (pid === undefined) {
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => child.once("error", resolve));
    throw cannotExecute(launch.file, error);
  }
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  // A signal that could not be sent is no failure to start.
  child.on("error", () => {});
  return before === undefined ? ownGroup(pid, ended) : sharedGroup(pid, ended, child, before);
}

function tryToSpawn({ file, args, environment, isOwnGroup }: Launch): ChildProcess {
  try {
    return spawn(file, args, { stdio: "inherit", detached: isOwnGroup, env: { ...environment } });
  } catch (error) {
    throw cannotExecute(file, error as NodeJS.ErrnoException);
  }
}

function cannotExecute(file: string, { code, message }: NodeJS.ErrnoException): CliError {
  const isEmpty = file === "";
  const exitCode = spawnExitCode(isEmpty ? "ENOENT" : code);
  const why =
    isEmpty || code === "ENOENT"
      ? "there is no such command"
      : code === "EACCES"
        ? "it may not be executed"
        : message;
  const name = exitCode === 127 ? "command-not-found" : "command-not-executable";
  return new CliError({ exitCode, code: name, detail: `cannot run ${JSON.stringify(file)}: ${why}` });
}

function ownGroup(pid: number, ended: Promise<ChildEnd>): ChildGroup {
  const living = () => {
    const rows = readProcesses();
    return rows === undefined ? undefined : livingIn(rows, pid).length;
  };
  return {
    pid,
    ended,
    signal: (signal) => void kill(-pid, signal),
    // Where nobody reaps orphans, as in many containers, the dead stay in the group for ever.
    isGone: () => kill(-pid, 0) === "nobody" || living() === 0,
    count: () => living() ?? 1,
  };
}

interface Snapshot {
  readonly pgid: number;
  readonly members: ReadonlySet<number>;
}

/** Who is in our own group already; undefined members when that cannot be seen. */
function snapshot(): Snapshot {
  const rows = readProcesses() ?? [];
  const pgid = rows.find(({ pid }) => pid === process.pid)?.pgid ?? -1;
  return { pgid, members: new Set(livingIn(rows, pgid)) };
}

function sharedGroup(
  pid: number,
  ended: Promise<ChildEnd>,
  child: ChildProcess,
  { pgid, members }: Snapshot,
): ChildGroup {
  const living = (): readonly number[] => {
    const rows = readProcesses();
    if (rows !== undefined) {
      return membersOf(rows, { child: pid, pgid, self: process.pid, before: members });
    }
    return child.exitCode === null && child.signalCode === null ? [pid] : [];
  };
  return {
    pid,
    ended,
    signal: (signal) => {
      for (const member of living()) kill(member, signal);
    },
    isGone: () => living().length === 0,
    count: () => living().length,
  };
}

/** "nobody": there is no such process or group. A process of somebody else's is there all the same. */
function kill(pid: number, signal: NodeJS.Signals | 0): "sent" | "nobody" | "refused" {
  try {
    process.kill(pid, signal);
    return "sent";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH" ? "nobody" : "refused";
  }
}
