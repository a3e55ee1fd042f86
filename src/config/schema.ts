/**
 * Every key of the cluster file but `members`, as data: the one table behind parsing, environment names and docs.
 */
import { defaultSettings, type SettingName, settingNames } from "../locks/settings.ts";
import { defaultNode, defaultTiming } from "./types.ts";

export type FieldType =
  /** Whole numbers, both bounds allowed. */
  | {
      readonly kind: "integer";
      readonly unit: "milliseconds" | "bytes" | "count";
      readonly min: number;
      readonly max: number;
      readonly fallback: number;
    }
  | { readonly kind: "boolean"; readonly fallback: boolean }
  /** `host:port`; absent by default. */
  | { readonly kind: "address" }
  /** 1–64 of `A-Za-z0-9._-`; must be given. */
  | { readonly kind: "name" };

export interface Field {
  /** `timing.tickMs`: at most one dot. */
  readonly path: string;
  readonly type: FieldType;
  /** One sentence for help and docs. */
  readonly doc: string;
}

/** How many founding members a file may name. */
export const membersMax = 15;

/** Settings that are computed instead of written: twice the election timeout. */
export const derivedSetting = "electionTimeoutMaxMs" satisfies SettingName;

const dayMs = 86_400_000;

type Bounds = readonly [min: number, max: number, doc: string];

const settingBounds: Readonly<Record<Exclude<SettingName, typeof derivedSetting>, Bounds>> = {
  defaultTtlMs: [1, dayMs, "Ttl of a session that asks for none; raised to 8 election timeouts if smaller."],
  ttlMsMax: [1, dayMs, "Longest ttl that a session is granted."],
  lockDelayMs: [0, 60_000, "Lock-delay of a claim when neither it nor its session names one."],
  lockDelayMsMax: [0, 60_000, "Longest lock-delay that may be asked for."],
  waitMsMax: [0, dayMs, "Longest time that a claim may wait."],
  disconnectGraceMs: [0, dayMs, "How long a waiting claim outlives its last poll."],
  sessions: [1, 10_000_000, "Live sessions."],
  claims: [1, 100_000_000, "Live claims over all sessions."],
  claimsPerSession: [1, 1_000_000, "Live claims of one session."],
  waitersPerName: [1, 1_000_000, "Claims that may wait for one name."],
  rememberedClaims: [0, 100_000_000, "Ended claims that are remembered with their id."],
  rememberedClaimsPerSession: [0, 1_000_000, "The same for one session."],
  tombstones: [0, 1_000_000, "Ended sessions that are remembered."],
  tombstoneMs: [0, 7 * dayMs, "How long an ended session is remembered."],
  metadataBytes: [0, 65_536, "Metadata of one session or claim."],
  sweepBudget: [1, 1_000_000, "Claims that the due deadlines of one log entry may touch."],
};

function integer(
  path: string,
  fallback: number,
  [min, max, doc]: Bounds,
  unit: "milliseconds" | "bytes" | "count",
): Field {
  return { path, doc, type: { kind: "integer", unit, min, max, fallback } };
}

function unitOf(name: string): "milliseconds" | "bytes" | "count" {
  if (/Ms(Max)?$/.test(name)) return "milliseconds";
  return name.endsWith("Bytes") ? "bytes" : "count";
}

function group<Name extends string>(
  prefix: string,
  bounds: Readonly<Record<Name, Bounds>>,
  defaults: Readonly<Record<Name, number>>,
): readonly Field[] {
  const names = Object.keys(bounds) as Name[];
  return names.map((name) => integer(`${prefix}.${name}`, defaults[name], bounds[name], unitOf(name)));
}

/** In the order in which they are written and documented. */
export const fields: readonly Field[] = [
  { path: "clusterName", type: { kind: "name" }, doc: "Name of the cluster, the same on every node." },
  ...group(
    "timing",
    {
      tickMs: [5, 1000, "Clock tick; heartbeat and election timeout are multiples of it."],
      heartbeatMs: [5, 1000, "How often the leader shows that it is there."],
      // Bounded by the handshake of the peer connections, which must outlast one election timeout.
      electionTimeoutMs: [
        15,
        2500,
        "Silence after which a follower may start an election, drawn from one to two of these.",
      ],
    },
    defaultTiming,
  ),
  ...group("settings", settingBounds, defaultSettings),
  ...group(
    "node",
    {
      bodyBytes: [1024, 1_048_576, "Largest request body."],
      batchBytes: [1024, 8_388_608, "Largest body of a batch."],
      connections: [1, 1_000_000, "Client connections."],
      logBytes: [65_536, 68_719_476_736, "Log size at which writes are refused; the log is kept in memory."],
    },
    defaultNode,
  ),
  {
    path: "listen.http",
    type: { kind: "address" },
    doc: "What this node binds for clients, when it differs from its own entry in members.",
  },
  {
    path: "listen.peer",
    type: { kind: "address" },
    doc: "What this node binds for the other members, when it differs.",
  },
  {
    path: "security.open",
    type: { kind: "boolean", fallback: false },
    doc: "Allow addresses that other machines reach although nothing is encrypted and nobody is authenticated.",
  },
];

export const groupNames: readonly string[] = [
  ...new Set(fields.flatMap(({ path }) => (path.includes(".") ? [path.slice(0, path.indexOf("."))] : []))),
];

/** The keys below a group, or at the top for "". */
export function keysOf(groupName: string): readonly string[] {
  const below = fields.flatMap(({ path }) => {
    const dot = path.indexOf(".");
    return (dot < 0 ? "" : path.slice(0, dot)) === groupName ? [path.slice(dot + 1)] : [];
  });
  return groupName === "" ? [...below, "members", ...groupNames] : below;
}

/** `timing.electionTimeoutMs` → `HOLDFAST_TIMING_ELECTION_TIMEOUT_MS`. */
export function environmentName(path: string): string {
  return `HOLDFAST_${path.replaceAll(".", "_").replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}

/** Every replicated setting that a file may give; a test holds it against `settingNames`. */
export const fileSettingNames: readonly SettingName[] = settingNames.filter(
  (name) => name !== derivedSetting,
);
