/**
 * Verifies the records of a store, one by one in the order of their keys, whatever they are read from. Nothing that a
 * database says is believed that our own CRCs, the chain and the head record do not confirm. Never skips, never repairs.
 */
import { decodeEntry } from "../codec/entry.ts";
import { chainOf, emptyBoundary, heldAt, isSamePlace } from "../raft/chain.ts";
import type { Entry, LogBoundary, LogIndex } from "../raft/types.ts";
import { DamageError } from "./failure.ts";
import { decodeHead, decodeKey, decodeStart, type LogStart, type StoreHead } from "./records.ts";

/** All that a store holds, verified. `head`, `founding` and `start` are undefined when the records are not there. */
export interface StoreContent {
  readonly head: StoreHead | undefined;
  readonly founding: Uint8Array | undefined;
  readonly start: LogStart | undefined;
  /** Those behind the boundary. */
  readonly entries: readonly Entry[];
  /** Given up and not deleted yet: nobody looks at them, whatever they hold. */
  readonly stale: readonly IndexRange[];
}

/** Both ends belong to it. */
export interface IndexRange {
  readonly from: LogIndex;
  readonly to: LogIndex;
}

/** Is given the records of a store in the order of their keys. Both throw DamageError, DecodeError, NewerFormatError. */
export interface StoreReader {
  add(key: Uint8Array, value: Uint8Array): void;
  end(): StoreContent;
}

export function createStoreReader(): StoreReader {
  let head: StoreHead | undefined;
  let founding: Uint8Array | undefined;
  // Its key comes before those of the entries.
  let start: LogStart | undefined;
  const entries: Entry[] = [];
  const stale: IndexRange[] = [];
  return {
    add(key, value) {
      const decoded = decodeKey(key);
      if (decoded.kind === "head") head = decodeHead(value);
      else if (decoded.kind === "founding") founding = value;
      else if (decoded.kind === "start") start = decodeStart(value);
      else if (decoded.index <= (start?.boundary.index ?? 0)) addTo(stale, decoded.index);
      else {
        const entry = decodeEntry(value);
        if (entry.index !== decoded.index)
          throw new DamageError(`entry ${entry.index} stands at ${decoded.index}`);
        checkFollows(entries.at(-1) ?? start?.boundary ?? emptyBoundary, entry);
        entries.push(entry);
      }
    },
    end() {
      const last = entries.at(-1) ?? start?.boundary;
      checkEnd(last, head);
      if (start !== undefined) checkStart(start, entries);
      return { head, founding, start, entries, stale };
    },
  };
}

function addTo(ranges: IndexRange[], index: LogIndex): void {
  const last = ranges.at(-1);
  if (last !== undefined && last.to + 1 === index) ranges[ranges.length - 1] = { from: last.from, to: index };
  else ranges.push({ from: index, to: index });
}

/** The newest snapshot stands for entries of this very log. */
function checkStart({ boundary, last }: LogStart, entries: readonly Entry[]): void {
  const held = heldAt({ boundary, entries }, last.index);
  if (held === undefined) throw new DamageError(`the log ends before the snapshot at ${last.index}`);
  if (!isSamePlace(held, last)) throw new DamageError(`the snapshot at ${last.index} is not of this log`);
}

function checkFollows(previous: LogBoundary, entry: Entry): void {
  const expected = previous.index + 1;
  if (entry.index !== expected)
    throw new DamageError(`entries ${expected} to ${entry.index - 1} are missing`);
  if (entry.term < previous.term || entry.time < previous.time) {
    throw new DamageError(`entry ${entry.index} is older than the one before it`);
  }
  if (entry.chain !== chainOf(previous.chain, entry)) {
    throw new DamageError(`the chain breaks at entry ${entry.index}`);
  }
}

/** The log must end where the head record of the same batch says. */
function checkEnd(last: LogBoundary | undefined, head: StoreHead | undefined): void {
  if (head === undefined) {
    if (last !== undefined) throw new DamageError("there are entries and no hard state");
    return;
  }
  const { index, term, chain } = last ?? emptyBoundary;
  if (index !== head.lastIndex) {
    throw new DamageError(`the log ends at ${index}, the hard state says ${head.lastIndex}`);
  }
  if (term !== head.lastTerm || chain !== head.lastChain) {
    throw new DamageError(`entry ${index} is not the one that the hard state names`);
  }
  if (head.lastTerm > head.hardState.currentTerm) {
    throw new DamageError(
      `the log is in term ${head.lastTerm}, the hard state in ${head.hardState.currentTerm}`,
    );
  }
}
