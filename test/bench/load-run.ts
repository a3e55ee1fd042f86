/**
 * Runs one load process against a cluster and measures what the servers spend while its window is open. The window's
 * edges are the load process's own; what the bench does at them takes well under a millisecond.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { BenchCluster, BenchNode } from "./cluster.ts";
import { type CleanUps, cpuTimeOf, machineBusyMicros, residentBytesOf } from "./processes.ts";
import { type FailoverResult, hostClockMs, type LoadEvent, type LoadSpec, type PairsResult } from "./spec.ts";

/** Undefined where the system does not tell. */
export interface Usage {
  /** User and system time of the three nodes together. */
  readonly serverCpuMicros: number | undefined;
  readonly leaderCpuMicros: number | undefined;
  readonly leaderMainThreadMicros: number | undefined;
  /** The highest sum of the resident memory of the three nodes, looked at four times a second. */
  readonly peakRssBytes: number | undefined;
  /** Cores that processes which are not part of the measurement kept busy, on average: noise. */
  readonly otherCores: number | undefined;
}

export interface LoadRun {
  readonly pairs: PairsResult | undefined;
  readonly failover: FailoverResult | undefined;
  readonly usage: Usage;
}

export interface LoadOptions {
  readonly cluster: BenchCluster;
  readonly leader: BenchNode;
  readonly cleanUps: CleanUps;
  /** Called as the window opens. */
  readonly onStart?: () => void;
  /** Called as it closes. */
  readonly onEnd?: () => void;
}

const program = fileURLToPath(new URL("./load/main.js", import.meta.url));

/** Rejects when an answer was wrong, a node ended, or nothing was heard for a minute beyond the window. */
export async function runLoad(spec: LoadSpec, options: LoadOptions): Promise<LoadRun> {
  const child = spawn(process.execPath, [program, JSON.stringify(spec)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const undo = options.cleanUps.add(() => end(child));
  const timer = setTimeout(() => child.kill("SIGKILL"), spec.warmupMs + spec.windowMs + 60_000);
  try {
    return await Promise.race([listen(child, options), options.cluster.failure]);
  } finally {
    clearTimeout(timer);
    await undo();
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

function listen(child: ChildProcess, options: LoadOptions): Promise<LoadRun> {
  const meter = new Meter(options, child.pid ?? 0);
  let pairs: PairsResult | undefined;
  let failover: FailoverResult | undefined;
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(-4_000);
  });
  if (child.stdout === null) throw new Error("a load process has a pipe");
  createInterface({ input: child.stdout }).on("line", (line) => {
    const event = JSON.parse(line) as LoadEvent;
    switch (event.kind) {
      case "start":
        meter.start();
        options.onStart?.();
        break;
      case "end":
        options.onEnd?.();
        meter.end();
        break;
      case "pairs":
        pairs = event.result;
        break;
      case "failover":
        failover = event.result;
        break;
      case "failed":
        complaint = event.text;
        break;
    }
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      meter.end();
      if (code === 0) return resolve({ pairs, failover, usage: meter.usage() });
      const logs = options.cluster.nodes.map((node) => `${node.id}: ${node.logTail}`).join("\n");
      reject(new Error(`the load process failed (${signal ?? code}): ${complaint}\n${logs}`));
    });
  });
}

interface Sample {
  readonly atMs: number;
  readonly server: number | undefined;
  readonly leader: number | undefined;
  readonly leaderMain: number | undefined;
  readonly load: number | undefined;
  readonly self: number | undefined;
  readonly machine: number | undefined;
}

/** Looks when the window opens, when it closes, and at the memory in between. */
class Meter {
  readonly #options: LoadOptions;
  readonly #loadPid: number;
  #before: Sample | undefined;
  #after: Sample | undefined;
  #peakRssBytes: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoadOptions, loadPid: number) {
    this.#options = options;
    this.#loadPid = loadPid;
  }

  start(): void {
    this.#before = this.#sample();
    this.#lookAtMemory();
    this.#timer = setInterval(() => this.#lookAtMemory(), 250);
  }

  end(): void {
    clearInterval(this.#timer);
    if (this.#after !== undefined || this.#before === undefined) return;
    this.#after = this.#sample();
    this.#lookAtMemory();
  }

  usage(): Usage {
    const between = (key: Exclude<keyof Sample, "atMs">): number | undefined => {
      const from = this.#before?.[key];
      const to = this.#after?.[key];
      return from === undefined || to === undefined ? undefined : to - from;
    };
    const elapsedMs = (this.#after?.atMs ?? 0) - (this.#before?.atMs ?? 0);
    const [machine, server, load, self] = (["machine", "server", "load", "self"] as const).map(between);
    const others =
      machine === undefined || server === undefined
        ? undefined
        : machine - server - (load ?? 0) - (self ?? 0);
    return {
      serverCpuMicros: server,
      leaderCpuMicros: between("leader"),
      leaderMainThreadMicros: between("leaderMain"),
      peakRssBytes: this.#peakRssBytes,
      otherCores: others === undefined ? undefined : Math.max(0, others / 1_000 / elapsedMs),
    };
  }

  #sample(): Sample {
    const { cluster, leader } = this.#options;
    const servers = cluster.pids.map((pid) => cpuTimeOf(pid)?.allMicros);
    const ofLeader = leader.pid === undefined ? undefined : cpuTimeOf(leader.pid);
    return {
      atMs: hostClockMs(),
      server: sumOf(servers),
      leader: ofLeader?.allMicros,
      leaderMain: ofLeader?.mainThreadMicros,
      load: cpuTimeOf(this.#loadPid)?.allMicros,
      self: cpuTimeOf(process.pid)?.allMicros,
      machine: machineBusyMicros(),
    };
  }

  #lookAtMemory(): void {
    const bytes = sumOf(this.#options.cluster.pids.map(residentBytesOf));
    if (bytes !== undefined) this.#peakRssBytes = Math.max(this.#peakRssBytes ?? 0, bytes);
  }
}

/** Undefined when one of them is. */
function sumOf(values: readonly (number | undefined)[]): number | undefined {
  let sum = 0;
  for (const value of values) {
    if (value === undefined) return undefined;
    sum += value;
  }
  return sum;
}
