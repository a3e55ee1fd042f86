/** Entries as bytes: exact round trips; every flipped bit is noticed. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { DecodeError, decodeEntry, encodeEntry } from "../../src/codec/entry.ts";
import type { Entry } from "../../src/raft/types.ts";
import { check } from "../prop.ts";

const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const entry: fc.Arbitrary<Entry> = fc.record({
  index: positive,
  term: positive,
  time: fc.nat(Number.MAX_SAFE_INTEGER),
  kind: fc.constantFrom("noop" as const, "command" as const),
  data: fc.uint8Array({ maxLength: 100 }),
  chain: fc.nat(Number.MAX_SAFE_INTEGER),
});

it("every entry comes back exactly as it was", () => {
  check(
    fc.property(entry, (value) => {
      expect(decodeEntry(encodeEntry(value))).toEqual(value);
    }),
    1_000,
  );
});

it("every single flipped bit and every truncation is a DecodeError", () => {
  const bytes = encodeEntry({
    index: 7,
    term: 3,
    time: 99,
    kind: "command",
    data: Uint8Array.of(1, 2, 3),
    chain: 12345,
  });
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Uint8Array.from(bytes);
      flipped[at] = (flipped[at] as number) ^ (1 << bit);
      expect(() => decodeEntry(flipped), `byte ${at} bit ${bit}`).toThrow(DecodeError);
    }
    expect(() => decodeEntry(bytes.subarray(0, at))).toThrow(DecodeError);
  }
});

it("hostile bytes are a DecodeError and nothing else", () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      expect(() => decodeEntry(bytes)).toThrow(DecodeError);
    }),
    10_000,
  );
});
