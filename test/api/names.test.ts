import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodePathPart,
  encodeLockName,
  isClaimId,
  isSessionId,
  isWellFormed,
  lockNameFault,
  utf8Length,
} from "../../src/api/names.ts";

describe("lock names", () => {
  it.each([
    ["a"],
    ["billing/close"],
    ["user:42"],
    ["x:acquire"],
    ["a b"],
    ["ünïcode/名前/🔒"],
    ["100%"],
    ["a?b#c"],
    ["a..b/...c"],
    ["a_"],
    ["x".repeat(512)],
    ["é".repeat(256)],
    ["🔒".repeat(128)],
  ])("%j is a name", (name) => {
    expect(lockNameFault(name)).toBeUndefined();
  });

  it.each([
    ["", "empty"],
    ["x".repeat(513), "512 bytes"],
    ["é".repeat(257), "512 bytes"],
    ["🔒".repeat(128) + "a", "512 bytes"],
    ["a\ud800", "surrogate"],
    ["\udc00a", "surrogate"],
    ["a\u0000b", "control"],
    ["a\nb", "control"],
    ["a\u007f", "control"],
    ["a\u0085", "control"],
    ["a\\b", "backslash"],
    ["_system", "reserved"],
    ["/a", '"/"'],
    ["a/", '"/"'],
    ["a//b", '"//"'],
    [".", "segment"],
    ["a/../b", "segment"],
    ["a/./b", "segment"],
    ["..", "segment"],
    ["e\u0301", "NFC"],
    ["\u212b", "NFC"],
  ])("%j is none: %s", (name, why) => {
    expect(lockNameFault(name)).toContain(why);
  });

  it("every name survives its way through a URL", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 40 }), (text) => {
        const name = text.normalize("NFC");
        fc.pre(lockNameFault(name) === undefined);

        expect(decodePathPart(encodeLockName(name))).toBe(name);
      }),
    );
  });
});

describe("the length and form of text", () => {
  it("agrees with the encoder of the platform on any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(isWellFormed(text)).toBe(true);
        expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
      }),
    );
  });

  it("finds half of a surrogate pair wherever it stands", () => {
    for (const text of ["\ud800", "a\udfff", "\udc00\ud800", "🔒\ud83d", "\ud83d🔒"]) {
      expect(isWellFormed(text)).toBe(false);
    }
  });
});

describe("ids", () => {
  it.each([
    ["0123456789abcdef", true],
    ["A-Z.a_z~0-9-----", true],
    ["x".repeat(64), true],
    ["x".repeat(15), false],
    ["x".repeat(65), false],
    ["0123456789abcde/", false],
    ["0123456789abcde:", false],
    ["0123456789abcdeé", false],
    ["0123456789abcdef\n", false],
  ])("session id %j: %s", (id, expected) => {
    expect(isSessionId(id)).toBe(expected);
  });

  it.each([
    ["c", true],
    ["3f9a0123456789ab_7", true],
    ["...", true],
    ["x".repeat(64), true],
    ["", false],
    [".", false],
    ["..", false],
    ["x".repeat(65), false],
    ["a b", false],
    ["a%20", false],
  ])("claim id %j: %s", (id, expected) => {
    expect(isClaimId(id)).toBe(expected);
  });
});

describe("percent-encoding", () => {
  it.each([
    ["user%3A42", "user:42"],
    ["user:42", "user:42"],
    ["a%2Fb/c", "a/b/c"],
    ["%F0%9F%94%92", "🔒"],
    ["a+b", "a+b"],
    ["%25", "%"],
    ["", ""],
  ])("%j spells %j", (raw, text) => {
    expect(decodePathPart(raw)).toBe(text);
  });

  it.each([["%"], ["%zz"], ["%E4"], ["%C0%AF"], ["%ED%A0%80"], ["é"], ["Ã©"], ["a b"], ["a\u0000"]])(
    "%j is refused: it is not percent-encoded UTF-8",
    (raw) => {
      expect(decodePathPart(raw)).toBeUndefined();
    },
  );
});
