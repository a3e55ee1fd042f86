/**
 * The result file: everything one run of the bench found, as JSON. docs/BENCHMARKS.md is made of nothing else.
 * Absent means not measured, or not to be had on that system.
 */
import type { Distribution } from "./stats.ts";

export const resultFormat = 1;

export interface BenchResult {
  readonly format: typeof resultFormat;
  readonly date: string;
  /** The arguments after `npm run bench --`. */
  readonly command: string;
  readonly isQuick: boolean;
  readonly version: string;
  /** Undefined outside of a git checkout. */
  readonly commit?: string;
  /** Tracked files differed from the commit. */
  readonly isDirty?: boolean;
  readonly machine: Machine;
  readonly disk: DiskResult;
  readonly windows: readonly WindowRow[];
  readonly beside: readonly BesideResult[];
  readonly failovers: readonly FailoverRow[];
  readonly breakdown?: Breakdown;
}

export interface Machine {
  readonly node: string;
  readonly system: string;
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  /** Processor time and memory of the servers could be read. */
  readonly hasProc: boolean;
}

/** 256 bytes appended, then fdatasync, one after another, where the data directories were. */
export interface DiskResult extends Distribution {
  readonly perSecond: number;
  readonly fileSystem: string;
}

/** One window of W1a. */
export interface WindowRow {
  readonly via: "net" | "fetch";
  readonly clients: number;
  /** From 1; the other system's window of the same round came right after. */
  readonly round: number;
  readonly windowMs: number;
  readonly pairsPerSecond: number;
  readonly acquireMs: Distribution;
  readonly pairMs: Distribution;
  readonly clientCpuMicrosPerPair: number;
  /** Of the three nodes together. */
  readonly serverCpuMicrosPerPair?: number;
  readonly leaderCpuMicrosPerPair?: number;
  readonly leaderMainThreadMicrosPerPair?: number;
  readonly peakRssBytes?: number;
  readonly otherCores?: number;
}

/** Another system, measured by a command of its own in the same run. */
export interface BesideResult {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly windows: readonly BesideRow[];
}

export interface BesideRow {
  readonly clients: number;
  readonly round: number;
  readonly pairsPerSecond: number;
  readonly acquireMs?: Omit<Distribution, "count">;
  readonly pairMs?: Omit<Distribution, "count">;
  readonly serverCpuMicrosPerPair?: number;
  readonly clientCpuMicrosPerPair?: number;
  readonly peakRssBytes?: number;
  readonly otherCores?: number;
}

/** W4, one kind of fault. */
export interface FailoverRow {
  readonly fault: "kill" | "stop";
  readonly clients: number;
  readonly attemptMs: number;
  readonly repetitions: readonly FailoverRepetition[];
}

export interface FailoverRepetition {
  /** The longest time in which no client acquired. */
  readonly nobodyMs: number;
  /** The longest time in which one client did not. */
  readonly worstClientMs: number;
  readonly failedAttempts: number;
  readonly acquires: number;
}

/** Where the processor time of W1a goes, from a CPU profile of a run of its own. */
export interface Breakdown {
  readonly clients: number;
  readonly windowMs: number;
  readonly pairsPerSecond: number;
  readonly buckets: readonly BucketRow[];
}

/** Self time of the main thread, µs for each pair. */
export interface BucketRow {
  readonly bucket: string;
  readonly leader: number;
  readonly follower: number;
}
