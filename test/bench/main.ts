/**
 * `npm run bench`: reads the arguments, runs what they ask for, writes the result file and shows it. Progress goes to
 * standard error, the result to standard output. Measures nothing itself.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { startBeside } from "./beside.ts";
import { benchmarksPage } from "./docs.ts";
import { failoverSteps, runFailovers } from "./failover-runs.ts";
import { type BenchOptions, help, parseOptions, UsageError } from "./options.ts";
import { breakdownStep, pairsSteps, runBreakdown, runPairsWindows } from "./pairs-runs.ts";
import { CleanUps } from "./processes.ts";
import { Progress } from "./progress.ts";
import { type BenchResult, resultFormat } from "./result.ts";
import { checkout, machine, measureDisk } from "./surroundings.ts";
import { sectionsOf } from "./tables.ts";

/** Resolves to the exit code: 0 done, 1 failed, 64 wrong arguments. A signal ends the process with 130. */
export async function main(args: readonly string[], root: string): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`bench: ${error.message}\n\n${help}`);
    return 64;
  }
  if (options.isHelp) process.stdout.write(help);
  if (options.isHelp) return 0;
  if (options.isDocs) return writePage(root);
  const cleanUps = new CleanUps();
  const isStopped = stopOnSignals(cleanUps);
  try {
    const written = JSON.stringify(await measure(options, { args, root, cleanUps }), rounded, 2);
    // What is shown is what the file says, to the last digit.
    const result = JSON.parse(written) as BenchResult;
    const out = resolve(root, options.out);
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, `${written}\n`);
    process.stderr.write(`bench: the result is in ${options.out}\n`);
    process.stdout.write(options.isJson ? `${JSON.stringify(result)}\n` : shown(result));
    return 0;
  } catch (error) {
    // What was ended on purpose has nothing to complain of.
    if (isStopped()) return 130;
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    await cleanUps.runAll();
  }
}

/** The answer says whether a signal came. */
function stopOnSignals(cleanUps: CleanUps): () => boolean {
  let isStopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (isStopping) return;
      isStopping = true;
      process.stderr.write(`bench: ${signal}: ending what was started\n`);
      void cleanUps.runAll().finally(() => process.exit(130));
    });
  }
  return () => isStopping;
}

interface Context {
  readonly args: readonly string[];
  readonly root: string;
  readonly cleanUps: CleanUps;
}

async function measure(options: BenchOptions, { args, root, cleanUps }: Context): Promise<BenchResult> {
  const data = options.data === undefined ? tmpdir() : resolve(root, options.data);
  mkdirSync(data, { recursive: true });
  const clusterOptions = { root, data, cleanUps };
  const hasPairs = options.workloads.includes("W1a");
  const hasFailover = options.workloads.includes("W4");
  const diskMs = options.isQuick ? 1_000 : 3_000;
  const beside = hasPairs ? options.beside : [];
  const progress = new Progress(
    [
      { title: "the disk: fdatasync", seconds: diskMs / 1_000 },
      ...beside.map(({ name }) => ({ title: `starting ${name}`, seconds: 20 })),
      ...(hasPairs
        ? [
            ...pairsSteps(
              options,
              beside.map(({ name }) => name),
            ),
            breakdownStep,
          ]
        : []),
      ...(hasFailover ? failoverSteps(options) : []),
    ],
    (line) => process.stderr.write(`${line}\n`),
  );

  progress.begin();
  const disk = await measureDisk(data, diskMs);
  const systems = [];
  for (const other of beside) {
    progress.begin();
    systems.push(await startBeside(other, cleanUps));
  }
  const pairs = hasPairs
    ? await runPairsWindows(options, clusterOptions, { systems, progress })
    : { windows: [], beside: [] };
  for (const system of systems) await system.stop();
  if (hasPairs) progress.begin();
  const breakdown = hasPairs ? await runBreakdown(options, clusterOptions) : undefined;
  const failovers = hasFailover ? await runFailovers(options, clusterOptions, progress) : [];
  return {
    format: resultFormat,
    date: new Date().toISOString(),
    command: commandText(args),
    isQuick: options.isQuick,
    ...checkout(root),
    machine: machine(),
    disk,
    ...pairs,
    failovers,
    ...(breakdown === undefined ? {} : { breakdown }),
  };
}

/** Without the commands of other systems: those are paths of one machine. */
function commandText(args: readonly string[]): string {
  return args.map((word) => word.replace(/^((?:--beside=)?[\w.-]+)=.*[/ ].*$/, "$1=…")).join(" ");
}

/** Five digits are more than any of this is good for, and keep the file small. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}

function shown(result: BenchResult): string {
  const sections = sectionsOf(result).map(({ title, text, table }) =>
    [title, ...(text === undefined ? [] : [text]), "", table].join("\n"),
  );
  return `${sections.join("\n\n")}\n`;
}

function writePage(root: string): number {
  writeFileSync(join(root, "docs/BENCHMARKS.md"), benchmarksPage(root));
  process.stderr.write("bench: docs/BENCHMARKS.md is written\n");
  return 0;
}
