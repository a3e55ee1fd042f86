/**
 * One TCP connection as a stream of typed frames, both ways. Knows nothing of members or handshakes.
 * All frames of one loop turn leave in one write (a write for each costs half the throughput); what waits is bounded
 * in bytes and frames, and the newest is dropped. Reports its end exactly once, and nothing after it.
 */
import type { Duplex } from "node:stream";
import { crc32 } from "node:zlib";
import { DecodeError } from "../codec/entry.ts";
import {
  createFrameDecoder,
  encodeFrame,
  type FrameDecoder,
  strangerPayloadBytesMax,
} from "../codec/frame.ts";

export type FrameKind = "hello" | "refused" | "ping" | "pong" | "goodbye" | "raft";

export interface LinkLimits {
  /** Largest payload accepted from, or sent to, a member that passed the handshake. Default 16 MiB. */
  readonly frameBytesMax: number;
  /** What may wait for one connection: bytes (default 32 MiB) and frames (default 8192). */
  readonly queueBytesMax: number;
  readonly queueFramesMax: number;
}

export interface LinkEvents {
  frame(kind: FrameKind, body: Uint8Array): void;
  /** Once. `fault` says what was wrong with the bytes received; undefined when the connection just ended. */
  closed(fault: string | undefined): void;
}

export interface Link {
  /** Never blocks, never throws. False when the frame was dropped. */
  send(kind: FrameKind, body?: Uint8Array): boolean;
  /** Raises the cap on received payloads from the strangers' 16 KiB to `frameBytesMax`. */
  trust(): void;
  /** Sends what waits and one last frame, then ends. `closed` is reported now; resolves when the socket is gone. */
  finish(kind: FrameKind, body?: Uint8Array): Promise<void>;
  /** Closes at once, without a word. `fault` is passed on to `closed`. May be called again. */
  destroy(fault?: string): void;
}

const kindBytes: Readonly<Record<FrameKind, Uint8Array>> = {
  hello: Uint8Array.of(1),
  refused: Uint8Array.of(2),
  ping: Uint8Array.of(3),
  pong: Uint8Array.of(4),
  goodbye: Uint8Array.of(5),
  raft: Uint8Array.of(6),
};
const kindByCode = new Map(Object.entries(kindBytes).map(([kind, code]) => [code[0], kind as FrameKind]));
const noBody = new Uint8Array(0);
/** How long the last frame may take to be read before the socket is closed under it. */
const lingerMs = 500;

export function createLink(socket: Duplex, limits: LinkLimits, events: LinkEvents): Link {
  return new SocketLink(socket, limits, events);
}

class SocketLink implements Link {
  readonly #socket: Duplex;
  readonly #limits: LinkLimits;
  readonly #events: LinkEvents;
  readonly #decoder: FrameDecoder;
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #flushing = false;
  #blocked = false;
  #closed = false;

  constructor(socket: Duplex, limits: LinkLimits, events: LinkEvents) {
    this.#socket = socket;
    this.#limits = limits;
    this.#events = events;
    this.#decoder = createFrameDecoder(Math.min(strangerPayloadBytesMax, limits.frameBytesMax), crc32);
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("drain", () => this.#unblock());
    socket.on("end", () => this.destroy());
    socket.on("error", () => this.destroy());
    socket.on("close", () => this.destroy());
  }

  send(kind: FrameKind, body = noBody): boolean {
    const waiting = this.#queueBytes + this.#socket.writableLength;
    if (this.#closed || this.#queue.length >= this.#limits.queueFramesMax) return false;
    if (body.length >= this.#limits.frameBytesMax) return false;
    if (waiting + body.length > this.#limits.queueBytesMax) return false;
    this.#enqueue(kind, body);
    return true;
  }

  trust(): void {
    this.#decoder.allow(this.#limits.frameBytesMax);
  }

  finish(kind: FrameKind, body = noBody): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#enqueue(kind, body);
    const socket = this.#socket;
    const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(timer));
    socket.end(this.#takeQueue());
    this.#closed = true;
    this.#events.closed(undefined);
    return gone;
  }

  destroy(fault?: string): void {
    if (this.#closed) {
      this.#socket.destroy();
      return;
    }
    this.#closed = true;
    this.#queue = [];
    this.#socket.destroy();
    this.#events.closed(fault);
  }

  #enqueue(kind: FrameKind, body: Uint8Array): void {
    const frame = encodeFrame([kindBytes[kind], body], crc32);
    this.#queue.push(frame);
    this.#queueBytes += frame.length;
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushing || this.#blocked) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (!this.#closed && !this.#blocked && this.#queue.length > 0) {
        this.#blocked = !this.#socket.write(this.#takeQueue());
      }
    });
  }

  #takeQueue(): Uint8Array {
    const frames = this.#queue;
    this.#queue = [];
    this.#queueBytes = 0;
    return frames.length === 1 ? (frames[0] as Uint8Array) : Buffer.concat(frames);
  }

  #unblock(): void {
    this.#blocked = false;
    if (this.#queue.length > 0) this.#scheduleFlush();
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return;
    let payloads: Uint8Array[];
    try {
      payloads = this.#decoder.push(chunk);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.destroy(error.message);
      return;
    }
    for (const payload of payloads) {
      const kind = kindByCode.get(payload[0]);
      if (kind === undefined) this.destroy(`frame type ${payload[0]} is unknown`);
      else this.#events.frame(kind, payload.subarray(1));
      if (this.#closed) return;
    }
  }
}
