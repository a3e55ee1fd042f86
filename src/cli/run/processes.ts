/**
 * Which processes belong to a command that has no process group of its own, and which members of a group are dead
 * already. Reads /proc, else asks ps; decides from the table alone. Never signals.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessRow {
  readonly pid: number;
  readonly ppid: number;
  readonly pgid: number;
  /** It has ended and nobody has asked how: it does nothing any more. */
  readonly isZombie: boolean;
}

/** Every process that can be seen; undefined where there is neither /proc nor ps. */
export function readProcesses(): readonly ProcessRow[] | undefined {
  return process.platform === "linux" ? (fromProc() ?? fromPs()) : fromPs();
}

function fromProc(): readonly ProcessRow[] | undefined {
  try {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids.flatMap((pid) => {
      try {
        return parseStat(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
      } catch {
        // It ended since the directory was read.
        return [];
      }
    });
  } catch {
    return undefined;
  }
}

/** `pid (name) state ppid pgrp …`; the name may hold anything, parentheses too. */
export function parseStat(text: string): ProcessRow | undefined {
  const pid = Number.parseInt(text, 10);
  const [state, ppid, pgid] = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (state === undefined || Number.isNaN(pid)) return undefined;
  return { pid, ppid: Number(ppid), pgid: Number(pgid), isZombie: state === "Z" || state === "X" };
}

function fromPs(): readonly ProcessRow[] | undefined {
  const { status, stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,stat="], { encoding: "utf8" });
  return status === 0 ? parsePs(stdout) : undefined;
}

export function parsePs(text: string): readonly ProcessRow[] {
  return text.split("\n").flatMap((line) => {
    const [pid, ppid, pgid, state] = line.trim().split(/\s+/);
    if (state === undefined) return [];
    return [{ pid: Number(pid), ppid: Number(ppid), pgid: Number(pgid), isZombie: state.startsWith("Z") }];
  });
}

/**
 * The living processes of a command inside a group that it shares with us: its descendants, whatever group they made
 * for themselves, and the orphans among the group's newer members. `before` are the members from before its start:
 * the shell's other jobs of one pipeline are in the same group and are none of ours.
 */
export function membersOf(
  rows: readonly ProcessRow[],
  of: {
    readonly child: number;
    readonly pgid: number;
    readonly self: number;
    readonly before: ReadonlySet<number>;
  },
): readonly number[] {
  const { child, pgid, self, before } = of;
  const alive = rows.filter(({ isZombie }) => !isZombie);
  const group = new Set(alive.filter((row) => row.pgid === pgid).map(({ pid }) => pid));
  const isOrphan = (row: ProcessRow): boolean =>
    row.pgid === pgid && row.pid !== self && !before.has(row.pid) && !group.has(row.ppid);
  const found = new Set(alive.filter((row) => row.pid === child || isOrphan(row)).map(({ pid }) => pid));
  // A dead parent still ties its children to the command until they are adopted.
  const parents = new Set([child, ...found]);
  for (let size = -1; size !== parents.size; ) {
    size = parents.size;
    for (const { pid, ppid } of rows) if (parents.has(ppid) && pid !== self) parents.add(pid);
  }
  return alive.map(({ pid }) => pid).filter((pid) => parents.has(pid));
}

/** Living members of a process group. */
export function livingIn(rows: readonly ProcessRow[], pgid: number): readonly number[] {
  return rows.filter((row) => row.pgid === pgid && !row.isZombie).map(({ pid }) => pid);
}
