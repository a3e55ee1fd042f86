/**
 * The catalogue of errors: every code that an answer may carry, with its status and meaning. The one table that the
 * server answers from, clients decide by, and docs/API.md prints (a test proves the two equal).
 * "Held by someone" and "cannot reach a quorum" never share a code; "unknown whether it happened" has its own.
 */

/** One row. `retryable`: the same request, with the same ids, may succeed later without anybody changing it. */
export interface ErrorEntry {
  readonly status: number;
  /** Short, the same in every occurrence. */
  readonly title: string;
  readonly retryable: boolean;
  /** How long to wait before a retry, milliseconds; absent: no advice. */
  readonly retryAfterMs?: number;
  /** One sentence: what it means and what to do. */
  readonly meaning: string;
}

export type ErrorCode = keyof typeof errorCatalogue;

export const errorCatalogue = {
  "not-leader": {
    status: 307,
    title: "Another node leads",
    retryable: true,
    meaning: "Follow `Location` with the same method and body; nothing was done here.",
  },
  "bad-request": {
    status: 400,
    title: "The request cannot be read",
    retryable: false,
    meaning: "The body is not JSON, the URL is malformed, or the session id is missing.",
  },
  "not-holder": {
    status: 403,
    title: "The claim belongs to another session",
    retryable: false,
    meaning: "Only the session that made a claim may release, cancel or shrink it.",
  },
  "not-found": {
    status: 404,
    title: "There is no such thing",
    retryable: false,
    meaning: "No such route or verb, or a session or claim that the cluster does not know (any more).",
  },
  "method-not-allowed": {
    status: 405,
    title: "This path has no such method",
    retryable: false,
    meaning: "`Allow` lists the methods that the path has.",
  },
  "request-timeout": {
    status: 408,
    title: "The request arrived too slowly",
    retryable: true,
    meaning: "Headers must arrive within 5 s and the whole request within 10 s; nothing was done.",
  },
  "session-conflict": {
    status: 409,
    title: "The session id stands for another session",
    retryable: false,
    meaning: "A live session has this id with another ttl, lock-delay, label or metadata; choose another id.",
  },
  "claim-conflict": {
    status: 409,
    title: "The claim id stands for another claim",
    retryable: false,
    meaning:
      "Another session or another lock was asked for under this id, or (`forgotten`) it is too old to be remembered; nothing was done.",
  },
  "claim-ended": {
    status: 409,
    title: "The claim was released or cancelled",
    retryable: false,
    meaning: "An ended claim is never granted again; acquire under a new id.",
  },
  "claim-lost": {
    status: 409,
    title: "The hold ended before its holder gave it up",
    retryable: false,
    meaning: "The claim was held and then lost (`reason`): work done under it may have run unprotected.",
  },
  "already-held": {
    status: 409,
    title: "The owner holds it already",
    retryable: false,
    meaning:
      "The same `owner` of the session has this lock in a mode that covers the one asked for; `claim` is that hold. Go on under it.",
  },
  "already-waiting": {
    status: 409,
    title: "The owner waits already",
    retryable: false,
    meaning:
      "An owner waits for one thing at a time; `claim` is what it waits for. Use another owner, or release it.",
  },
  "kind-mismatch": {
    status: 409,
    title: "The name stands for a thing of the other kind",
    retryable: false,
    meaning: "`is` says what it is, a lock or a semaphore, as long as it has state; choose another name.",
  },
  "capacity-conflict": {
    status: 409,
    title: "The semaphore has another capacity",
    retryable: false,
    meaning: "`capacity` is what it has. Name none or that one, or change it with a PUT.",
  },
  "in-use": {
    status: 409,
    title: "The semaphore is held or waited for",
    retryable: false,
    meaning:
      "It can be deleted when its last claim has ended; a PUT with capacity 0 lets nobody in meanwhile.",
  },
  "config-conflict": {
    status: 409,
    title: "The cluster's members do not allow this now",
    retryable: false,
    meaning: "A hand-over cannot start: one is running, or no other member is reachable (`reason`).",
  },
  "session-expired": {
    status: 410,
    title: "The session has ended",
    retryable: false,
    meaning:
      "It expired, was closed or was killed (`ended` says when and why); nothing of it is held. Open a new session.",
  },
  "too-large": {
    status: 413,
    title: "The body is too large",
    retryable: false,
    meaning:
      "A body may have 64 KiB (the node's `bodyBytes`), a batch 1 MiB (`batchBytes`) and 256 operations.",
  },
  "uri-too-long": {
    status: 414,
    title: "The URL is too long",
    retryable: false,
    meaning: "Path and query may have 4 096 characters.",
  },
  "unsupported-media-type": {
    status: 415,
    title: "The body is not declared as JSON",
    retryable: false,
    meaning: "Send `Content-Type: application/json` (curl: `--json`).",
  },
  invalid: {
    status: 422,
    title: "The request asks for something impossible",
    retryable: false,
    meaning:
      "It is JSON, but not what this endpoint takes; `errors` lists each `path` and what is wrong there.",
  },
  "exceeds-capacity": {
    status: 422,
    title: "More permits than there are",
    retryable: false,
    meaning: "The semaphore has `capacity` permits in all, so this could never be granted; ask for fewer.",
  },
  locked: {
    status: 423,
    title: "Somebody else holds it or is ahead",
    retryable: false,
    meaning:
      "A try-lock was refused; `reason`, `blockedBy` and `availableInMs` say why. Name a `waitMs` to wait in the queue.",
  },
  "wait-timeout": {
    status: 423,
    title: "The claim's waiting time is over",
    retryable: false,
    meaning: "`waitMs` passed in the queue; the claim has ended. Acquire under a new id to try again.",
  },
  quota: {
    status: 429,
    title: "A limit of the cluster is reached",
    retryable: true,
    retryAfterMs: 1_000,
    meaning: "`limit` names the setting and `max` its value; nothing was done.",
  },
  "headers-too-large": {
    status: 431,
    title: "The headers are too large",
    retryable: false,
    meaning: "Request line and headers together may have 8 KiB.",
  },
  internal: {
    status: 500,
    title: "A bug in the server",
    retryable: false,
    meaning: "Please report it with the request id; whether the request took effect is unknown.",
  },
  "no-leader": {
    status: 503,
    title: "No node leads at the moment",
    retryable: true,
    retryAfterMs: 500,
    meaning: "An election is running or a majority is unreachable; nothing was done.",
  },
  indeterminate: {
    status: 503,
    title: "Unknown whether it happened",
    retryable: true,
    retryAfterMs: 200,
    meaning:
      "Leadership was lost under way. Repeat it with the same session and claim ids: nothing happens twice.",
  },
  overloaded: {
    status: 503,
    title: "The node takes no more work",
    retryable: true,
    retryAfterMs: 1_000,
    meaning: "Its queue is full or its log has reached its limit (`reason`); nothing was done.",
  },
  "shutting-down": {
    status: 503,
    title: "This node is stopping",
    retryable: true,
    retryAfterMs: 200,
    meaning: "Ask another node; a waiting claim keeps its place.",
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/** In the order of the table. */
export const errorCodes = Object.keys(errorCatalogue) as readonly ErrorCode[];

/** Codes of features that do not exist yet: reserved, never answered by this version. */
export const laterErrorCodes = [
  "unauthenticated",
  "forbidden",
  "deadlock",
  "fence-mismatch",
  "compacted",
  "no-quorum",
] as const;

/** The row of a code, as the common type. */
export function errorEntry(code: ErrorCode): ErrorEntry {
  return errorCatalogue[code];
}

/** How a problem's `type` names its code. */
export function errorType(code: ErrorCode): string {
  return `urn:holdfast:error:${code}`;
}
