/**
 * Each broken variant is compiled beside the sound one and run with the seed that is known to kill it; the sound one
 * passes with the same seed and plan.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { type Mutant, mutants } from "./mutants.ts";
import { run } from "./world.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** `MUTANT_SEARCH=1` searches from seed 1 instead of trying the recorded one first. */
const isSearch = process.env["MUTANT_SEARCH"] === "1";
const seedsMax = 500;

interface Kill {
  readonly seed: number;
  readonly rule: string;
}

/** The first violation among these seeds; undefined when the variant gets away. */
function firstKill(main: string, plan: string, from: number, seeds: number): Kill | undefined {
  const args = [main, "--first", "--plan", plan, "--from", String(from), "--seeds", String(seeds)];
  const ran = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (ran.status === 0) return undefined;
  return JSON.parse(ran.stdout.split("\n")[0] ?? "") as Kill;
}

function build(mutant: Mutant, number: number): string {
  const place = join(root, "test/.artifacts/mutants", String(number));
  rmSync(place, { recursive: true, force: true });
  mkdirSync(join(place, "test"), { recursive: true });
  cpSync(join(root, "src"), join(place, "src"), { recursive: true });
  cpSync(join(root, "test/sim"), join(place, "test/sim"), { recursive: true });
  cpSync(join(root, "tsconfig.json"), join(place, "tsconfig.json"));
  const file = join(place, mutant.file);
  let text = readFileSync(file, "utf8");
  for (const [find, put] of mutant.changes) {
    expect(text.split(find).length, `"${find}" stands once in ${mutant.file}`).toBe(2);
    text = text.replace(find, () => put);
  }
  writeFileSync(file, text);
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const built = spawnSync(process.execPath, [tsc, "-p", "test/sim/tsconfig.json"], {
    cwd: place,
    encoding: "utf8",
  });
  expect(built.stdout + built.stderr).toBe("");
  return join(place, "test/.artifacts/sim/test/sim/main.js");
}

for (const [number, mutant] of mutants.entries()) {
  it(`catches: ${mutant.name}`, () => {
    const main = build(mutant, number);
    const plan = JSON.stringify(mutant.plan ?? {});

    // Any change of behaviour moves what a seed does, so a recorded one may stop to kill; then another must.
    const recorded = isSearch ? undefined : firstKill(main, plan, mutant.seed, 1);
    const kill = recorded ?? firstKill(main, plan, 1, seedsMax);

    if (recorded === undefined) {
      process.stdout.write(
        `${mutant.name}: first killed by seed ${kill?.seed}, recorded is ${mutant.seed}\n`,
      );
    }
    expect(kill, `not caught within ${seedsMax} seeds`).toBeDefined();
    expect(mutant.killedBy).toContain(kill?.rule);
    expect(run(kill?.seed ?? 0, { plan: mutant.plan ?? {} }).violation).toBeUndefined();
  });
}
