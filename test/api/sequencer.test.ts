import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lockNameFault } from "../../src/api/names.ts";
import { encodeSequencer, parseSequencer, type Sequencer, sequencerMax } from "../../src/api/sequencer.ts";
import { createPrng } from "../../src/base/prng.ts";
import { check } from "../prop.ts";

const grant: Sequencer = {
  clusterId: "c-1",
  mode: "exclusive",
  fence: 1_887_436_800_005_120,
  claimId: "a_1",
  name: "billing/close",
};

const anyName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
  .map((text) => text.normalize("NFC"))
  .filter((name) => lockNameFault(name) === undefined);

const anyGrant: fc.Arbitrary<Sequencer> = fc.record({
  clusterId: fc.stringMatching(/^[a-z0-9-]{1,36}$/),
  mode: fc.constantFrom("exclusive", "shared", "permits"),
  fence: fc.maxSafeNat(),
  claimId: fc.stringMatching(/^[A-Za-z0-9._~-]{1,64}$/),
  name: anyName,
});

describe("a sequencer", () => {
  it("says what it was made of, for any legal name, in printable characters without quotes", () => {
    check(
      fc.property(anyGrant, (made) => {
        const text = encodeSequencer(made);

        expect(parseSequencer(text)).toEqual(made);
        expect(text).toMatch(/^hf1\.[A-Za-z0-9_-]+\.[0-9a-f]{8}$/);
      }),
      500,
    );
  });

  it.each([
    ["of 4-byte characters", "🔒".repeat(128)],
    ["of 3-byte characters", "名".repeat(170)],
    ["of quotes", '"'.repeat(512)],
    ["of single characters", "x".repeat(512)],
    ["of colons and slashes", "a:/".repeat(170) + "a"],
  ])("has at most 1 KB for the longest name %s", (_what, name) => {
    expect(lockNameFault(name)).toBeUndefined();
    const longest = {
      clusterId: "f".repeat(36),
      mode: "exclusive",
      fence: Number.MAX_SAFE_INTEGER,
      claimId: "c".repeat(64),
      name,
    } as const;

    const text = encodeSequencer(longest);

    expect(text.length).toBeLessThanOrEqual(sequencerMax);
    expect(parseSequencer(text)).toEqual(longest);
  });

  it("with any one character changed, left out, added or swapped is malformed", () => {
    const text = encodeSequencer(grant);
    const alphabet = "ABCxyz019_-.=+/ \n\u0000é";
    for (let i = 0; i <= text.length; i++) {
      for (const other of alphabet) {
        const changed = text.slice(0, i) + other + text.slice(i + 1);
        if (changed !== text) expect([changed, parseSequencer(changed)]).toEqual([changed, undefined]);
        expect(parseSequencer(text.slice(0, i) + other + text.slice(i))).toBeUndefined();
      }
      if (i < text.length) expect(parseSequencer(text.slice(0, i) + text.slice(i + 1))).toBeUndefined();
      const swapped = text.slice(0, i) + (text[i + 1] ?? "") + (text[i] ?? "") + text.slice(i + 2);
      if (swapped !== text) expect(parseSequencer(swapped)).toBeUndefined();
    }
  });

  it("has one spelling: no other text stands for the same grant", () => {
    for (const [fence, mode, name] of [
      ["01887436800005120", "exclusive", "a"],
      ["0007", "exclusive", "a"],
      ["1e3", "exclusive", "a"],
      [" 7", "exclusive", "a"],
      ["-7", "exclusive", "a"],
      ["9007199254740992", "exclusive", "a"],
      ["7", "EXCLUSIVE", "a"],
      ["7", "update", "a"],
      ["7", "shared", ""],
      ["7", "shared", "a\nb"],
    ]) {
      // Made like a true one, with a true CRC, so that only the fields can be what is wrong.
      const made = encodeSequencer({ ...grant, claimId: `${fence}\n${mode}\n${name}` });
      const fields = Buffer.from(made.split(".")[1] ?? "", "base64url")
        .toString()
        .split("\n");
      const text = encodeSequencer({
        clusterId: "c-1",
        mode: mode as Sequencer["mode"],
        fence: fence as unknown as number,
        claimId: "a_1",
        name: name ?? "",
      });

      expect(fields.length).toBeGreaterThan(5);
      expect(parseSequencer(made)).toBeUndefined();
      expect([fence, mode, name, parseSequencer(text)]).toEqual([fence, mode, name, undefined]);
    }
  });

  it("is answered for any text at all, without throwing: 100 000 hostile ones", () => {
    const seed = 41;
    const random = createPrng(seed, "sequencers");
    const alphabet = "hf1.ABCDEFxyz0123456789_-=+/ \n\u0000é🔒";
    let parsed = 0;
    for (let i = 0; i < 100_000; i++) {
      const base = encodeSequencer({ ...grant, fence: random.between(0, 1e9) });
      let text = random.chance(0.2) ? "" : base;
      for (let n = random.between(0, 3); n > 0; n--) {
        const at = random.between(0, text.length);
        text =
          text.slice(0, at) +
          alphabet.charAt(random.between(0, alphabet.length - 1)) +
          text.slice(at + random.between(0, 2));
      }
      const found = parseSequencer(text);
      if (found === undefined) continue;
      parsed++;
      expect([seed, i, encodeSequencer(found)]).toEqual([seed, i, text]);
    }
    expect(parsed).toBeGreaterThan(10_000);
  });
});
