/**
 * The promises of `SnapshotFiles` as tests, for the folder on a real disk and for the one in memory that the simulator
 * uses. `open` is a new process on the same folder.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { FilePiece, SnapshotFiles, UnfinishedFile } from "../../src/storage/contract.ts";

const open: SnapshotFiles[] = [];
afterEach(async () => {
  for (const files of open.splice(0)) await files.close();
});

/** Its methods as promises. */
export class Files {
  readonly files: SnapshotFiles;

  constructor(files: SnapshotFiles) {
    this.files = files;
    open.push(files);
  }

  list(): Promise<readonly number[]> {
    return new Promise((resolve, reject) =>
      this.files.list((error, indexes) => (error === undefined ? resolve(indexes) : reject(error))),
    );
  }

  keepOnly(from: number, to: number): Promise<void> {
    return settled((done) => this.files.keepOnly(from, to, done));
  }

  read(index: number, offset: number, bytesMax: number): Promise<FilePiece | undefined> {
    return new Promise((resolve, reject) =>
      this.files.read(index, offset, bytesMax, (error, piece) =>
        error === undefined ? resolve(piece) : reject(error),
      ),
    );
  }

  create(index: number, origin: "own" | "fetched"): Promise<UnfinishedFile> {
    return new Promise((resolve, reject) =>
      this.files.create(index, origin, (error, file) => (file === undefined ? reject(error) : resolve(file))),
    );
  }

  async make(index: number, text: string, origin: "own" | "fetched" = "own"): Promise<void> {
    const file = await this.create(index, origin);
    await append(file, text);
    await finish(file);
  }
}

export function settled(run: (done: (error: Error | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => run((error) => (error === undefined ? resolve() : reject(error))));
}

export function append(file: UnfinishedFile, text: string): Promise<void> {
  return settled((done) => file.append(bytesOf(text), done));
}

export function finish(file: UnfinishedFile): Promise<void> {
  return settled((done) => file.finish(done));
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(piece: FilePiece | undefined): string | undefined {
  return piece === undefined ? undefined : new TextDecoder().decode(piece.bytes);
}

export function snapshotFilesContract(what: string, folder: () => { open(): SnapshotFiles }): void {
  describe(what, () => {
    it("has a file under its name once it is finished, and not before (S9)", async () => {
      const at = folder();
      const files = new Files(at.open());
      const file = await files.create(7, "own");
      await append(file, "one ");
      await append(file, "two");

      expect(file.bytes).toBe(7);
      expect(await files.list()).toEqual([]);
      expect(await files.read(7, 0, 10)).toBeUndefined();

      await finish(file);

      expect(await files.list()).toEqual([7]);
      expect(textOf(await files.read(7, 0, 100))).toBe("one two");
      expect(await new Files(at.open()).list()).toEqual([7]);
    });

    it("reads pieces, none beyond the end, with the length of the whole", async () => {
      const files = new Files(folder().open());
      await files.make(3, "0123456789");

      const pieces = [await files.read(3, 0, 4), await files.read(3, 8, 4), await files.read(3, 10, 4)];

      expect(pieces.map(textOf)).toEqual(["0123", "89", ""]);
      expect(pieces.map((piece) => piece?.total)).toEqual([10, 10, 10]);
      expect(textOf(await files.read(3, 99, 4))).toBe("");
    });

    it("lists by index, and keeps only what it is told to", async () => {
      const files = new Files(folder().open());
      for (const index of [100, 9, 20, 1_000]) await files.make(index, `of ${index}`);

      expect(await files.list()).toEqual([9, 20, 100, 1_000]);

      await files.keepOnly(20, 100);

      expect(await files.list()).toEqual([20, 100]);
      expect(await files.read(9, 0, 10)).toBeUndefined();
    });

    it("goes on with a transfer of the same snapshot, also after a restart", async () => {
      const at = folder();
      const before = new Files(at.open());
      const file = await before.create(5, "fetched");
      await append(file, "half ");
      await settled((done) => file.abandon("keep", done));

      const after = new Files(at.open());
      const again = await after.create(5, "fetched");

      expect(again.bytes).toBe(5);
      const held = await new Promise<FilePiece | undefined>((resolve) =>
        again.read(0, 100, (_error, piece) => resolve(piece)),
      );
      expect(textOf(held)).toBe("half ");

      await append(again, "whole");
      await finish(again);
      expect(textOf(await after.read(5, 0, 100))).toBe("half whole");
    });

    it("forgets a transfer of another snapshot, and one that it is told to remove", async () => {
      const files = new Files(folder().open());
      const first = await files.create(5, "fetched");
      await append(first, "of five");
      await settled((done) => first.abandon("keep", done));
      const second = await files.create(6, "fetched");
      await append(second, "of six");
      await settled((done) => second.abandon("remove", done));

      expect((await files.create(6, "fetched")).bytes).toBe(0);
      expect((await files.create(5, "fetched")).bytes).toBe(0);
    });

    it("begins an own file anew, beside a transfer of the same index", async () => {
      const files = new Files(folder().open());
      const fetched = await files.create(4, "fetched");
      await append(fetched, "fetched");
      const torn = await files.create(4, "own");
      await append(torn, "a longer one that was left");
      const own = await files.create(4, "own");
      expect(own.bytes).toBe(0);
      await append(own, "own");
      await finish(own);

      expect(textOf(await files.read(4, 0, 100))).toBe("own");

      await finish(fetched);
      expect(textOf(await files.read(4, 0, 100))).toBe("fetched");
      expect(await files.list()).toEqual([4]);
    });

    it("waits for what is under way before it lets a file go, and does what changes the folder in order", async () => {
      const files = new Files(folder().open());
      const file = await files.create(8, "fetched");
      const order: string[] = [];
      const appended = append(file, "x".repeat(100_000)).then(() => order.push("appended"));
      const left = settled((done) => file.abandon("keep", done)).then(() => order.push("left"));
      const next = files.create(8, "fetched");
      await Promise.all([appended, left]);

      expect(order).toEqual(["appended", "left"]);
      expect((await next).bytes).toBe(100_000);
    });

    it("answers later, never inside of the call", async () => {
      const { files } = new Files(folder().open());
      let isInside = true;
      const answered = [
        new Promise<void>((resolve) => files.list(() => resolve(expect(isInside).toBe(false)))),
        new Promise<void>((resolve) => files.read(1, 0, 1, () => resolve(expect(isInside).toBe(false)))),
        new Promise<void>((resolve) => files.keepOnly(0, 1, () => resolve(expect(isInside).toBe(false)))),
      ];
      isInside = false;
      await Promise.all(answered);
      await files.close();
      await files.close();
    });
  });
}
