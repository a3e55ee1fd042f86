/**
 * One connection from its first byte: HELLO both ways, then Raft messages, pings and the goodbye.
 * The dialler speaks first; the acceptor answers with its own HELLO or says why not. Only the dialler sends Raft
 * messages, so between two members there are two connections, one for each direction.
 * Never delivers a message before both sides accepted. Who is accepted is the owner's decision (`judge`).
 */
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { DecodeError } from "../codec/entry.ts";
import { decodeMessage, encodeMessage, type PeerMessage } from "../codec/message.ts";
import type { HelloVerdict } from "./checks.ts";
import type { TransportRefusal } from "./contract.ts";
import { decodeHello, encodeHello, type Hello, helloMember } from "./hello.ts";
import { createLink, type FrameKind, type Link, type LinkLimits } from "./link.ts";
import { decodeRefusal, encodeRefusal, makeRefusal, protocolText } from "./refusal.ts";

export interface SessionOwner {
  /** This node's own HELLO. */
  hello(target: string): Hello;
  /** Answers exactly once, at once or later. The verdict is not `probe`. */
  judge(hello: Hello, answer: (verdict: HelloVerdict) => void): void;
  /** Both HELLOs are exchanged, as far as this side knows. */
  opened(session: Session): void;
  /** Once. `fault` says what was wrong with the bytes, undefined when the connection just ended. */
  closed(session: Session, fault: string | undefined): void;
  /** The other side refuses this node; the connection ends. */
  refusedBy(session: Session, refusal: TransportRefusal): void;
  /** This side refuses the other one; the connection ends. */
  refusing(session: Session, refusal: TransportRefusal): void;
  message(session: Session, message: PeerMessage): void;
  goodbye(session: Session): void;
}

export interface SessionOptions {
  readonly direction: "out" | "in";
  /** Outbound: the name that was dialled. */
  readonly target: string | undefined;
  readonly handshakeTimeoutMs: number;
  readonly limits: LinkLimits;
}

export interface Session {
  readonly direction: "out" | "in";
  readonly target: string | undefined;
  /** Address of the other side, for notices. */
  readonly remote: string;
  /** What the other side said; undefined before. */
  readonly hello: Hello | undefined;
  /** `name@incarnation` that the other side proved, as far as it said HELLO. */
  readonly member: string | undefined;
  readonly isOpen: boolean;
  /** When the handshake was done and when the last frame came, by performance.now(). */
  readonly openedAtMs: number;
  readonly lastFrameAtMs: number;
  /** Counts a tick without any frame; the number of such ticks in a row. Ticks, so that a paused process kills none. */
  countSilence(): number;
  /** False when the message was dropped. */
  send(message: PeerMessage): boolean;
  ping(): void;
  /** Calls back once: true when an answer to a ping sent now came within `timeoutMs`, false when not or when closed. */
  askAlive(timeoutMs: number, answer: (alive: boolean) => void): void;
  sayGoodbye(): Promise<void>;
  destroy(): void;
}

export function createSession(socket: Socket, options: SessionOptions, owner: SessionOwner): Session {
  return new TcpSession(socket, options, owner);
}

class TcpSession implements Session {
  readonly direction: "out" | "in";
  readonly target: string | undefined;
  readonly remote: string;
  readonly #owner: SessionOwner;
  readonly #link: Link;
  readonly #handshakeTimer: NodeJS.Timeout;
  readonly #asked = new Map<number, () => void>();
  readonly #onClosed: (() => void)[] = [];
  #lastNonce = 0;
  #silentTicks = 0;
  #hello: Hello | undefined;
  #isOpen = false;
  #isClosed = false;
  #openedAtMs = 0;
  #lastFrameAtMs = performance.now();

