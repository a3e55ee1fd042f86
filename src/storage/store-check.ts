/**
 * Opening the database and reading all of it, before the first write: LevelDB opens without `paranoid_checks` and
 * returns flipped bytes without an error, so `store-reader.ts` verifies every record. Never writes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";
import { isLocked } from "./failure.ts";
import type { TornFiles } from "./level-log.ts";
import { createStoreReader, type StoreContent } from "./store-reader.ts";

export type StoreDatabase = Level<Uint8Array, Uint8Array>;

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
  const reader = createStoreReader();
  for await (const [key, value] of db.iterator({ fillCache: false })) reader.add(key, value);
  return reader.end();
}
