/**
 * JSON Schemas of request bodies and queries, with the TypeScript types of what they admit beside them.
 * Unknown fields are refused everywhere, so that a typo never passes silently. Bounds that are replicated settings
 * (ttl, waiting time, lock-delay, metadata) are checked against those settings, not here. Pure.
 */
import { claimIdPattern, pollMsMax, sessionIdPattern } from "./names.ts";

/** The part of JSON Schema that is used here. */
export interface Schema {
  readonly type: "object" | "array" | "string" | "integer";
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: false | Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly enum?: readonly string[];
}

export interface OpenSessionBody {
  readonly sessionId?: string;
  readonly ttlMs?: number;
  readonly lockDelayMs?: number;
  readonly label?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface KeepAliveBody {
  readonly seen?: number;
}

export interface SessionBody {
  readonly sessionId?: string;
}

/** Of `POST /v1/locks/{name}:acquire`; the lock is in the path. */
export interface AcquireLockBody {
  readonly sessionId?: string;
  readonly claimId?: string;
  readonly mode?: "exclusive";
  readonly waitMs?: number;
  readonly pollMs?: number;
  readonly lockDelayMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly onDisconnect?: "cancel" | "keep";
}

/** Of `POST /v1/claims`: exactly one of `lock` and `resources`. */
export interface ClaimBody extends AcquireLockBody {
  readonly lock?: string;
  readonly resources?: readonly { readonly lock: string; readonly mode?: "exclusive" }[];
}

export interface TransferLeadershipBody {
  readonly to?: string;
}

const labelMax = 256;

function object(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return { type: "object", additionalProperties: false, properties, required };
}

function duration(
  description: string,
  bounds: { readonly minimum?: number; readonly maximum?: number } = {},
): Schema {
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = bounds;
  return { type: "integer", minimum, maximum, description };
}

const sessionId: Schema = { type: "string", pattern: sessionIdPattern };
const mode: Schema = { type: "string", enum: ["exclusive"], description: "default exclusive" };
const metadata: Schema = {
  type: "object",
  additionalProperties: { type: "string" },
  description: "strings for whoever is blocked",
};

export const openSessionBody = object({
  sessionId: { ...sessionId, description: "made by the server when absent" },
  ttlMs: duration("how long it lives without renewal; default and bounds are settings", { minimum: 1 }),
  lockDelayMs: duration("of its claims that name none; default a setting"),
  label: { type: "string", maxLength: labelMax, description: "who this is, for people" },
  metadata,
});

export const keepAliveBody = object({
  seen: duration("revision of the newest answer whose ends were acted on"),
});

export const sessionBody = object({
  sessionId: { ...sessionId, description: "or the header Holdfast-Session" },
});

const acquireFields: Readonly<Record<string, Schema>> = {
  sessionId: { ...sessionId, description: "or the header Holdfast-Session" },
  claimId: { type: "string", pattern: claimIdPattern, description: "made by the server when absent" },
  mode,
  waitMs: duration("how long the claim may wait; 0, the default, is a try-lock"),
  pollMs: duration("how long this request may be held", { maximum: pollMsMax }),
  lockDelayMs: duration(
    "how long nobody is granted the lock after an unclean end; default the session's, then a setting",
  ),
  metadata,
  onDisconnect: {
    type: "string",
    enum: ["cancel", "keep"],
    description: "what hanging up means; default cancel",
  },
};

export const acquireLockBody = object(acquireFields);

export const claimBody = object({
  ...acquireFields,
  lock: { type: "string", description: "the lock's name" },
  resources: {
    type: "array",
    description: '`[{"lock", "mode"?}]` instead of `lock` and `mode`',
    minItems: 1,
    maxItems: 1,
    items: object({ lock: { type: "string" }, mode }, ["lock"]),
  },
});

export const transferLeadershipBody = object({
  to: { type: "string", maxLength: 256, description: "a member's id; the best one when absent" },
});

const consistency: Schema = {
  type: "string",
  enum: ["linearizable", "stale"],
  description: "default linearizable",
};

/** Of every read that any node may answer when asked to. */
export const readQuery = object({ consistency });

/** In queries numbers are strings. */
export const pollQuery = object({
  consistency,
  pollMs: { type: "string", pattern: "^[0-9]{1,5}$", description: `0 … ${pollMsMax}` },
});

const page: Readonly<Record<string, Schema>> = {
  consistency,
  cursor: { type: "string", maxLength: 1_024, description: "from the answer before" },
  limit: { type: "string", pattern: "^[0-9]{1,4}$", description: "1 … 1000, default 100" },
};

export const sessionListQuery = object(page);

export const lockListQuery = object({
  ...page,
  prefix: { type: "string", maxLength: 512, description: "of the names" },
  state: { type: "string", enum: ["free", "held", "delayed"], description: "absent: any" },
});

export const noQuery = object({});

/** Of health checks: whoever probes may add what it likes. */
export const anyQuery: Schema = { type: "object" };
