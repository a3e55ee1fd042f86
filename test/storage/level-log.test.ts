import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { checkLevelLogs, scanLevelLog } from "../../src/storage/level-log.ts";
import { type TemporaryDirectory, temporaryDirectory } from "./log-builder.ts";

let temporary: TemporaryDirectory;

beforeEach(() => {
  temporary = temporaryDirectory();
});

afterEach(() => temporary.remove());

/** The write-ahead log that LevelDB makes of batches with values of these sizes. */
async function logOf(sizes: readonly number[]): Promise<Buffer> {
  const path = join(temporary.path, "db");
  const db = new Level<string, Uint8Array>(path, { valueEncoding: "view" });
  let number = 0;
  for (const size of sizes)
    await db.put(`key-${number++}`, new Uint8Array(size).fill(number), { sync: true });
  const name = present(
    readdirSync(path).find((file) => file.endsWith(".log")),
    "log",
  );
  const bytes = readFileSync(join(path, name));
  await db.close();
  return bytes;
}

describe("the scan of LevelDB's own files", () => {
  test("counts the batches of a log as LevelDB wrote it, across blocks and up to their very ends", async () => {
    const sizes = [10, 40_000, 100, 200_000, 0, 70_000, 5];

    expect(scanLevelLog(await logOf(sizes))).toEqual({ kind: "whole", batches: sizes.length });
  });

  test("reads the log whatever is left over at the end of a block", async () => {
    // A block less the record's header, the batch's header, its one operation with key and lengths, and `left`.
    for (let left = 0; left < 16; left++) {
      const bytes = await logOf([32768 - 7 - 12 - 1 - 1 - 5 - 3 - left, 50, 60]);

      expect(scanLevelLog(bytes)).toEqual({ kind: "whole", batches: 3 });
      temporary.remove();
      mkdirSync(temporary.path);
    }
  });

  test("a log that ends inside its last batch is torn there; LevelDB's own words are not needed", async () => {
    const bytes = await logOf([10, 20, 40_000]);
    const start = scanLevelLog(bytes.subarray(0, -1));
    expect(start).toMatchObject({ kind: "torn", batches: 2 });
    const at = start.kind === "torn" ? start.at : 0;

    for (let cut = at + 1; cut < bytes.length; cut += 997) {
      expect(scanLevelLog(bytes.subarray(0, cut))).toEqual({ kind: "torn", batches: 2, at });
      const zeroed = Buffer.from(bytes).fill(0, cut);
      expect(scanLevelLog(zeroed)).toMatchObject({ kind: "torn", batches: 2 });
    }
    expect(scanLevelLog(bytes.subarray(0, at))).toEqual({ kind: "whole", batches: 2 });
    expect(scanLevelLog(Buffer.concat([bytes, Buffer.alloc(70_000)]))).toMatchObject({
      kind: "torn",
      batches: 3,
    });
  });

  test("pages of the last batch that reached the disk before its first page do not make it an acknowledged one", async () => {
    const bytes = await logOf([10, 200_000]);

    const late = Buffer.from(bytes).fill(0, 4096, 36_864);

    expect(scanLevelLog(late)).toMatchObject({ kind: "torn", batches: 1 });
  });

  test("an unreadable place before a later batch is damage, wherever it is", async () => {
    const bytes = await logOf([10, 40_000, 30, 33_000, 8]);
    const end = scanLevelLog(bytes.subarray(0, -1));
    const last = end.kind === "torn" ? end.at : 0;

    for (let at = 0; at < last; at += 211) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] as number) ^ 0x40;

      expect(scanLevelLog(flipped).kind, `byte ${at}`).toBe("damaged");
    }
  });

  test("a torn log before one that goes on is damage; before an empty one it is not", async () => {
    const bytes = await logOf([10, 20]);
    const path = join(temporary.path, "store");
    mkdirSync(path);
    writeFileSync(join(path, "000003.log"), bytes.subarray(0, -3));
    writeFileSync(join(path, "000005.log"), "");
    expect(checkLevelLogs(path)).toEqual(["000003.log"]);

    writeFileSync(join(path, "000005.log"), bytes);

    expect(() => checkLevelLogs(path)).toThrow(
      /000003.log ends in an unreadable batch, but 000005.log goes on/,
    );
  });

  test("a database without any write-ahead log has lost it", () => {
    writeFileSync(join(temporary.path, "CURRENT"), "MANIFEST-000002\n");

    expect(() => checkLevelLogs(temporary.path)).toThrow(/write-ahead log has gone/);
  });
});
