import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RaftStorage } from "../../src/storage/contract.ts";
import { type StorageHarness, storageContract } from "./contract.ts";
import {
  entriesAfter,
  foundAt,
  hardState,
  mustWrite,
  reopenAt,
  stepOf,
  type TemporaryDirectory,
  temporaryDirectory,
} from "./log-builder.ts";

/** A crash is a copy of the files as they stand, taken while the storage is open and writing. */
function levelHarness(): StorageHarness {
  const temporary = temporaryDirectory();
  const abandoned: RaftStorage[] = [];
  let generation = 0;
  let current: RaftStorage | undefined;
  const path = (): string => join(temporary.path, `g${generation}`);
  return {
    open: async () => {
      current = existsSync(path()) ? await reopenAt(path()) : (await foundAt(path())).storage;
      return current;
    },
    crash: async () => {
      const from = path();
      generation++;
      cpSync(from, path(), { recursive: true });
      if (current !== undefined) abandoned.push(current);
    },
    remove: async () => {
      for (const storage of abandoned) await storage.close();
      await current?.close();
      temporary.remove();
    },
  };
}

storageContract("level", levelHarness);

describe("level storage refuses to write what it could never open again", () => {
  let temporary: TemporaryDirectory;
  let storage: RaftStorage;

  beforeEach(async () => {
    temporary = temporaryDirectory();
    storage = (await foundAt(join(temporary.path, "data"))).storage;
    const entries = entriesAfter(undefined, { count: 3, term: 4 });
    await mustWrite(storage, { hardState: hardState(4, "n1@a"), entries });
  });

  afterEach(async () => {
    await storage.close();
    temporary.remove();
  });

  const last = entriesAfter(undefined, { count: 3, term: 4 }).at(-1);
  const next = entriesAfter(last, { count: 2, term: 4 });
  const bugs = [
    ["an empty step", {}],
    ["a gap", { entries: next.slice(1) }],
    ["a broken chain", { entries: next.slice(0, 1).map((entry) => ({ ...entry, chain: 1 })) }],
    ["an entry of a term beyond the current one", { entries: entriesAfter(last, { count: 1, term: 5 }) }],
    ["a falling term", { hardState: hardState(3) }],
    ["a second vote in one term", { hardState: hardState(4, "n2@b") }],
    ["a forgotten vote", { hardState: hardState(4) }],
    ["a truncation beyond the end", { truncateFrom: 4 }],
    ["a truncation before the beginning", { truncateFrom: 0 }],
  ] as const;

  test.each(bugs)("%s is a bug and throws", (_name, parts) => {
    const before = storage.step;

    expect(() => storage.write(stepOf(parts), () => undefined)).toThrow();

    expect(storage.step).toBe(before);
  });
});
