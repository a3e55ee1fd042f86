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
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: number[] = [1];
  let offset = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    const left = open[level] as number;
    if (left === 0) {
      open.pop();
      continue;
    }
    open[level] = left - 1;
    const head = headOf(view, offset);
    offset += head.bytes;
    if (offset > bytes.length) throw new DecodeError("msgpack ends in the middle of a value");
    if (head.items === 0) continue;
    if (head.items > bytes.length - offset) throw new DecodeError("msgpack array is longer than its bytes");
    if (open.length > depthMax) throw new DecodeError("msgpack arrays are nested too deep");
    open.push(head.items);
  }
  if (offset !== bytes.length)
    throw new DecodeError(`${bytes.length - offset} bytes after the msgpack value`);
}

interface Head {
  /** Bytes of this value, without those of its items. */
  readonly bytes: number;
  readonly items: number;
}

function headOf(view: DataView, offset: number): Head {
  if (offset >= view.byteLength) throw new DecodeError("msgpack ends before a value");
  const tag = view.getUint8(offset);
  if (tag < 0x80 || tag >= 0xe0) return { bytes: 1, items: 0 };
  if (tag >= 0xa0 && tag < 0xc0) return { bytes: 1 + (tag & 0x1f), items: 0 };
  if (tag >= 0x90 && tag < 0xa0) return { bytes: 1, items: tag & 0x0f };
  switch (tag) {
    case 0xc0: // null
    case 0xc2: // false
    case 0xc3: // true
      return { bytes: 1, items: 0 };
    case 0xcc: // unsigned 8
    case 0xd0: // signed 8
      return { bytes: 2, items: 0 };
    case 0xcd: // unsigned 16
    case 0xd1: // signed 16
      return { bytes: 3, items: 0 };
    case 0xce: // unsigned 32
    case 0xd2: // signed 32
      return { bytes: 5, items: 0 };
    case 0xcb: // double; also every integer beyond 32 bits
      return { bytes: 9, items: 0 };
    case 0xc4: // bytes, by size of their length
    case 0xd9: // string, the same
      return { bytes: 2 + lengthAt(view, offset, 1), items: 0 };
    case 0xc5:
    case 0xda:
      return { bytes: 3 + lengthAt(view, offset, 2), items: 0 };
    case 0xc6:
    case 0xdb:
      return { bytes: 5 + lengthAt(view, offset, 4), items: 0 };
    case 0xdc:
      return { bytes: 3, items: lengthAt(view, offset, 2) };
    case 0xdd:
      return { bytes: 5, items: lengthAt(view, offset, 4) };
    default:
      throw new DecodeError(`msgpack tag 0x${tag.toString(16)} is not allowed here`);
  }
}

function lengthAt(view: DataView, offset: number, size: 1 | 2 | 4): number {
  if (offset + 1 + size > view.byteLength) throw new DecodeError("msgpack ends in the middle of a length");
  if (size === 1) return view.getUint8(offset + 1);
  return size === 2 ? view.getUint16(offset + 1) : view.getUint32(offset + 1);
}
