/**
 * More than half a million hostile inputs to everything that reads bytes of others: whatever comes, it is read or it is a
 * DecodeError; nothing else is thrown, nothing hangs. Seeded: `HOSTILE_SEED` replays a failure, which names its bytes.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSequencer, parseSequencer } from "../../src/api/sequencer.ts";
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { decodeCommand, encodeCommand } from "../../src/codec/command.ts";
import { DecodeError, decodeEntry, encodeEntry } from "../../src/codec/entry.ts";
import { createFrameDecoder, encodeFrame } from "../../src/codec/frame.ts";
import { decodeImageRecord, encodeImageRecord } from "../../src/codec/image.ts";
import { decodeMessage, encodeMessage } from "../../src/codec/message.ts";
import type { Command } from "../../src/locks/commands.ts";
import { imageOf } from "../../src/locks/image.ts";
import { defaultSettings } from "../../src/locks/settings.ts";
import type { Entry, Message } from "../../src/raft/types.ts";
import { busy } from "../locks/histories.ts";

const seed = Number(process.env["HOSTILE_SEED"] ?? 31);
const wallMs = 1_790_000_000_000;
const who = { wallMs, sessionId: "a-session-of-mine", claimId: "c_1" };
const echo = { round: 7, sentTick: 70_000 };

const commands: readonly Command[] = [
  { kind: "found", wallMs, clusterId: "c-1", firstFence: 2 ** 50, settings: defaultSettings },
  { kind: "advance-time", wallMs },
  {
    kind: "open-session",
    wallMs,
    sessionId: "a-session-of-mine",
    sessionRef: "0123456789abcdef",
    ttlMs: 15_000,
    lockDelayMs: undefined,
    label: "lábel 🔒",
    metadata: [["a", "b"]],
  },
  { kind: "keep-alive", wallMs, items: [{ sessionId: "a-session-of-mine", seen: 300 }] },
  { kind: "close-session", wallMs, sessionId: "a-session-of-mine" },
  { kind: "kill-session", wallMs, sessionRef: "0123456789abcdef", note: "stuck" },
  {
    kind: "acquire",
    ...who,
    resources: [{ kind: "lock", name: "billing/close", mode: "shared" }],
    waitMs: 70_000,
    lockDelayMs: 5,
    maxHoldMs: undefined,
    owner: "me",
    metadata: [],
    cancelOnDisconnect: true,
  },
  {
    kind: "acquire",
    ...who,
    resources: [{ kind: "semaphore", name: "pool", permits: 3, capacity: 5 }],
    waitMs: 0,
    lockDelayMs: undefined,
    maxHoldMs: 9,
    owner: undefined,
    metadata: [["k", "v"]],
    cancelOnDisconnect: false,
  },
  { kind: "release", ...who },
  { kind: "shrink", ...who, permits: 2 },
  { kind: "cancel", wallMs, claimId: "c_1", fence: 2 ** 40 },
  { kind: "set-semaphore", wallMs, name: "pool", capacity: 9 },
  { kind: "delete-semaphore", wallMs, name: "pool" },
  { kind: "set-settings", wallMs, changes: [["lockDelayMs", 7]] },
];

const entries: readonly Entry[] = commands.map((command, i) => ({
  index: i + 1,
  term: 3,
  time: 100 * i,
  kind: "command",
  data: encodeCommand(command),
  chain: 2 ** 31 + i,
}));

const messages: readonly Message[] = [
  {
    kind: "pre-vote",
    term: 3,
    lastLogTerm: 2,
    lastLogIndex: 9,
    nextTerm: 4,
    hint: { leader: "n1@1", term: 3 },
  },
  { kind: "pre-vote-response", term: 3, nextTerm: 4, granted: true },
  { kind: "vote", term: 3, lastLogTerm: 2, lastLogIndex: 9, transfer: false, hint: undefined },
  { kind: "vote-response", term: 3, granted: false },
  {
    kind: "append",
    term: 3,
    prevLogIndex: 0,
    prevLogTerm: 0,
    prevLogChain: 0,
    entries: entries.slice(0, 3),
    leaderCommit: 2,
    echo,
  },
  { kind: "append-response", term: 3, result: { kind: "matched", matchIndex: 3 }, echo },
  {
    kind: "append-response",
    term: 3,
    result: { kind: "mismatch", prevLogIndex: 9, hintIndex: 8, hintTerm: 2 },
    echo,
  },
  { kind: "snapshot-offer", term: 3, last: { index: 9, term: 2, time: 70_000, chain: 2 ** 50 }, echo },
  { kind: "heartbeat", term: 3, leaderCommit: 2, echo },
  { kind: "heartbeat-response", term: 3, echo },
  { kind: "term-over", term: 3 },
  { kind: "timeout-now", term: 3 },
];

/** Bytes that mean much in msgpack: lengths, nesting, extensions, nil, floats. */
const telling = [
  0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcf, 0xd3, 0xd4, 0xd8,
  0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff, 0, 1, 0x7f,
];

function randomByte(random: Prng): number {
  return random.chance(0.5) ? random.pick(telling) : random.between(0, 255);
}

function randomBytes(random: Prng, lengthMax: number): Uint8Array {
  const bytes = new Uint8Array(random.between(0, lengthMax));
  for (let i = 0; i < bytes.length; i++) bytes[i] = randomByte(random);
  return bytes;
}

