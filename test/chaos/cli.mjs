// `npm run chaos -- …`: compiles the chaos run, then runs it in this process, so that one Ctrl-C ends it in order.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
const built = spawnSync(process.execPath, [tsc, "-p", "test/chaos/tsconfig.json"], {
  cwd: root,
  stdio: ["ignore", "inherit", "inherit"],
});
if (built.status !== 0) process.exit(built.status ?? 1);
const { main } = await import(new URL("../.artifacts/chaos-build/test/chaos/main.js", import.meta.url).href);
process.exitCode = await main(process.argv.slice(2), root);
