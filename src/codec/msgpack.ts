/**
 * msgpack cut down to what our formats use: arrays, safe numbers, strings, booleans, null and bytes.
 * msgpackr alone would also build maps, dates, sets, regular expressions, errors, bigints and records, and reserves
 * arrays of whatever length the bytes claim; so the bytes are walked first, and only what is plain, shallow and
 * complete is handed to it. Pure. Never returns anything else, never throws anything but DecodeError.
 */
import { Packr } from "msgpackr";
import { DecodeError } from "./entry.ts";

export type Plain = null | boolean | number | string | Uint8Array | readonly Plain[];

/** Arrays in arrays: more than any format of ours has. */
const depthMax = 6;

const packr = new Packr({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** The bytes may share memory with others that were packed before: copy what is to be kept. */
export function packPlain(value: Plain): Uint8Array {
  return packr.pack(value);
}

/** Byte values in the result are views into `bytes`: the caller must not write to them afterwards. */
export function unpackPlain(bytes: Uint8Array): Plain {
  checkPlain(bytes);
  try {
    return packr.unpack(bytes) as Plain;
  } catch (cause) {
    throw new DecodeError(`bytes are not msgpack: ${cause instanceof Error ? cause.message : "unknown"}`, {
      cause,
    });
  }
}

/** Walks one value that must end with the bytes. Every count is compared with the bytes left before it is believed. */
function checkPlain(bytes: Uint8Array): void {
  const end = checkValue(bytes, 0, 0);
  if (end !== bytes.length) throw new DecodeError(`${bytes.length - end} bytes after the msgpack value`);
}

/** The offset behind the value at `offset`, which stands in `depth` arrays. */
function checkValue(bytes: Uint8Array, offset: number, depth: number): number {
  const tag = bytes[offset];
  if (tag === undefined) throw new DecodeError("msgpack ends before a value");
  if (tag < 0x80 || tag >= 0xe0) return offset + 1;
  if (tag >= 0xa0 && tag < 0xc0) return skip(bytes, offset + 1, tag & 0x1f);
  if (tag >= 0x90 && tag < 0xa0) return checkItems(bytes, offset + 1, tag & 0x0f, depth);
  switch (tag) {
    case 0xc0: // null
    case 0xc2: // false
    case 0xc3: // true
      return offset + 1;
    case 0xcc: // unsigned 8
    case 0xd0: // signed 8
      return skip(bytes, offset + 1, 1);
    case 0xcd: // unsigned 16
    case 0xd1: // signed 16
      return skip(bytes, offset + 1, 2);
    case 0xce: // unsigned 32
    case 0xd2: // signed 32
      return skip(bytes, offset + 1, 4);
    case 0xcb: // double; also every integer beyond 32 bits
      return skip(bytes, offset + 1, 8);
    case 0xc4: // bytes, by size of their length
    case 0xd9: // string, the same
      return skip(bytes, offset + 2, lengthAt(bytes, offset + 1, 1));
    case 0xc5:
    case 0xda:
      return skip(bytes, offset + 3, lengthAt(bytes, offset + 1, 2));
    case 0xc6:
    case 0xdb:
      return skip(bytes, offset + 5, lengthAt(bytes, offset + 1, 4));
    case 0xdc:
      return checkItems(bytes, offset + 3, lengthAt(bytes, offset + 1, 2), depth);
    case 0xdd:
      return checkItems(bytes, offset + 5, lengthAt(bytes, offset + 1, 4), depth);
    default:
      throw new DecodeError(`msgpack tag 0x${tag.toString(16)} is not allowed here`);
  }
}

/** The same for `items` values that begin at `offset`; one has at least a byte. */
function checkItems(bytes: Uint8Array, offset: number, items: number, depth: number): number {
  if (items === 0) return offset;
  if (items > bytes.length - offset) throw new DecodeError("msgpack array is longer than its bytes");
  if (depth >= depthMax) throw new DecodeError("msgpack arrays are nested too deep");
  let at = offset;
  for (let i = 0; i < items; i++) at = checkValue(bytes, at, depth + 1);
  return at;
}

function skip(bytes: Uint8Array, offset: number, length: number): number {
  const end = offset + length;
  if (end > bytes.length) throw new DecodeError("msgpack ends in the middle of a value");
  return end;
}

/** Big-endian, of `size` bytes. */
function lengthAt(bytes: Uint8Array, offset: number, size: 1 | 2 | 4): number {
  skip(bytes, offset, size);
  let length = 0;
  for (let i = offset; i < offset + size; i++) length = length * 256 + (bytes[i] as number);
  return length;
}
