/** The table of the last soak in docs/TESTING.md says what its result file says, and the soak was long and green. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { type Soak, soakTable } from "../soak-table.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const soak = JSON.parse(readFileSync(join(root, "docs/soak.json"), "utf8")) as Soak;

it("docs/TESTING.md shows what `npm run soak -- --minutes 30 --docs` has written into docs/soak.json", () => {
  const page = readFileSync(join(root, "docs/TESTING.md"), "utf8");
  const [, shown] = /<!-- soak -->\n([^]*)\n<!-- \/soak -->/.exec(page) ?? [];
  expect(shown).toBe(soakTable(soak));
});

it("it went on for half an hour, and nothing was broken", () => {
  expect(soak.minutes).toBeGreaterThanOrEqual(30);
  expect(soak.sim.failed).toStrictEqual([]);
  expect(soak.chaos.failed).toBe(0);
});
