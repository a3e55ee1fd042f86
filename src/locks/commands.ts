/**
 * What an entry may ask of the state machine. Plain data, made by the proposer: every default is resolved, every
 * random id and every wall-clock time is in it, so that applying it reads nothing else (SEMANTICS rules 7, 8).
 */
import type { Settings } from "./settings.ts";

/** Strings for people, sorted by key, as they travel and as they are kept. */
export type Metadata = readonly (readonly [string, string])[];

export type LockMode = "exclusive";

/** One thing that a claim asks for. Semaphores and shared mode will add variants. */
export interface ResourceRequest {
  readonly kind: "lock";
  readonly name: string;
  readonly mode: LockMode;
}

export type Command =
  | FoundCommand
  | AdvanceTimeCommand
  | OpenSessionCommand
  | KeepAliveCommand
  | CloseSessionCommand
  | AcquireCommand
  | ReleaseCommand
  | CancelCommand;

interface Stamped {
  /** The proposer's wall clock, Unix milliseconds. Shown to people, decides nothing. */
  readonly wallMs: number;
}

/** The first leader's word: settings, cluster id, first fence. Takes effect once; no other command before it. */
export interface FoundCommand extends Stamped {
  readonly kind: "found";
  readonly clusterId: string;
  readonly firstFence: number;
  readonly settings: Settings;
}

/** Nothing but its stamp: lets due deadlines happen. */
export interface AdvanceTimeCommand extends Stamped {
  readonly kind: "advance-time";
}

export interface OpenSessionCommand extends Stamped {
  readonly kind: "open-session";
  readonly sessionId: string;
  /** 16 hex digits of the id's cryptographic hash: how others see the session. */
  readonly sessionRef: string;
  readonly ttlMs: number;
  readonly lockDelayMs: number | undefined;
  readonly label: string;
  readonly metadata: Metadata;
}

/** Renews many sessions in one entry. */
export interface KeepAliveCommand extends Stamped {
  readonly kind: "keep-alive";
  readonly items: readonly KeepAliveItem[];
}

export interface KeepAliveItem {
  readonly sessionId: string;
  /** The newest keepalive or create answer whose `ended` list the client has acted on; 0 is none. */
  readonly seen: number;
}

export interface CloseSessionCommand extends Stamped {
  readonly kind: "close-session";
  readonly sessionId: string;
}

export interface AcquireCommand extends Stamped {
  readonly kind: "acquire";
  readonly sessionId: string;
  readonly claimId: string;
  /** At least one. One lock for now; the machine's loops run over all. */
  readonly resources: readonly ResourceRequest[];
  /** 0 is a try-lock. */
  readonly waitMs: number;
  readonly lockDelayMs: number | undefined;
  readonly metadata: Metadata;
  /** True: cancel the claim when its client goes away while it waits. */
  readonly cancelOnDisconnect: boolean;
}

export interface ReleaseCommand extends Stamped {
  readonly kind: "release";
  readonly sessionId: string;
  readonly claimId: string;
}

/**
 * The leader's own: the client of this claim went away. Without a fence it ends a waiting claim and nothing else; with
 * one it ends the hold of that very grant, which no answer has named.
 */
export interface CancelCommand extends Stamped {
  readonly kind: "cancel";
  readonly claimId: string;
  readonly fence: number | undefined;
}
