/**
 * The bench's arguments. Says what is wrong with them and never starts anything.
 */
import { parseArgs } from "node:util";

export type Workload = "W1a" | "W4";

export interface Beside {
  readonly name: string;
  readonly command: string;
}

export interface BenchOptions {
  readonly isHelp: boolean;
  /** Only write docs/BENCHMARKS.md anew. */
  readonly isDocs: boolean;
  readonly isQuick: boolean;
  readonly isJson: boolean;
  readonly workloads: readonly Workload[];
  readonly clients: readonly number[];
  readonly rounds: number;
  readonly repetitions: number;
  readonly warmupMs: number;
  readonly windowMs: number;
  readonly out: string;
  /** Undefined: the system's directory for temporary files. */
  readonly data: string | undefined;
  readonly beside: readonly Beside[];
}

/** An argument is wrong; the message is for a person. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const help = `npm run bench -- [options]

Measures a real cluster: three nodes of the built program on 127.0.0.1, every write synced to disk.

  --quick               windows of 3 s after 1 s, one round, five faults; else 8 s after 2 s, three rounds, twenty
  --only W1a,W4         W1a: uncontended acquire and release. W4: nobody acquires after the leader is killed or hangs
  --clients 1,16,64,256 of W1a
  --rounds N            windows of each kind in W1a, in alternation with those of --beside
  --reps N              faults of each kind in W4
  --out FILE            the result; docs/BENCHMARKS.md shows those in docs/bench (default test/.artifacts/bench-result.json)
  --data DIR            where the data directories go: the disk that is measured (default the directory for temporary files)
  --beside NAME=COMMAND measures another system in the same run, window by window; docs/BENCHMARKS.md has the protocol
  --json                prints the result in place of tables
  --docs                only writes docs/BENCHMARKS.md anew from docs/bench/*.json
`;

/** Throws UsageError. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values } = parse(args);
  const isQuick = values.quick;
  return {
    isHelp: values.help,
    isDocs: values.docs,
    isQuick,
    isJson: values.json,
    workloads: words(values.only).map(workload),
    clients: words(values.clients).map((text) => positive("--clients", text)),
    rounds: values.rounds === undefined ? (isQuick ? 1 : 3) : positive("--rounds", values.rounds),
    repetitions: values.reps === undefined ? (isQuick ? 5 : 20) : positive("--reps", values.reps),
    warmupMs: isQuick ? 1_000 : 2_000,
    windowMs: isQuick ? 3_000 : 8_000,
    out: values.out,
    data: values.data,
    beside: values.beside.map(beside),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: "boolean", default: false },
        docs: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        only: { type: "string", default: "W1a,W4" },
        clients: { type: "string", default: "1,16,64,256" },
        rounds: { type: "string" },
        reps: { type: "string" },
        out: { type: "string", default: "test/.artifacts/bench-result.json" },
        data: { type: "string" },
        beside: { type: "string", multiple: true, default: [] },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function words(text: string): readonly string[] {
  return text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

function workload(text: string): Workload {
  if (text === "W1a" || text === "W4") return text;
  throw new UsageError(`--only takes W1a and W4, not ${text}`);
}

function positive(option: string, text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 10_000) return number;
  throw new UsageError(`${option} takes whole numbers from 1 to 10000, not ${text}`);
}

function beside(text: string): Beside {
  const sign = text.indexOf("=");
  if (sign > 0 && sign < text.length - 1) return { name: text.slice(0, sign), command: text.slice(sign + 1) };
  throw new UsageError(`--beside takes NAME=COMMAND, not ${text}`);
}
