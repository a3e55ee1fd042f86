/**
 * The files of a member's snapshots in a folder of its data directory; keeps the promises of `contract.ts`.
 *
 *   <index>.snap   whole and durable          own.tmp   being made: gone at the next start of one
 *   <index>.part   what a transfer has brought so far
 *
 * A name is taken only by a rename, after the bytes are on disk; then the folder is synced. What is written is synced as it
 * comes, so that no sync of the log has to wait for all of it.
 */
import { mkdirSync } from "node:fs";
import { type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { assert } from "../base/assert.ts";
import type { LogIndex } from "../raft/types.ts";
import type { FileDone, FilePiece, ReadDone, SnapshotFiles, UnfinishedFile } from "./contract.ts";
import { syncDirectory } from "./files.ts";

/** What is written is synced whenever so much has come. */
const syncEveryBytes = 4 * 1024 * 1024;

/** `path`: of the folder, whose parent exists. Throws the system's error. */
export function openSnapshotFiles(path: string): SnapshotFiles {
  if (mkdirSync(path, { recursive: true, mode: 0o700 }) !== undefined) syncDirectory(dirname(path));
  return new FolderFiles(path);
}

class FolderFiles implements SnapshotFiles {
  readonly #path: string;
  /** What changes the folder happens one after the other. */
  #changes: Promise<unknown> = Promise.resolve();
  readonly #unfinished = new Set<Unfinished>();

  constructor(path: string) {
    this.#path = path;
  }

  list(done: (error: Error | undefined, indexes: readonly LogIndex[]) => void): void {
    settle(this.#indexes(), (error, indexes) => done(error, indexes ?? []));
  }

  async #indexes(): Promise<readonly LogIndex[]> {
    const names = await readdir(this.#path);
    const indexes = names.flatMap((name) => /^(\d{1,16})\.snap$/.exec(name)?.[1] ?? []);
    return indexes.map(Number).sort((a, b) => a - b);
  }

  keepOnly(from: LogIndex, to: LogIndex, done: FileDone): void {
    const change = async (): Promise<void> => {
      for (const index of await this.#indexes())
        if (index < from || index > to) await rm(this.#whole(index), { force: true });
    };
    settle(this.#inTurn(change), done);
  }

  read(index: LogIndex, offset: number, bytesMax: number, done: ReadDone): void {
    settle<FilePiece | undefined>(this.#read(index, offset, bytesMax), done);
  }

  async #read(index: LogIndex, offset: number, bytesMax: number): Promise<FilePiece | undefined> {
    let file: FileHandle;
    try {
      file = await open(this.#whole(index), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { size } = await file.stat();
      return { bytes: await readPiece(file, offset, Math.min(bytesMax, size - offset)), total: size };
    } finally {
      await file.close();
    }
  }

  create(
    index: LogIndex,
    origin: "own" | "fetched",
    done: (error: Error | undefined, file: UnfinishedFile | undefined) => void,
  ): void {
    const name = origin === "own" ? "own.tmp" : `${index}.part`;
    const change = async (): Promise<UnfinishedFile> => {
      for (const other of await readdir(this.#path))
        if (other.endsWith(".part") && origin === "fetched" && other !== name)
          await rm(join(this.#path, other), { force: true });
      const path = join(this.#path, name);
      const handle = await open(path, origin === "own" ? "w+" : "a+", 0o600);
      const { size } = await handle.stat();
      const file = new Unfinished({ handle, path, to: this.#whole(index), folder: this.#path }, size, (it) =>
        this.#unfinished.delete(it),
      );
      this.#unfinished.add(file);
      return file;
    };
    settle(this.#inTurn(change), done);
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => undefined);
    await Promise.all([...this.#unfinished].map((file) => file.end()));
  }

  #whole(index: LogIndex): string {
    return join(this.#path, `${index}.snap`);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }
}

interface UnfinishedParts {
  readonly handle: FileHandle;
  readonly path: string;
  /** Its name once it is whole, and the folder. */
  readonly to: string;
  readonly folder: string;
}

class Unfinished implements UnfinishedFile {
  readonly #parts: UnfinishedParts;
  readonly #ended: (file: Unfinished) => void;
  #bytes: number;
  #unsynced = 0;
  #isEnded = false;
  /** What is under way. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(parts: UnfinishedParts, bytes: number, ended: (file: Unfinished) => void) {
    this.#parts = parts;
    this.#bytes = bytes;
    this.#ended = ended;
  }

  get bytes(): number {
    return this.#bytes;
  }

  read(offset: number, bytesMax: number, done: ReadDone): void {
    const total = this.#bytes;
    const read = readPiece(this.#parts.handle, offset, Math.min(bytesMax, total - offset));
    settle(
      this.#noted(read).then((bytes) => ({ bytes, total })),
      done,
    );
  }

  append(bytes: Uint8Array, done: FileDone): void {
    assert(!this.#isEnded, "an ended file takes nothing more");
    settle(this.#noted(this.#append(bytes)), done);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const { handle } = this.#parts;
    let written = 0;
    while (written < bytes.length) {
      const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, this.#bytes);
      written += bytesWritten;
      this.#bytes += bytesWritten;
    }
    this.#unsynced += bytes.length;
    if (this.#unsynced < syncEveryBytes) return;
    this.#unsynced = 0;
    await handle.datasync();
  }

  finish(done: FileDone): void {
    settle(this.#noted(this.#finish()), done);
  }

  async #finish(): Promise<void> {
    const { handle, path, to, folder } = this.#parts;
    await handle.sync();
    await this.end();
    await rename(path, to);
    const directory = await open(folder, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  abandon(how: "keep" | "remove", done: FileDone): void {
    const abandon = async (): Promise<void> => {
      await this.#work;
      await this.end();
      if (how === "remove") await rm(this.#parts.path, { force: true });
    };
    settle(abandon(), done);
  }

  #noted<T>(work: Promise<T>): Promise<T> {
    this.#work = work.catch(() => undefined);
    return work;
  }

  /** Closes it, once. */
  async end(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#ended(this);
    await this.#parts.handle.close();
  }
}

async function readPiece(file: FileHandle, offset: number, bytesMax: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.max(0, bytesMax));
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** Outside of the promise: what `done` throws must end the process, not become a rejection. */
function settle<T>(work: Promise<T>, done: (error: Error | undefined, value: T | undefined) => void): void {
  work.then(
    (value) => setImmediate(() => done(undefined, value)),
    (error: unknown) =>
      setImmediate(() => done(error instanceof Error ? error : new Error(String(error)), undefined)),
  );
}
