/**
 * What the consensus core needs from a disk, as promises. Both the LevelDB implementation (`level-storage.ts`) and the
 * simulated disk (test/sim) keep them and pass the same contract suite (`test/storage/contract.ts`).
 *
 * 1. `write` carries out one durable step: truncation, then entries, then hard state, all or nothing. Its callback
 *    runs only after everything in it has reached the disk (fdatasync or stronger).
 * 2. At most one `write` is under way; a second call before the callback is a bug and throws.
 * 3. After any error the storage is dead: the callback gets the error and every later `write` fails. It never retries
 *    and never repairs. The host ends the process (exit code 70).
 * 4. What a callback reported is found by every later open, or the open fails and says what was lost. A step whose
 *    callback has not run is found whole or not at all.
 * 5. Entries found at open are contiguous, their chain is unbroken, and they agree with the hard state.
 */
import type { Entry, HardState, LogIndex } from "../raft/types.ts";

/** One durable step; at least one of the three is present. */
export interface DurableStep {
  readonly hardState: HardState | undefined;
  readonly truncateFrom: LogIndex | undefined;
  readonly entries: readonly Entry[];
}

/** What an open found. An empty log has no entries and term 0. */
export interface StoredState {
  readonly hardState: HardState;
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
