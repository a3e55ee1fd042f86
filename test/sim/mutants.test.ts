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
/** `MUTANT_SEEDS=500` searches from seed 1 instead of using the recorded one. */
const search = process.env["MUTANT_SEEDS"];

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
    const seeds =
      search === undefined ? ["--from", String(mutant.seed), "--seeds", "1"] : ["--seeds", search];
    const plan = JSON.stringify(mutant.plan ?? {});

    const broken = spawnSync(process.execPath, [main, "--first", "--plan", plan, ...seeds], {
      encoding: "utf8",
    });

    expect(broken.status, broken.stdout + broken.stderr).toBe(1);
    const verdict = JSON.parse(broken.stdout.split("\n")[0] ?? "") as { seed: number; rule: string };
    if (search !== undefined) process.stdout.write(`${mutant.name}: seed ${verdict.seed}, ${verdict.rule}\n`);
    expect(mutant.killedBy).toContain(verdict.rule);
    expect(run(verdict.seed, { plan: mutant.plan ?? {} }).violation).toBeUndefined();
  });
}
