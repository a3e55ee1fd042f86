// `npm run soak -- [--minutes 30] [--from SEED]`: simulation on all cores for half of the time, then real processes under
// chaos for the other half, with seeds that no CI run uses. Ends with the figures, and writes them where docs/TESTING.md takes
// them from: `docs/soak.json`, and the table between the marks of that page.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { soakTable } from "./soak-table.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    from: { type: "string", default: String(1_000_000 + Math.floor(Math.random() * 1_000_000)) },
    /** Writes the figures into the documentation. */
    docs: { type: "boolean", default: false },
  },
});
const half = Math.max(1, Math.ceil(Number(values.minutes) / 2));
const place = join(root, "test/.artifacts/soak");
mkdirSync(place, { recursive: true });
const started = Date.now();

const simulation = part("sim", ["--minutes", String(half), "--from", values.from]);
const chaos = part("chaos", ["--minutes", String(half), "--seed", String(Number(values.from) % 1_000_000)]);
const minutes = (Date.now() - started) / 60_000;
const soak = {
  minutes: Math.round(minutes * 10) / 10,
  from: Number(values.from),
  sim: simulation.figures,
  chaos: chaos.figures,
};
// A half that never came to its end has no figures.
if (soak.sim !== null && soak.chaos !== null) process.stdout.write(`\n${soakTable(soak)}\n`);
const isGreen = simulation.isGreen && chaos.isGreen;
if (values.docs && !isGreen) process.stderr.write("soak: not green, so nothing was written into docs/\n");
if (values.docs && isGreen) {
  writeFileSync(join(root, "docs/soak.json"), `${JSON.stringify(soak, undefined, 1)}\n`);
  const page = join(root, "docs/TESTING.md");
  const text = readFileSync(page, "utf8");
  const marked = /(<!-- soak -->\n)[^]*(<!-- \/soak -->)/;
  writeFileSync(
    page,
    text.replace(marked, (_all, begin, end) => `${begin}${soakTable(soak)}\n${end}`),
  );
}
const totals = [simulation, chaos].reduce(
  (sum, { counts }) => sum.map((count, i) => count + (counts[i] ?? 0)),
  [0, 0, 0],
);
process.stdout.write(`${totals[0]} passed, ${totals[1]} failed, ${totals[2]} skipped\n`);
process.exit(isGreen ? 0 : 1);

/** Runs one half; its output passes through, its figures come back. */
function part(script, args) {
  const json = join(place, `${script}.json`);
  writeFileSync(json, "null");
  const ran = spawnSync("npm", ["run", "--silent", script, "--", ...args, "--json", json], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
  });
  process.stdout.write(ran.stdout);
  const closing = /^(\d+) passed, (\d+) failed, (\d+) skipped$/m.exec(ran.stdout);
  const counts = closing === null ? [0, 1, 0] : closing.slice(1).map(Number);
  return {
    isGreen: ran.status === 0 && closing !== null,
    counts,
    figures: JSON.parse(readFileSync(json, "utf8")),
  };
}
