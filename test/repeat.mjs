// `npm run test:repeat -- N [SEED]`: the simulator's and the real-process tests N times, each with new seeds, and every
// seed printed, so that a failure can be had again.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const [times = "5", first = String(Math.floor(Math.random() * 1_000_000))] = process.argv.slice(2);
const files = ["test/sim/first-half.test.ts", "test/sim/second-half.test.ts", "test/e2e"];
const totals = { passed: 0, failed: 0, skipped: 0 };
const failedSeeds = [];

const built = spawnSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });
if (built.status !== 0) process.exit(1);
for (let i = 0; i < Number(times); i++) {
  const seed = Number(first) + i;
  console.log(`== repetition ${i + 1} of ${times}: seed ${seed} (npm run test:repeat -- 1 ${seed})`);
  const env = { ...process.env, SIM_SEED_BASE: String(seed * 1_000), E2E_SEED: String(seed) };
  const run = spawnSync(process.execPath, [vitest, "run", ...files], { cwd: root, env, encoding: "utf8" });
  for (const line of run.stdout.split("\n")) if (/^(simulated|kill test)/.test(line)) console.log(line);
  const closing = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(run.stdout);
  for (const [j, name] of ["passed", "failed", "skipped"].entries())
    totals[name] += Number(closing?.[j + 1] ?? 0);
  if (run.status !== 0 || closing === null) {
    failedSeeds.push(seed);
    if (closing === null) totals.failed++;
    console.log(run.stdout, run.stderr);
  }
}
if (failedSeeds.length > 0) console.log(`failed with seeds ${failedSeeds.join(", ")}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(failedSeeds.length === 0 ? 0 : 1);
