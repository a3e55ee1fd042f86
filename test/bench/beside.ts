/**
 * Another system in the same run: a command that is started once, keeps its servers warm, and measures a window each
 * time it is told to. JSON lines both ways; docs/BENCHMARKS.md describes them. When its standard input ends it stops
 * its servers; a process group of its own makes sure that nothing of it stays.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Beside } from "./options.ts";
import type { CleanUps } from "./processes.ts";
import type { BesideRow } from "./result.ts";
import { pause } from "./spec.ts";

export interface WindowOrder {
  readonly workload: "W1a";
  readonly clients: number;
  readonly warmupMs: number;
  readonly windowMs: number;
}

export interface BesideSystem {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  /** Rejects when it says `error`, says what is no answer, ends, or takes more than a minute beyond the window. */
  measure(order: WindowOrder, round: number): Promise<BesideRow>;
  stop(): Promise<void>;
}

/** Resolves when its servers are up and warm. */
export async function startBeside({ name, command }: Beside, cleanUps: CleanUps): Promise<BesideSystem> {
  const child = spawn("/bin/sh", ["-c", command], { detached: true, stdio: ["pipe", "pipe", "inherit"] });
  const talk = new Talk(name, child);
  const stop = cleanUps.add(() => talk.end());
  const ready = await talk.next(300_000);
  return {
    name,
    description: text(ready, "description"),
    version: text(ready, "version"),
    measure: async (order, round) => {
      talk.say(order);
      return readBesideRow(await talk.next(order.warmupMs + order.windowMs + 60_000), order.clients, round);
    },
    stop,
  };
}

/** Takes the known fields of an answer; throws when the one that must be there is not. */
export function readBesideRow(
  answer: Readonly<Record<string, unknown>>,
  clients: number,
  round: number,
): BesideRow {
  const { pairsPerSecond } = answer;
  if (typeof pairsPerSecond !== "number" || !(pairsPerSecond > 0))
    throw new Error(`an answer without pairsPerSecond: ${JSON.stringify(answer).slice(0, 300)}`);
  const numbers = ["serverCpuMicrosPerPair", "clientCpuMicrosPerPair", "peakRssBytes", "otherCores"] as const;
  const optional = numbers.flatMap((key) => (typeof answer[key] === "number" ? [[key, answer[key]]] : []));
  const latencies = (["acquireMs", "pairMs"] as const).flatMap((key) => {
    const { p50, p99, max } = (answer[key] ?? {}) as Record<string, unknown>;
    const isWhole = [p50, p99, max].every((value) => typeof value === "number");
    return isWhole ? [[key, { p50, p99, max }]] : [];
  });
  return { clients, round, pairsPerSecond, ...Object.fromEntries([...latencies, ...optional]) };
}

function text(answer: Readonly<Record<string, unknown>>, key: string): string {
  const value = answer[key];
  return typeof value === "string" ? value : "";
}

/** Lines out, lines in. */
class Talk {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #lines: Record<string, unknown>[] = [];
  #wake: () => void = () => {};
  #ended: string | undefined;

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    child.stdin?.on("error", () => {});
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on("line", (line) => {
        // What is no JSON object is talk of the command's, not an answer.
        if (!line.startsWith("{")) return;
        this.#lines.push(JSON.parse(line) as Record<string, unknown>);
        this.#wake();
      });
    child.once("exit", (code, signal) => {
      this.#ended = `${signal ?? `exit code ${code}`}`;
      this.#wake();
    });
  }

  say(order: WindowOrder): void {
    this.#child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  async next(limitMs: number): Promise<Record<string, unknown>> {
    const until = performance.now() + limitMs;
    for (;;) {
      const answer = this.#lines.shift();
      if (answer !== undefined) {
        if (typeof answer["error"] === "string") throw new Error(`${this.#name}: ${answer["error"]}`);
        return answer;
      }
      if (this.#ended !== undefined) throw new Error(`${this.#name} ended with ${this.#ended}`);
      const leftMs = until - performance.now();
      if (leftMs <= 0) throw new Error(`${this.#name} said nothing for ${limitMs / 1_000} s`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    for (let waited = 0; waited < 15_000 && this.#ended === undefined; waited += 50) await pause(50);
    if (this.#ended !== undefined || this.#child.pid === undefined) return;
    try {
      // The group that was made for this command, and nothing else.
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  }
}
