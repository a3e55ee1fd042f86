/**
 * Opens damaged copies of a data directory, one after the other, and reports on stdout what came of each. A process of
 * its own, because LevelDB may abort: "start N" without "done N" means that case N ended the process.
 * Usage: damage-child.mjs CASES.json WORK FIRST STRIDE
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { openDataDirectory } from "../../dist/storage/data-directory.js";

const [, , casesFile, work, first, stride] = process.argv;
const { cases, expect } = JSON.parse(readFileSync(casesFile, "utf8"));

for (let i = Number(first); i < cases.length; i += Number(stride)) {
  say(`start ${i}`);
  const path = join(work, "copy");
  rmSync(path, { recursive: true, force: true });
  cpSync(cases[i].base, path, { recursive: true });
  damage(path, cases[i]);
  const outcome = await open(path);
  const again = outcome.kind === "refused" || i % 16 < 2 ? await open(path) : undefined;
  say(`done ${i} ${JSON.stringify({ ...outcome, again })}`);
}

function damage(path, { file, op, at, from }) {
  const target = join(path, file);
  if (op === "remove") return rmSync(target, { recursive: true });
  if (op === "empty") {
    rmSync(target, { recursive: true });
    return mkdirSync(target);
  }
  if (op === "replace") {
    rmSync(target, { recursive: true });
    return cpSync(from, target, { recursive: true });
  }
  if (op === "truncate") return truncateSync(target, at);
  const bytes = readFileSync(target);
  if (op === "flip") bytes[at] ^= 1 << ((at * 5) % 8);
  if (op === "zero-tail") bytes.fill(0, at);
  if (op === "zero-block") bytes.fill(0, at, Math.min(at + 64, bytes.length));
  writeFileSync(target, op === "append-zeros" ? Buffer.concat([bytes, Buffer.alloc(at)]) : bytes);
}

async function open(path) {
  try {
    const opened = await openDataDirectory({ path, expect });
    if (opened.kind === "new") {
      await opened.close();
      return { kind: "new" };
    }
    const { restored } = opened.storage;
    const digest = digestOf(restored);
    await opened.storage.close();
    return { kind: "opened", step: restored.step, digest };
  } catch (error) {
    return { kind: "refused", code: error.code ?? "no code", text: String(error.message).split("\n")[0] };
  }
}

/** The same text as `digestOf` in damage.test.ts. */
function digestOf({ hardState, boundary, snapshot, entries }) {
  const hash = createHash("sha1").update(`${hardState.currentTerm} ${hardState.votedFor}\n`);
  for (const { index, term, time, chain } of snapshot === undefined ? [boundary] : [boundary, snapshot]) {
    hash.update(`${index} ${term} ${time} ${chain}\n`);
  }
  for (const { index, term, time, kind, data, chain } of entries) {
    hash.update(`${index} ${term} ${time} ${kind} ${chain} ${Buffer.from(data).toString("hex")}\n`);
  }
  return hash.digest("hex");
}

/** Synchronous: a line that was said must not be lost when the process aborts. */
function say(line) {
  writeSync(1, `${line}\n`);
}
