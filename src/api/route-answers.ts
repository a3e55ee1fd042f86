/**
 * What each route can answer: its shapes by status, the codes of its refusals, and whether a session is presented.
 * Tests hold every answer that they meet to this table; a route without a row does not compile. Pure.
 */
import type { AnswerName } from "./answers.ts";
import type { ErrorCode } from "./errors.ts";
import { type RouteId, routeOf } from "./routes.ts";

export interface RouteAnswers {
  readonly ok: Readonly<Record<number, AnswerName>>;
  /** Beyond those that `codesOf` adds by what kind of route it is. */
  readonly codes: readonly ErrorCode[];
  /** Who decides: the leader, after a write or a confirmed read; or the node that was asked. */
  readonly by: "write" | "read" | "node" | "process";
  /** The header Holdfast-Session: `needed` (there or in the body), or `taken` into account. */
  readonly session?: "needed" | "taken";
}

const ofSession = ["not-found", "session-expired"] as const;
const ofAcquire = [
  ...ofSession,
  "claim-conflict",
  "claim-ended",
  "claim-lost",
  "already-held",
  "already-waiting",
  "kind-mismatch",
  "locked",
  "wait-timeout",
  "quota",
] as const;
const ofPermits = ["capacity-conflict", "exceeds-capacity"] as const;
const claimAnswers = { 200: "HeldClaim", 202: "WaitingClaim" } as const;

export const routeAnswers: Readonly<Record<RouteId, RouteAnswers>> = {
  "open-session": {
    ok: { 200: "Session", 201: "Session" },
    codes: ["session-conflict", "session-expired", "quota"],
    by: "write",
  },
  "list-sessions": { ok: { 200: "Sessions" }, codes: [], by: "read" },
  "get-session": { ok: { 200: "Session" }, codes: ofSession, by: "read" },
  "keep-alive": { ok: { 200: "KeepAlive" }, codes: ofSession, by: "write" },
  "close-session": { ok: { 200: "EndedSession" }, codes: ofSession, by: "write", session: "taken" },
  "kill-session": { ok: { 200: "EndedSession" }, codes: ofSession, by: "write" },
  "get-session-claims": { ok: { 200: "SessionClaims" }, codes: ofSession, by: "read" },
  "acquire-lock": { ok: claimAnswers, codes: ofAcquire, by: "write", session: "needed" },
  "list-locks": { ok: { 200: "Locks" }, codes: [], by: "read" },
  "get-lock": { ok: { 200: "Lock" }, codes: ["kind-mismatch"], by: "read" },
  "acquire-semaphore": {
    ok: claimAnswers,
    codes: [...ofAcquire, ...ofPermits],
    by: "write",
    session: "needed",
  },
  "list-semaphores": { ok: { 200: "Semaphores" }, codes: [], by: "read" },
  "get-semaphore": { ok: { 200: "Semaphore" }, codes: ["not-found", "kind-mismatch"], by: "read" },
  "set-semaphore": {
    ok: { 200: "Semaphore", 201: "Semaphore" },
    codes: ["kind-mismatch", "quota"],
    by: "write",
  },
  "delete-semaphore": {
    ok: { 200: "DeletedSemaphore" },
    codes: ["not-found", "kind-mismatch", "in-use"],
    by: "write",
  },
  claim: { ok: claimAnswers, codes: [...ofAcquire, ...ofPermits], by: "write", session: "needed" },
  "get-claim": {
    ok: { 200: "Claim", 202: "WaitingClaim" },
    codes: ["not-found"],
    by: "read",
    session: "taken",
  },
  "release-claim": {
    ok: { 200: "EndedClaim" },
    codes: [...ofSession, "not-holder", "claim-lost", "claim-conflict"],
    by: "write",
    session: "needed",
  },
  "shrink-claim": {
    ok: { 200: "HeldClaim" },
    codes: [...ofSession, "not-holder", "claim-ended", "claim-lost"],
    by: "write",
    session: "needed",
  },
  "check-sequencers": { ok: { 200: "Check" }, codes: [], by: "read" },
  batch: { ok: { 200: "Batch" }, codes: [], by: "write", session: "taken" },
  "get-cluster": { ok: { 200: "Cluster" }, codes: [], by: "node" },
  "transfer-leadership": {
    ok: { 200: "HandOver", 202: "HandOver" },
    codes: ["config-conflict"],
    by: "read",
  },
  "get-settings": { ok: { 200: "Settings" }, codes: [], by: "read" },
  "put-settings": { ok: { 200: "Settings" }, codes: [], by: "write" },
  livez: { ok: { 200: "Health" }, codes: [], by: "process" },
  readyz: { ok: { 200: "Health" }, codes: [], by: "process" },
  "get-openapi": { ok: { 200: "OpenApi" }, codes: [], by: "process" },
};

/** Of any request at all: what is wrong with it as HTTP, or with the server. */
const anywhere = ["bad-request", "request-timeout", "uri-too-long", "headers-too-large", "internal"] as const;

/** Every code that a route may answer, once each. */
export function codesOf(id: RouteId): readonly ErrorCode[] {
  const { codes, by } = routeAnswers[id];
  const { body, query, path } = routeOf(id);
  const found = new Set<ErrorCode>([...anywhere, ...codes]);
  const isChecked = body !== undefined || query.additionalProperties === false || path.includes("{");
  if (isChecked) found.add("invalid");
  if (body !== undefined) found.add("too-large").add("unsupported-media-type");
  // Health checks answer to the end; the rest of the process's own routes stop with it.
  if (id !== "livez" && id !== "readyz") found.add("shutting-down");
  if (by !== "process") found.add("no-leader").add("overloaded");
  if (by === "read" || by === "write") found.add("not-leader");
  if (by === "write") found.add("indeterminate");
  return [...found];
}
