/**
 * `npm run mutants`: compiles every deliberately broken variant and runs it with the seed that is recorded for it in
 * `mutants.json`. It must break one of the rules that it names, and the sound code must pass with the same seed and plan.
 * `--search` looks for the first such seed of each and records it, `--mend` only for those that their seed does not catch
 * any more; `--only TEXT` takes those whose name contains it; `--jobs N` at a time. Runs in the root of the repository.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { applyMutant, type Kill, type Kills, type Mutant, mutants, seedsMax } from "./mutants.ts";

const place = "test/.artifacts/mutants";
const record = "test/sim/mutants.json";
const tsc = "node_modules/typescript/bin/tsc";
/** Seed 1 happens to be a crowd of two hundred clients: it catches most of them, and takes its time. */
const firstSeed = 2;
/** A seed takes about a second. What takes so much longer turns in circles. */
const seedMsMax = 120_000;

interface Verdict {
  readonly mutant: Mutant;
  readonly kill: Kill | undefined;
  /** What is wrong with it; undefined when it was caught as it should be. */
  readonly fault: string | undefined;
}

/** What the sound code does with a plan and a seed: many mutants share them. */
const sound = new Map<string, Promise<Kill | undefined>>();

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      search: { type: "boolean", default: false },
      mend: { type: "boolean", default: false },
      only: { type: "string", multiple: true, default: [""] },
      jobs: { type: "string", default: String(availableParallelism()) },
      /** Of a search. */
      seeds: { type: "string", default: String(seedsMax) },
    },
  });
  const recorded = readRecord();
  const chosen = mutants.filter(({ name }) => values.only.some((text) => name.includes(text)));
  const started = performance.now();
  const isSearch = values.search || values.mend;
  const known: Verdict[] = [];
  const verdicts = await inLanes(chosen, Number(values.jobs), async (mutant) => {
    const begun = performance.now();
    const verdict = await judged(mutant, async (main) => {
      const again = values.search ? undefined : await repeated(mutant, main, recorded[mutant.name]);
      const isEnough = again !== undefined && (!values.mend || again.fault === undefined);
      return isEnough ? again : searched(mutant, main, Number(values.seeds));
    });
    process.stdout.write(`${lineOf(verdict)}\n`);
    process.stderr.write(`${((performance.now() - begun) / 1_000).toFixed(1)} s for ${mutant.name}\n`);
    known.push(verdict);
    if (isSearch) save(recorded, known);
    return verdict;
  });
  process.stderr.write(`${((performance.now() - started) / 1_000).toFixed(1)} s\n`);
  if (isSearch) showSeeds();
  return report(verdicts, isSearch);
}

function lineOf({ mutant, kill, fault }: Verdict): string {
  const how = kill === undefined ? "" : `seed ${kill.seed}, ${kill.rule}`;
  return `${fault === undefined ? "caught" : "FAILED"} ${mutant.name}: ${fault ?? how}`;
}

/** All of them, `lanes` at a time; the results in their order. */
async function inLanes<T, R>(
  items: readonly T[],
  lanes: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.max(1, lanes) }, lane));
  return results;
}

// ---- one mutant ----------------------------------------------------------------------------------------------------

/** Builds it and asks `find` for the seed that kills it. */
async function judged(
  mutant: Mutant,
  find: (main: string) => Promise<Omit<Verdict, "mutant">>,
): Promise<Verdict> {
  try {
    return { mutant, ...(await find(await build(mutant))) };
  } catch (error) {
    return { mutant, kill: undefined, fault: error instanceof Error ? error.message : String(error) };
  }
}

/** With the recorded seed and no other. */
async function repeated(
  mutant: Mutant,
  main: string,
  known: Kill | undefined,
): Promise<Omit<Verdict, "mutant">> {
  if (known === undefined) return { kill: undefined, fault: "no seed is recorded" };
  const { seed } = known;
  const [kill, ofSound] = await Promise.all([
    firstKill(main, mutant.plan, { from: seed, seeds: 1 }),
    soundKill(mutant.plan, seed),
  ]);
  if (kill === undefined) return { kill, fault: `seed ${seed} does not catch it any more` };
  return { kill, fault: faultOf(mutant, kill, ofSound) };
}

/** The first seed that kills it and lets the sound code pass. */
async function searched(mutant: Mutant, main: string, seeds: number): Promise<Omit<Verdict, "mutant">> {
  const kill = await firstKill(main, mutant.plan, { from: firstSeed, seeds });
  if (kill === undefined) return { kill, fault: `not caught within ${seeds} seeds` };
  return { kill, fault: faultOf(mutant, kill, await soundKill(mutant.plan, kill.seed)) };
}

