/** Commands as bytes: exact round trips, and nothing but DecodeError for anything else. */
import fc from "fast-check";
import { Packr } from "msgpackr";
import { expect, it } from "vitest";
import { decodeCommand, encodeCommand } from "../../src/codec/command.ts";
import { DecodeError } from "../../src/codec/entry.ts";
import type { Command } from "../../src/locks/commands.ts";
import { defaultSettings } from "../../src/locks/settings.ts";
import { check } from "../prop.ts";

const number = fc.nat(Number.MAX_SAFE_INTEGER);
const id = fc.stringMatching(/^[A-Za-z0-9._~-]{1,64}$/);
const text = fc.string({ maxLength: 60, unit: "grapheme" });
const metadata = fc
  .uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 5 })
  .map((pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
const maybe = fc.option(number, { nil: undefined });
const wallMs = number;

const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    kind: fc.constant("found" as const),
    wallMs,
    clusterId: id,
    firstFence: number,
    settings: fc.constant(defaultSettings),
  }),
  fc.record({ kind: fc.constant("advance-time" as const), wallMs }),
  fc.record({
    kind: fc.constant("open-session" as const),
    wallMs,
    sessionId: id,
    sessionRef: fc.stringMatching(/^[0-9a-f]{16}$/),
    ttlMs: number,
    lockDelayMs: maybe,
    label: text,
    metadata,
  }),
  fc.record({
    kind: fc.constant("keep-alive" as const),
    wallMs,
    items: fc.array(fc.record({ sessionId: id, seen: number }), { maxLength: 20 }),
  }),
  fc.record({ kind: fc.constant("close-session" as const), wallMs, sessionId: id }),
  fc.record({
    kind: fc.constant("acquire" as const),
    wallMs,
    sessionId: id,
    claimId: id,
    resources: fc
      .string({ minLength: 1, maxLength: 100 })
      .map((name) => [{ kind: "lock" as const, name, mode: "exclusive" as const }]),
    waitMs: number,
    lockDelayMs: maybe,
    metadata,
    cancelOnDisconnect: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("release" as const), wallMs, sessionId: id, claimId: id }),
  fc.record({ kind: fc.constant("cancel" as const), wallMs, claimId: id, fence: maybe }),
);

it("every command comes back exactly as it was", () => {
  check(
    fc.property(command, (value) => {
      expect(decodeCommand(encodeCommand(value))).toEqual(value);
    }),
    2_000,
  );
});

it("the bytes are their own: packing the next command does not change them", () => {
  const first = encodeCommand({ kind: "close-session", wallMs: 1, sessionId: "a" });
  const copy = Uint8Array.from(first);
  for (let i = 0; i < 100; i++)
    encodeCommand({ kind: "close-session", wallMs: i, sessionId: "b".repeat(60) });

  expect(first).toEqual(copy);
});

function decodesOrRefuses(bytes: Uint8Array): boolean {
  try {
    decodeCommand(bytes);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return false;
  }
}

it("hostile bytes: whatever comes, it decodes to a command or is a DecodeError", () => {
  check(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodesOrRefuses(bytes);
    }),
    20_000,
  );
  check(
    fc.property(command, fc.nat(), fc.nat(255), (value, at, byte) => {
      const bytes = encodeCommand(value);
      bytes[at % bytes.length] = byte;
      decodesOrRefuses(bytes);
      decodesOrRefuses(bytes.subarray(0, at % bytes.length));
    }),
    20_000,
  );
});

it("values that msgpack could carry and a command never holds are refused", () => {
  const pack = (value: unknown): Uint8Array => new Packr({ useRecords: false, moreTypes: true }).pack(value);
  const hostile: readonly unknown[] = [
    null,
    {},
    [],
    [1, 5, 0, 12],
    [1, 5, 0, new Date(0)],
    [1, 5, 0, /x/],
    [1, 5, 0, new Map([["a", 1]])],
    [1, 5, 0, "s".repeat(65)],
    [1, 5, 0, "s", "too much"],
    [1, 5, -1, "s"],
    [1, 5, 1.5, "s"],
    [1, 5, 2 ** 60, "s"],
    [1, 5, Number.NaN, "s"],
    [2, 5, 0, "s"],
    [1, 99, 0],
    [1, 4, 0, ["s"]],
    [1, 3, 0, "s", "r", 1, null, "", ["b", "1", "a", "2"]],
    [1, 3, 0, "s", "r", 1, null, "", ["a", "1", "a", "2"]],
    [1, 6, 0, "s", "c", [], 0, null, [], true],
    [1, 6, 0, "s", "c", ["a", "b"], 0, null, [], true],
    [1, 6, 0, "s", "c", [""], 0, null, [], true],
    [1, 1, 0, "c", 5, [1, 2, 3]],
  ];

  for (const value of hostile) expect(decodesOrRefuses(pack(value)), JSON.stringify(value)).toBe(false);
});

it("deep nesting and huge declared lengths are refused without harm", () => {
  expect(decodesOrRefuses(new Uint8Array(100_000).fill(0x91))).toBe(false);
  expect(decodesOrRefuses(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))).toBe(false);
  expect(decodesOrRefuses(Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff, 0x41))).toBe(false);
});
