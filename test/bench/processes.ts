/**
 * What the operating system says of processes: processor time and memory, from /proc. Where there is no /proc (any
 * system but Linux) every answer is undefined, and the result says so. Also the list of what must be undone when the
 * bench ends, however it ends. Ends nothing itself that was not handed to it.
 */
import { readdirSync, readFileSync } from "node:fs";

/** Kernel clock ticks a second as /proc counts them: 100 on every Linux that Node runs on. */
const microsPerTick = 10_000;

export interface CpuTime {
  /** User and system time of all threads, ended ones included. */
  readonly allMicros: number;
  /** Of the thread that runs JavaScript; the rest is the thread pool (the disk) and V8's helpers (garbage, compiling). */
  readonly mainThreadMicros: number;
}

export function cpuTimeOf(pid: number): CpuTime | undefined {
  const all = ticksIn(`/proc/${pid}/stat`);
  const main = ticksIn(`/proc/${pid}/task/${pid}/stat`);
  if (all === undefined || main === undefined) return undefined;
  return { allMicros: all * microsPerTick, mainThreadMicros: main * microsPerTick };
}

function ticksIn(path: string): number | undefined {
  const text = textOf(path);
  if (text === undefined) return undefined;
  // The name of the process stands in parentheses and may hold anything; fields 14 and 15 are utime and stime.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

/** Memory of a process that is in RAM now. */
export function residentBytesOf(pid: number): number | undefined {
  const kib = /^VmRSS:\s+(\d+)/m.exec(textOf(`/proc/${pid}/status`) ?? "")?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** Time that all processors of the machine spent on anything: user, nice, system, interrupts. */
export function machineBusyMicros(): number | undefined {
  const line = textOf("/proc/stat")?.split("\n")[0]?.trim().split(/\s+/).slice(1).map(Number);
  if (line === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line;
  return (user + nice + system + irq + softirq) * microsPerTick;
}

export function hasProc(): boolean {
  try {
    return readdirSync("/proc/self").length > 0;
  } catch {
    return false;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

/** Undoes what was begun, the last first, each once. */
export class CleanUps {
  readonly #open = new Set<() => Promise<void>>();

  /** Returns the function that undoes it now. */
  add(undo: () => Promise<void>): () => Promise<void> {
    const once = async () => {
      if (this.#open.delete(once)) await undo();
    };
    this.#open.add(once);
    return once;
  }

  async runAll(): Promise<void> {
    for (const undo of [...this.#open].reverse()) await undo();
  }
}
