/**
 * Real processes of the built program for tests: temporary directories, free ports, and nothing left behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../bin/holdfast.js", import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** A running process with what it said so far. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<Ran>;
  stdout(): string;
  stderr(): string;
  /** Resolves when the text is there; rejects when the process ends without it. */
  said(stream: "stdout" | "stderr", pattern: RegExp): Promise<string>;
}

const started = new Set<ChildProcess>();

export function start(words: readonly string[], options: RunOptions = {}): Running {
  return startFile(process.execPath, [program, ...words], options);
}

/** As `start`, for a shell to call. */
export function commandLine(words: readonly string[]): string {
  return [process.execPath, program, ...words].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

/** Nothing of the surroundings' own HOLDFAST_… gets in. stdin is a pipe that stays open. */
export function startFile(
  file: string,
  words: readonly string[],
  { environment = {}, cwd }: RunOptions = {},
): Running {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(HOLDFAST_|NO_COLOR|FORCE_COLOR)/.test(name),
  );
  const child = spawn(file, words, {
    cwd,
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  started.add(child);
  const text = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      text[name] += chunk;
      for (const listener of listeners) listener();
    });
  }
  child.stdin.on("error", () => {});
  const ended = new Promise<Ran>((resolve) => {
    child.once("close", (code, signal) => {
      started.delete(child);
      resolve({ code, signal, ...text });
    });
  });
  return {
    child,
    pid: child.pid ?? 0,
    ended,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    said: (stream, pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!pattern.test(text[stream])) return;
          listeners.delete(look);
          resolve(text[stream]);
        };
        listeners.add(look);
        void ended.then((ran) => reject(new Error(`ended without ${pattern}: ${JSON.stringify(ran)}`)));
        look();
      }),
  };
}

/** Runs to the end with an empty stdin. */
export function run(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const running = start(words, options);
  running.child.stdin?.end();
  return running.ended;
}

/** Ends what a test left running, and waits for it. */
export async function endAll(): Promise<void> {
  const endings = [...started].map((child) => new Promise((resolve) => child.once("close", resolve)));
  for (const child of started) {
    child.kill("SIGTERM");
    // One that a test has stopped would not notice.
    child.kill("SIGCONT");
  }
  await Promise.all(endings);
}

export function temporaryDirectory(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "holdfast-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** A port from which on `dev` finds all of its ports free, below those that the system gives out by itself. */
export async function freeBase(): Promise<number> {
  for (;;) {
    const base = 10_000 + 20 * Math.floor(Math.random() * 1000);
    const ports = Array.from({ length: 20 }, (_, index) => base + index);
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return base;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

/** A cluster file of one node. */
export function writeClusterFile(path: string, base: number, more = ""): string {
  const file = join(path, "cluster.yaml");
  const member = `  - { id: n1, peer: 127.0.0.1:${base + 10}, http: 127.0.0.1:${base} }`;
  writeFileSync(file, `clusterName: test\nmembers:\n${member}\n${more}`);
  return file;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Asks again until it holds. The test's own time limit bounds it. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}
