/**
 * JSON Schemas of what answers hold: the types of `types.ts` as data, for the OpenAPI document. Tests hold every answer
 * that they meet to them. They admit unknown fields, for a later version may add some. Pure.
 */
import { errorCodes } from "./errors.ts";
import type { Schema } from "./schemas.ts";

type Fields = Readonly<Record<string, Schema>>;

const text: Schema = { type: "string" };
const integer: Schema = { type: "integer" };
const count: Schema = { type: "integer", minimum: 0 };
const wallTime: Schema = { type: "string", description: "RFC 3339, for people; decides nothing" };
const sessionRef: Schema = {
  type: "string",
  pattern: "^[0-9a-f]{16}$",
  description: "how others see a session",
};
const strings: Schema = { type: "object", additionalProperties: text };
const numbers: Schema = { type: "object", additionalProperties: integer };
const fence: Schema = { ...count, description: "of the grant; rises over the life of every name" };
const revision: Schema = { ...count, description: "log index of the change, or of the state that is shown" };
const availableInMs: Schema = { ...count, description: "left of a lock-delay or a hand-back" };

function one(value: string): Schema {
  return { type: "string", enum: [value] };
}

function ref(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

function listOf(items: Schema): Schema {
  return { type: "array", items };
}

/** An object that always has the first fields and may have the others. */
function shape(always: Fields, sometimes: Fields = {}): Schema {
  return { type: "object", properties: { ...always, ...sometimes }, required: Object.keys(always) };
}

function page(item: string): Schema {
  return shape(
    { items: listOf(ref(item)) },
    { cursor: { type: "string", description: "absent: that was all" } },
  );
}

const lease: Fields = {
  ttlMs: { ...count, description: "as granted" },
  leaseMs: { ...count, description: "how long its client may believe, from the sending of the request" },
  renewAfterMs: count,
};

const holder: Fields = { claimId: text, sessionRef, label: text, fence, heldMs: count, metadata: strings };
const queued: Fields = { claimId: text, sessionRef, label: text, waitedMs: count };
const mode: Schema = { type: "string", enum: ["exclusive", "shared"] };
const who: Fields = { claimId: text, sessionRef };
const resources = listOf(ref("Resource"));

const sessionFields: Fields = {
  sessionRef,
  state: one("live"),
  ...lease,
  expiresInMs: count,
  label: text,
  metadata: strings,
  createdAt: wallTime,
  clusterTimeMs: count,
  revision,
};

const ended = listOf(ref("EndedHold"));
const revokes: Schema = listOf({ type: "object" });

/** By the name that the document gives them. */
export const answerSchemas = {
  Session: shape(sessionFields, {
    sessionId: { type: "string", description: "only to whoever asked by it" },
    lockDelayMs: count,
    claims: listOf(ref("Claim")),
    claimCount: count,
    ended,
    revokes,
  }),
  EndedSession: shape(
    {
      sessionRef,
      state: one("ended"),
      reason: { type: "string", enum: ["expired", "closed", "killed"] },
      endedAt: wallTime,
      revision,
    },
    { note: text },
  ),
  EndedHold: shape({ claimId: text, reason: text, revision }),
  KeepAlive: shape({ sessionRef, ...lease, clusterTimeMs: count, revision, ended, revokes }),
  Sessions: page("Session"),
  SessionClaims: shape(
    { sessionRef, revision, claims: listOf(ref("Claim")) },
    {
      more: { type: "boolean", description: "ask again at once, from this revision" },
      forgotten: {
        type: "boolean",
        description: "some that ended since are not remembered: what is not shown and not live has ended",
      },
    },
  ),
  Resource: {
    oneOf: [
      shape({ lock: text, mode }, { sequencer: text }),
      shape({ semaphore: text, permits: count }, { sequencer: text }),
    ],
  },
  Claim: { oneOf: [ref("HeldClaim"), ref("WaitingClaim"), ref("EndedClaim")] },
  HeldClaim: shape(
    {
      ...who,
      state: one("held"),
      resources,
      fence,
      waitedMs: count,
      heldMs: count,
      heldSince: wallTime,
      revision,
    },
    { owner: text, maxHoldLeftMs: count },
  ),
  WaitingClaim: shape(
    {
      ...who,
      state: one("waiting"),
      resources,
      position: { type: "integer", minimum: 1 },
      waitedMs: count,
      waitLeftMs: count,
      blockedBy: listOf(ref("Blocker")),
      queueLength: count,
      revision,
    },
    { owner: text, reason: text, availableInMs },
  ),
  EndedClaim: shape({ ...who, state: one("ended"), reason: text, revision }, { fence, heldMs: count }),
  Blocker: shape({ ...who, label: text, metadata: strings }, { owner: text, heldMs: count }),
  Lock: shape(
    {
      lock: text,
      state: { type: "string", enum: ["free", "held", "delayed"] },
      holders: listOf(shape(holder, { owner: text })),
      queueLength: count,
      revision,
    },
    { mode, queue: listOf(shape({ ...queued, mode }, { owner: text })), availableInMs },
  ),
  Locks: page("Lock"),
  Semaphore: shape(
    {
      semaphore: text,
      capacity: count,
      available: { ...integer, description: "negative after a decrease below what is held" },
      cooling: count,
      isSet: { type: "boolean", description: "it stays until it is deleted" },
      holders: listOf(shape({ ...holder, permits: count }, { owner: text })),
      queueLength: count,
      revision,
    },
    { queue: listOf(shape({ ...queued, permits: count }, { owner: text })) },
  ),
  Semaphores: page("Semaphore"),
  DeletedSemaphore: shape({ semaphore: text, state: one("deleted"), revision }),
  Check: shape({ results: listOf(ref("CheckResult")), revision }),
  CheckResult: shape(
    {
      status: {
        type: "string",
        enum: ["current", "superseded", "released", "expired", "unknown", "malformed"],
        description: "anything but current means no",
      },
    },
    { name: text, fence: count, currentFence: count },
  ),
  Batch: shape({ results: listOf(shape({ status: integer, body: { type: "object" } })) }),
  Cluster: shape(
    {
      node: { type: "string", description: "whose view this is" },
      term: count,
      members: listOf(ref("Member")),
      clusterTimeMs: count,
      revision,
      counts: shape({
        sessions: count,
        claimsHeld: count,
        claimsWaiting: count,
        locks: count,
        semaphores: count,
        logBytes: count,
      }),
    },
    { clusterId: text, name: text, leader: text, settings: numbers },
  ),
  Member: shape(
    {
      id: text,
      role: { type: "string", enum: ["leader", "follower"] },
      state: { type: "string", enum: ["up", "down"] },
    },
    { http: text, match: count, lagEntries: count, lastContactMs: count },
  ),
  HandOver: shape({ state: { type: "string", enum: ["started", "done"] }, target: text }),
  Settings: shape({ settings: numbers, revision }),
  Health: shape({ status: { type: "string", enum: ["ok", "ready"] } }),
  Unready: shape({ status: one("unready"), reasons: listOf(text) }),
  OpenApi: shape({ openapi: text, info: { type: "object" }, paths: { type: "object" } }),
  Problem: shape(
    {
      type: text,
      title: text,
      status: integer,
      detail: { type: "string", description: "for a person, with what to do" },
      instance: { type: "string", description: "the request id" },
      code: { type: "string", enum: errorCodes },
      retryable: { type: "boolean" },
    },
    {
      retryAfterMs: count,
      errors: listOf(shape({ path: text, message: text })),
      reason: text,
      claimId: text,
      sessionId: { type: "string", description: "made by the server, for the one who asked" },
      claim: ref("Claim"),
      ended: ref("EndedSession"),
      blockedBy: listOf(ref("Blocker")),
      queueLength: count,
      availableInMs,
      verbs: listOf(text),
      allow: listOf(text),
      leader: text,
      leaderUrl: text,
      forgotten: { type: "boolean" },
      limit: text,
      max: count,
      name: text,
      is: { type: "string", enum: ["lock", "semaphore"] },
      permits: count,
      capacity: count,
      holders: count,
    },
  ),
} as const satisfies Readonly<Record<string, Schema>>;

export type AnswerName = keyof typeof answerSchemas;
