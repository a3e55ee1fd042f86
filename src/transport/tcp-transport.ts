/**
 * The transport over TCP: listens, dials every other founding member, lets in by the ordered checks, founds.
 * Keeps the promises of `contract.ts`. Two connections for each pair, each used for messages by the side that dialled
 * it; both count as established for the leader-lost evidence. While the identity is `new` it neither sends nor
 * delivers Raft messages: the host calls `enterCluster` once store, anchor and identity are written.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { assert } from "../base/assert.ts";
import { type Identity, memberName } from "../base/identity.ts";
import type { PeerMessage } from "../codec/message.ts";
import type { MemberId } from "../raft/types.ts";
import { type Admission, createAdmission } from "./admission.ts";
import type { HelloVerdict } from "./checks.ts";
import type { PeerStatus, Transport, TransportEvents, TransportRefusal } from "./contract.ts";
import { decideFounding, type Foundation, founderDigest, type MemberAddress } from "./founding.ts";
import { type Hello, protocolMax, protocolMin } from "./hello.ts";
import {
  defaultLimits,
  defaultTiming,
  type TcpTransportOptions,
  type TransportLimits,
  type TransportTiming,
} from "./options.ts";
import { createPeer, type Peer, type PeerOwner } from "./peer.ts";
import { createRefusalWeight, type RefusalWeight } from "./refusals.ts";
import { createSession, type Session, type SessionOwner } from "./session.ts";

export interface TcpTransport extends Transport {
  /** The port that is bound. */
  readonly port: number;
  /**
   * The cluster to write down: at once for a `founded` identity, for a `new` one when all founders are here or one of
   * them has founded with it. Stays pending after a refusal or a close. May be called again.
   */
  foundation(): Promise<Foundation>;
  /** Begins the traffic of Raft under this `founded` identity. Called once, only for an identity that was `new`. */
  enterCluster(identity: Identity): void;
}

/** The composition root turns it into exit code 71. `cause` is the error of the socket. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/**
 * Resolves when the port is bound; rejects with ListenError. With a `founded` identity messages may be delivered from
 * the next turn of the event loop on.
 */
export async function createTcpTransport(options: TcpTransportOptions): Promise<TcpTransport> {
  const { identity, members, listen } = options;
  assert(identity.clusterName === options.clusterName, "the identity is of the configured cluster");
  assert(identity.name === options.name, "the identity is of the configured node");
  assert(
    members.some(({ id }) => id === options.name),
    "the node is among the members",
  );
  const server = createServer({ noDelay: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "the port is in use by another process" : cause.message;
      const message = `cannot listen for members on ${listen.host}:${listen.port}: ${why}`;
      reject(new ListenError(message, { cause }));
    });
    server.listen(listen.port, listen.host, resolve);
  });
  server.removeAllListeners("error");
  const transport = new SocketTransport(options, server);
  transport.start();
  return transport;
}

const noticeKeysMax = 256;

class SocketTransport implements TcpTransport, SessionOwner, PeerOwner {
  readonly #options: TcpTransportOptions;
  readonly #timing: TransportTiming;
  readonly #limits: TransportLimits;
  readonly #events: TransportEvents;
  readonly #server: Server;
  readonly #digest: string;
  readonly #admission: Admission;
  readonly #refusals: RefusalWeight;
  readonly #peers = new Map<string, Peer>();
  /** Inbound sockets before their HELLO was accepted, oldest first. */
  readonly #strangers = new Set<Socket>();
  readonly #inbound = new WeakMap<Session, Socket>();
  readonly #noticedAt = new Map<string, number>();
  readonly #foundation: Promise<Foundation>;
  #resolveFoundation: ((foundation: Foundation) => void) | undefined;
  #identity: Identity;
  #ticks = 0;
  #ticker: NodeJS.Timeout | undefined;
  #isRefused = false;
  #closing: Promise<void> | undefined;

