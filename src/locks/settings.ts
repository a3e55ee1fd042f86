/**
 * Every number that the state machine reads. Replicated: proposed once by the first leader from its file, then part of
 * the state; no file is read at apply (SEMANTICS rule 8), so replicas with different files still agree.
 */

/** Milliseconds, counts or bytes, as the names say. All are safe integers >= 0. */
export interface Settings {
  /** Twice the election timeout B: no election by timer takes longer. Bounds the grace and the smallest ttl. */
  readonly electionTimeoutMaxMs: number;
  readonly defaultTtlMs: number;
  readonly ttlMsMax: number;
  /** Lock-delay of a claim whose claim and session name none. */
  readonly lockDelayMs: number;
  readonly lockDelayMsMax: number;
  readonly waitMsMax: number;
  /** How long a waiting claim outlives its last poll when its client asked for `onDisconnect: "cancel"`. */
  readonly disconnectGraceMs: number;
  readonly sessions: number;
  /** Live claims over all sessions. */
  readonly claims: number;
  /** Live claims, and ends not acknowledged yet, of one session. */
  readonly claimsPerSession: number;
  readonly waitersPerName: number;
  readonly rememberedClaims: number;
  readonly rememberedClaimsPerSession: number;
  readonly tombstones: number;
  readonly tombstoneMs: number;
  readonly metadataBytes: number;
  /** Claims that the due deadlines of one entry may touch; the rest waits for the next entry. */
  readonly sweepBudget: number;
}

export type SettingName = keyof Settings;

export const defaultSettings: Settings = {
  electionTimeoutMaxMs: 1500,
  defaultTtlMs: 15_000,
  ttlMsMax: 86_400_000,
  lockDelayMs: 5_000,
  lockDelayMsMax: 60_000,
  waitMsMax: 86_400_000,
  disconnectGraceMs: 10_000,
  sessions: 200_000,
  claims: 2_000_000,
  claimsPerSession: 10_000,
  waitersPerName: 10_000,
  rememberedClaims: 500_000,
  rememberedClaimsPerSession: 1_024,
  tombstones: 10_000,
  tombstoneMs: 3_600_000,
  metadataBytes: 4_096,
  sweepBudget: 2_000,
};

/** The names in a fixed order: how settings travel in an entry and enter the state hash. */
export const settingNames: readonly SettingName[] = [
  "electionTimeoutMaxMs",
  "defaultTtlMs",
  "ttlMsMax",
  "lockDelayMs",
  "lockDelayMsMax",
  "waitMsMax",
  "disconnectGraceMs",
  "sessions",
  "claims",
  "claimsPerSession",
  "waitersPerName",
  "rememberedClaims",
  "rememberedClaimsPerSession",
  "tombstones",
  "tombstoneMs",
  "metadataBytes",
  "sweepBudget",
];

/** The smallest ttl: a client that renews every third of it survives any fail-over (SEMANTICS §2). */
export function ttlMsMin(settings: Settings): number {
  return 4 * settings.electionTimeoutMaxMs;
}

/** The ttl that a session is granted for the one it asked for. */
export function grantedTtlMs(settings: Settings, askedMs: number): number {
  return Math.min(Math.max(askedMs, ttlMsMin(settings)), Math.max(settings.ttlMsMax, ttlMsMin(settings)));
}

/** By how much a client stops believing before the server does (SEMANTICS rule 9). */
export function marginMs(ttlMs: number): number {
  return Math.max(Math.ceil(ttlMs / 10), 500);
}
