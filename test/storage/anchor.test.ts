import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { crc32 } from "../../src/base/hash.ts";
import { createAnchorFile, nameBytesMax, openAnchorFile } from "../../src/storage/anchor.ts";
import type { AnchorFile, AnchorState } from "../../src/storage/anchor-slots.ts";
import { DamageError, NewerFormatError } from "../../src/storage/failure.ts";
import { type TemporaryDirectory, temporaryDirectory } from "./log-builder.ts";

const start: AnchorState = {
  clusterId: "00aa11bb22cc33",
  memberId: `n1@${"a".repeat(32)}`,
  term: 0,
  vote: undefined,
  step: 1,
};

let temporary: TemporaryDirectory;
let path: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  path = join(temporary.path, "anchor");
});

afterEach(() => temporary.remove());

function write(anchor: AnchorFile, state: AnchorState): Promise<Error | undefined> {
  return new Promise((resolve) => anchor.write(state, resolve));
}

function readOnce(): AnchorState {
  const anchor = openAnchorFile(path);
  anchor.close();
  return anchor.state;
}

/** A file that was made with `start` and then written `writes` times: step = 1 + number of the write. */
async function written(writes: number): Promise<AnchorState> {
  const anchor = createAnchorFile(path, start);
  for (let i = 0; i < writes; i++) {
    const vote = i % 2 === 0 ? undefined : `n${i}@${"b".repeat(32)}`;
    await write(anchor, { ...start, term: i, vote, step: 2 + i });
  }
  anchor.close();
  return anchor.state;
}

describe("the anchor", () => {
  test("returns what was written last", async () => {
    for (const writes of [0, 1, 2, 7]) {
      const state = await written(writes);

      expect(readOnce()).toEqual(state);
      expect(state.step).toBe(1 + writes);
    }
  });

  test("holds the longest names that a configuration allows", async () => {
    const longest = `${"é".repeat(nameBytesMax / 2)}@${"a".repeat(32)}`;
    const state = { ...start, memberId: longest, vote: longest };
    createAnchorFile(path, state).close();

    expect(readOnce()).toEqual(state);
  });

  test("never goes back, and takes one write at a time", async () => {
    const anchor = createAnchorFile(path, { ...start, term: 5, step: 9 });

    expect(() => anchor.write({ ...start, term: 5, step: 8 }, () => undefined)).toThrow();
    expect(() => anchor.write({ ...start, term: 4, step: 10 }, () => undefined)).toThrow();
    const first = write(anchor, { ...start, term: 6, step: 10 });
    expect(() => anchor.write({ ...start, term: 6, step: 11 }, () => undefined)).toThrow();

    expect(await first).toBeUndefined();
    anchor.close();
  });

  test("falls back to the slot before when the newest is torn, at any byte", async () => {
    for (const writes of [3, 4]) {
      const newest = await written(writes);
      const bytes = readFileSync(path);
      const at = bytes.readDoubleLE(8) > bytes.readDoubleLE(4096 + 8) ? 0 : 4096;
      for (let cut = 0; cut < 512; cut += 7) {
        const torn = Buffer.from(bytes);
        torn.fill(0, at + cut, at + 512);
        writeFileSync(path, torn);

        const state = readOnce();

        expect(state.step).toBe(newest.step - 1);
      }
    }
  });

  test("a flipped byte anywhere costs one slot at most and never invents a state", async () => {
    const newest = await written(5);
    const bytes = readFileSync(path);
    for (let offset = 0; offset < bytes.length; offset++) {
      const flipped = Buffer.from(bytes);
      flipped[offset] = (flipped[offset] as number) ^ 0x10;
      writeFileSync(path, flipped);

      const state = readOnce();

      expect([newest.step, newest.step - 1]).toContain(state.step);
      expect(state.term).toBe(state.step - 2);
    }
  });

  test("a torn slot is written anew first", async () => {
    const newest = await written(4);
    const bytes = readFileSync(path);
    const older = bytes.readDoubleLE(8) < bytes.readDoubleLE(4096 + 8) ? 0 : 4096;
    bytes.fill(0xff, older, older + 512);
    writeFileSync(path, bytes);
    const anchor = openAnchorFile(path);

    await write(anchor, { ...newest, step: newest.step + 1 });
    anchor.close();

    expect(readOnce().step).toBe(newest.step + 1);
    expect(readFileSync(path).readDoubleLE(older + 8)).toBe(
      readFileSync(path).readDoubleLE(4096 - older + 8) + 1,
    );
  });

  test("without a valid slot there is no anchor", async () => {
    await written(3);
    const bytes = readFileSync(path);
    for (const damage of [
      () => truncateSync(path, 0),
      () => writeFileSync(path, Buffer.alloc(bytes.length)),
    ]) {
      damage();

      expect(() => openAnchorFile(path)).toThrow(DamageError);
    }
  });

  test("slots that changed places are none", async () => {
    await written(3);
    const bytes = readFileSync(path);
    const swapped = Buffer.concat([bytes.subarray(4096), Buffer.alloc(4096 - 512), bytes.subarray(0, 512)]);
    writeFileSync(path, swapped);

    expect(() => openAnchorFile(path)).toThrow(DamageError);
  });

  test("a later format with a right CRC is recognised as such", async () => {
    await written(3);
    const bytes = readFileSync(path);
    bytes.writeUInt16LE(2, 4);
    bytes.writeUInt32LE(crc32(bytes, 0, 508), 508);
    writeFileSync(path, bytes);

    expect(() => openAnchorFile(path)).toThrow(NewerFormatError);
  });
});