  constructor(options: TcpTransportOptions, server: Server) {
    this.#options = options;
    this.#timing = { ...defaultTiming, ...options.timing };
    this.#limits = { ...defaultLimits, ...options.limits };
    assert(this.#timing.handshakeTimeoutMs > this.#timing.aliveWithinMs, "a handshake outlasts a probe");
    this.#admission = createAdmission(this.#timing.aliveWithinMs);
    this.#events = options.events;
    this.#server = server;
    this.#identity = options.identity;
    this.#digest = founderDigest({ ...options, clusterKey: options.clusterKey });
    this.#foundation = new Promise((resolve) => {
      this.#resolveFoundation = resolve;
    });
    const others = options.members.filter(({ id }) => id !== options.name);
    this.#refusals = createRefusalWeight(others.map(({ id }) => id));
    for (const address of others) {
      this.#peers.set(address.id, createPeer(address.id, address, this.#timing, this));
    }
  }

  start(): void {
    this.#server.on("connection", (socket) => this.#accept(socket));
    this.#server.on("error", (error) => this.#notice("warn", "server", `peer port: ${error.message}`));
    this.#ticker = setInterval(() => this.#tick(), this.#timing.tickMs);
    for (const peer of this.#peers.values()) peer.dial();
    const { clusterId, founders } = this.#identity;
    if (clusterId !== undefined && founders !== undefined)
      this.#resolveFoundation?.({ clusterId, roster: founders });
    this.#maybeFound();
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  send(to: MemberId, message: PeerMessage): void {
    const session = this.#peers.get(memberName(to))?.outbound;
    if (session === undefined || session.member !== to || !this.#talksRaft(session)) return;
    if (session.send(message)) return;
    this.#notice(
      "warn",
      `queue ${to}`,
      `messages to ${session.hello?.name} are dropped: it does not take them`,
    );
  }

  probe(member: MemberId): void {
    this.#peers.get(memberName(member))?.probe();
  }

  peers(): readonly PeerStatus[] {
    return this.#options.members.flatMap(({ id }) => this.#peers.get(id)?.status() ?? []);
  }

  foundation(): Promise<Foundation> {
    return this.#foundation;
  }

  enterCluster(identity: Identity): void {
    assert(this.#identity.state === "new" && identity.state === "founded", "a new node enters once");
    assert(identity.incarnation === this.#identity.incarnation, "the incarnation stays");
    this.#identity = identity;
    // Every connection begins with a HELLO of the state it is used in: those of the new node are of no more use.
    for (const peer of this.#peers.values()) peer.reset();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** First nobody can connect any more, then the goodbye: who dials after it must be refused. */
  async #close(): Promise<void> {
    clearInterval(this.#ticker);
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const peer of this.#peers.values()) peer.stop();
    const said = this.#sessions().map((session) => session.sayGoodbye());
    for (const socket of this.#strangers) socket.destroy();
    await Promise.all([stopped, ...said]);
  }

  // ---- connections

  #accept(socket: Socket): void {
    if (this.#closing !== undefined) {
      socket.destroy();
      return;
    }
    this.#strangers.add(socket);
    socket.once("close", () => this.#strangers.delete(socket));
    for (const oldest of this.#strangers) {
      if (this.#strangers.size <= this.#limits.strangersMax) break;
      this.#strangers.delete(oldest);
      oldest.destroy();
    }
    this.#inbound.set(this.#session(socket, undefined), socket);
  }

  connect({ host, port }: MemberAddress): Socket {
    return connect({ host, port, noDelay: true });
  }

  connected(peer: Peer, socket: Socket): Session {
    return this.#session(socket, peer.name);
  }

  #session(socket: Socket, target: string | undefined): Session {
    const direction = target === undefined ? "in" : "out";
    const { handshakeTimeoutMs } = this.#timing;
    return createSession(socket, { direction, target, handshakeTimeoutMs, limits: this.#limits }, this);
  }

  hello(target: string): Hello {
    const { clusterName, name, incarnation, state, clusterId, founders } = this.#identity;
    return {
      protocolMin,
      protocolMax,
      clusterName,
      digest: this.#digest,
      name,
      incarnation,
      state,
      clusterId,
      founders,
      bootId: this.#options.bootId,
      step: this.#options.step(),
      target,
    };
  }

  judge(hello: Hello, answer: (verdict: HelloVerdict) => void): void {
    const self = () => ({ identity: this.#identity, digest: this.#digest });
    const sessions = () => this.#peers.get(hello.name)?.sessions ?? [];
    this.#admission.judge({ hello, self, sessions }, answer);
  }

  opened(session: Session): void {
    const { hello, member } = session;
    assert(hello !== undefined && member !== undefined, "an open session has said HELLO");
    const socket = this.#inbound.get(session);
    if (socket !== undefined) this.#strangers.delete(socket);
    const isOneTooMany = this.#sessions().length >= this.#limits.sessionsMax;
    if (isOneTooMany || this.#closing !== undefined) {
      session.destroy();
      return;
    }
    const peer = this.#peers.get(hello.name) ?? this.#strangePeer(hello.name);
    if (this.#admission.remember(hello)) this.#events.leaderLost(member);
    if (session.direction === "out") this.#refusals.clear(hello.name);
    peer.opened(session);
    this.#maybeFound();
  }

  /** A name outside the cluster file: it may dial here (its configuration may be newer than ours), nobody dials it. */
  #strangePeer(name: string): Peer {
    const peer = createPeer(name, undefined, this.#timing, this);
    this.#peers.set(name, peer);
    return peer;
  }

  closed(session: Session, fault: string | undefined): void {
    const name = session.hello?.name ?? session.target;
    if (fault !== undefined) {
      const who = name === undefined ? session.remote : `${name} (${session.remote})`;
      this.#notice("warn", `fault ${hostOf(session.remote)}`, `closed the connection with ${who}: ${fault}`);
    }
    if (name === undefined) return;
    const peer = this.#peers.get(name);
    peer?.closed(session);
    const isStrange = !this.#options.members.some(({ id }) => id === name);
    if (isStrange && peer?.sessions.length === 0) this.#peers.delete(name);
  }

  // ---- messages and evidence

  #talksRaft(session: Session): boolean {
    return this.#identity.state === "founded" && session.hello?.state === "founded";
  }

  message(session: Session, message: PeerMessage): void {
    if (session.member === undefined || !this.#talksRaft(session)) return;
    this.#events.message(session.member, message);
  }

  goodbye(session: Session): void {
    if (session.member !== undefined) this.lost(session.member);
  }

  lost(member: string): void {
    if (this.#closing === undefined) this.#events.leaderLost(member);
  }

  random(): number {
    return this.#options.random();
  }

  // ---- refusals, founding, upkeep

  refusing(session: Session, refusal: TransportRefusal): void {
    const text = `refused ${session.hello?.name ?? "a connection"} (${session.remote}): ${refusal.text}`;
    this.#notice("warn", `refusing ${hostOf(session.remote)} ${refusal.code}`, text);
  }

  refusedBy(session: Session, refusal: TransportRefusal): void {
    const from = session.target ?? session.hello?.name;
    if (from === undefined) return;
    const { state } = this.#identity;
    const knowsLeader = this.#options.knowsLeader();
    const weight = this.#refusals.weigh({ from, code: refusal.code, state, knowsLeader });
    const text = `${from} (${session.remote}) refused this node (${refusal.code}): ${refusal.text}`;
    if (weight === "final") this.#refuse({ ...refusal, text });
    else this.#notice("warn", `refused ${from} ${refusal.code}`, text);
  }

  #refuse(refusal: TransportRefusal): void {
    if (this.#isRefused || this.#closing !== undefined) return;
    this.#isRefused = true;
    this.#events.refused(refusal);
  }

  #maybeFound(): void {
    if (this.#identity.state !== "new" || this.#resolveFoundation === undefined || this.#isRefused) return;
    const decision = decideFounding({
      identity: this.#identity,
      digest: this.#digest,
      founders: this.#options.members.map(({ id }) => id),
      hellos: this.#sessions().flatMap(({ hello }) => hello ?? []),
    });
    if (decision.kind === "refuse") return this.#refuse(decision.refusal);
    if (decision.kind === "waiting") {
      const { missing, ambiguous } = decision;
      if (missing.length > 0) {
        const text = `waiting for ${missing.join(", ")}: all founding members are needed once, at the first start`;
        this.#notice("info", "waiting", text);
      }
      for (const name of ambiguous) {
        this.#notice("warn", `ambiguous ${name}`, `two new nodes answer as ${name}: stop one of them`);
      }
      return;
    }
    this.#resolveFoundation(decision.foundation);
    this.#resolveFoundation = undefined;
  }

  #tick(): void {
    this.#ticks += 1;
    for (const session of this.#sessions()) {
      if (session.countSilence() > this.#timing.silentTicksMax) session.destroy();
      else if (session.direction === "out" && this.#ticks % 2 === 0) session.ping();
    }
    this.#maybeFound();
  }

  #sessions(): Session[] {
    return [...this.#peers.values()].flatMap((peer) => peer.sessions);
  }

  /** The same `key` is repeated only after `noticeTicks`. */
  #notice(level: "info" | "warn", key: string, text: string): void {
    const last = this.#noticedAt.get(key);
    if (last !== undefined && this.#ticks - last < this.#timing.noticeTicks) return;
    if (this.#noticedAt.size >= noticeKeysMax) this.#noticedAt.clear();
    this.#noticedAt.set(key, this.#ticks);
    this.#events.notice(level, text);
  }
}

/** The address without its port: a stranger comes from another port each time. */
function hostOf(remote: string): string {
  return remote.slice(0, remote.lastIndexOf(":"));
}
