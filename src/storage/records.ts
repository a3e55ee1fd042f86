/**
 * Keys and records inside the database, apart from entries (`codec/entry.ts`). Pure; little-endian; every record ends
 * in the CRC-32 of what stands before it, because LevelDB returns flipped bytes without an error.
 *
 *   key 0x00 0x01              the hard-state record, written anew in every durable step
 *   key 0x00 0x02              the founding record: whose store this is, configuration 0
 *   key 0x00 0x03              where the log begins, and the newest snapshot; not there before the first one
 *   key 0x01 index (u64, BE)   an entry; big-endian, so that order on disk is order in the log
 */
import { crc32 } from "../base/hash.ts";
import type { Roster } from "../base/identity.ts";
import { DecodeError, safeInteger } from "../codec/entry.ts";
import type { HardState, LogBoundary, LogIndex, MemberId, Term } from "../raft/types.ts";
import { NewerFormatError } from "./failure.ts";
import { sortedRoster } from "./identity.ts";

/** What one durable step leaves behind: Raft's hard state and where the log ends, so that a lost tail shows. */
export interface StoreHead {
  readonly hardState: HardState;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly lastChain: number;
  readonly step: number;
}

/** Whose store this is. Written once, in step 1. */
export interface FoundingRecord {
  readonly clusterId: string;
  readonly memberId: MemberId;
  readonly founders: Roster;
}

/** The log is held from behind `boundary` on; the newest snapshot stands for all up to `last`, which is not before it. */
export interface LogStart {
  readonly boundary: LogBoundary;
  readonly last: LogBoundary;
}

const recordFormat = 1;
const headBytes = 48;
const startBytes = 72;
const crcBytes = 4;
export const entryKeyBytes = 9;

export const headKey: Uint8Array = Uint8Array.of(0, 1);
export const foundingKey: Uint8Array = Uint8Array.of(0, 2);
export const startKey: Uint8Array = Uint8Array.of(0, 3);

export function entryKey(index: LogIndex): Uint8Array {
  const key = new Uint8Array(entryKeyBytes);
  const view = new DataView(key.buffer);
  key[0] = 1;
  view.setUint32(1, Math.floor(index / 0x100000000));
  view.setUint32(5, index % 0x100000000);
  return key;
}

export type StoreKey =
  | { readonly kind: "head" }
  | { readonly kind: "founding" }
  | { readonly kind: "start" }
  | { readonly kind: "entry"; readonly index: LogIndex };

/** Throws DecodeError for a key that this version never writes. */
export function decodeKey(key: Uint8Array): StoreKey {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  if (key.length === 2 && key[0] === 0 && key[1] === 1) return { kind: "head" };
  if (key.length === 2 && key[0] === 0 && key[1] === 2) return { kind: "founding" };
  if (key.length === 2 && key[0] === 0 && key[1] === 3) return { kind: "start" };
  if (key.length !== entryKeyBytes || key[0] !== 1)
    throw new DecodeError(`key of ${key.length} bytes is unknown`);
  const index = view.getUint32(1) * 0x100000000 + view.getUint32(5);
  return { kind: "entry", index: safeInteger(index, "key", 1) };
}

const encoder = new TextEncoder();

export function encodeHead(head: StoreHead): Uint8Array {
  const vote = encoder.encode(head.hardState.votedFor ?? "");
  const bytes = new Uint8Array(headBytes + vote.length + crcBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, recordFormat);
  view.setUint32(4, vote.length, true);
  view.setFloat64(8, head.step, true);
  view.setFloat64(16, head.hardState.currentTerm, true);
  view.setFloat64(24, head.lastIndex, true);
  view.setFloat64(32, head.lastTerm, true);
  view.setFloat64(40, head.lastChain, true);
  bytes.set(vote, headBytes);
  return seal(bytes);
}

/** Throws DecodeError or NewerFormatError. */
export function decodeHead(bytes: Uint8Array): StoreHead {
  const view = openRecord(bytes, headBytes, "hard state");
  const voteBytes = view.getUint32(4, true);
  if (voteBytes !== bytes.length - headBytes - crcBytes)
    throw new DecodeError("hard state length does not fit");
  const vote = new TextDecoder().decode(bytes.subarray(headBytes, headBytes + voteBytes));
  return {
    step: safeInteger(view.getFloat64(8, true), "step", 1),
    hardState: {
      currentTerm: safeInteger(view.getFloat64(16, true), "term", 0),
      votedFor: vote === "" ? undefined : vote,
    },
    lastIndex: safeInteger(view.getFloat64(24, true), "last index", 0),
    lastTerm: safeInteger(view.getFloat64(32, true), "last term", 0),
    lastChain: safeInteger(view.getFloat64(40, true), "last chain", 0),
  };
}

export function encodeStart({ boundary, last }: LogStart): Uint8Array {
  const bytes = new Uint8Array(startBytes + crcBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, recordFormat);
  for (const [i, { index, term, time, chain }] of [boundary, last].entries()) {
    const at = 8 + 32 * i;
    view.setFloat64(at, index, true);
    view.setFloat64(at + 8, term, true);
    view.setFloat64(at + 16, time, true);
    view.setFloat64(at + 24, chain, true);
  }
  return seal(bytes);
}

/** Throws DecodeError or NewerFormatError. */
export function decodeStart(bytes: Uint8Array): LogStart {
  const view = openRecord(bytes, startBytes, "beginning of the log");
  if (bytes.length !== startBytes + crcBytes) throw new DecodeError("beginning of the log is too long");
  const read = (at: number): LogBoundary => ({
    index: safeInteger(view.getFloat64(at, true), "index", 0),
    term: safeInteger(view.getFloat64(at + 8, true), "term", 0),
    time: safeInteger(view.getFloat64(at + 16, true), "time", 0),
    chain: safeInteger(view.getFloat64(at + 24, true), "chain", 0),
  });
  const start = { boundary: read(8), last: read(40) };
  if (start.last.index < start.boundary.index)
    throw new DecodeError("the log begins behind its newest snapshot");
  return start;
}

export function encodeFounding(record: FoundingRecord): Uint8Array {
  const text = encoder.encode(foundingText(record));
  const bytes = new Uint8Array(1 + text.length + crcBytes);
  bytes[0] = recordFormat;
  bytes.set(text, 1);
  return seal(bytes);
}

/** True when `bytes` are exactly this record. Throws DecodeError or NewerFormatError when they are none at all. */
export function isFounding(bytes: Uint8Array, record: FoundingRecord): boolean {
  openRecord(bytes, 1, "founding record");
  return new TextDecoder().decode(bytes.subarray(1, bytes.length - crcBytes)) === foundingText(record);
}

/** Canonical: the same text for the same facts. */
function foundingText(record: FoundingRecord): string {
  const { clusterId, memberId } = record;
  return JSON.stringify({ clusterId, memberId, founders: sortedRoster(record.founders) });
}

function seal(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer);
  view.setUint32(bytes.length - crcBytes, crc32(bytes, 0, bytes.length - crcBytes), true);
  return bytes;
}

function openRecord(bytes: Uint8Array, minimum: number, what: string): DataView {
  if (bytes.length < minimum + crcBytes)
    throw new DecodeError(`${what} of ${bytes.length} bytes is too short`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(bytes.length - crcBytes, true) !== crc32(bytes, 0, bytes.length - crcBytes)) {
    throw new DecodeError(`${what} has a wrong CRC`);
  }
  if (bytes[0] !== recordFormat) throw new NewerFormatError(`${what} has format ${bytes[0]}, known is 1`);
  return view;
}
