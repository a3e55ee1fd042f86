/**
 * The state that a member starts from: that of the newest snapshot which its log tells of and which can be read, or of
 * the one before, from which the log goes on without a gap; without any, the empty state before the first entry.
 * What the log does not tell of is removed: a crash came between the file and the step, and nothing was promised of it.
 */
import { createLockState } from "../locks/machine.ts";
import type { LockState } from "../locks/records.ts";
import { heldAt, isSamePlace } from "../raft/chain.ts";
import type { LogBoundary, LogIndex } from "../raft/types.ts";
import type { SnapshotFiles, StoredState } from "../storage/contract.ts";
import { readWhole, SnapshotReader, type SnapshotScope } from "./snapshot-reader.ts";

/** What the machine and the core start from. */
export interface StartState {
  readonly state: LockState;
  /** Whose state it is; undefined for the empty one. */
  readonly snapshot: LogBoundary | undefined;
  /** Snapshots that could not be used, in words for the operator. */
  readonly damaged: readonly string[];
}

export type StartLoad =
  | { readonly kind: "loaded"; readonly start: StartState }
  /** The log no longer reaches back to where any readable snapshot stands: this member's data is damaged. */
  | { readonly kind: "damaged"; readonly why: string }
  | { readonly kind: "failed"; readonly error: Error };

export function loadStart(
  files: SnapshotFiles,
  stored: StoredState,
  scope: SnapshotScope,
  done: (result: StartLoad) => void,
): void {
  const { boundary, snapshot } = stored;
  const damaged: string[] = [];

  const finish = (state: LockState, from: LogBoundary | undefined): void =>
    files.keepOnly(boundary.index, from?.index ?? 0, (error) => {
      if (error !== undefined) return done({ kind: "failed", error });
      done({ kind: "loaded", start: { state, snapshot: from, damaged } });
    });

  const tryNext = (candidates: readonly LogIndex[]): void => {
    const [index, ...older] = candidates;
    if (index === undefined) {
      if (boundary.index === 0) return finish(createLockState(), undefined);
      return done({ kind: "damaged", why: damaged.join("; ") });
    }
    const reader = new SnapshotReader(scope, index);
    const read = files.read.bind(files, index);
    readWhole(reader, read, (result) => {
      if (result.kind === "failed") return done(result);
      const fault = result.kind === "damaged" ? result.why : misfit(result.loaded.last, stored);
      if (result.kind === "loaded" && fault === undefined)
        return finish(result.loaded.state, result.loaded.last);
      damaged.push(`the snapshot at ${index} is of no use: ${fault}`);
      tryNext(older);
    });
  };

  if (snapshot === undefined) return finish(createLockState(), undefined);
  files.list((error, indexes) => {
    if (error !== undefined) return done({ kind: "failed", error });
    const older = indexes.filter((index) => index >= boundary.index && index < snapshot.index);
    tryNext([snapshot.index, ...older.reverse()]);
  });
}

/** Why it is not of this log; undefined when it is. */
function misfit(last: LogBoundary, stored: StoredState): string | undefined {
  return isSamePlace(heldAt(stored, last.index), last) ? undefined : "it is not of this log";
}
