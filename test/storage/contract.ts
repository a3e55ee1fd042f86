/**
 * The promises of `src/storage/contract.ts` as tests, for every implementation: the one on LevelDB and the simulated
 * disk. A harness is one disk; it starts empty.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RaftStorage } from "../../src/storage/contract.ts";
import { boundaryOf, entriesAfter, hardState, mustWrite, plain, stepOf, writeStep } from "./log-builder.ts";

export interface StorageHarness {
  /** Opens what is on this disk; the storage opened before was closed, or `crash` was called. */
  open(): Promise<RaftStorage>;
  /** The process ends here and now: the storage is not closed, and what was not durable may be gone. */
  crash(): Promise<void>;
  /** Cleans up. */
  remove(): Promise<void>;
}

export function storageContract(name: string, makeHarness: () => StorageHarness): void {
  describe(`${name} keeps the storage contract`, () => {
    let harness: StorageHarness;

    beforeEach(() => {
      harness = makeHarness();
    });

    afterEach(() => harness.remove());

    test("a fresh storage holds nothing", async () => {
      const storage = await harness.open();

      expect(storage.restored.hardState).toEqual({ currentTerm: 0, votedFor: undefined });
      expect(storage.restored.entries).toEqual([]);
      expect(storage.step).toBe(storage.restored.step);
      expect(storage.logBytes).toBe(0);
      await storage.close();
    });

    test("a reported step is found by the next open, whole", async () => {
      const first = await harness.open();
      const entries = entriesAfter(undefined, { count: 5, term: 3 });
      const before = first.step;
      await mustWrite(first, { hardState: hardState(3, "n2@b"), entries });
      expect(first.step).toBe(before + 1);
      const logBytes = first.logBytes;
      await first.close();

      const second = await harness.open();

      expect(second.restored.hardState).toEqual(hardState(3, "n2@b"));
      expect(plain(second.restored.entries)).toEqual(plain(entries));
      expect(second.restored.step).toBe(before + 1);
      expect(second.logBytes).toBe(logBytes);
      await second.close();
    });

    test("a step truncates, appends and votes at once, and counts on although the log gets shorter", async () => {
      const first = await harness.open();
      const old = entriesAfter(undefined, { count: 10, term: 1 });
      await mustWrite(first, { hardState: hardState(1), entries: old });
      const kept = old.slice(0, 4);
      const fresh = entriesAfter(kept.at(-1), { count: 2, term: 5 });
      await mustWrite(first, { hardState: hardState(5, "n3@c"), truncateFrom: 5, entries: fresh });
      const step = first.step;
      const logBytes = first.logBytes;
      await first.close();

      const second = await harness.open();

      expect(plain(second.restored.entries)).toEqual(plain([...kept, ...fresh]));
      expect(second.restored.hardState).toEqual(hardState(5, "n3@c"));
      expect(second.step).toBe(step);
      expect(second.logBytes).toBe(logBytes);
      await second.close();
    });

    test("a step may truncate everything and append nothing", async () => {
      const first = await harness.open();
      await mustWrite(first, {
        hardState: hardState(1),
        entries: entriesAfter(undefined, { count: 3, term: 1 }),
      });
      await mustWrite(first, { truncateFrom: 1 });
      expect(first.logBytes).toBe(0);
      await first.close();

      const second = await harness.open();

      expect(second.restored.entries).toEqual([]);
      expect(second.restored.hardState).toEqual(hardState(1));
      await second.close();
    });

    test("the log goes on over many steps and opens", async () => {
      const all = entriesAfter(undefined, { count: 60, term: 2 });
      let storage = await harness.open();
      await mustWrite(storage, { hardState: hardState(2) });
      for (let i = 0; i < 60; i += 3) {
        await mustWrite(storage, { entries: all.slice(i, i + 3) });
        if (i % 15 === 0) {
          await storage.close();
          storage = await harness.open();
        }
      }
      await storage.close();

      const last = await harness.open();

      expect(plain(last.restored.entries)).toEqual(plain(all));
      await last.close();
    });

    test("large entries and large steps come back unchanged", async () => {
      const first = await harness.open();
      const large = entriesAfter(undefined, { count: 3, term: 1, dataBytes: 1_000_000 });
      const many = entriesAfter(large.at(-1), { count: 2000, term: 1 });
      await mustWrite(first, { hardState: hardState(1), entries: large });
      await mustWrite(first, { entries: many });
      expect(first.logBytes).toBeGreaterThan(2_000_000);
      await first.close();

      const second = await harness.open();

      expect(plain(second.restored.entries)).toEqual(plain([...large, ...many]));
      await second.close();
    });

    test("the callback never runs inside write", async () => {
      const storage = await harness.open();
      let inside = true;

      const ran = new Promise<boolean>((resolve) =>
        storage.write(stepOf({ hardState: hardState(1) }), () => resolve(inside)),
      );
      inside = false;

      expect(await ran).toBe(false);
      await storage.close();
    });

    test("the next step may be written from the callback", async () => {
      const storage = await harness.open();
      const before = storage.step;

      await new Promise<void>((resolve, reject) =>
        storage.write(stepOf({ hardState: hardState(1) }), () =>
          storage.write(stepOf({ hardState: hardState(2) }), (error) => (error ? reject(error) : resolve())),
        ),
      );

      expect(storage.step).toBe(before + 2);
      await storage.close();
    });

    test("a second write before the callback throws", async () => {
      const storage = await harness.open();
      const first = writeStep(storage, { hardState: hardState(1) });

      expect(() => storage.write(stepOf({ hardState: hardState(2) }), () => undefined)).toThrow();

      expect(await first).toBeUndefined();
      await storage.close();
    });

    test("close waits for the write under way and may be called twice", async () => {
      const first = await harness.open();
      const outcome = writeStep(first, { hardState: hardState(7, "n1@a") });

      await Promise.all([first.close(), first.close()]);
      await first.close();

      expect(await outcome).toBeUndefined();
      const second = await harness.open();
      expect(second.restored.hardState).toEqual(hardState(7, "n1@a"));
      await second.close();
    });

    test("a write after close fails", async () => {
      const storage = await harness.open();
      await storage.close();

      expect(await writeStep(storage, { hardState: hardState(1) })).toBeInstanceOf(Error);
    });

    test("a log that is cut goes on behind its boundary, and counts only what it holds", async () => {
      const all = entriesAfter(undefined, { count: 24, term: 1 });
      const first = await harness.open();
      await mustWrite(first, { hardState: hardState(1), entries: all.slice(0, 10) });
      const ofTen = first.logBytes;
      await mustWrite(first, { entries: all.slice(10, 20) });
      const cut = { boundary: boundaryOf(all[9]), last: boundaryOf(all[14]), isInstalled: false };
      await mustWrite(first, { snapshot: cut });
      // The first entry of the log is an empty one.
      expect(first.logBytes).toBe(ofTen + 24);
      await first.close();

      const second = await harness.open();
      expect(second.restored.boundary).toEqual(cut.boundary);
      expect(second.restored.snapshot).toEqual(cut.last);
      expect(plain(second.restored.entries)).toEqual(plain(all.slice(10, 20)));
      expect(second.logBytes).toBe(ofTen + 24);
      await mustWrite(second, { truncateFrom: 17, entries: all.slice(16, 24) });
      await mustWrite(second, {
        snapshot: { boundary: boundaryOf(all[14]), last: boundaryOf(all[22]), isInstalled: false },
      });
      const { logBytes } = second;
      await second.close();

      const third = await harness.open();
      expect(third.restored.boundary).toEqual(boundaryOf(all[14]));
      expect(third.restored.snapshot).toEqual(boundaryOf(all[22]));
      expect(plain(third.restored.entries)).toEqual(plain(all.slice(15)));
      expect(third.logBytes).toBe(logBytes);
      await third.close();
    });

    test("a log may be cut at its very end, in the step that writes what the snapshot is of", async () => {
      const all = entriesAfter(undefined, { count: 9, term: 1 });
      const first = await harness.open();
      await mustWrite(first, { hardState: hardState(1), entries: all.slice(0, 4) });
      await mustWrite(first, {
        entries: all.slice(4, 6),
        snapshot: { boundary: boundaryOf(all[3]), last: boundaryOf(all[5]), isInstalled: false },
      });
      await mustWrite(first, {
        snapshot: { boundary: boundaryOf(all[5]), last: boundaryOf(all[5]), isInstalled: false },
      });
      expect(first.logBytes).toBe(0);
      await first.close();

      const second = await harness.open();
      expect(second.restored.entries).toEqual([]);
      await mustWrite(second, { entries: all.slice(6) });
      await second.close();

      const third = await harness.open();
      expect(plain(third.restored.entries)).toEqual(plain(all.slice(6)));
      await third.close();
    });

    test.each([
      ["before the end of the log", 15],
      ["at its end", 20],
      ["beyond it", 100],
    ])("what is installed takes the place of all that was held: %s", async (_where, index) => {
      const last = { index, term: 4, time: 1000 * index, chain: 77 };
      const behind = entriesAfter(last, { count: 2, term: 5 });
      const first = await harness.open();
      await mustWrite(first, {
        hardState: hardState(3),
        entries: entriesAfter(undefined, { count: 20, term: 3 }),
      });
      await mustWrite(first, {
        hardState: hardState(5),
        snapshot: { boundary: last, last, isInstalled: true },
        entries: behind,
      });
      const { logBytes } = first;
      await first.close();

      const second = await harness.open();
      expect(second.restored.boundary).toEqual(last);
      expect(second.restored.snapshot).toEqual(last);
      expect(plain(second.restored.entries)).toEqual(plain(behind));
      expect(second.logBytes).toBe(logBytes);
      await mustWrite(second, { entries: entriesAfter(behind.at(-1), { count: 1, term: 5 }) });
      await second.close();

      const third = await harness.open();
      expect(third.restored.entries.map((entry) => entry.index)).toEqual([index + 1, index + 2, index + 3]);
      await third.close();
    });

    test.each([
      ["cuts", false],
      ["installs", true],
    ])("a crash while a step %s leaves the log before or after, whole", async (_what, isInstalled) => {
      const held = entriesAfter(undefined, { count: 12, term: 1 });
      const boundary = isInstalled ? { index: 9, term: 2, time: 9000, chain: 5 } : boundaryOf(held[8]);
      const behind = isInstalled ? entriesAfter(boundary, { count: 1, term: 2 }) : held.slice(9);
      const first = await harness.open();
      await mustWrite(first, { hardState: hardState(2, "n1@a"), entries: held });
      const entries = isInstalled ? behind : [];
      first.write(stepOf({ snapshot: { boundary, last: boundary, isInstalled }, entries }), () => undefined);
      await harness.crash();

      const second = await harness.open();
      const { restored } = second;

      const found = { boundary: restored.boundary.index, entries: plain(restored.entries) };
      expect([
        { boundary: 0, entries: plain(held) },
        { boundary: 9, entries: plain(behind) },
      ]).toContainEqual(found);
      await second.close();
    });

    test("a crash keeps every reported step, and an unreported one whole or not at all", async () => {
      const first = await harness.open();
      const reported = entriesAfter(undefined, { count: 4, term: 1 });
      const pending = entriesAfter(reported.at(-1), { count: 3, term: 1 });
      await mustWrite(first, { hardState: hardState(1, "n1@a"), entries: reported });
      first.write(stepOf({ entries: pending }), () => undefined);
      await harness.crash();

      const second = await harness.open();

      const found = plain(second.restored.entries);
      expect([plain(reported), plain([...reported, ...pending])]).toContainEqual(found);
      expect(second.restored.hardState).toEqual(hardState(1, "n1@a"));
      await second.close();
    });
  });
}
