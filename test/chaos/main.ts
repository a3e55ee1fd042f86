/**
 * `npm run chaos`: reads the arguments, runs clusters under faults, and says what came of it. Progress goes to standard
 * error, the figures to standard output; the last line is `N passed, N failed, N skipped`. What a failure leaves behind
 * is kept in test/.artifacts/chaos.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { probeDisks } from "./disks.ts";
import { missingFor } from "./faults.ts";
import { checkers, findingsText, historyLines, historyOfLines } from "./judge.ts";
import { type ChaosOptions, help, parseOptions, UsageError } from "./options.ts";
import { countsOf, type FaultCounts, momentsText, resultText, timelineText } from "./report.ts";
import { type Left, type RunResult, runCluster } from "./run.ts";
import { shareOfKinds } from "./schedule.ts";

/** Resolves to the exit code: 0 all kept, 1 something is broken, 64 wrong arguments. A signal ends it with 130. */
export async function main(args: readonly string[], root: string): Promise<number> {
  let options: ChaosOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`chaos: ${error.message}\n\n${help}`);
    return 64;
  }
  if (options.isHelp) process.stdout.write(help);
  if (options.isHelp) return 0;
  if (options.judge !== undefined) return judgeFile(resolve(root, options.judge));
  const session = new ChaosSession(options, root);
  return session.run();
}

/** Judges a history that was kept, and says how long each checker took. */
function judgeFile(path: string): number {
  const history = historyOfLines(readFileSync(path, "utf8"));
  process.stdout.write(`${history.operations.length} operations\n`);
  let failed = 0;
  for (const { name, check } of checkers) {
    const began = performance.now();
    const findings = check(history);
    const ms = (performance.now() - began).toFixed(0);
    process.stdout.write(`${name}: ${findings.length === 0 ? "kept" : "BROKEN"}, ${ms} ms\n`);
    if (findings.length === 0) continue;
    failed++;
    process.stdout.write(`${findingsText(history, findings)}\n`);
  }
  process.stdout.write(`${checkers.length - failed} passed, ${failed} failed, 0 skipped\n`);
  return failed === 0 ? 0 : 1;
}

interface Written {
  readonly seed: number;
  readonly nodes: number;
  readonly figures: RunResult["figures"];
  readonly checks: RunResult["checks"];
  readonly findings: RunResult["findings"];
  readonly faults: FaultCounts;
  readonly kept: string | undefined;
}

/** More faults than this that came to nothing: then the run did not do what it says. */
const vainShareMax = 0.15;

class ChaosSession {
  readonly #options: ChaosOptions;
  readonly #root: string;
  readonly #open = new Set<() => Promise<void>>();
  readonly #written: Written[] = [];
  #isStopping = false;

  constructor(options: ChaosOptions, root: string) {
    this.#options = options;
    this.#root = root;
  }

