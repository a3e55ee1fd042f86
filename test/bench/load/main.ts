/**
 * A load process: `node load/main.js SPEC`, SPEC as in spec.ts. Prints one JSON line an event, ends with 0 after its
 * result and with 1 after `failed`. A process of its own, so that its processor time is never counted as a server's.
 */
import type { LoadEvent, LoadSpec } from "../spec.ts";
import { runFailover } from "./failover.ts";
import { runPairs } from "./pairs.ts";

function emit(event: LoadEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** The pipe is asynchronous: what was written must be out before the process ends. */
function end(code: number): void {
  process.stdout.write("", () => process.exit(code));
}

const spec = JSON.parse(process.argv.at(-1) ?? "") as LoadSpec;
const work = spec.work === "pairs" ? runPairs(spec, emit) : runFailover(spec, emit);
work.then(
  () => end(0),
  (error: unknown) => {
    emit({ kind: "failed", text: error instanceof Error ? error.message : String(error) });
    end(1);
  },
);
