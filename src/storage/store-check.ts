/**
 * Opening the database and verifying all of it: the only reader of a store, before the first write.
 * LevelDB opens without `paranoid_checks` and returns flipped bytes without an error, so nothing it says is believed
 * that our own CRCs, the chain and the head record do not confirm. Never writes, never skips, never repairs.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";
import { decodeEntry } from "../codec/entry.ts";
import { chainOf, chainStart } from "../raft/chain.ts";
import type { Entry } from "../raft/types.ts";
import { DamageError, isLocked } from "./failure.ts";
import type { TornFiles } from "./level-log.ts";
import { decodeHead, decodeKey, entryKeyBytes, type StoreHead } from "./records.ts";

export type StoreDatabase = Level<Uint8Array, Uint8Array>;

/** All that a store holds, verified. `head` and `founding` are undefined when the records are not there. */
export interface StoreContent {
  readonly head: StoreHead | undefined;
  readonly founding: Uint8Array | undefined;
  readonly entries: readonly Entry[];
  /** Bytes of the entries, with their keys. */
  readonly logBytes: number;
}

/** Opens and locks the database. Rejects with LevelDB's error. */
export async function openDatabase(path: string, create: boolean): Promise<StoreDatabase> {
  const db: StoreDatabase = new Level(path, { keyEncoding: "view", valueEncoding: "view" });
  await db.open({ createIfMissing: create });
  return db;
}

/** True when another process has it. Changes nothing: `errorIfExists` makes LevelDB stop after it took the lock. */
export async function isOpenElsewhere(path: string): Promise<boolean> {
  const db: StoreDatabase = new Level(path);
  try {
    await db.open({ createIfMissing: false, errorIfExists: true });
    await db.close();
    return false;
  } catch (error) {
    return isLocked(error);
  }
}

/**
 * The lines in which LevelDB's info log of the latest open admits that it left something out, except for the torn ends
 * that `level-log.ts` has found to be ordinary.
 */
export function readComplaints(path: string, torn: TornFiles): readonly string[] {
  return readFileSync(join(path, "LOG"), "latin1")
    .split("\n")
    .filter((line) => /dropping|corrupt|ignoring|error|repaired/i.test(line))
    .filter((line) => !torn.some((name) => line.includes(`/${name}: dropping`)));
}

/** Reads everything. Rejects with DamageError, DecodeError, NewerFormatError or LevelDB's error. */
export async function readStore(db: StoreDatabase): Promise<StoreContent> {
  let head: StoreHead | undefined;
  let founding: Uint8Array | undefined;
  let logBytes = 0;
  const entries: Entry[] = [];
  for await (const [key, value] of db.iterator({ fillCache: false })) {
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
  }
  checkEnd(entries.at(-1), head);
  return { head, founding, entries, logBytes };
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
