/** Commands as bytes: exact round trips, and nothing but DecodeError for anything else. */
import fc from "fast-check";
import { Packr } from "msgpackr";
import { expect, it } from "vitest";
import { decodeCommand, encodeCommand } from "../../src/codec/command.ts";
import { DecodeError } from "../../src/codec/entry.ts";
import type { Command, ResourceRequest } from "../../src/locks/commands.ts";
import { defaultSettings, settingNames } from "../../src/locks/settings.ts";
import { check } from "../prop.ts";

const number = fc.nat(Number.MAX_SAFE_INTEGER);
const id = fc.stringMatching(/^[A-Za-z0-9._~-]{1,64}$/);
const text = fc.string({ maxLength: 60, unit: "grapheme" });
const metadata = fc
  .uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 5 })
  .map((pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
const maybe = fc.option(number, { nil: undefined });
const wallMs = number;

const positive = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const name = fc.string({ minLength: 1, maxLength: 100 });
const resource: fc.Arbitrary<ResourceRequest> = fc.oneof(
  fc.record({
    kind: fc.constant("lock" as const),
    name,
    mode: fc.constantFrom("exclusive" as const, "shared" as const),
  }),
  fc.record({ kind: fc.constant("semaphore" as const), name, permits: positive, capacity: maybe }),
);

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
    resources: resource.map((one) => [one]),
    waitMs: number,
    lockDelayMs: maybe,
    maxHoldMs: fc.option(positive, { nil: undefined }),
    owner: fc.option(fc.string({ minLength: 1, maxLength: 128 }), { nil: undefined }),
    metadata,
    cancelOnDisconnect: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("release" as const), wallMs, sessionId: id, claimId: id }),
  fc.record({ kind: fc.constant("cancel" as const), wallMs, claimId: id, fence: maybe }),
  fc.record({ kind: fc.constant("kill-session" as const), wallMs, sessionRef: id, note: text }),
  fc.record({ kind: fc.constant("shrink" as const), wallMs, sessionId: id, claimId: id, permits: positive }),
  fc.record({ kind: fc.constant("set-semaphore" as const), wallMs, name, capacity: number }),
  fc.record({ kind: fc.constant("delete-semaphore" as const), wallMs, name }),
  fc.record({
    kind: fc.constant("set-settings" as const),
    wallMs,
    changes: fc.array(fc.tuple(fc.constantFrom(...settingNames), number), { maxLength: 20 }),
  }),
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
  const acquire = (
    resources: unknown,
    more: readonly unknown[] = [0, null, null, null, [], true],
  ): unknown => [3, 6, 0, "s", "c", resources, ...more];
  // What is refused below is refused for the one thing that is wrong with it.
  for (const sound of [
    [0, "a"],
    [1, "a"],
    [2, "a", 1, null],
    [2, "a", 1, 5],
  ]) {
    expect(decodesOrRefuses(pack(acquire(sound))), JSON.stringify(sound)).toBe(true);
  }
  const hostile: readonly unknown[] = [
    null,
    {},
    [],
    [3, 5, 0, 12],
    [3, 5, 0, new Date(0)],
    [3, 5, 0, /x/],
    [3, 5, 0, new Map([["a", 1]])],
    [3, 5, 0, "s".repeat(65)],
    [3, 5, 0, "s", "too much"],
    [3, 5, -1, "s"],
    [3, 5, 1.5, "s"],
    [3, 5, 2 ** 60, "s"],
    [3, 5, Number.NaN, "s"],
    [1, 5, 0, "s"],
    [4, 5, 0, "s"],
    [3, 99, 0],
    [3, 4, 0, ["s"]],
    [3, 3, 0, "s", "r", 1, null, "", ["b", "1", "a", "2"]],
    [3, 3, 0, "s", "r", 1, null, "", ["a", "1", "a", "2"]],
    [3, 1, 0, "c", 5, [1, 2, 3]],
    acquire([]),
    acquire([0]),
    acquire([0, ""]),
    acquire([3, "a"]),
    acquire([0, "a", 1, "b"]),
    acquire([2, "a"]),
    acquire([2, "a", 0, null]),
    acquire([2, "a", -1, null]),
    acquire([2, "a", 1, "many"]),
    acquire([0, "a"], [0, null, 0, null, [], true]),
    acquire([0, "a"], [0, null, null, "o".repeat(257), [], true]),
    acquire([0, "a"], [0, null, null, null, [], 1]),
    [3, 10, 0, "s", "c", 0],
    [3, 11, 0, "", 1],
    [3, 11, 0, "a", null],
    [3, 13, 0, [99, 1]],
    [3, 13, 0, [0]],
  ];

  for (const value of hostile) expect(decodesOrRefuses(pack(value)), JSON.stringify(value)).toBe(false);
});

it("deep nesting and huge declared lengths are refused without harm", () => {
  expect(decodesOrRefuses(new Uint8Array(100_000).fill(0x91))).toBe(false);
  expect(decodesOrRefuses(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))).toBe(false);
  expect(decodesOrRefuses(Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff, 0x41))).toBe(false);
});
