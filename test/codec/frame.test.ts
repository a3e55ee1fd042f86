import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crc32 } from "../../src/base/hash.ts";
import { DecodeError } from "../../src/codec/entry.ts";
import { createFrameDecoder, encodeFrame, frameHeaderBytes } from "../../src/codec/frame.ts";

const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 20 });

describe("frames", () => {
  it("come out of any cutting of the stream as they went in", () => {
    fc.assert(
      fc.property(payloads, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
        const stream = join(sent.map((payload) => encodeFrame([payload])));
        const decoder = createFrameDecoder(300);

        const received = cut(stream, cuts).flatMap((chunk) => decoder.push(chunk));

        expect(received).toEqual(sent);
      }),
      { numRuns: 500 },
    );
  });

  it("join their parts into one payload", () => {
    const frame = encodeFrame([Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3)]);

    expect(createFrameDecoder(3).push(frame)).toEqual([Uint8Array.of(1, 2, 3)]);
  });

  it("begin with length and CRC, big-endian", () => {
    const payload = Uint8Array.of(9, 8, 7);
    const view = new DataView(encodeFrame([payload]).buffer);

    expect(view.getUint32(0)).toBe(3);
    expect(view.getUint32(4)).toBe(crc32(payload));
    expect(frameHeaderBytes).toBe(8);
  });

  it("are copies: writing into the receive buffer afterwards changes nothing", () => {
    const chunk = encodeFrame([Uint8Array.of(1, 2, 3)]);
    const [payload] = createFrameDecoder(10).push(chunk);

    chunk.fill(255);

    expect(payload).toEqual(Uint8Array.of(1, 2, 3));
  });

  it.each([
    ["length 0", header(0, 0), "length 0"],
    ["one byte more than allowed", header(101, 0), "101 bytes, allowed are 100"],
    ["4 GiB", header(0xffffffff, 0), "4294967295 bytes"],
    ["a wrong CRC", join([header(1, 0), Uint8Array.of(5)]), "wrong CRC"],
  ])("are refused with %s, and so is everything after", (_name, bytes, message) => {
    const decoder = createFrameDecoder(100);

    expect(() => decoder.push(bytes)).toThrow(message);
    expect(() => decoder.push(encodeFrame([Uint8Array.of(1)]))).toThrow(DecodeError);
  });

  it("follow a raised cap from the next header on", () => {
    const decoder = createFrameDecoder(10);
    const large = encodeFrame([new Uint8Array(11)]);
    decoder.allow(11);

    expect(decoder.push(large)).toHaveLength(1);
  });

  it("cost the same in a million single bytes as in one chunk: no byte is copied twice", () => {
    const payload = new Uint8Array(1_000_000).fill(7);
    const stream = encodeFrame([payload]);
    const decoder = createFrameDecoder(payload.length);

    let complete: Uint8Array[] = [];
    for (let i = 0; i < stream.length; i++) complete = decoder.push(stream.subarray(i, i + 1));

    expect(complete).toHaveLength(1);
    expect(crc32(complete[0] as Uint8Array)).toBe(crc32(payload));
  });

  it("answer random and mutated bytes with payloads or DecodeError only", () => {
    const good = join([encodeFrame([Uint8Array.of(1, 2, 3)]), encodeFrame([new Uint8Array(50)])]);
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
        const copy = good.slice();
        copy[at] = (copy[at] as number) ^ flip;
        return copy;
      }),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          createFrameDecoder(1000).push(bytes);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }),
      { numRuns: 20_000 },
    );
  });
});

function header(length: number, crc: number): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint32(4, crc);
  return bytes;
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function cut(stream: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0, i = 0; at < stream.length; i++) {
    const size = sizes[i % sizes.length] as number;
    chunks.push(stream.slice(at, at + size));
    at += size;
  }
  return chunks;
}
