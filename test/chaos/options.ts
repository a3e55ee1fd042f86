/**
 * The arguments of `npm run chaos`. Says what is wrong with them and never starts anything.
 */
import { parseArgs } from "node:util";
import { type FaultKind, faultKinds } from "./schedule.ts";

export interface ChaosOptions {
  readonly isHelp: boolean;
  readonly seed: number;
  /** One cluster after the other of each size. */
  readonly nodes: readonly number[];
  /** Over all clusters of one round. */
  readonly faults: number;
  /** Only these. */
  readonly kinds: readonly FaultKind[];
  /** Undefined: one round. Else rounds with rising seeds until so much time has passed. */
  readonly minutes: number | undefined;
  /** Keep what was written also when nothing is wrong. */
  readonly isKept: boolean;
  readonly json: string | undefined;
  /** A history that was kept, to be judged again in place of a run. */
  readonly judge: string | undefined;
}

/** An argument is wrong; the message is for a person. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const help = `npm run chaos -- [options]

Real clusters of the built program under faults of processes, links, disks and clients, judged from what clients saw.

  --seed S      fixes which faults come, at whom, how long (not the timing of what they meet); default 1
  --faults N    over both clusters of a round; default 34, with --minutes 120
  --kinds A,B   only these of ${faultKinds.join(", ")}
  --minutes M   rounds with seeds S, S+1, … for so long, in place of one
  --nodes 3|5   only clusters of that size; default one of 3, then one of 5
  --keep        keep history, logs and timeline also when nothing is wrong
  --json FILE   the figures, for programs
  --judge FILE  no cluster: judge a kept history.jsonl again, with the time of each checker
`;

/** Throws UsageError. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { values } = parse(args);
  return {
    isHelp: values.help,
    seed: whole("--seed", values.seed, 0, 2 ** 31),
    nodes: values.nodes === undefined ? [3, 5] : [nodes(values.nodes)],
    faults: whole("--faults", values.faults ?? (values.minutes === undefined ? "34" : "120"), 1, 100_000),
    kinds: values.kinds === undefined ? faultKinds : values.kinds.split(",").map(kind),
    minutes: values.minutes === undefined ? undefined : whole("--minutes", values.minutes, 1, 10_000),
    isKept: values.keep,
    json: values.json,
    judge: values.judge,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: "boolean", default: false },
        seed: { type: "string", default: "1" },
        nodes: { type: "string" },
        faults: { type: "string" },
        kinds: { type: "string" },
        minutes: { type: "string" },
        keep: { type: "boolean", default: false },
        json: { type: "string" },
        judge: { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function nodes(text: string): number {
  if (text === "3" || text === "5") return Number(text);
  throw new UsageError(`--nodes takes 3 or 5, not ${text}`);
}

function kind(text: string): FaultKind {
  const found = faultKinds.find((one) => one === text.trim());
  if (found === undefined) throw new UsageError(`--kinds takes ${faultKinds.join(", ")}, not ${text}`);
  return found;
}

function whole(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${option} takes a whole number from ${min} to ${max}, not ${text}`);
}
