/**
 * One log entry as bytes, the same on disk and between members, written once by whoever first holds the entry.
 *
 *   offset  0  u8   format, 1            8   f64  index          32  f64  chain
 *           1  u8   kind, 0 noop 1 cmd   16  f64  term           40  data …
 *           2  u16  0                    24  f64  time
 *           4  u32  data length          last 4  u32  CRC-32 of everything before
 *
 * Little-endian. Numbers are safe integers, held exactly by a double. Decoding refuses anything else; it never trusts
 * a length it has not compared with the bytes at hand.
 */
import { crc32 } from "../base/hash.ts";
import type { Entry } from "../raft/types.ts";

export const entryFormat = 1;
const headerBytes = 40;
const crcBytes = 4;

/** Why bytes are not an entry. A value of the outside world, so an Error and not an assertion. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

export function entryBytes(entry: Entry): number {
  return headerBytes + entry.data.length + crcBytes;
}

export function encodeEntry(entry: Entry): Uint8Array {
  const bytes = new Uint8Array(entryBytes(entry));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, entryFormat);
  view.setUint8(1, entry.kind === "noop" ? 0 : 1);
  view.setUint32(4, entry.data.length, true);
  view.setFloat64(8, entry.index, true);
  view.setFloat64(16, entry.term, true);
  view.setFloat64(24, entry.time, true);
  view.setFloat64(32, entry.chain, true);
  bytes.set(entry.data, headerBytes);
  view.setUint32(bytes.length - crcBytes, crc32(bytes, 0, bytes.length - crcBytes), true);
  return bytes;
}

/** Throws DecodeError. The entry's data is a view into `bytes`: the caller must not write to them afterwards. */
export function decodeEntry(bytes: Uint8Array): Entry {
  if (bytes.length < headerBytes + crcBytes)
    throw new DecodeError(`entry of ${bytes.length} bytes is too short`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const crc = crc32(bytes, 0, bytes.length - crcBytes);
  if (view.getUint32(bytes.length - crcBytes, true) !== crc) throw new DecodeError("entry has a wrong CRC");
  if (view.getUint8(0) !== entryFormat) throw new DecodeError(`entry format ${view.getUint8(0)} is unknown`);
  const kind = view.getUint8(1);
  if (kind > 1 || view.getUint16(2, true) !== 0) throw new DecodeError(`entry kind ${kind} is unknown`);
  if (view.getUint32(4, true) !== bytes.length - headerBytes - crcBytes) {
    throw new DecodeError("entry length does not fit");
  }
  return {
    index: safeInteger(view.getFloat64(8, true), "index", 1),
    term: safeInteger(view.getFloat64(16, true), "term", 1),
    time: safeInteger(view.getFloat64(24, true), "time", 0),
    chain: safeInteger(view.getFloat64(32, true), "chain", 0),
    kind: kind === 0 ? "noop" : "command",
    data: bytes.subarray(headerBytes, bytes.length - crcBytes),
  };
}

/** `value` when it is a safe integer of at least `minimum` (and not −0), else DecodeError. */
export function safeInteger(value: unknown, what: string, minimum: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < minimum || Object.is(value, -0)) {
    throw new DecodeError(`${what} ${String(value)} is not an integer >= ${minimum}`);
  }
  return value;
}
