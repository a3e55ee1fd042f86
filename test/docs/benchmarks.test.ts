/** docs/BENCHMARKS.md says what the committed result files say, and nothing else. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { benchmarksPage } from "../bench/docs.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

it("docs/BENCHMARKS.md is what `npm run bench -- --docs` makes of docs/bench", () => {
  expect(readFileSync(join(root, "docs/BENCHMARKS.md"), "utf8")).toBe(benchmarksPage(root));
});
