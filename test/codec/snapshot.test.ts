import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/base/hash.ts";
import { createPrng } from "../../src/base/prng.ts";
import { DecodeError } from "../../src/codec/entry.ts";
import { SnapshotDecoder, SnapshotEncoder, type SnapshotHeader } from "../../src/codec/snapshot.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { ImageReader, type ImageRecord, imageOf } from "../../src/locks/image.ts";
import type { LockState } from "../../src/locks/records.ts";
import { busy, history, play } from "../locks/histories.ts";
import { check } from "../prop.ts";

const header: SnapshotHeader = {
  clusterId: "c-1",
  last: { index: 9_000_000_000, term: 7, time: 123_456, chain: 2 ** 52 },
  voters: ["n1@a", "n2@b", "n3@c"],
};

function bytesOf(state: LockState): Uint8Array {
  return snapshotOf(imageOf(state), stateHash(state));
}

function snapshotOf(records: Iterable<ImageRecord>, hash: string): Uint8Array {
  const encoder = new SnapshotEncoder();
  const chunks = [encoder.begin(header)];
  for (const record of records) {
    const chunk = encoder.add(record);
    if (chunk !== undefined) chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat([...chunks, ...encoder.end(hash)]));
}

interface Read {
  readonly header: SnapshotHeader | undefined;
  readonly records: readonly ImageRecord[];
  readonly stateHash: string;
}

function read(bytes: Uint8Array, pieceBytes: (at: number) => number): Read {
  let seen: SnapshotHeader | undefined;
  const records: ImageRecord[] = [];
  const decoder = new SnapshotDecoder({
    header: (found) => void (seen = found),
    record: (record) => void records.push(record),
  });
  for (let at = 0; at < bytes.length; ) {
    const next = at + Math.max(1, pieceBytes(at));
    // A buffer that is used again, as a reader of files does.
    const piece = bytes.slice(at, next);
    decoder.add(piece);
    piece.fill(0xee);
    at = next;
  }
  return { header: seen, records, stateHash: decoder.end().stateHash };
}

describe("a snapshot", () => {
  it("gives back the state and where it stood, in pieces of any size", () => {
    check(
      fc.property(history, fc.integer({ min: 1, max: 5_000 }), (steps, pieceBytes) => {
        const { state } = play(steps, {}).bench;

        const found = read(bytesOf(state), () => pieceBytes);

        const reader = new ImageReader();
        for (const record of found.records) reader.add(record);
        expect(stateHash(reader.end())).toBe(found.stateHash);
        expect(found.stateHash).toBe(stateHash(state));
        expect(found.header).toStrictEqual(header);
      }),
      50,
    );
  });

  it("is made of many chunks when it is large, and none is much larger than what a turn can handle", () => {
    const sizes = chunksOf(largeSnapshot()).map(({ length }) => length);
    expect(sizes.length).toBeGreaterThan(7);
    expect(Math.max(...sizes)).toBeLessThan(66_000);
  });
});

describe("a damaged snapshot is refused", () => {
  const bytes = bytesOf(busy());

  it("wherever one bit is flipped", () => {
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      expect(() => read(damaged, () => bytes.length), `bit ${at % 8} of byte ${at}`).toThrow(DecodeError);
    }
  });

  it("wherever it is cut off", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => read(bytes.slice(0, length), () => bytes.length), `${length} bytes`).toThrow(DecodeError);
    }
  });

  it("when something follows it, or it is there twice", () => {
    const extra = (more: Uint8Array): Uint8Array => new Uint8Array(Buffer.concat([bytes, more]));
    expect(() => read(extra(new Uint8Array(1)), () => bytes.length)).toThrow(DecodeError);
    expect(() => read(extra(bytes), () => bytes.length)).toThrow(DecodeError);
  });

  it("when chunks are lost, doubled or change places", () => {
    const chunks = chunksOf(largeSnapshot());
    expect(chunks.length).toBeGreaterThan(5);
    const orders: readonly (readonly number[])[] = [
      [0, 2, 1, ...chunks.keys()].filter((at, i, all) => all.indexOf(at) === i),
      [...chunks.keys()].filter((at) => at !== 2),
      [...chunks.keys()].flatMap((at) => (at === 2 ? [2, 2] : [at])),
      [...chunks.keys()].slice(1),
    ];
    for (const order of orders) {
      const moved = Buffer.concat(order.map((at) => chunks[at] as Uint8Array));
      expect(() => read(new Uint8Array(moved), () => 1 << 20), order.join()).toThrow(DecodeError);
    }
  });

  it("when it is of a later format, or none at all", () => {
    expect(() => read(new TextEncoder().encode("not a snapshot at all, is it?"), () => 7)).toThrow(
      DecodeError,
    );
  });
});

it("whatever bytes come with right sums, they are read or refused, and nothing else is thrown", () => {
  const random = createPrng(Number(process.env["HOSTILE_SEED"] ?? 17), "snapshot");
  const chunks = chunksOf(bytesOf(busy()));
  let refused = 0;
  for (let i = 0; i < 8_000; i++) {
    const copies = chunks.map((chunk) => chunk.slice());
    const chunk = random.pick(copies);
    for (let changes = random.between(1, 4); changes > 0; changes--)
      chunk[random.between(4, chunk.length - 5)] = random.between(0, 255);
    try {
      read(summed(copies), () => 1 << 20);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(4_000);
});

/** The same chunks with sums that fit. */
function summed(chunks: readonly Uint8Array[]): Uint8Array {
  let sum = 0;
  for (const chunk of chunks) {
    sum = crc32(chunk, 0, chunk.length - 4, sum);
    new DataView(chunk.buffer).setUint32(chunk.length - 4, sum, true);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function largeSnapshot(): Uint8Array {
  const records = Array.from({ length: 20_000 }, (_, i): ImageRecord => {
    return { kind: "lock", name: `lock/${i}`, revision: i, exclusiveMark: 0, sharedMark: 0 };
  });
  return snapshotOf(records, "0".repeat(14));
}

function chunksOf(bytes: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 9 + view.getUint32(at, true);
    chunks.push(bytes.slice(at, at + length));
    at += length;
  }
  return chunks;
}
