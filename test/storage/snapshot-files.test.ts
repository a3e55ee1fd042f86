/** Snapshot files on a real disk and in memory, by the same promises; what only a real folder or only a crash can show. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { createPrng } from "../../src/base/prng.ts";
import { openSnapshotFiles } from "../../src/storage/snapshot-files.ts";
import { MemoryFolder } from "../sim/memory-snapshots.ts";
import { append, Files, finish, settled, snapshotFilesContract, textOf } from "./snapshot-files.ts";

const root = mkdtempSync(join(tmpdir(), "holdfast-snapshots-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

function newPath(): string {
  return join(root, `f${++folders}`);
}

snapshotFilesContract("a folder on disk", () => {
  const path = newPath();
  return { open: () => openSnapshotFiles(path) };
});

snapshotFilesContract("a folder in memory", () => {
  const folder = new MemoryFolder();
  return { open: () => folder.open({ later: queueMicrotask }) };
});

it("what else lies in the folder is neither listed nor removed", async () => {
  const path = newPath();
  const files = new Files(openSnapshotFiles(path));
  for (const name of ["x.snap", "12.snapx", "-1.snap", "notes.txt"]) writeFileSync(join(path, name), "?");
  await files.make(12, "twelve");

  expect(await files.list()).toEqual([12]);
  await files.keepOnly(13, 13);
  expect(readdirSync(path).sort()).toEqual(["-1.snap", "12.snapx", "notes.txt", "x.snap"]);
});

it("a folder that goes away is an error, never an empty folder", async () => {
  const path = newPath();
  const files = new Files(openSnapshotFiles(path));
  rmSync(path, { recursive: true });

  await expect(files.list()).rejects.toThrow("ENOENT");
  await expect(files.keepOnly(0, 1)).rejects.toThrow("ENOENT");
  await expect(files.create(1, "own")).rejects.toThrow("ENOENT");
});

it("closing ends the files that are open", async () => {
  const files = new Files(openSnapshotFiles(newPath()));
  const file = await files.create(1, "own");
  await append(file, "one");
  await files.files.close();

  await expect(settled((done) => file.read(0, 1, done))).rejects.toThrow("closed");
});

it("after a crash a file is whole or not there, and what was finished before is whole", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const random = createPrng(seed);
    const folder = new MemoryFolder();
    let steps = random.between(0, 40);
    let isDead = false;
    // The process dies at some step of the disk.
    const later = (step: () => void): void => {
      if (steps-- <= 0) isDead = true;
      else queueMicrotask(() => isDead || step());
    };
    const files = new Files(folder.open({ later }));
    let isFirstDone = false;
    const work = async (): Promise<void> => {
      await files.make(1, "first");
      isFirstDone = true;
      const file = await files.create(2, "own");
      await append(file, "second, ");
      await append(file, "in two");
      await finish(file);
      await files.keepOnly(2, 2);
      isFirstDone = false;
      seen.add("all done");
    };
    void work();
    for (let i = 0; i < 400 && !isDead; i++) await Promise.resolve();
    folder.crash(random);

    const after = new Files(folder.open({ later: queueMicrotask }));
    const indexes = await after.list();
    seen.add(indexes.join(" "));
    if (isFirstDone) expect(indexes).toContain(1);
    for (const index of indexes)
      expect(textOf(await after.read(index, 0, 100))).toBe(index === 1 ? "first" : "second, in two");
  }
  expect([...seen].sort()).toEqual(["", "1", "1 2", "2", "all done"]);
});
