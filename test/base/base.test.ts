import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { assert, assertInteger, InvariantError, present } from "../../src/base/assert.ts";
import { crc32, createHasher } from "../../src/base/hash.ts";
import { memberId, memberName, rosterMembers } from "../../src/base/identity.ts";
import { compareText } from "../../src/base/order.ts";
import { createPrng } from "../../src/base/prng.ts";
import { check } from "../prop.ts";

it("the CRC is the one that everybody else computes", () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(crc32(bytes)).toBe(zlibCrc32(bytes));
    }),
    500,
  );
  expect(crc32(new TextEncoder().encode("xx123456789y"), 2, 11)).toBe(0xcbf43926);
});

it("the hash is a safe integer, depends on every part and on how parts are divided", () => {
  const digests = new Set<number>();
  for (const parts of [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["acb"]]) {
    const hasher = createHasher();
    for (const part of parts) hasher.text(part);
    digests.add(hasher.digest());
  }
  expect(digests.size).toBe(5);
  for (const digest of digests) expect(Number.isSafeInteger(digest)).toBe(true);
  expect(createHasher().uint(1).digest()).not.toBe(
    createHasher()
      .uint(2 ** 32 + 1)
      .digest(),
  );
});

it("no two of 200 000 short inputs share a hash", () => {
  const seen = new Set<number>();
  for (let i = 0; i < 200_000; i++)
    seen.add(
      createHasher(i % 7)
        .uint(i)
        .text(String(i))
        .digest(),
    );
  expect(seen.size).toBe(200_000);
});

it("the generator repeats itself for a (seed, stream) and for no other", () => {
  const draw = (seed: number, stream: string): readonly number[] => {
    const prng = createPrng(seed, stream);
    return Array.from({ length: 20 }, () => prng.uint32());
  };
  expect(draw(1, "a")).toEqual(draw(1, "a"));
  expect(draw(1, "a")).not.toEqual(draw(1, "b"));
  expect(draw(1, "a")).not.toEqual(draw(2, "a"));
});

it("the generator stays within its bounds and reaches both ends", () => {
  const prng = createPrng(5);
  const drawn = Array.from({ length: 2_000 }, () => prng.between(3, 6));
  expect(new Set(drawn)).toEqual(new Set([3, 4, 5, 6]));
  expect(prng.chance(0)).toBe(false);
  expect(prng.chance(1)).toBe(true);
});

it("a failed assertion carries its facts", () => {
  expect(() => assert(false, "no", { index: 3 })).toThrow(new InvariantError('no {"index":3}'));
  expect(() => present(undefined, "thing")).toThrow(InvariantError);
  expect(() => assertInteger(1.5, "n")).toThrow(InvariantError);
  expect(() => assertInteger(0, "n", 1)).toThrow(InvariantError);
});

it("text is ordered by code units, not by locale", () => {
  expect(["ä", "z", "Z", "a"].sort(compareText)).toEqual(["Z", "a", "z", "ä"]);
});

it("members are named name@incarnation, in the order of their names", () => {
  expect(memberName(memberId("n1", "abc"))).toBe("n1");
  expect(rosterMembers({ n2: "y", n1: "x" })).toEqual(["n1@x", "n2@y"]);
});