function faultOf({ killedBy }: Mutant, { seed, rule }: Kill, ofSound: Kill | undefined): string | undefined {
  if (ofSound !== undefined) return `the sound code breaks ${ofSound.rule} with seed ${seed} too`;
  return killedBy.includes(rule) ? undefined : `seed ${seed} breaks ${rule}, not ${killedBy.join(" or ")}`;
}

/** A copy of the sources with its patch, compiled. Returns the path of the simulator. */
async function build(mutant: Mutant): Promise<string> {
  const copy = join(place, String(mutants.indexOf(mutant)));
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(join(copy, "test"), { recursive: true });
  for (const part of ["src", "test/sim", "test/check", "tsconfig.json"])
    cpSync(part, join(copy, part), { recursive: true });
  const file = join(copy, mutant.file);
  writeFileSync(file, applyMutant(mutant, readFileSync(file, "utf8")));
  const built = await ended([join(process.cwd(), tsc), "-p", "test/sim/tsconfig.json"], {
    cwd: copy,
    limitMs: seedMsMax,
  });
  if (built.status !== 0) throw new Error(`it does not compile: ${built.output}`);
  return join(copy, "test/.artifacts/sim/test/sim/main.js");
}

// ---- running -------------------------------------------------------------------------------------------------------

function soundKill(plan: Mutant["plan"], seed: number): Promise<Kill | undefined> {
  const key = `${seed} ${JSON.stringify(plan)}`;
  const known =
    sound.get(key) ?? firstKill(join(place, "sound/test/sim/main.js"), plan, { from: seed, seeds: 1 });
  sound.set(key, known);
  return known;
}

/** The first violation among these seeds; undefined when there is none. */
async function firstKill(
  main: string,
  plan: Mutant["plan"],
  { from, seeds }: { readonly from: number; readonly seeds: number },
): Promise<Kill | undefined> {
  const args = [
    "--first",
    "--plan",
    JSON.stringify(plan ?? {}),
    "--from",
    String(from),
    "--seeds",
    String(seeds),
  ];
  const ran = await ended([main, ...args], { limitMs: seedMsMax + 10_000 * seeds });
  if (ran.status === 0) return undefined;
  try {
    return JSON.parse(ran.output) as Kill;
  } catch {
    throw new Error(`the simulator ended with ${ran.status}: ${ran.errors}`);
  }
}

interface Ended {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** A process of this Node, to its end; killed when it takes too long. */
function ended(
  args: readonly string[],
  { cwd, limitMs }: { readonly cwd?: string; readonly limitMs: number },
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = spawn(process.execPath, args, { cwd, timeout: limitMs });
    let output = "";
    let errors = "";
    child.stdout?.on("data", (part: Buffer) => (output += part.toString()));
    child.stderr?.on("data", (part: Buffer) => (errors += part.toString()));
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, output, errors }));
  });
}

// ---- what came of it -----------------------------------------------------------------------------------------------

/** In the order of the list. What was not searched keeps its seed, what was not found has none. */
function save(recorded: Kills, verdicts: readonly Verdict[]): void {
  const kills = mutants.flatMap(({ name }): [string, Kill][] => {
    const verdict = verdicts.find(({ mutant }) => mutant.name === name);
    const kill =
      verdict === undefined ? recorded[name] : verdict.fault === undefined ? verdict.kill : undefined;
    return kill === undefined ? [] : [[name, kill]];
  });
  writeFileSync(record, `${JSON.stringify(Object.fromEntries(kills), null, 2)}\n`);
}

function readRecord(): Kills {
  return JSON.parse(readFileSync(record, "utf8")) as Kills;
}

function showSeeds(): void {
  const seeds = Object.values(readRecord())
    .map(({ seed }) => seed)
    .sort((a, b) => a - b);
  process.stdout.write(`seeds ${seeds.join(" ")}: median ${seeds[seeds.length >> 1]}\n`);
}

function report(verdicts: readonly Verdict[], isSearch: boolean): number {
  const failed = verdicts.filter(({ fault }) => fault !== undefined).length;
  if (failed > 0 && !isSearch)
    process.stdout.write(
      "Whatever changes behaviour moves what a seed does. Search anew: npm run mutants -- --search\n",
    );
  const skipped = mutants.length - verdicts.length;
  process.stdout.write(`${verdicts.length - failed} passed, ${failed} failed, ${skipped} skipped\n`);
  return failed === 0 ? 0 : 1;
}
