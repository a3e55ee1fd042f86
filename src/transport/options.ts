/**
 * What the TCP transport is given, with the default of everything that has one.
 */
import type { Identity } from "../base/identity.ts";
import { framePayloadBytesMax } from "../codec/frame.ts";
import type { TransportEvents } from "./contract.ts";
import type { MemberAddress } from "./founding.ts";
import type { LinkLimits } from "./link.ts";

export interface TcpTransportOptions {
  readonly clusterName: string;
  /** This node's name; `members` holds it too. */
  readonly name: string;
  readonly clusterKey?: string | undefined;
  /** The founding members as the cluster file gives them: where each is dialled. */
  readonly members: readonly MemberAddress[];
  /** What this node binds. Port 0: any free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly identity: Identity;
  /** Another one for each start of the process. 1 to 64 printable characters. */
  readonly bootId: string;
  /** The last *durable* step of the store, never one that a crash could take back. */
  readonly step: () => number;
  readonly knowsLeader: () => boolean;
  readonly events: TransportEvents;
  /** A float in [0, 1), for jitter. */
  readonly random: () => number;
  readonly timing?: Partial<TransportTiming>;
  readonly limits?: Partial<TransportLimits>;
}

/** Milliseconds. */
export interface TransportTiming {
  /** Default 1000. */
  readonly connectTimeoutMs: number;
  /** For HELLO both ways. Must exceed `aliveWithinMs`. Default 3000. */
  readonly handshakeTimeoutMs: number;
  /** How long a process may take to show that it still runs, when another claims its place: B. Default 750. */
  readonly aliveWithinMs: number;
  /** Default 250. */
  readonly backoffMsMax: number;
  /** Upkeep: pings, silence, notices. Everything below counts these. Default 1000. */
  readonly tickMs: number;
  /** A connection without any frame for that many ticks is closed: it may be half-open. Default 10. */
  readonly silentTicksMax: number;
  /** How often the same notice may be repeated. Default 5. */
  readonly noticeTicks: number;
}

export interface TransportLimits extends LinkLimits {
  /** Inbound connections before their HELLO; the oldest is closed for a newer one. Default 64. */
  readonly strangersMax: number;
  /** Connections after their HELLO, both directions; a newer one is closed. Default 256. */
  readonly sessionsMax: number;
}

export const defaultTiming: TransportTiming = {
  connectTimeoutMs: 1000,
  handshakeTimeoutMs: 3000,
  aliveWithinMs: 750,
  backoffMsMax: 250,
  tickMs: 1000,
  silentTicksMax: 10,
  noticeTicks: 5,
};
export const defaultLimits: TransportLimits = {
  frameBytesMax: framePayloadBytesMax,
  queueBytesMax: 32 * 1024 * 1024,
  queueFramesMax: 8192,
  strangersMax: 64,
  sessionsMax: 256,
};
