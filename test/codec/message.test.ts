import fc from "fast-check";
import { Packr } from "msgpackr";
import { describe, expect, it } from "vitest";
import { DecodeError, encodeEntry } from "../../src/codec/entry.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "../../src/codec/message.ts";
import type { Entry, Message } from "../../src/raft/types.ts";

const number = fc.oneof(
  fc.nat(200),
  fc.nat(),
  fc.constantFrom(2 ** 32, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER - 1000),
);
const echo = fc.record({ round: number, sentTick: number }, { noNullPrototype: true });
const hint = fc.option(
  fc.record(
    { leader: fc.string({ minLength: 1, maxLength: 60, unit: "binary" }), term: number },
    { noNullPrototype: true },
  ),
  {
    nil: undefined,
  },
);
const lastLog = fc.tuple(number, number, number).map(([term, below, lastLogIndex]) => ({
  term,
  lastLogTerm: Math.min(term, below),
  lastLogIndex,
}));

/** Steps of at most 100 up from a base, so that a whole run stays a safe integer. */
const entries = fc
  .tuple(
    number,
    number,
    fc.array(
      fc.record({
        termStep: fc.nat(3),
        timeStep: fc.nat(100),
        chain: number,
        noop: fc.boolean(),
        data: fc.uint8Array({ maxLength: 60 }),
      }),
      { maxLength: 8 },
    ),
  )
  .map(([prevLogIndex, prevLogTerm, steps]) => {
    let term = Math.max(1, prevLogTerm);
    let time = 0;
    const list = steps.map((step, i): Entry => {
      term += step.termStep;
      time += step.timeStep;
      const kind = step.noop ? "noop" : "command";
      return { index: prevLogIndex + 1 + i, term, time, kind, chain: step.chain, data: step.data };
    });
    return { prevLogIndex, prevLogTerm, entries: list, term };
  });

const messages: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc
    .tuple(lastLog, hint, number)
    .map(([log, h, next]): Message => ({ kind: "pre-vote", ...log, nextTerm: next + 1, hint: h })),
  fc.tuple(number, number, fc.boolean()).map(
    ([term, next, granted]): Message => ({
      kind: "pre-vote-response",
      term,
      nextTerm: next + 1,
      granted,
    }),
  ),
  fc
    .tuple(lastLog, hint, fc.boolean())
    .map(([log, h, transfer]): Message => ({ kind: "vote", ...log, transfer, hint: h })),
  fc
    .tuple(number, fc.boolean())
    .map(([term, granted]): Message => ({ kind: "vote-response", term, granted })),
  fc.tuple(entries, number, number, echo).map(
    ([run, prevLogChain, leaderCommit, e]): Message => ({
      kind: "append",
      ...run,
      prevLogChain,
      leaderCommit,
      echo: e,
    }),
  ),
  fc.tuple(number, number, echo).map(
    ([term, matchIndex, e]): Message => ({
      kind: "append-response",
      term,
      result: { kind: "matched", matchIndex },
      echo: e,
    }),
  ),
  fc.tuple(number, number, number, number, echo).map(
    ([term, prevLogIndex, hintIndex, hintTerm, e]): Message => ({
      kind: "append-response",
      term,
      result: { kind: "mismatch", prevLogIndex, hintIndex, hintTerm },
      echo: e,
    }),
  ),
  fc.tuple(number, fc.nat(1_000), number, number, number, echo).map(
    ([index, lastTerm, more, time, chain, e]): Message => ({
      kind: "snapshot-offer",
      term: Math.min(lastTerm + 1 + more, Number.MAX_SAFE_INTEGER),
      last: {
        index: index + 1 > Number.MAX_SAFE_INTEGER ? index : index + 1,
        term: lastTerm + 1,
        time,
        chain,
      },
      echo: e,
    }),
  ),
  fc
    .tuple(number, number, echo)
    .map(([term, leaderCommit, e]): Message => ({ kind: "heartbeat", term, leaderCommit, echo: e })),
  number.map((term): Message => ({ kind: "term-over", term })),
  fc.tuple(number, echo).map(([term, e]): Message => ({ kind: "heartbeat-response", term, echo: e })),
  number.map((term): Message => ({ kind: "timeout-now", term })),
  fc
    .tuple(number, number)
    .map(([index, offset]): PeerMessage => ({ kind: "snapshot-request", index: index + 1, offset })),
  fc.tuple(number, number, number, fc.uint8Array({ maxLength: 60 })).map(
    ([index, offset, more, bytes]): PeerMessage => ({
      kind: "snapshot-part",
      index: index + 1,
      offset,
      total: Math.min(offset + bytes.length + more, Number.MAX_SAFE_INTEGER),
      bytes,
    }),
  ),
);

const packr = new Packr({ useRecords: false, mapsAsObjects: true });
/** A copy of its own, so that a mutation harms nothing else. */
const bytesOf = (value: unknown): Uint8Array => Uint8Array.from(packr.pack(value));
const encoded = (message: PeerMessage): Uint8Array => Uint8Array.from(encodeMessage(message));