  async run(): Promise<number> {
    this.#stopOnSignals();
    const { seed, minutes } = this.#options;
    const until = performance.now() + (minutes ?? 0) * 60_000;
    try {
      for (let round = 0; !this.#isStopping; round++) {
        await this.#round(seed + round);
        if (minutes === undefined || performance.now() >= until) break;
      }
    } catch (error) {
      // What was ended on purpose has nothing to complain of.
      if (!this.#isStopping)
        process.stderr.write(`chaos: ${error instanceof Error ? error.stack : String(error)}\n`);
      await this.#endAll();
      if (this.#isStopping) return 130;
      process.stdout.write("0 passed, 1 failed, 0 skipped\n");
      return 1;
    }
    return this.#isStopping ? 130 : this.#close();
  }

  async #round(seed: number): Promise<void> {
    const { nodes, faults, kinds, isKept } = this.#options;
    const abilities = probeDisks();
    for (const [part, count] of nodes.entries()) {
      if (this.#isStopping) return;
      const share = Math.floor(faults / nodes.length) + (part < faults % nodes.length ? 1 : 0);
      if (share === 0) continue;
      // What an older run of this seed has left is of no use beside this one's.
      rmSync(this.#placeOf({ seed, nodes: count }), { recursive: true, force: true });
      const result = await runCluster({
        seed,
        nodes: count,
        faults: share,
        mustHave: shareOfKinds(kinds, { seed, part, parts: nodes.length }),
        kinds,
        abilities,
        progress: (line) => process.stderr.write(`chaos: seed ${seed}, ${line}\n`),
        isStopping: () => this.#isStopping,
        onOpen: (end) => {
          this.#open.add(end);
          return () => void this.#open.delete(end);
        },
        onHistory: (history) =>
          this.#write({ seed, nodes: count }, { "history.jsonl": historyLines(history) }),
        onCollapse: (left) => {
          if (!this.#isStopping)
            this.#keepFiles(left, { "timeline.txt": momentsText(left.timeline.moments) });
        },
      });
      const isBroken = result.checks.some((check) => !check.isKept);
      const kept =
        isBroken || isKept ? this.#keepFiles(result, { "timeline.txt": timelineText(result) }) : undefined;
      if (kept === undefined) rmSync(this.#placeOf(result), { recursive: true, force: true });
      await result.dispose();
      const { figures, checks, findings } = result;
      const written = { seed, nodes: count, figures, checks, findings, faults: countsOf(result.done), kept };
      this.#written.push(written);
      process.stdout.write(resultText(written));
    }
  }

  #placeOf({ seed, nodes }: Pick<Left, "seed" | "nodes">): string {
    return join(this.#root, "test/.artifacts/chaos", `seed-${seed}-${nodes}-nodes`);
  }

  #write(run: Pick<Left, "seed" | "nodes">, files: Readonly<Record<string, string>>): void {
    const place = this.#placeOf(run);
    mkdirSync(place, { recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(place, name), text);
  }

  /** Beside the history, when it came so far. Returns where they are. */
  #keepFiles(left: Left, files: Readonly<Record<string, string>>): string {
    const place = this.#placeOf(left);
    this.#write(left, files);
    for (const log of left.logs) if (existsSync(log)) copyFileSync(log, join(place, basename(log)));
    process.stderr.write(`chaos: what is left to look at is in ${place}\n`);
    return place;
  }

  /** Each kind once in each round, unless this machine cannot do it or there were fewer faults than kinds. */
  #close(): number {
    const abilities = probeDisks();
    const checks = this.#written.flatMap((one) => one.checks);
    let passed = checks.filter(({ isKept }) => isKept).length;
    let failed = checks.length - passed;
    let skipped = 0;
    const lacking: string[] = [];
    const { kinds } = this.#options;
    for (const kind of kinds) {
      const missing = missingFor(kind, abilities);
      const times = this.#written.reduce((sum, { faults }) => sum + faults[kind].installed, 0);
      if (missing !== undefined) {
        skipped++;
        process.stdout.write(`skipped: ${kind}: ${missing}\n`);
      } else if (times > 0) passed++;
      else if (this.#options.faults >= kinds.length) {
        failed++;
        lacking.push(kind);
      }
    }
    const tried = this.#written.flatMap(({ faults }) => Object.values(faults));
    const installed = tried.reduce((sum, one) => sum + one.installed, 0);
    const vain = tried.reduce((sum, one) => sum + one.indeterminate, 0);
    const isMeant = vain <= vainShareMax * (installed + vain);
    if (isMeant) passed++;
    else failed++;
    process.stdout.write(
      `${installed} faults installed, ${vain} came to nothing${isMeant ? "" : ": too many"}\n`,
    );
    if (lacking.length > 0) process.stdout.write(`never installed: ${lacking.join(", ")}\n`);
    const { json } = this.#options;
    if (json !== undefined) {
      const path = resolve(this.#root, json);
      mkdirSync(dirname(path), { recursive: true });
      const runs = this.#written.map((one) => ({ ...one, kept: undefined }));
      writeFileSync(path, `${JSON.stringify({ runs, passed, failed, skipped }, undefined, 2)}\n`);
    }
    process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
    return failed === 0 ? 0 : 1;
  }

  #stopOnSignals(): void {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        if (this.#isStopping) return;
        this.#isStopping = true;
        process.stderr.write(`chaos: ${signal}: ending what was started\n`);
        void this.#endAll().finally(() => process.exit(130));
      });
    }
  }

  async #endAll(): Promise<void> {
    for (const end of this.#open) await end();
  }
}
