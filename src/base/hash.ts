/**
 * Checksums and hashes over bytes, in plain arithmetic so that pure folders may use them.
 * Not cryptographic: they find faults and bugs, never enemies.
 */

const crcTable = buildCrcTable();

function buildCrcTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    table[byte] = crc >>> 0;
  }
  return table;
}

/**
 * CRC-32 (IEEE 802.3) of `bytes[start, end)`, as an unsigned 32-bit integer; the same number as `zlib.crc32`. `before`: the
 * CRC of bytes that came before them, which it then continues.
 */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.length, before = 0): number {
  let crc = before ^ 0xffffffff;
  for (let i = start; i < end; i++)
    crc = (crc >>> 8) ^ (crcTable[(crc ^ (bytes[i] as number)) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * A running 53-bit hash: two multiplicative 32-bit lanes, mixed at the end.
 * 53 bits because the result must be a safe integer that survives every codec unchanged.
 */
export interface Hasher {
  uint(value: number): Hasher;
  bytes(value: Uint8Array): Hasher;
  text(value: string): Hasher;
  /** 0 … 2^53 − 1. */
  digest(): number;
}

export function createHasher(seed = 0): Hasher {
  return new LaneHasher(seed);
}

class LaneHasher implements Hasher {
  #high: number;
  #low: number;

  constructor(seed: number) {
    this.#high = 0xdeadbeef ^ (seed / 0x100000000);
    this.#low = 0x41c6ce57 ^ seed;
  }

  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x9e3779b1);
    this.#high ^= this.#high >>> 15;
    this.#low = Math.imul(this.#low ^ value, 0x5f356495);
    this.#low ^= this.#low >>> 13;
  }

  /** Feeds a safe integer, low half first. */
  uint(value: number): Hasher {
    this.#mix(value | 0);
    this.#mix((value / 0x100000000) | 0);
    return this;
  }

  bytes(value: Uint8Array): Hasher {
    this.uint(value.length);
    const whole = value.length & ~3;
    let i = 0;
    for (; i < whole; i += 4) {
      this.#mix(
        (value[i] as number) |
          ((value[i + 1] as number) << 8) |
          ((value[i + 2] as number) << 16) |
          ((value[i + 3] as number) << 24),
      );
    }
    for (; i < value.length; i++) this.#mix(value[i] as number);
    return this;
  }

  text(value: string): Hasher {
    this.uint(value.length);
    // As `#mix`, with the lanes at hand: most of what is hashed is text.
    let high = this.#high;
    let low = this.#low;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      high = Math.imul(high ^ unit, 0x9e3779b1);
      high ^= high >>> 15;
      low = Math.imul(low ^ unit, 0x5f356495);
      low ^= low >>> 13;
    }
    this.#high = high;
    this.#low = low;
    return this;
  }

  digest(): number {
    let high = this.#high;
    let low = this.#low;
    high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
    low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
    return (high & 0x1fffff) * 0x100000000 + (low >>> 0);
  }
}

/** `digest` as 14 lower-case hex digits. */
export function hashHex(digest: number): string {
  return digest.toString(16).padStart(14, "0");
}
