/**
 * Real processes and real faults: kill -9 in the middle of writing, a file size limit that stands for a full disk, a
 * directory that may not be written.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { createPrng } from "../../src/base/prng.ts";
import { expected, foundAt, reopenAt, type TemporaryDirectory, temporaryDirectory } from "./log-builder.ts";

const script = join(import.meta.dirname, "fault-child.mjs");
let temporary: TemporaryDirectory;
let path: string;

beforeEach(async () => {
  temporary = temporaryDirectory();
  path = join(temporary.path, "data");
  await (await foundAt(path)).storage.close();
});

afterEach(() => temporary.remove());

/** Kills the child right after it reported its `acks`-th step; resolves with all that it said. */
function writeAndKill(acks: number): Promise<readonly string[]> {
  const child: ChildProcess = spawn(process.execPath, [script, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (output.split("\nack ").length > acks) child.kill("SIGKILL");
  });
  return new Promise((resolve) => child.on("close", () => resolve(output.split("\n"))));
}

function lastAck(lines: readonly string[]): { step: number; lastIndex: number; term: number } {
  const line = present(lines.filter((text) => /^ack \d+ \d+ \d+$/.test(text)).at(-1), "an ack");
  const [step = 0, lastIndex = 0, term = 0] = line.split(" ").slice(1).map(Number);
  return { step, lastIndex, term };
}

test("after kill -9 in the middle of writing, 24 times over, every reported step is there", {
  timeout: 240_000,
}, async () => {
  const random = createPrng(7, "kill");
  for (let round = 0; round < 24; round++) {
    const acked = lastAck(await writeAndKill(random.between(1, 40)));

    const storage = await reopenAt(path);

    expect(storage.step).toBeGreaterThanOrEqual(acked.step);
    expect(storage.step).toBeLessThanOrEqual(acked.step + 1);
    expect(storage.restored.hardState.currentTerm).toBeGreaterThanOrEqual(acked.term);
    if (storage.step === acked.step) expect(storage.restored.entries.length).toBe(acked.lastIndex);
    await storage.close();
  }
});

test.each([64, 200])(
  "a disk that is full after %i KiB: an error, a dead storage, and nothing reported is lost",
  async (kib) => {
    const limited = `ulimit -f ${kib * 2}; exec "$0" "$@"`;

    const child = spawnSync("sh", ["-c", limited, process.execPath, script, path], { encoding: "utf8" });

    const lines = child.stdout.trim().split("\n");
    const failure = present(lines.at(-2), "an error line");
    expect(child.status).toBe(70);
    expect(failure).toMatch(/^error storage failed: .*File too large/);
    expect(lines.at(-1)).toBe(failure.replace("error", "again"));
    const acked = lastAck(lines);
    const storage = await reopenAt(path);
    expect(storage.step).toBeGreaterThanOrEqual(acked.step);
    await storage.close();
  },
);

test("an anchor that cannot be written is an error of the storage too", async () => {
  const limited = `ulimit -f 8; exec "$0" "$@"`;
  // 4096 bytes: the second slot lies beyond, and the write after the one at opening is the second to go there.
  const child = spawnSync("sh", ["-c", limited, process.execPath, script, path], { encoding: "utf8" });

  const lines = child.stdout.trim().split("\n");
  const refusedAtOpen = child.status !== 70;
  expect(refusedAtOpen ? child.stderr : lines.at(-2)).toMatch(/EFBIG|File too large/);
  const storage = await reopenAt(path);
  if (!refusedAtOpen && lines.some((line) => line.startsWith("ack"))) {
    expect(storage.step).toBeGreaterThanOrEqual(lastAck(lines).step);
  }
  await storage.close();
});

/** Permissions do not bind root, so root opens as nobody. */
function openAsOrdinaryUser(): string {
  const code = `
    import { initDataDirectory, openDataDirectory } from ${JSON.stringify(join(process.cwd(), "dist/storage/data-directory.js"))};
    const say = (error) => console.log(error.code, error.exitCode, error.message.split("\\n")[0]);
    await openDataDirectory(${JSON.stringify({ path, expect: expected })}).catch(say);
    try { initDataDirectory(${JSON.stringify({ path: join(path, "below"), ...expected })}); } catch (error) { say(error); }`;
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  return spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", ...user })
    .stdout;
}

test("a directory that may be read and not written cannot be used, and stays as it is", async () => {
  chmodSync(temporary.path, 0o755);
  execFileSync("chmod", ["-R", "a+rX,a-w", path]);
  const before = readdirSync(path, { recursive: true });

  const said = openAsOrdinaryUser();

  expect(said).toMatch(/^unusable 73 .*(Permission denied|EACCES).*\nunusable 73 .*EACCES.*\n$/);
  execFileSync("chmod", ["-R", "u+w", path]);
  expect(readdirSync(path, { recursive: true })).toEqual(before);
  await (await reopenAt(path)).close();
});

test("a directory that may not be read cannot be used", () => {
  chmodSync(temporary.path, 0o755);
  chmodSync(path, 0o000);

  const said = openAsOrdinaryUser();

  expect(said).toMatch(/^unusable 73 .*EACCES.*\nunusable 73 .*EACCES/);
  chmodSync(path, 0o700);
});