describe("messages", () => {
  it("come back exactly as they were sent", () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeMessage(encoded(message))).toStrictEqual(message);
      }),
      { numRuns: 3000 },
    );
  });

  it("carry the longest entries and member ids that are allowed", () => {
    const data = new Uint8Array(70_000).fill(3);
    const entry: Entry = { index: 1, term: 1, time: 0, kind: "command", chain: 0, data };
    const append: Message = { ...appendOf([entry]), term: 1 };
    const vote: Message = {
      kind: "vote",
      term: 1,
      lastLogIndex: 0,
      lastLogTerm: 0,
      transfer: false,
      hint: { leader: "n".repeat(128), term: 1 },
    };

    expect(decodeMessage(encoded(append))).toEqual(append);
    expect(decodeMessage(encoded(vote))).toEqual(vote);
  });

  const entryAt = (index: number, term: number, time = 0): Uint8Array =>
    encodeEntry({ index, term, time, kind: "noop", chain: 0, data: new Uint8Array(0) });
  const append = (...packed: unknown[]): unknown => [5, 3, 7, 2, 0, packed, 0, 0, 0];

  it.each([
    ["no array", 5],
    ["null", null],
    ["an empty array", []],
    ["an unknown type", [12, 1]],
    ["a type that is a string", ["1", 1]],
    ["a field too few", [10]],
    ["a field too many", [10, 1, 1]],
    ["a negative term", [10, -1]],
    ["a fraction", [10, 1.5]],
    ["a number beyond the safe integers", [10, 2 ** 53]],
    ["NaN", [10, Number.NaN]],
    ["infinity", [10, Number.POSITIVE_INFINITY]],
    ["a boolean as a number", [10, true]],
    ["a number as a boolean", [4, 1, 1]],
    ["a bigint", [10, 2n ** 62n]],
    ["a date", [10, new Date(0)]],
    ["a map", [10, new Map([[1, 2]])]],
    ["an object", { term: 1 }],
    ["bytes as a number", [10, new Uint8Array(8)]],
    ["a hint of the wrong length", [3, 1, 0, 0, false, ["a"]]],
    ["a hint without a name", [3, 1, 0, 0, false, ["", 1]]],
    ["a hint with too long a name", [3, 1, 0, 0, false, ["n".repeat(129), 1]]],
    ["a hint that is false", [3, 1, 0, 0, false, false]],
    ["a last log term above the term", [3, 1, 5, 2, false, null]],
    ["entries that are no array", [5, 1, 0, 0, 0, "x", 0, 0, 0]],
    ["an entry that is no bytes", append("x")],
    ["an entry of no bytes", append(new Uint8Array(0))],
    ["a gap after prevLogIndex", append(entryAt(9, 2))],
    ["an entry at prevLogIndex", append(entryAt(7, 2))],
    ["a gap between entries", append(entryAt(8, 2), entryAt(10, 2))],
    ["a term below prevLogTerm", append(entryAt(8, 1))],
    ["a falling term", append(entryAt(8, 3), entryAt(9, 2))],
    ["a falling time", append(entryAt(8, 3, 5), entryAt(9, 3, 4))],
    ["an entry above the message's term", append(entryAt(8, 4))],
  ])("are refused: %s", (_name, value) => {
    expect(() => decodeMessage(bytesOf(value))).toThrow(DecodeError);
  });

  it.each([
    ["nothing", []],
    ["minus zero", [0x92, 10, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]],
    ["a bigint of 64 bits", [0x92, 10, 0xcf, 0, 0, 0, 0, 0, 0, 0, 1]],
    ["a float of 32 bits", [0x92, 10, 0xca, 0, 0, 0, 0]],
    ["an extension", [0x92, 10, 0xd4, 0x73, 0x90]],
    ["a set", [0x92, 10, 0xc7, 1, 0x73, 0x90]],
    ["a regular expression", [0x92, 10, 0xc7, 3, 0x78, 0x92, 0xa0, 0xa0]],
    ["a record definition", [0x92, 10, 0xd4, 0x72, 0x40]],
    ["the marker that is never used", [0x92, 10, 0xc1]],
    ["bytes after the value", [0x92, 10, 1, 1]],
    ["an array of four thousand million", [0xdd, 255, 255, 255, 255]],
    ["large arrays nested in each other", Array.from({ length: 64 }, () => [0xdd, 0, 255, 255, 255]).flat()],
    ["arrays nested a million deep", Array.from({ length: 1_000_000 }, () => 0x91)],
    ["bytes longer than the message", [0x92, 10, 0xc6, 255, 255, 255, 255]],
    ["a string longer than the message", [0x92, 10, 0xdb, 0, 0, 0, 9]],
    ["half a length", [0xdc, 0]],
  ])("are refused in raw bytes: %s", (_name, bytes) => {
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow(DecodeError);
  });

  it("answer 60 000 hostile inputs with a valid message or DecodeError, nothing else", () => {
    const samples = fc.sample(messages, { numRuns: 300, seed: 7 }).map(encoded);
    let decoded = 0;
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 48 }),
      fc
        .tuple(
          fc.nat(samples.length - 1),
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
          fc.nat(9),
        )
        .map(([which, writes, shorter]) => {
          const copy = (samples[which] as Uint8Array).slice();
          for (const [at, byte] of writes) copy[at % copy.length] = byte;
          return shorter === 0 ? copy.subarray(0, copy.length - 1) : copy;
        }),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          const message = decodeMessage(bytes);
          expect(decodeMessage(encoded(message))).toEqual(message);
          decoded++;
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }),
      { numRuns: 60_000 },
    );

    expect(decoded).toBeGreaterThan(1000);
  });
});

function appendOf(list: readonly Entry[]): Message & { kind: "append" } {
  return {
    kind: "append",
    term: 1,
    prevLogIndex: 0,
    prevLogTerm: 0,
    prevLogChain: 0,
    entries: list,
    leaderCommit: 0,
    echo: { round: 0, sentTick: 0 },
  };
}
