/**
 * How a snapshot is made without holding up the node: by a second machine that runs behind. It starts from the snapshot
 * before, applies the committed entries up to the chosen one, and writes the state it then has: exactly the state of one
 * moment, whatever the node does meanwhile (S7). It runs in a thread of its own (`snapshot-thread.ts`), or in the same
 * one, step by step, in tests and in the simulator.
 */
import { decodeCommand } from "../codec/command.ts";
import { SnapshotEncoder, type SnapshotHeader } from "../codec/snapshot.ts";
import { stateHash } from "../locks/canonical.ts";
import { imageOf } from "../locks/image.ts";
import { apply, createLockState } from "../locks/machine.ts";
import type { LockState } from "../locks/records.ts";
import type { Entry, LogIndex } from "../raft/types.ts";
import type { SnapshotFiles, UnfinishedFile } from "../storage/contract.ts";
import { readWhole, SnapshotReader } from "./snapshot-reader.ts";

/** A snapshot to make: of the state after `header.last`. */
export interface SnapshotOrder {
  /** The snapshot to start from; 0: the empty state before the first entry. */
  readonly base: LogIndex;
  readonly header: SnapshotHeader;
}

/** Brings some of the entries from `from` on, at least one; undefined when the order is called off. */
export type EntrySource = (from: LogIndex, take: (entries: readonly Entry[] | undefined) => void) => void;

export type MadeSnapshot =
  | { readonly kind: "made"; readonly bytes: number; readonly stateHash: string }
  | { readonly kind: "called-off" }
  /** Not the disk's fault: no memory for a second state, for example. Another attempt may do better. */
  | { readonly kind: "interrupted"; readonly why: string }
  | { readonly kind: "failed"; readonly error: Error };

export interface SnapshotMaker {
  /** One order at a time. `done` runs later, once. */
  make(order: SnapshotOrder, entries: EntrySource, done: (made: MadeSnapshot) => void): void;
  /** Ends what is under way; its `done` does not run any more. */
  close(): Promise<void>;
}

/** In the thread of the caller, in steps as long as what it reads and writes. */
export function createInlineMaker(files: SnapshotFiles): SnapshotMaker {
  let isClosed = false;
  return {
    make: (order, entries, done) =>
      makeSnapshot(files, order, entries, (made) => {
        if (!isClosed) done(made);
      }),
    close: async () => {
      isClosed = true;
    },
  };
}

/** Carries out one order. A snapshot to start from that cannot be read is a failed disk. */
export function makeSnapshot(
  files: SnapshotFiles,
  { base, header }: SnapshotOrder,
  entries: EntrySource,
  done: (made: MadeSnapshot) => void,
): void {
  const catchUp = (state: LockState): void => {
    if (state.revision === header.last.index) return write(state);
    entries(state.revision + 1, (some) => {
      if (some === undefined) return done({ kind: "called-off" });
      for (const entry of some) if (entry.index <= header.last.index) applyTo(state, entry);
      catchUp(state);
    });
  };

  const write = (state: LockState): void =>
    files.create(header.last.index, "own", (error, file) => {
      if (error !== undefined || file === undefined) return fail(error ?? new Error("no file"));
      const hash = stateHash(state);
      writeChunks(file, chunksOf(header, state, hash), (failure) => {
        if (failure !== undefined) return fail(failure);
        const { bytes } = file;
        file.finish((unfinished) => {
          if (unfinished !== undefined) return fail(unfinished);
          done({ kind: "made", bytes, stateHash: hash });
        });
      });
    });

  const fail = (error: Error): void => done({ kind: "failed", error });

  if (base === 0) return catchUp(createLockState());
  const reader = new SnapshotReader(header, base);
  readWhole(reader, files.read.bind(files, base), (result) => {
    if (result.kind === "loaded") return catchUp(result.loaded.state);
    if (result.kind === "failed") return fail(result.error);
    fail(new Error(`the snapshot at ${base} cannot be read any more: ${result.why}`));
  });
}

function applyTo(state: LockState, { index, time, kind, data }: Entry): void {
  apply(state, { index, time, command: kind === "noop" ? undefined : decodeCommand(data) });
}

function* chunksOf(header: SnapshotHeader, state: LockState, hash: string): Generator<Uint8Array, void> {
  const encoder = new SnapshotEncoder();
  yield encoder.begin(header);
  for (const record of imageOf(state)) {
    const chunk = encoder.add(record);
    if (chunk !== undefined) yield chunk;
  }
  yield* encoder.end(hash);
}

function writeChunks(
  file: UnfinishedFile,
  chunks: Generator<Uint8Array, void>,
  done: (error: Error | undefined) => void,
): void {
  const next = (error: Error | undefined): void => {
    if (error !== undefined) return done(error);
    const chunk = chunks.next();
    if (chunk.done === true) return done(undefined);
    file.append(chunk.value, next);
  };
  next(undefined);
}
