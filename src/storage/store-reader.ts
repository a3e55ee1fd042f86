/**
 * Verifies the records of a store, one by one in the order of their keys, whatever they are read from. Nothing that a
 * database says is believed that our own CRCs, the chain and the head record do not confirm. Never skips, never repairs.
 */
import { decodeEntry } from "../codec/entry.ts";
import { chainOf, chainStart } from "../raft/chain.ts";
import type { Entry } from "../raft/types.ts";
import { DamageError } from "./failure.ts";
import { decodeHead, decodeKey, entryKeyBytes, type StoreHead } from "./records.ts";

/** All that a store holds, verified. `head` and `founding` are undefined when the records are not there. */
export interface StoreContent {
  readonly head: StoreHead | undefined;
  readonly founding: Uint8Array | undefined;
  readonly entries: readonly Entry[];
  /** Bytes of the entries, with their keys. */
  readonly logBytes: number;
}

/** Is given the records of a store in the order of their keys. Both throw DamageError, DecodeError, NewerFormatError. */
export interface StoreReader {
  add(key: Uint8Array, value: Uint8Array): void;
  end(): StoreContent;
}

export function createStoreReader(): StoreReader {
  let head: StoreHead | undefined;
  let founding: Uint8Array | undefined;
  let logBytes = 0;
  const entries: Entry[] = [];
  return {
    add(key, value) {
      const decoded = decodeKey(key);
      if (decoded.kind === "head") head = decodeHead(value);
      else if (decoded.kind === "founding") founding = value;
      else {
        const entry = decodeEntry(value);
        if (entry.index !== decoded.index)
          throw new DamageError(`entry ${entry.index} stands at ${decoded.index}`);
        checkFollows(entries.at(-1), entry);
        entries.push(entry);
        logBytes += entryKeyBytes + value.length;
      }
    },
    end() {
      checkEnd(entries.at(-1), head);
      return { head, founding, entries, logBytes };
    },
  };
}

function checkFollows(previous: Entry | undefined, entry: Entry): void {
  const expected = (previous?.index ?? 0) + 1;
  if (entry.index !== expected)
    throw new DamageError(`entries ${expected} to ${entry.index - 1} are missing`);
  if (previous !== undefined && (entry.term < previous.term || entry.time < previous.time)) {
    throw new DamageError(`entry ${entry.index} is older than the one before it`);
  }
  if (entry.chain !== chainOf(previous?.chain ?? chainStart, entry)) {
    throw new DamageError(`the chain breaks at entry ${entry.index}`);
  }
}

/** The log must end where the head record of the same batch says. */
function checkEnd(last: Entry | undefined, head: StoreHead | undefined): void {
  if (head === undefined) {
    if (last !== undefined) throw new DamageError("there are entries and no hard state");
    return;
  }
  const lastIndex = last?.index ?? 0;
  if (lastIndex !== head.lastIndex) {
    throw new DamageError(`the log ends at ${lastIndex}, the hard state says ${head.lastIndex}`);
  }
  if ((last?.term ?? 0) !== head.lastTerm || (last?.chain ?? chainStart) !== head.lastChain) {
    throw new DamageError(`entry ${lastIndex} is not the one that the hard state names`);
  }
  if (head.lastTerm > head.hardState.currentTerm) {
    throw new DamageError(
      `the log is in term ${head.lastTerm}, the hard state in ${head.hardState.currentTerm}`,
    );
  }
}
