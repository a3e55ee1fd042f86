/**
 * What a result must say about where it was measured: machine, commit, and how fast the disk really is, measured here
 * and now, in the directory that the servers use.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  fdatasync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { hasProc } from "./processes.ts";
import type { BenchResult, DiskResult, Machine } from "./result.ts";
import { distribution } from "./stats.ts";

export function machine(): Machine {
  const all = cpus();
  return {
    node: process.version,
    system: `${type()} ${release()}`,
    cores: all.length,
    cpu: (all[0]?.model ?? "unknown").trim(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    hasProc: hasProc(),
  };
}

/** The checkout in `root`; files that git does not track and the results themselves do not make it dirty. */
export function checkout(root: string): Pick<BenchResult, "version" | "commit" | "isDirty"> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const commit = git(root, ["rev-parse", "HEAD"]);
  if (commit === undefined) return { version };
  const changed = git(root, ["status", "--porcelain", "--untracked-files=no"]) ?? "";
  const isDirty = changed
    .split("\n")
    .some((line) => line !== "" && !/ docs\/(bench\/|BENCHMARKS\.md)/.test(line));
  return { version, commit, isDirty };
}

function git(root: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Appends 256 bytes and syncs them, one after another, for `ms`. */
export async function measureDisk(directory: string, ms: number): Promise<DiskResult> {
  const place = mkdtempSync(join(directory, "holdfast-bench-disk-"));
  const file = openSync(join(place, "appended"), "w");
  try {
    const record = Buffer.alloc(256, "x");
    const samples: number[] = [];
    const started = performance.now();
    for (let at = started; at - started < ms; ) {
      writeSync(file, record);
      await sync(file);
      const done = performance.now();
      samples.push(done - at);
      at = done;
    }
    const elapsedMs = performance.now() - started;
    return {
      ...distribution(samples),
      perSecond: (samples.length / elapsedMs) * 1_000,
      fileSystem: fileSystemOf(directory),
    };
  } finally {
    closeSync(file);
    rmSync(place, { recursive: true, force: true });
  }
}

function sync(file: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(file, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** By the numbers of statfs(2). On tmpfs nothing is synced at all, and no figure of such a run means anything. */
function fileSystemOf(directory: string): string {
  const names: Readonly<Record<number, string>> = {
    61267: "ext4",
    16914836: "tmpfs",
    2435016766: "btrfs",
    1481003842: "xfs",
    2035054128: "overlayfs",
    801189825: "zfs",
  };
  const { type: number } = statfsSync(directory);
  return names[number] ?? `0x${number.toString(16)}`;
}
