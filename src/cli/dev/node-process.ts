/**
 * One node of a local cluster as a process of its own. It stays in our process group, and its stdin is a pipe that
 * nobody writes to: when we end, even by SIGKILL, the pipe ends, and so does the node.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { fileURLToPath } from "node:url";
import type { DevNode } from "./directory.ts";

/** How a process ended; the one of the two that is defined says it. */
export interface NodeExit {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** What it said last for people, if it failed. */
  readonly text: string | undefined;
}

export interface NodeProcess {
  readonly node: DevNode;
  readonly pid: number | undefined;
  /** Undefined while it runs. */
  readonly exit: NodeExit | undefined;
  readonly exited: Promise<NodeExit>;
  /** In good order; SIGKILL when that takes too long. May be called twice. */
  stop(): Promise<void>;
  kill(): void;
}

const program = fileURLToPath(new URL("../../../bin/holdfast.js", import.meta.url));
const stopMsMax = 12_000;

/** `configPath` as a cluster file that names the node. `isAppending` keeps what an earlier process logged. */
export function startNodeProcess(node: DevNode, configPath: string, isAppending: boolean): NodeProcess {
  const words = ["server", "--config", configPath, "--id", node.id, "--data", node.dataPath];
  const child = spawn(process.execPath, [program, ...words, "-o", "ndjson", "--until-stdin-ends"], {
    stdio: ["pipe", "ignore", "pipe"],
    env: childEnvironment(),
  });
  return new RunningNode(node, child, createWriteStream(node.logPath, { flags: isAppending ? "a" : "w" }));
}

/** What is meant for a single node would be wrong for all of them. */
function childEnvironment(): NodeJS.ProcessEnv {
  const own = /^HOLDFAST_(LISTEN_.*|CLUSTER_NAME|CONFIG|ID|DATA|OUTPUT)$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}

class RunningNode implements NodeProcess {
  readonly node: DevNode;
  readonly exited: Promise<NodeExit>;
  exit: NodeExit | undefined;
  readonly #child: ChildProcess;
  #lastFailure: string | undefined;
  #rest = "";

  constructor(node: DevNode, child: ChildProcess, log: WriteStream) {
    this.node = node;
    this.#child = child;
    // A full disk must not end the cluster that it is shown on.
    log.on("error", () => {});
    child.stdin?.on("error", () => {});
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (text: string) => {
      log.write(text);
      this.#read(text);
    });
    this.exited = new Promise((resolve) => {
      const finish = (exitCode: number | null, signal: string | null, text?: string) => {
        if (this.exit !== undefined) return;
        log.end();
        this.exit = {
          exitCode: exitCode ?? undefined,
          signal: signal ?? undefined,
          text: text ?? this.#lastFailure,
        };
        resolve(this.exit);
      };
      child.once("error", (error) => finish(1, null, error.message));
      child.once("close", (exitCode, signal) => finish(exitCode, signal));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** A failure is an object with `exitCode` and `detail`; everything else is log. */
  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = (lines.pop() ?? "").slice(-65_536);
    for (const line of lines) {
      if (!line.includes('"detail"')) continue;
      try {
        const { detail } = JSON.parse(line) as { readonly detail?: unknown };
        if (typeof detail === "string") this.#lastFailure = detail;
      } catch {
        // Not ours to judge: it is in the log file.
      }
    }
  }

  async stop(): Promise<void> {
    if (this.exit !== undefined) return;
    this.#child.stdin?.end();
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), stopMsMax);
    await this.exited;
    clearTimeout(timer);
  }

  kill(): void {
    if (this.exit === undefined) this.#child.kill("SIGKILL");
  }
}