  constructor(socket: Socket, options: SessionOptions, owner: SessionOwner) {
    this.direction = options.direction;
    this.target = options.target;
    this.remote = `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? "?"}`;
    this.#owner = owner;
    this.#link = createLink(socket, options.limits, {
      frame: (kind, body) => this.#handleFrame(kind, body),
      closed: (fault) => this.#handleClosed(fault),
    });
    this.#handshakeTimer = setTimeout(() => this.destroy(), options.handshakeTimeoutMs);
    if (options.target !== undefined) this.#link.send("hello", encodeHello(owner.hello(options.target)));
  }

  get hello(): Hello | undefined {
    return this.#hello;
  }

  get member(): string | undefined {
    return this.#hello === undefined ? undefined : helloMember(this.#hello);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get openedAtMs(): number {
    return this.#openedAtMs;
  }

  get lastFrameAtMs(): number {
    return this.#lastFrameAtMs;
  }

  countSilence(): number {
    this.#silentTicks += 1;
    return this.#silentTicks;
  }

  send(message: PeerMessage): boolean {
    return this.#isOpen && this.#link.send("raft", encodeMessage(message));
  }

  ping(): void {
    this.#sendPing();
  }

  askAlive(timeoutMs: number, answer: (alive: boolean) => void): void {
    let answered = false;
    const settle = (alive: boolean): void => {
      if (answered) return;
      answered = true;
      clearTimeout(timer);
      this.#asked.delete(nonce);
      answer(alive);
    };
    const timer = setTimeout(() => settle(false), timeoutMs);
    const nonce = this.#sendPing();
    this.#asked.set(nonce, () => settle(true));
    this.#onClosed.push(() => settle(false));
    if (this.#isClosed) settle(false);
  }

  async sayGoodbye(): Promise<void> {
    if (this.#isOpen) await this.#link.finish("goodbye");
    else this.#link.destroy();
  }

  destroy(): void {
    this.#link.destroy();
  }

  #sendPing(): number {
    this.#lastNonce = (this.#lastNonce + 1) >>> 0;
    const body = new Uint8Array(4);
    new DataView(body.buffer).setUint32(0, this.#lastNonce);
    this.#link.send("ping", body);
    return this.#lastNonce;
  }

  #handleFrame(kind: FrameKind, body: Uint8Array): void {
    this.#silentTicks = 0;
    this.#lastFrameAtMs = performance.now();
    switch (kind) {
      case "hello":
        return this.#handleHello(body);
      case "refused": {
        // Only the answer to an own dial counts: whoever dialled in has no say about this node.
        if (this.direction === "in" || this.#isOpen) return this.#link.destroy("unexpected refusal");
        const refusal = this.#decode(() => decodeRefusal(body));
        if (refusal === undefined) return;
        this.#owner.refusedBy(this, refusal);
        return this.destroy();
      }
      case "ping":
        if (this.#hello === undefined) return this.#link.destroy("ping before HELLO");
        if (body.length !== 4) return this.#link.destroy("malformed ping");
        this.#link.send("pong", body);
        return;
      case "pong":
        if (body.length !== 4) return this.#link.destroy("malformed pong");
        this.#asked.get(new DataView(body.buffer, body.byteOffset, 4).getUint32(0))?.();
        return;
      case "goodbye":
        if (this.#isOpen) this.#owner.goodbye(this);
        return this.destroy();
      case "raft": {
        if (!this.#isOpen || this.direction === "out") return this.#link.destroy("unexpected Raft message");
        const message = this.#decode(() => decodeMessage(body));
        if (message !== undefined) this.#owner.message(this, message);
        return;
      }
    }
  }

  #handleHello(body: Uint8Array): void {
    if (this.#hello !== undefined) return this.#link.destroy("second HELLO");
    const hello = this.#decode(() => decodeHello(body));
    if (hello === undefined) return;
    const own = this.#owner.hello(this.target ?? "?");
    if (!("name" in hello)) return this.#refuse(makeRefusal("protocol", protocolText(own.name, hello)));
    // The kernel may join a dial with itself when nobody listens there: not a peer, not a fault.
    if (this.direction === "out" && hello.bootId === own.bootId) return this.destroy();
    if (this.target !== undefined && hello.name !== this.target) {
      return this.#link.destroy(`${hello.name} answers for ${this.target}`);
    }
    this.#hello = hello;
    this.#owner.judge(hello, (verdict) => this.#answer(hello, verdict));
  }

  #answer(hello: Hello, verdict: HelloVerdict): void {
    if (this.#isClosed) return;
    if (verdict.kind === "refuse") return this.#refuse(verdict.refusal);
    clearTimeout(this.#handshakeTimer);
    if (this.direction === "in") this.#link.send("hello", encodeHello(this.#owner.hello(hello.name)));
    this.#link.trust();
    this.#isOpen = true;
    this.#openedAtMs = performance.now();
    this.#owner.opened(this);
  }

  #refuse(refusal: TransportRefusal): void {
    this.#owner.refusing(this, refusal);
    void this.#link.finish("refused", encodeRefusal(refusal));
  }

  /** Undefined when the bytes were no such value; the connection is closed then. */
  #decode<T>(decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#link.destroy(error.message);
      return undefined;
    }
  }

  #handleClosed(fault: string | undefined): void {
    this.#isClosed = true;
    this.#isOpen = false;
    clearTimeout(this.#handshakeTimer);
    for (const settle of this.#onClosed.splice(0)) settle();
    this.#owner.closed(this, fault);
  }
}
