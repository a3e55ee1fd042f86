// `npm run mutants -- …`: compiles the sound simulator and the runner of the mutants, then runs that with the same
// arguments.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
const built = spawnSync(process.execPath, [tsc, "-p", "test/sim/mutants-tsconfig.json"], {
  cwd: root,
  stdio: ["ignore", "inherit", "inherit"],
});
if (built.status !== 0) process.exit(built.status ?? 1);
const runner = "test/.artifacts/mutants/sound/test/sim/mutants-main.js";
const ran = spawnSync(process.execPath, [runner, ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
process.exit(ran.status ?? 1);
