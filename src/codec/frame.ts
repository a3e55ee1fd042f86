/**
 * Frames between members: where one message ends and the next begins, and whether it arrived as it was sent.
 *
 *   offset 0  u32  payload length, 1 … cap      offset 8  payload
 *          4  u32  CRC-32 of the payload        big-endian
 *
 * Pure. Never holds more than one payload of at most the cap, and never believes a length before comparing it with
 * the cap. What a payload means is `message.ts` and `transport/`.
 */
import { crc32 } from "../base/hash.ts";
import { DecodeError } from "./entry.ts";

export const frameHeaderBytes = 8;
/** Default cap of a payload between members that know each other. */
export const framePayloadBytesMax = 16 * 1024 * 1024;
/** Cap of a payload before the handshake is done. */
export const strangerPayloadBytesMax = 16 * 1024;

/** CRC-32 (IEEE). Passed in where a faster one than `base/hash.ts` is at hand; both give the same number. */
export type Checksum = (bytes: Uint8Array) => number;

export interface FrameDecoder {
  /**
   * Takes the next bytes of the stream and returns the payloads that are complete now, in order. A payload is a copy
   * of its own: nobody writes to it afterwards. Throws DecodeError when the stream is no sequence of frames; the
   * decoder is of no use then, since no later byte can be placed.
   */
  push(chunk: Uint8Array): Uint8Array[];
  /** Sets the cap that holds from the next header on. */
  allow(payloadBytesMax: number): void;
}

/** One frame around `parts`, written one after the other as one payload. Their total must not be 0. */
export function encodeFrame(parts: readonly Uint8Array[], checksum: Checksum = crc32): Uint8Array {
  let payloadBytes = 0;
  for (const part of parts) payloadBytes += part.length;
  const frame = new Uint8Array(frameHeaderBytes + payloadBytes);
  let offset = frameHeaderBytes;
  for (const part of parts) {
    frame.set(part, offset);
    offset += part.length;
  }
  const view = new DataView(frame.buffer);
  view.setUint32(0, payloadBytes);
  view.setUint32(4, checksum(frame.subarray(frameHeaderBytes)));
  return frame;
}

export function createFrameDecoder(payloadBytesMax: number, checksum: Checksum = crc32): FrameDecoder {
  return new StreamDecoder(payloadBytesMax, checksum);
}

class StreamDecoder implements FrameDecoder {
  readonly #checksum: Checksum;
  readonly #header = new Uint8Array(frameHeaderBytes);
  readonly #headerView = new DataView(this.#header.buffer);
  #headerFilled = 0;
  /** Present once the header is complete. Filled in place, so many small chunks cost no more than one large one. */
  #payload: Uint8Array | undefined;
  #payloadFilled = 0;
  #payloadBytesMax: number;
  #broken: string | undefined;

  constructor(payloadBytesMax: number, checksum: Checksum) {
    this.#payloadBytesMax = payloadBytesMax;
    this.#checksum = checksum;
  }

  allow(payloadBytesMax: number): void {
    this.#payloadBytesMax = payloadBytesMax;
  }

  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#broken !== undefined) throw new DecodeError(this.#broken);
    const payloads: Uint8Array[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#payload === undefined) {
        offset += this.#fillHeader(chunk, offset);
        continue;
      }
      const payload = this.#payload;
      const take = Math.min(payload.length - this.#payloadFilled, chunk.length - offset);
      payload.set(chunk.subarray(offset, offset + take), this.#payloadFilled);
      this.#payloadFilled += take;
      offset += take;
      if (this.#payloadFilled === payload.length) payloads.push(this.#complete(payload));
    }
    return payloads;
  }

  #fillHeader(chunk: Uint8Array, offset: number): number {
    const take = Math.min(frameHeaderBytes - this.#headerFilled, chunk.length - offset);
    this.#header.set(chunk.subarray(offset, offset + take), this.#headerFilled);
    this.#headerFilled += take;
    if (this.#headerFilled === frameHeaderBytes) {
      const length = this.#headerView.getUint32(0);
      if (length === 0) this.#refuse("frame of length 0");
      if (length > this.#payloadBytesMax) {
        this.#refuse(`frame of ${length} bytes, allowed are ${this.#payloadBytesMax}`);
      }
      this.#payload = new Uint8Array(length);
      this.#payloadFilled = 0;
    }
    return take;
  }

  #complete(payload: Uint8Array): Uint8Array {
    if (this.#checksum(payload) !== this.#headerView.getUint32(4)) this.#refuse("frame has a wrong CRC");
    this.#payload = undefined;
    this.#headerFilled = 0;
    return payload;
  }

  #refuse(reason: string): never {
    this.#broken = reason;
    this.#payload = undefined;
    throw new DecodeError(reason);
  }
}