/** A sample that was cut, overwritten in places, or grown by a piece of another; seldom nothing of it is left. */
function mutated(random: Prng, samples: readonly Uint8Array[]): Uint8Array {
  if (random.chance(0.2)) return randomBytes(random, 64);
  let bytes = random.pick(samples).slice();
  for (let n = random.between(1, 4); n > 0 && bytes.length > 0; n--) {
    bytes[random.between(0, bytes.length - 1)] = randomByte(random);
  }
  if (random.chance(0.3)) bytes = bytes.slice(0, random.between(0, bytes.length));
  if (random.chance(0.1)) {
    const other = random.pick(samples);
    const at = random.between(0, bytes.length);
    bytes = Uint8Array.from([
      ...bytes.subarray(0, at),
      ...other.subarray(random.between(0, other.length)),
      ...bytes.subarray(at),
    ]);
  }
  return bytes;
}

const counts = new Map<string, number>();

/** `read` gets `count` inputs; how many of them it took for sound. */
function feed(
  what: string,
  count: number,
  samples: readonly Uint8Array[],
  read: (bytes: Uint8Array) => void,
): number {
  const random = createPrng(seed, what);
  let sound = 0;
  for (let i = 0; i < count; i++) {
    const bytes = mutated(random, samples);
    try {
      read(bytes);
      sound++;
    } catch (error) {
      if (error instanceof DecodeError) continue;
      const hex = Buffer.from(bytes).toString("hex");
      throw new Error(`${what}, HOSTILE_SEED=${seed}, input ${i}: ${hex}`, { cause: error });
    }
  }
  counts.set(what, count);
  return sound;
}

describe("hostile bytes", () => {
  const traces = Error.stackTraceLimit;
  // Half a million refusals: their traces would cost more than all the reading.
  beforeAll(() => {
    Error.stackTraceLimit = 0;
  });

  afterAll(() => {
    Error.stackTraceLimit = traces;
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    console.log(
      `hostile inputs to the decoders: ${total} (${[...counts].map(([what, count]) => `${what} ${count}`).join(", ")})`,
    );
    expect(total).toBeGreaterThanOrEqual(500_000);
  });

  it("for a command: read, and then it is the same after a round trip, or refused", () => {
    const samples = commands.map((command) => Uint8Array.from(encodeCommand(command)));

    const sound = feed("command", 170_000, samples, (bytes) => {
      const command = decodeCommand(bytes);
      expect(decodeCommand(encodeCommand(command))).toEqual(command);
    });

    expect(sound).toBeGreaterThan(1_000);
    expect(sound).toBeLessThan(120_000);
  });

  it("for a record of an image: the same", () => {
    const samples = [...imageOf(busy())].map((record) => Uint8Array.from(encodeImageRecord(record)));

    const sound = feed("image", 60_000, samples, (bytes) => {
      const record = decodeImageRecord(bytes);
      expect(decodeImageRecord(Uint8Array.from(encodeImageRecord(record)))).toEqual(record);
    });

    expect(sound).toBeGreaterThan(1_000);
    expect(sound).toBeLessThan(40_000);
  });

  it("for a message: the same", () => {
    const samples = messages.map((message) => Uint8Array.from(encodeMessage(message)));

    const sound = feed("message", 130_000, samples, (bytes) => void decodeMessage(bytes));

    expect(sound).toBeGreaterThan(1_000);
  });

  it("for an entry: refused, as its checksum says; with a true checksum its command is read or refused", () => {
    const samples = entries.map((entry) => Uint8Array.from(encodeEntry(entry)));
    const sample = entries[0] as Entry;

    const sound = feed("entry", 100_000, samples, (bytes) => void decodeEntry(bytes));
    feed("entry with a true checksum", 20_000, samples, (data) => {
      const entry = decodeEntry(encodeEntry({ ...sample, data }));
      if (Buffer.compare(entry.data, data) !== 0) throw new Error("the data changed");
      decodeCommand(entry.data);
    });

    // Those that were overwritten with what they had.
    expect(sound).toBeLessThan(1_000);
  });

  it("for a stream of frames, in pieces: read or refused, and never more than was sent", () => {
    const samples = messages.map((message) => Uint8Array.from(encodeFrame([encodeMessage(message)])));
    const random = createPrng(seed, "cuts");

    feed("frame", 70_000, samples, (bytes) => {
      const decoder = createFrameDecoder(2_000);
      const at = random.between(0, bytes.length);
      let length = 0;
      for (const piece of [bytes.subarray(0, at), bytes.subarray(at)]) {
        for (const payload of decoder.push(piece)) length += payload.length;
      }
      if (length > bytes.length) throw new Error(`${length} bytes came out of ${bytes.length}`);
    });
  });

  it("for a sequencer: none, or just what it says", () => {
    const made = encodeSequencer({
      clusterId: "c-1",
      mode: "shared",
      fence: 2 ** 50,
      claimId: "c_1",
      name: "a/b",
    });
    const samples = [new TextEncoder().encode(made)];

    const sound = feed("sequencer", 30_000, samples, (bytes) => {
      const text = Buffer.from(bytes).toString("latin1");
      const found = parseSequencer(text);
      if (found === undefined) throw new DecodeError("none");
      expect(encodeSequencer(found)).toBe(text);
    });

    expect(sound).toBeLessThan(1_000);
  });
});
