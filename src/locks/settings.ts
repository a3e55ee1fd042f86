/**
 * Every number that the state machine reads. Replicated: proposed once by the first leader from its file, then part of
 * the state and changed by commands only; no file is read at apply (SEMANTICS rule 8), so replicas with different files
 * still agree.
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
  /** Semaphores that stay until deleted. */
  readonly semaphores: number;
  readonly rememberedClaims: number;
  readonly rememberedClaimsPerSession: number;
  readonly tombstones: number;
  readonly tombstoneMs: number;
  readonly metadataBytes: number;
  /** Claims that the due deadlines of one entry may touch; the rest waits for the next entry. */
  readonly sweepBudget: number;
}

export type SettingName = keyof Settings;

/** Both bounds are allowed. `doc` is one sentence for help and documentation. */
export interface SettingBounds {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
  readonly doc: string;
}

const dayMs = 86_400_000;

function bounds(fallback: number, min: number, max: number, doc: string): SettingBounds {
  return { fallback, min, max, doc };
}

/** The one table of settings. Its order is how they travel in an entry and enter the state hash. */
export const settingBounds: Readonly<Record<SettingName, SettingBounds>> = {
  electionTimeoutMaxMs: bounds(
    1_500,
    30,
    60_000,
    "Twice the longest election timeout of any member; a fail-over is expected to be over by then.",
  ),
  defaultTtlMs: bounds(
    15_000,
    1,
    dayMs,
    "Ttl of a session that asks for none; raised to 8 election timeouts if smaller.",
  ),
  ttlMsMax: bounds(dayMs, 1, dayMs, "Longest ttl that a session is granted."),
  lockDelayMs: bounds(5_000, 0, 60_000, "Lock-delay of a claim when neither it nor its session names one."),
  lockDelayMsMax: bounds(60_000, 0, 60_000, "Longest lock-delay that may be asked for."),
  waitMsMax: bounds(dayMs, 0, dayMs, "Longest time that a claim may wait."),
  disconnectGraceMs: bounds(10_000, 0, dayMs, "How long a waiting claim outlives its last poll."),
  sessions: bounds(200_000, 1, 10_000_000, "Live sessions."),
  claims: bounds(2_000_000, 1, 100_000_000, "Live claims over all sessions."),
  claimsPerSession: bounds(10_000, 1, 1_000_000, "Live claims of one session, with ends not acknowledged."),
  waitersPerName: bounds(10_000, 1, 1_000_000, "Claims that may wait for one name."),
  semaphores: bounds(100_000, 0, 10_000_000, "Semaphores that stay until they are deleted."),
  rememberedClaims: bounds(500_000, 0, 100_000_000, "Ended claims that are remembered with their id."),
  rememberedClaimsPerSession: bounds(1_024, 0, 1_000_000, "The same for one session."),
  tombstones: bounds(10_000, 0, 1_000_000, "Ended sessions that are remembered."),
  tombstoneMs: bounds(3_600_000, 0, 7 * dayMs, "How long an ended session is remembered."),
  metadataBytes: bounds(4_096, 0, 65_536, "Metadata of one session or claim."),
  sweepBudget: bounds(
    2_000,
    1,
    1_000_000,
    "Claims that the due deadlines of one log entry may touch; what is left is for the next.",
  ),
};

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(settingBounds, name);
}

export const settingNames = Object.keys(settingBounds) as readonly SettingName[];

export const defaultSettings = Object.fromEntries(
  settingNames.map((name) => [name, settingBounds[name].fallback]),
) as unknown as Settings;

/** Pairs of which the first must not exceed the second. */
export const settingOrder: readonly (readonly [SettingName, SettingName])[] = [
  ["defaultTtlMs", "ttlMsMax"],
  ["lockDelayMs", "lockDelayMsMax"],
  ["claimsPerSession", "claims"],
];

export interface SettingFault {
  readonly name: SettingName;
  /** What is wrong, to be read after the name. */
  readonly what: string;
}

/** What is wrong with these settings: nothing, mostly. */
export function settingFaults(settings: Settings): readonly SettingFault[] {
  const faults: SettingFault[] = [];
  for (const name of settingNames) {
    const { min, max } = settingBounds[name];
    const value = settings[name];
    if (value < min || value > max) faults.push({ name, what: `must be from ${min} to ${max}, is ${value}` });
  }
  for (const [low, high] of settingOrder) {
    if (settings[low] <= settings[high]) continue;
    faults.push({
      name: low,
      what: `is ${settings[low]} and must not exceed ${high}, which is ${settings[high]}`,
    });
  }
  return faults;
}

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
