/**
 * JSON Schemas of request bodies and queries, with the TypeScript types of what they admit beside them.
 * Unknown fields are refused everywhere, so that a typo never passes silently. Bounds that are replicated settings
 * (ttl, waiting time, lock-delay, metadata) are checked against those settings, not here. Pure.
 */
import { claimIdPattern, pollMsMax, sessionIdPattern } from "./names.ts";

/** The part of JSON Schema that is used here. */
export interface Schema {
  readonly type?: "object" | "array" | "string" | "integer" | "boolean";
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: false | Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minProperties?: number;
  readonly pattern?: string;
  readonly enum?: readonly string[];
  /** A named schema of the OpenAPI document; only there. */
  readonly $ref?: string;
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
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

/** What every acquire may say, whatever it is of. */
export interface AcquireBody {
  readonly sessionId?: string;
  readonly claimId?: string;
  readonly waitMs?: number;
  readonly pollMs?: number;
  readonly lockDelayMs?: number;
  readonly maxHoldMs?: number;
  readonly owner?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly onDisconnect?: "cancel" | "keep";
}

export interface LockAsked {
  readonly mode?: "exclusive" | "shared";
}

export interface PermitsAsked {
  readonly permits?: number;
  readonly capacity?: number;
}

/** Of `POST /v1/locks/{name}:acquire`; the lock is in the path. */
export interface AcquireLockBody extends AcquireBody, LockAsked {}

/** Of `POST /v1/semaphores/{name}:acquire`. */
export interface AcquireSemaphoreBody extends AcquireBody, PermitsAsked {}

/** One thing asked for: a lock or a semaphore, never both. */
export interface ResourceAsked extends LockAsked, PermitsAsked {
  readonly lock?: string;
  readonly semaphore?: string;
}

/** Of `POST /v1/claims`: exactly one of `lock`, `semaphore` and `resources`. */
export interface ClaimBody extends AcquireBody, ResourceAsked {
  readonly resources?: readonly ResourceAsked[];
}

export interface ShrinkBody {
  readonly sessionId?: string;
  readonly permits: number;
}

export interface KillSessionBody {
  readonly reason: string;
}

export interface SetSemaphoreBody {
  readonly capacity: number;
}

export interface CheckBody {
  readonly sequencers: readonly string[];
}

/** Each operation is checked by itself, so that a wrong one fails alone. */
export interface BatchBody {
  readonly operations: readonly unknown[];
}

/** New values by name; the others stay. */
export type SettingsBody = Readonly<Record<string, number>>;

export interface TransferLeadershipBody {
  readonly to?: string;
}

const labelMax = 256;
/** Permits of a semaphore, and so of a claim. */
const permitsMax = 1_000_000_000;
const yearMs = 31_536_000_000;
/** Operations of one batch; more are 413. */
export const batchMax = 256;

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
const presentedSessionId: Schema = { ...sessionId, description: "or the header Holdfast-Session" };
const mode: Schema = { type: "string", enum: ["exclusive", "shared"], description: "default exclusive" };
const permits: Schema = {
  type: "integer",
  minimum: 1,
  maximum: permitsMax,
  description: "all of them or none; default 1",
};
const capacity: Schema = {
  type: "integer",
  minimum: 1,
  maximum: permitsMax,
  description: "makes the semaphore if there is none; else it must be what it has",
};
const name: Schema = { type: "string", maxLength: 512 };
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

export const sessionBody = object({ sessionId: presentedSessionId });

export const shrinkBody = object(
  {
    sessionId: presentedSessionId,
    permits: { ...permits, description: "what the claim keeps; the same again changes nothing" },
  },
  ["permits"],
);

export const killSessionBody = object(
  { reason: { type: "string", minLength: 1, maxLength: labelMax, description: "for whoever finds it gone" } },
  ["reason"],
);

export const setSemaphoreBody = object(
  {
    capacity: { ...capacity, minimum: 0, description: "0 grants nothing; what is held stays held" },
  },
  ["capacity"],
);

export const checkBody = object(
  {
    sequencers: {
      type: "array",
      minItems: 1,
      maxItems: 64,
      items: { type: "string", maxLength: 4_096 },
      description: "as holders were given them",
    },
  },
  ["sequencers"],
);

export const batchBody = object(
  {
    operations: {
      type: "array",
      minItems: 1,
      items: { type: "object" },
      description: `up to ${batchMax}: \`{"op": "acquire" | "release" | "keepalive" | "get", …}\``,
    },
  },
  ["operations"],
);

export const settingsBody: Schema = {
  type: "object",
  minProperties: 1,
  additionalProperties: { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  description: "new values by name; the others stay",
};

const acquireFields: Readonly<Record<string, Schema>> = {
  sessionId: presentedSessionId,
  claimId: { type: "string", pattern: claimIdPattern, description: "made by the server when absent" },
  waitMs: duration("how long the claim may wait; 0, the default, is a try-lock"),
  pollMs: duration("how long this request may be held", { maximum: pollMsMax }),
  lockDelayMs: duration(
    "how long nobody is granted it after an unclean end; default the session's, then a setting",
  ),
  maxHoldMs: duration("the server ends the hold after this time, whatever is renewed", {
    minimum: 1,
    maximum: yearMs,
  }),
  owner: {
    type: "string",
    minLength: 1,
    maxLength: 128,
    description: "which thread of control asks; without one every claim is its own",
  },
  metadata,
  onDisconnect: {
    type: "string",
    enum: ["cancel", "keep"],
    description: "what hanging up means; default cancel",
  },
};

export const acquireLockBody = object({ ...acquireFields, mode });

export const acquireSemaphoreBody = object({ ...acquireFields, permits, capacity });

const resourceFields: Readonly<Record<string, Schema>> = {
  lock: { ...name, description: "a lock's name" },
  mode,
  semaphore: { ...name, description: "or a semaphore's" },
  permits,
  capacity,
};

export const claimBody = object({
  ...acquireFields,
  ...resourceFields,
  resources: {
    type: "array",
    description:
      '`[{"lock", "mode"?}]` or `[{"semaphore", "permits"?, "capacity"?}]` instead of these fields',
    minItems: 1,
    maxItems: 1,
    items: object(resourceFields),
  },
});

/** The operations of a batch, by `op`. */
export const batchOperations: Readonly<Record<string, Schema>> = {
  acquire: object({ op: { type: "string" }, ...claimBody.properties }, ["op"]),
  release: object(
    { op: { type: "string" }, claimId: { type: "string", pattern: claimIdPattern }, sessionId },
    ["op", "claimId", "sessionId"],
  ),
  keepalive: object({ op: { type: "string" }, sessionId, seen: duration("as in a keepalive") }, [
    "op",
    "sessionId",
  ]),
  get: object({ op: { type: "string" }, claimId: { type: "string", pattern: claimIdPattern } }, [
    "op",
    "claimId",
  ]),
};

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

export const semaphoreListQuery = object({
  ...page,
  prefix: { type: "string", maxLength: 512, description: "of the names" },
});

export const sessionClaimsQuery = object({
  since: {
    type: "string",
    pattern: "^[0-9]{1,15}$",
    description: "the revision of the answer before; default 0, which asks for all that is known",
  },
  pollMs: { type: "string", pattern: "^[0-9]{1,5}$", description: `0 … ${pollMsMax}, default ${pollMsMax}` },
});

export const noQuery = object({});

/** Where a body would be read and has nothing to say. */
export const noBody = object({});

/** Of health checks: whoever probes may add what it likes. */
export const anyQuery: Schema = { type: "object" };
