#!/usr/bin/env node
/**
 * The command `holdfast`: runs the built program. Plain JavaScript, so that it can say when nothing was built yet.
 */
import { existsSync } from "node:fs";

const program = new URL("../dist/cli/main.js", import.meta.url);

if (existsSync(program)) {
  const { main } = await import(program.href);
  const code = await main(process.argv.slice(2));
  // What was written goes out first; idle connections must not keep the process.
  process.stdout.write("", () => process.exit(code));
} else {
  process.stderr.write("holdfast: not built yet: run npm run build\n");
  process.exitCode = 78;
}
