import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { present } from "../../src/base/assert.ts";
import { encodeEntry } from "../../src/codec/entry.ts";
import type { LogBoundary, SnapshotStep } from "../../src/raft/types.ts";
import type { RaftStorage } from "../../src/storage/contract.ts";
import {
  decodeStart,
  encodeHead,
  encodeStart,
  entryKey,
  headKey,
  startKey,
} from "../../src/storage/records.ts";
import { openDatabase, readStore } from "../../src/storage/store-check.ts";
import { createStoreReader } from "../../src/storage/store-reader.ts";
import { type StorageHarness, storageContract } from "./contract.ts";
import {
  boundaryOf,
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
  /** A cut behind entry 2, whose newest snapshot is of it too, but for what is given. */
  function snapshotAt(boundary: Partial<LogBoundary>, newest: Partial<LogBoundary> = {}): SnapshotStep {
    const second = boundaryOf(entriesAfter(undefined, { count: 2, term: 4 })[1]);
    return {
      boundary: { ...second, ...boundary },
      last: { ...second, ...boundary, ...newest },
      isInstalled: false,
    };
  }
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
    ["a cut at what is not held", { snapshot: snapshotAt({ index: 4 }) }],
    ["a cut at what the step truncates", { snapshot: snapshotAt({}), truncateFrom: 2 }],
    ["a cut at another entry", { snapshot: snapshotAt({ chain: 1 }) }],
    ["a snapshot of what is not held", { snapshot: snapshotAt({}, { index: 4 }) }],
    ["a snapshot from before the boundary", { snapshot: snapshotAt({}, { index: 1 }) }],
    [
      "an install beside a truncation",
      { snapshot: { ...snapshotAt({}), isInstalled: true }, truncateFrom: 3 },
    ],
    ["an install of nothing", { snapshot: { ...snapshotAt({ index: 0 }), isInstalled: true } }],
    ["a gap behind an install", { snapshot: { ...snapshotAt({}), isInstalled: true }, entries: next }],
  ] as const;

  test.each(bugs)("%s is a bug and throws", (_name, parts) => {
    const before = storage.step;

    expect(() => storage.write(stepOf(parts), () => undefined)).toThrow();

    expect(storage.step).toBe(before);
  });
});

describe("what a log has given up", () => {
  let temporary: TemporaryDirectory;
  const path = (): string => join(temporary.path, "data");

  beforeEach(() => {
    temporary = temporaryDirectory();
  });

  afterEach(() => temporary.remove());

  /** How many entries there are still that nobody looks at. */
  async function countStale(): Promise<number> {
    const db = await openDatabase(join(path(), "store"), false);
    const { stale } = await readStore(db);
    await db.close();
    return stale.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  test("is deleted with later steps, some with each, over restarts and installs", async () => {
    const all = entriesAfter(undefined, { count: 3_000, term: 1 });
    let storage = (await foundAt(path())).storage;
    await mustWrite(storage, { hardState: hardState(1), entries: all });
    const boundary = boundaryOf(all[2_399]);
    await mustWrite(storage, { snapshot: { boundary, last: boundary, isInstalled: false } });
    await storage.close();
    expect(await countStale()).toBe(2_400);

    storage = await reopenAt(path());
    const farther = { index: 5_000, term: 1, time: 5_000_000, chain: 9 };
    await mustWrite(storage, { snapshot: { boundary: farther, last: farther, isInstalled: true } });
    await storage.close();
    expect(await countStale()).toBe(2_400 - 256 + 600);

    storage = await reopenAt(path());
    for (const entry of entriesAfter(farther, { count: 11, term: 1 }))
      await mustWrite(storage, { entries: [entry] });
    await storage.close();
    expect(await countStale()).toBe(0);
  });

  test("may be damaged: nobody looks at it", async () => {
    const all = entriesAfter(undefined, { count: 8, term: 1 });
    const storage = (await foundAt(path())).storage;
    await mustWrite(storage, { hardState: hardState(1), entries: all });
    const boundary = boundaryOf(all[4]);
    await mustWrite(storage, { snapshot: { boundary, last: boundary, isInstalled: false } });
    await storage.close();
    const db = await openDatabase(join(path(), "store"), false);
    await db.put(entryKey(2), Uint8Array.of(1, 2, 3));
    await db.del(entryKey(4));
    await db.close();

    const again = await reopenAt(path());

    expect(again.restored.entries.map(({ index }) => index)).toEqual([6, 7, 8]);
    await again.close();
  });
});

describe("the record of where a log begins", () => {
  const boundary = { index: 2 ** 40, term: 7, time: 1_700_000_000_000, chain: 2 ** 52 + 1 };
  const start = { boundary, last: { ...boundary, index: 2 ** 40 + 9, term: 8 } };

  test("comes back unchanged", () => {
    expect(decodeStart(encodeStart(start))).toEqual(start);
  });

  test("is refused with any byte turned, cut or added", () => {
    const bytes = encodeStart(start);
    for (let at = 0; at < bytes.length; at++) {
      const turned = bytes.slice();
      turned[at] = (turned[at] as number) ^ 0x10;
      expect(() => decodeStart(turned)).toThrow();
      expect(() => decodeStart(bytes.slice(0, at))).toThrow();
    }
    expect(() => decodeStart(Uint8Array.of(...bytes, 0))).toThrow();
  });

  test("is refused when the log begins behind its newest snapshot", () => {
    expect(() => decodeStart(encodeStart({ boundary: start.last, last: start.boundary }))).toThrow(
      /begins behind/,
    );
  });

  test.each([
    ["without it", undefined, /missing/],
    ["that is of another log", { ...start, boundary: { ...boundary, chain: 3 } }, /chain breaks/],
    ["whose snapshot is of another log", { ...start, last: { ...start.last, chain: 3 } }, /not of this log/],
    [
      "whose snapshot is beyond the end",
      { ...start, last: { ...start.last, index: 2 ** 41 } },
      /ends before/,
    ],
  ])("a store %s is damaged", (_what, found, message) => {
    const entries = entriesAfter(boundary, { count: 12, term: 8 });
    const last = present(entries.at(-1), "entry");
    const head = {
      hardState: hardState(8),
      lastIndex: last.index,
      lastTerm: 8,
      lastChain: last.chain,
      step: 4,
    };
    const reader = createStoreReader();
    const read = (): unknown => {
      reader.add(headKey, encodeHead(head));
      if (found !== undefined) {
        const newest = boundaryOf(entries[8]);
        const { last: told } = found;
        reader.add(
          startKey,
          encodeStart({ ...found, last: told === start.last ? newest : { ...newest, ...told } }),
        );
      }
      for (const entry of entries) reader.add(entryKey(entry.index), encodeEntry(entry));
      return reader.end();
    };

    expect(read).toThrow(message);
  });
});
