/**
 * The files of a member's snapshots in memory: what they promise (`src/storage/contract.ts`), and no more than that. A crash
 * takes or tears what was not synced, takes back renames and brings back removed files, as a real folder may.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { LogIndex } from "../../src/raft/types.ts";
import type {
  FileDone,
  FilePiece,
  ReadDone,
  SnapshotFiles,
  UnfinishedFile,
} from "../../src/storage/contract.ts";

export interface MemoryFolderOptions {
  /** Runs `step` when the disk gets to it. */
  readonly later: (step: () => void) => void;
  /** Asked before each write: why it fails. */
  readonly fault?: () => Error | undefined;
}

interface Part {
  bytes: Uint8Array;
  /** So many of them survive a crash. */
  synced: number;
}

/** What is on the platter, over restarts; `open` gives one process its view of it. */
export class MemoryFolder {
  readonly #whole = new Map<LogIndex, Uint8Array>();
  /** By name; the unfinished. */
  readonly #parts = new Map<string, Part>();
  /** Renamed, and not synced. */
  readonly #renamed = new Map<LogIndex, string>();
  /** Removed, and not synced. */
  readonly #removed = new Map<LogIndex, Uint8Array>();

  /** Indexes of the whole files, ascending. */
  get indexes(): readonly LogIndex[] {
    return [...this.#whole.keys()].sort((a, b) => a - b);
  }

  whole(index: LogIndex): Uint8Array | undefined {
    return this.#whole.get(index);
  }

  /** True: the file, and its name, are there whatever happens. */
  isDurable(index: LogIndex): boolean {
    return this.#whole.has(index) && !this.#renamed.has(index);
  }

  /** Bytes of unfinished transfers. */
  get fetchedBytes(): number {
    let sum = 0;
    for (const [name, { bytes }] of this.#parts) if (name.endsWith(".part")) sum += bytes.length;
    return sum;
  }

  /** True when something was there to be lost. */
  crash(random: Prng): boolean {
    let isTouched = false;
    for (const [index, name] of this.#renamed) {
      isTouched = true;
      if (random.chance(0.5)) continue;
      const bytes = this.#whole.get(index);
      this.#whole.delete(index);
      if (bytes !== undefined) this.#parts.set(name, { bytes, synced: bytes.length });
    }
    for (const [index, bytes] of this.#removed) {
      if (this.#whole.has(index) || random.chance(0.5)) continue;
      isTouched = true;
      this.#whole.set(index, bytes);
    }
    for (const part of this.#parts.values()) {
      if (part.synced === part.bytes.length) continue;
      isTouched = true;
      const at = random.between(part.synced, part.bytes.length);
      const left = random.pick(["lost", "kept", "torn", "zeroed"] as const);
      if (left === "lost") part.bytes = part.bytes.slice(0, part.synced);
      else if (left === "torn") part.bytes = part.bytes.slice(0, at);
      else if (left === "zeroed") part.bytes = part.bytes.slice().fill(0, at);
      part.synced = part.bytes.length;
    }
    this.#renamed.clear();
    this.#removed.clear();
    return isTouched;
  }

  wipe(): void {
    for (const map of [this.#whole, this.#parts, this.#renamed, this.#removed]) map.clear();
  }

  /** One bit of a whole file or of a transfer turns; false when there is none. */
  rot(random: Prng): boolean {
    const files = [...this.#whole.values(), ...[...this.#parts.values()].map(({ bytes }) => bytes)];
    const file = files.length === 0 ? undefined : random.pick(files);
    if (file === undefined || file.length === 0) return false;
    const bit = random.between(0, 8 * file.length - 1);
    file[bit >> 3] = (file[bit >> 3] as number) ^ (1 << (bit & 7));
    return true;
  }

  open({ later, fault = () => undefined }: MemoryFolderOptions): SnapshotFiles {
    const whole = this.#whole;
    const parts = this.#parts;
    /** The disk does one thing after the other. */
    const queue: ((next: () => void) => void)[] = [];
    const run = (): void => {
      const [step] = queue;
      later(() =>
        step?.(() => {
          queue.shift();
          if (queue.length > 0) run();
        }),
      );
    };
    const inTurn = (step: () => void): void => {
      const isIdle = queue.length === 0;
      queue.push((next) => {
        next();
        step();
      });
      if (isIdle) run();
    };
    const written = (done: FileDone, change: () => void): void =>
      inTurn(() => {
        const error = fault();
        if (error === undefined) change();
        done(error);
      });

    const unfinished = (index: LogIndex, name: string, part: Part): UnfinishedFile => ({
      get bytes() {
        return part.bytes.length;
      },
      read: (offset, bytesMax, done) => inTurn(() => done(undefined, pieceOf(part.bytes, offset, bytesMax))),
      append: (bytes, done) =>
        written(done, () => {
          const joined = new Uint8Array(part.bytes.length + bytes.length);
          joined.set(part.bytes);
          joined.set(bytes, part.bytes.length);
          part.bytes = joined;
        }),
      finish: (done) =>
        inTurn(() => {
          const error = fault();
          if (error !== undefined) return done(error);
          part.synced = part.bytes.length;
          inTurn(() => {
            parts.delete(name);
            whole.set(index, part.bytes);
            this.#renamed.set(index, name);
            inTurn(() => {
              this.#renamed.delete(index);
              this.#removed.clear();
              done(undefined);
            });
          });
        }),
      abandon: (how, done) =>
        inTurn(() => {
          if (how === "remove") parts.delete(name);
          done(undefined);
        }),
    });

    return {
      list: (done) => inTurn(() => done(undefined, this.indexes)),
      keepOnly: (from, to, done) =>
        inTurn(() => {
          for (const [index, bytes] of whole) {
            if (index >= from && index <= to) continue;
            whole.delete(index);
            this.#removed.set(index, bytes);
          }
          done(undefined);
        }),
      read: (index, offset, bytesMax, done: ReadDone) =>
        inTurn(() => {
          const bytes = whole.get(index);
          done(undefined, bytes === undefined ? undefined : pieceOf(bytes, offset, bytesMax));
        }),
      create: (index, origin, done) =>
        inTurn(() => {
          const name = origin === "own" ? "own.tmp" : `${index}.part`;
          for (const other of parts.keys())
            if (origin === "fetched" && other.endsWith(".part") && other !== name) parts.delete(other);
          const held = origin === "own" ? undefined : parts.get(name);
          const part = held ?? { bytes: new Uint8Array(0), synced: 0 };
          parts.set(name, part);
          done(undefined, unfinished(index, name, part));
        }),
      close: async () => undefined,
    };
  }
}

function pieceOf(bytes: Uint8Array, offset: number, bytesMax: number): FilePiece {
  return { bytes: bytes.slice(offset, offset + bytesMax), total: bytes.length };
}
