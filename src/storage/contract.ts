/**
 * What the consensus core and its host need from a disk, as promises. First the log; the files of snapshots are below.
 * Both the LevelDB implementation (`level-storage.ts`) and the simulated disk (test/sim) keep them and pass the same
 * contract suite (`test/storage/contract.ts`).
 *
 * 1. `write` carries out one durable step: truncation, entries, where the log begins, hard state, all or nothing. Its
 *    callback runs only after everything in it has reached the disk (fdatasync or stronger).
 * 2. At most one `write` is under way; a second call before the callback is a bug and throws.
 * 3. After any error the storage is dead: the callback gets the error and every later `write` fails. It never retries
 *    and never repairs. The host ends the process (exit code 70).
 * 4. What a callback reported is found by every later open, or the open fails and says what was lost. A step whose
 *    callback has not run is found whole or not at all.
 * 5. Entries found at open follow the boundary, contiguous and with an unbroken chain, and agree with the hard state.
 * 6. What a step gives up is neither found nor counted any more once it is reported; its room comes back with later steps.
 */
import type { Entry, HardState, LogBoundary, LogIndex, SnapshotStep } from "../raft/types.ts";

/** One durable step; at least one of the four is present. */
export interface DurableStep {
  readonly hardState: HardState | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
  /** Where the log begins from now on. One that is installed comes without truncation: all that was held goes. */
  readonly snapshot: SnapshotStep | undefined;
}

/** What an open found. A fresh log is empty behind the boundary of index 0. */
export interface StoredState {
  readonly hardState: HardState;
  readonly boundary: LogBoundary;
  /** The newest snapshot that a step told of; undefined while no step has. */
  readonly snapshot: LogBoundary | undefined;
  /** Those behind the boundary. */
  readonly entries: readonly Entry[];
  /** Durable steps ever taken by this data directory; peers remember the highest they heard of. */
  readonly step: number;
}

export interface RaftStorage {
  /** What was on disk when this storage was opened. */
  readonly restored: StoredState;
  /** The number of the last step that is durable. */
  readonly step: number;
  /** Bytes of entries held, as the `logBytes` limit counts them (keys, headers and data). */
  readonly logBytes: number;
  write(step: DurableStep, done: (error: Error | undefined) => void): void;
  /** Waits for the write under way, then releases the files. May be called twice. */
  close(): Promise<void>;
}

/**
 * The files of a member's snapshots, named by the last entry that each covers. What is in them is for others to judge
 * (`codec/snapshot.ts`): bytes that rot are found there and nowhere else.
 *
 * 1. A file has its name once all of it is on disk, and its name too: it is whole, or not there (S9).
 * 2. Every `done` runs later, never inside of the call. After an error nothing more may be done with these files. What
 *    changes the folder happens in the order of the calls.
 * 3. What a transfer has left unfinished is kept for the next one of the same snapshot, over a restart too, but unproven.
 */
export interface SnapshotFiles {
  /** Of the whole files, ascending. */
  list(done: (error: Error | undefined, indexes: readonly LogIndex[]) => void): void;
  /** Removes the whole files outside of `from … to`, both of which stay. Not synced: they may be back after a crash. */
  keepOnly(from: LogIndex, to: LogIndex, done: FileDone): void;
  /** Up to `bytesMax` bytes from `offset` on; undefined when there is no such whole file. */
  read(index: LogIndex, offset: number, bytesMax: number, done: ReadDone): void;
  /** Begins a file; what another unfinished one of the same origin held is gone. */
  create(
    index: LogIndex,
    origin: "own" | "fetched",
    done: (error: Error | undefined, file: UnfinishedFile | undefined) => void,
  ): void;
  /** Ends what is under way. May be called twice. */
  close(): Promise<void>;
}

export type FileDone = (error: Error | undefined) => void;
export type ReadDone = (error: Error | undefined, found: FilePiece | undefined) => void;

export interface FilePiece {
  readonly bytes: Uint8Array;
  /** Of the whole file. */
  readonly total: number;
}

/** One operation at a time; of the last two, one ends its use. */
export interface UnfinishedFile {
  /** So many are in it; more than 0 at first when a transfer goes on. */
  readonly bytes: number;
  read(offset: number, bytesMax: number, done: ReadDone): void;
  append(bytes: Uint8Array, done: FileDone): void;
  /** Makes it durable under its name, in the place of an older one of that name. */
  finish(done: FileDone): void;
  /** Leaves it as it is, or removes it. Waits for what is under way. */
  abandon(how: "keep" | "remove", done: FileDone): void;
}
