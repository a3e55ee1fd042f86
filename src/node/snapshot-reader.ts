/**
 * From the bytes of a snapshot, in pieces of any size, to the state that they stand for, every sum, count and invariant
 * of it checked. Bytes that are no such snapshot are a `SnapshotDamage`, whatever they are.
 */
import { DecodeError } from "../codec/entry.ts";
import { SnapshotDecoder, type SnapshotHeader } from "../codec/snapshot.ts";
import { ImageError, ImageReader } from "../locks/image.ts";
import type { LockState } from "../locks/records.ts";
import type { LogBoundary, LogIndex, MemberId } from "../raft/types.ts";
import type { ReadDone } from "../storage/contract.ts";

/** The bytes are damaged, or are not of the snapshot that they should be. */
export class SnapshotDamage extends Error {
  override readonly name = "SnapshotDamage";
}

/** Whose snapshots a member believes. */
export interface SnapshotScope {
  readonly clusterId: string;
  readonly voters: readonly MemberId[];
}

/** A state and the entry after which it stood. */
export interface LoadedSnapshot {
  readonly last: LogBoundary;
  readonly state: LockState;
}

/** How much of a file is read at once. */
const pieceBytes = 256 * 1024;

export class SnapshotReader {
  readonly #image = new ImageReader();
  readonly #decoder: SnapshotDecoder;
  #header: SnapshotHeader | undefined;

  constructor(scope: SnapshotScope, index: LogIndex) {
    this.#decoder = new SnapshotDecoder({
      header: (header) => {
        checkHeader(header, scope, index);
        this.#header = header;
      },
      record: (record) => this.#image.add(record),
    });
  }

  /** Throws SnapshotDamage. */
  add(piece: Uint8Array): void {
    named(() => this.#decoder.add(piece));
  }

  /** Throws SnapshotDamage when anything is missing. */
  end(): LoadedSnapshot {
    return named(() => {
      this.#decoder.end();
      const state = this.#image.end();
      const last = this.#header?.last;
      if (last === undefined || state.revision !== last.index || state.now !== last.time)
        throw new SnapshotDamage("its state is not of the entry that it names");
      return { last, state };
    });
  }
}

function checkHeader({ clusterId, last, voters }: SnapshotHeader, scope: SnapshotScope, index: LogIndex) {
  if (clusterId !== scope.clusterId) throw new SnapshotDamage(`it is of the cluster ${clusterId}`);
  if (last.index !== index) throw new SnapshotDamage(`it is of entry ${last.index} instead of ${index}`);
  const isSame = voters.length === scope.voters.length && voters.every((one) => scope.voters.includes(one));
  if (!isSame) throw new SnapshotDamage("it is of other members");
}

function named<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError || error instanceof ImageError)
      throw new SnapshotDamage(error.message, { cause: error });
    throw error;
  }
}

export type WholeRead =
  | { readonly kind: "loaded"; readonly loaded: LoadedSnapshot; readonly bytes: number }
  /** Not there, or not what it should be. */
  | { readonly kind: "damaged"; readonly why: string }
  | { readonly kind: "failed"; readonly error: Error };

/** Brings at most `bytesMax` of a file from `offset` on. */
type ReadPiece = (offset: number, bytesMax: number, done: ReadDone) => void;

/** Reads a whole file, piece by piece. */
export function readWhole(reader: SnapshotReader, read: ReadPiece, done: (result: WholeRead) => void): void {
  readPieces(reader, read, (result) => {
    if (result.kind !== "read") return done(result);
    const loaded = tried(() => reader.end());
    if (loaded instanceof SnapshotDamage) return done({ kind: "damaged", why: loaded.message });
    done({ kind: "loaded", loaded, bytes: result.bytes });
  });
}

export type PiecesRead =
  | { readonly kind: "read"; readonly bytes: number }
  | Exclude<WholeRead, { readonly kind: "loaded" }>;

/** Reads what a file holds, which need not be all of a snapshot; `bytes` of it were there. */
export function readPieces(
  reader: SnapshotReader,
  read: ReadPiece,
  done: (result: PiecesRead) => void,
): void {
  const next = (offset: number): void =>
    read(offset, pieceBytes, (error, piece) => {
      if (error !== undefined) return done({ kind: "failed", error });
      if (piece === undefined) return done({ kind: "damaged", why: "its file has gone" });
      const { bytes, total } = piece;
      if (bytes.length === 0 && offset < total)
        return done({ kind: "damaged", why: "its file became shorter" });
      const damage = tried(() => reader.add(bytes));
      if (damage instanceof SnapshotDamage) return done({ kind: "damaged", why: damage.message });
      if (offset + bytes.length < total) return next(offset + bytes.length);
      done({ kind: "read", bytes: total });
    });
  next(0);
}

/** What `read` returns, or the damage that it found. */
export function tried<T>(read: () => T): T | SnapshotDamage {
  try {
    return read();
  } catch (error) {
    if (error instanceof SnapshotDamage) return error;
    throw error;
  }
}
