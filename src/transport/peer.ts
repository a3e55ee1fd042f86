/**
 * One other member by name: dialling it for ever, its connections, and the evidence that its process has ended.
 * Evidence is exact (docs/PAPERS.md "leader-lost hint"): every established connection closed, and a connect begun
 * after that was refused, at an address where this member had answered before. A reset, an end, a time-out is none:
 * a live process without file descriptors does all three.
 */
import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { PeerStatus } from "./contract.ts";
import type { MemberAddress } from "./founding.ts";
import type { Session } from "./session.ts";

export interface PeerOwner {
  /** A socket that begins to connect now. */
  connect(address: MemberAddress): Socket;
  /** The dial succeeded: the owner makes the session and starts the handshake. */
  connected(peer: Peer, socket: Socket): Session;
  /** Evidence that this member's process has ended. */
  lost(member: string): void;
  random(): number;
}

export interface PeerTiming {
  readonly connectTimeoutMs: number;
  /** Longest pause between two dials. Well below an election timeout: a member that returns must hear its leader. */
  readonly backoffMsMax: number;
}

export interface Peer {
  readonly name: string;
  /** The connection that messages leave by; undefined while there is none. */
  readonly outbound: Session | undefined;
  /** All established connections with this name, both directions. */
  readonly sessions: readonly Session[];
  status(): PeerStatus;
  /** Dials at once, unless a dial is under way or the connection stands. Called once to begin, and to skip a pause. */
  dial(): void;
  opened(session: Session): void;
  /** An established connection is gone, or a handshake that this side dialled. */
  closed(session: Session): void;
  /** Looks for evidence at once; what it finds goes to `lost`. */
  probe(): void;
  /** Closes all connections and handshakes and dials anew: what they announced no longer holds. */
  reset(): void;
  /** No more dials. Connections stay. */
  stop(): void;
}

const backoffMsMin = 10;
/** A connection that lived that long was a good one: the first dial after it does not wait. */
const stableMs = 100;

export function createPeer(
  name: string,
  address: MemberAddress | undefined,
  timing: PeerTiming,
  owner: PeerOwner,
): Peer {
  return new DialledPeer(name, address, timing, owner);
}

class DialledPeer implements Peer {
  readonly name: string;
  readonly #address: MemberAddress | undefined;
  readonly #timing: PeerTiming;
  readonly #owner: PeerOwner;
  readonly #sessions = new Set<Session>();
  #outbound: Session | undefined;
  /** The dial or handshake under way. */
  #attempt: { socket: Socket; session: Session | undefined } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  /** How many established connections have closed: tells whether a dial began after the last of them. */
  #closes = 0;
  /** The member that last answered at this address. */
  #answered: string | undefined;
  #lastFrameAtMs: number | undefined;
  #stopped = false;

  constructor(name: string, address: MemberAddress | undefined, timing: PeerTiming, owner: PeerOwner) {
    this.name = name;
    this.#address = address;
    this.#timing = timing;
    this.#owner = owner;
  }

  get outbound(): Session | undefined {
    return this.#outbound;
  }

  get sessions(): readonly Session[] {
    return [...this.#sessions];
  }

  status(): PeerStatus {
    let last = this.#lastFrameAtMs;
    for (const { lastFrameAtMs } of this.#sessions) last = Math.max(last ?? 0, lastFrameAtMs);
    const lastContactMs = last === undefined ? undefined : Math.max(0, performance.now() - last);
    return { name: this.name, connected: this.#outbound !== undefined, lastContactMs };
  }

  dial(): void {
    if (this.#stopped || this.#address === undefined) return;
    if (this.#attempt !== undefined || this.#outbound !== undefined) return;
    clearTimeout(this.#retry);
    const began = this.#closes;
    const socket = this.#owner.connect(this.#address);
    const attempt: { socket: Socket; session: Session | undefined } = { socket, session: undefined };
    this.#attempt = attempt;
    const timer = setTimeout(() => socket.destroy(new Error("time-out")), this.#timing.connectTimeoutMs);
    const failed = (error: Error): void => {
      this.#attempt = undefined;
      this.#handleDialFailed(isRefused(error), began);
    };
    socket.once("error", failed);
    socket.once("close", () => clearTimeout(timer));
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      attempt.session = this.#owner.connected(this, socket);
    });
  }

  opened(session: Session): void {
    for (const other of this.#sessions) {
      if (other.direction === session.direction && other.member === session.member) other.destroy();
    }
    this.#sessions.add(session);
    if (session.direction === "in") {
      this.dial();
      return;
    }
    this.#attempt = undefined;
    this.#outbound = session;
    this.#answered = session.member;
  }

  closed(session: Session): void {
    if (!this.#sessions.delete(session)) {
      if (this.#attempt?.session !== session) return;
      this.#attempt = undefined;
      this.#pause();
      return;
    }
    this.#closes += 1;
    this.#lastFrameAtMs = Math.max(this.#lastFrameAtMs ?? 0, session.lastFrameAtMs);
    if (this.#outbound === session) this.#outbound = undefined;
    if (this.#outbound !== undefined) return;
    if (performance.now() - session.openedAtMs < stableMs) {
      this.#pause();
      return;
    }
    this.#failures = 0;
    this.dial();
  }

  probe(): void {
    for (const session of this.#sessions) session.ping();
    this.dial();
  }

  reset(): void {
    this.#attempt?.session?.destroy();
    for (const session of this.#sessions) session.destroy();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#attempt?.socket.destroy();
  }

  #handleDialFailed(refused: boolean, began: number): void {
    if (refused && this.#answered !== undefined && this.#sessions.size === 0) {
      if (began !== this.#closes) {
        this.dial();
        return;
      }
      this.#owner.lost(this.#answered);
    }
    this.#pause();
  }

  #pause(): void {
    if (this.#stopped || this.#attempt !== undefined) return;
    const most = Math.min(this.#timing.backoffMsMax, backoffMsMin * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.dial(), most * (0.5 + this.#owner.random() / 2));
  }
}

/** True when nobody listens there, at none of the addresses that the name stands for. */
function isRefused(error: Error): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isRefused);
  return "code" in error && error.code === "ECONNREFUSED";
}
