/**
 * The write-ahead log of the simulated store, byte for byte in LevelDB's log format: what a crash leaves of it is judged
 * by the very code that looks at the real files (`src/storage/level-log.ts`, which has the format). Only appends, cuts
 * and reads; knows nothing of what the batches mean.
 */

const blockBytes = 32_768;
const headerBytes = 7;

/** One change of a batch; without a value it is a deletion. */
export interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export class LevelFile {
  #bytes = new Uint8Array(4_096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** A view, not a copy: valid until the next change. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Appends one batch. */
  append(changes: readonly Change[]): void {
    let rest = encodeBatch(changes);
    let isFirst = true;
    do {
      const left = blockBytes - (this.#length % blockBytes);
      if (left < headerBytes) this.#grow(left);
      const room = blockBytes - (this.#length % blockBytes) - headerBytes;
      const part = rest.subarray(0, room);
      rest = rest.subarray(part.length);
      const isLast = rest.length === 0;
      this.#record(part, isFirst ? (isLast ? 1 : 2) : isLast ? 4 : 3);
      isFirst = false;
    } while (rest.length > 0);
  }

  #record(payload: Uint8Array, type: number): void {
    const at = this.#length;
    this.#grow(headerBytes + payload.length);
    const view = new DataView(this.#bytes.buffer, at, headerBytes);
    view.setUint16(4, payload.length, true);
    view.setUint8(6, type);
    this.#bytes.set(payload, at + headerBytes);
    view.setUint32(0, maskedCrc(this.#bytes, at + 6, this.#length), true);
  }

  #grow(count: number): void {
    const length = this.#length + count;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.fill(0, this.#length, length);
    this.#length = length;
  }

  /** Everything from `at` on is gone. */
  cut(at: number): void {
    this.#length = Math.min(this.#length, at);
  }

  /** The length stays, the bytes from `at` on are zero: what a file system leaves that had grown the file first. */
  zeroFrom(at: number): void {
    this.#bytes.fill(0, at, this.#length);
  }

  flip(bit: number): void {
    const at = bit >> 3;
    this.#bytes[at] = (this.#bytes[at] as number) ^ (1 << (bit & 7));
  }

  /** All batches, in order. The file must be whole. */
  *batches(): Generator<readonly Change[], void, undefined> {
    let parts: Uint8Array[] = [];
    let at = 0;
    while (at < this.#length) {
      const left = blockBytes - (at % blockBytes);
      if (left < headerBytes) {
        at += left;
        continue;
      }
      const view = new DataView(this.#bytes.buffer, at, headerBytes);
      const size = view.getUint16(4, true);
      const type = view.getUint8(6);
      parts.push(this.#bytes.subarray(at + headerBytes, at + headerBytes + size));
      at += headerBytes + size;
      if (type !== 1 && type !== 4) continue;
      yield decodeBatch(parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts));
      parts = [];
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** For each change: u8 1 (put) or 0 (deletion), u8 key length, u32 value length, key, value. */
function encodeBatch(changes: readonly Change[]): Uint8Array {
  let size = 0;
  for (const { key, value } of changes) size += 6 + key.length + (value?.length ?? 0);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { key, value } of changes) {
    view.setUint8(at, value === undefined ? 0 : 1);
    view.setUint8(at + 1, key.length);
    view.setUint32(at + 2, value?.length ?? 0, true);
    bytes.set(key, at + 6);
    if (value !== undefined) bytes.set(value, at + 6 + key.length);
    at += 6 + key.length + (value?.length ?? 0);
  }
  return bytes;
}

function decodeBatch(bytes: Uint8Array): readonly Change[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const changes: Change[] = [];
  let at = 0;
  while (at < bytes.length) {
    const isPut = view.getUint8(at) === 1;
    const keyEnd = at + 6 + view.getUint8(at + 1);
    const end = keyEnd + view.getUint32(at + 2, true);
    changes.push({
      key: bytes.slice(at + 6, keyEnd),
      value: isPut ? bytes.slice(keyEnd, end) : undefined,
    });
    at = end;
  }
  return changes;
}

const castagnoli = (() => {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[byte] = crc;
  }
  return table;
})();

/** CRC-32C of `bytes[start, end)`, rotated and shifted as LevelDB stores it. */
function maskedCrc(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) {
    crc = (crc >>> 8) ^ (castagnoli[(crc ^ (bytes[i] as number)) & 0xff] as number);
  }
  crc = (crc ^ 0xffffffff) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
