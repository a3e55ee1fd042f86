/**
 * What an entry may ask of the state machine. Plain data, made by the proposer: every default is resolved, every
 * random id and every wall-clock time is in it, so that applying it reads nothing else (SEMANTICS rules 7, 8).
 */
import type { SettingName, Settings } from "./settings.ts";

/** Strings for people, sorted by key, as they travel and as they are kept. */
export type Metadata = readonly (readonly [string, string])[];

export type LockMode = "exclusive" | "shared";

/** One thing that a claim asks for. */
export type ResourceRequest = LockRequest | SemaphoreRequest;

export interface LockRequest {
  readonly kind: "lock";
  readonly name: string;
  readonly mode: LockMode;
}

export interface SemaphoreRequest {
  readonly kind: "semaphore";
  readonly name: string;
  /** At least 1; all of them or none. */
  readonly permits: number;
  /** Makes the semaphore when there is none, else must be equal to what it has. */
  readonly capacity: number | undefined;
}

export type Command =
  | FoundCommand
  | AdvanceTimeCommand
  | OpenSessionCommand
  | KeepAliveCommand
  | CloseSessionCommand
  | KillSessionCommand
  | AcquireCommand
  | ReleaseCommand
  | ShrinkCommand
  | CancelCommand
  | SetSemaphoreCommand
  | DeleteSemaphoreCommand
  | SetSettingsCommand;

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

/** An operator's end of somebody else's session, by its ref. */
export interface KillSessionCommand extends Stamped {
  readonly kind: "kill-session";
  readonly sessionRef: string;
  /** For people. */
  readonly note: string;
}

export interface AcquireCommand extends Stamped {
  readonly kind: "acquire";
  readonly sessionId: string;
  readonly claimId: string;
  /** At least one. One for now; the machine's loops run over all. */
  readonly resources: readonly ResourceRequest[];
  /** 0 is a try-lock. */
  readonly waitMs: number;
  readonly lockDelayMs: number | undefined;
  /** Hard limit of the hold, from its grant; at least 1. */
  readonly maxHoldMs: number | undefined;
  /** Which thread of control asks; without one every claim is its own. */
  readonly owner: string | undefined;
  readonly metadata: Metadata;
  /** True: cancel the claim when its client goes away while it waits. */
  readonly cancelOnDisconnect: boolean;
}

export interface ReleaseCommand extends Stamped {
  readonly kind: "release";
  readonly sessionId: string;
  readonly claimId: string;
}

/** Gives back some of a held claim's permits. */
export interface ShrinkCommand extends Stamped {
  readonly kind: "shrink";
  readonly sessionId: string;
  readonly claimId: string;
  /** What the claim keeps, at least 1. */
  readonly permits: number;
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

/** Makes a semaphore that stays until it is deleted, or gives it another capacity. */
export interface SetSemaphoreCommand extends Stamped {
  readonly kind: "set-semaphore";
  readonly name: string;
  /** 0 grants nothing. */
  readonly capacity: number;
}

export interface DeleteSemaphoreCommand extends Stamped {
  readonly kind: "delete-semaphore";
  readonly name: string;
}

/** New values of some settings; the others stay. */
export interface SetSettingsCommand extends Stamped {
  readonly kind: "set-settings";
  readonly changes: readonly (readonly [SettingName, number])[];
}
