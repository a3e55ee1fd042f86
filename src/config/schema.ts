/**
 * Every key of the cluster file but `members`, as data: the one table behind parsing, environment names and docs.
 */
import { type SettingName, settingBounds, settingNames } from "../locks/settings.ts";
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

type Bounds = readonly [min: number, max: number, doc: string];

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

/** Every replicated setting that a file may give; a test holds it against `settingNames`. */
export const fileSettingNames: readonly SettingName[] = settingNames.filter(
  (name) => name !== derivedSetting,
);

/** The machine's own table, without the derived one. */
const settingFields: readonly Field[] = fileSettingNames.map((name) => {
  const { fallback, min, max, doc } = settingBounds[name];
  return integer(`settings.${name}`, fallback, [min, max, doc], unitOf(name));
});

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
  ...settingFields,
  ...group(
    "node",
    {
      bodyBytes: [1024, 1_048_576, "Largest request body."],
      batchBytes: [1024, 8_388_608, "Largest body of a batch."],
      connections: [1, 1_000_000, "Client connections."],
      logBytes: [65_536, 68_719_476_736, "Log size at which writes are refused; the log is kept in memory."],
      snapshotEveryBytes: [
        4_096,
        17_179_869_184,
        "Log written since the last snapshot at which the next one is made; at most a quarter of logBytes counts.",
      ],
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
