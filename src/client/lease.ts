/**
 * A lease as its client must see it: until when it may be believed in, when to renew, which claims were taken from it.
 * Pure: times come in as elapsed milliseconds (`elapsed.ts`), what to do comes out as data. Never reads a clock, never
 * sends. Everything that renews (the command line, the client library) steps this one machine, so that the rule of
 * belief exists once. SEMANTICS §1 rule 9, §2.
 */

import type { EndedHold } from "../api/types.ts";
import { unreachable } from "../base/assert.ts";

/**
 * `healthy`: renewed in good time. `jeopardy`: a renewal is overdue, and the lease is still good. `unknown`: its deadline
 * passed unrenewed; the cluster may see it live or not. `lost`: the cluster says that the session is no more.
 * The last two are final.
 */
export type LeasePhase = "healthy" | "jeopardy" | "unknown" | "lost";

/** What a create or keepalive answer grants. */
export interface LeaseGrant {
  /** Milliseconds from the sending; ttl less the margin. */
  readonly leaseMs: number;
  readonly ttlMs: number;
  readonly renewAfterMs: number;
  /** Of the answer: what `seen` may name. 0 when the answer had none. */
  readonly revision: number;
  /** Complete, repeated until acknowledged. */
  readonly ended: readonly EndedHold[];
}

/** A claim that ended otherwise than by its session's own request. */
export interface ClaimEnd {
  readonly claimId: string;
  readonly reason: string;
  /**
   * The deadline as it was known before the first notice: until then hand-back keeps others out (SEMANTICS §4). The
   * answer that brought the notice renews the session, never this.
   */
  readonly knownUntilMs: number;
}

/** All times are elapsed milliseconds of one clock. */
export interface Lease {
  readonly phase: LeasePhase;
  /** Nothing may be believed from here on. Invariant: never moves back; never moves at all once over. */
  readonly validUntilMs: number;
  /** By then the cluster has ended the session, if nothing renewed it: no use in releasing later. */
  readonly ttlUntilMs: number;
  readonly leaseMs: number;
  /** The first send of the attempt that was answered last. */
  readonly renewedAtMs: number;
  /** Not before. */
  readonly renewAtMs: number;
  /** The first send of the attempt under way, through all its repetitions; undefined when the last was answered. */
  readonly attemptSinceMs: number | undefined;
  /** A request of the attempt is out. */
  readonly isAsking: boolean;
  /** The newest time that was seen: what comes with an older one counts as this. */
  readonly nowMs: number;
  readonly revision: number;
  readonly ended: readonly ClaimEnd[];
  /** Why it is `lost`, as the cluster says it. */
  readonly detail: string | undefined;
}

export type LeaseInput =
  /** Time passed. */
  | { readonly kind: "checked"; readonly nowMs: number }
  /** A keepalive is sent. */
  | { readonly kind: "asked"; readonly nowMs: number }
  | { readonly kind: "answered"; readonly nowMs: number; readonly grant: LeaseGrant }
  /** Nobody answered the request, or not with anything that decides. */
  | { readonly kind: "unanswered"; readonly nowMs: number }
  /** 404 or 410: the session is no more. */
  | { readonly kind: "gone"; readonly nowMs: number; readonly detail: string };

/** Why nothing of a claim can be relied on any more. */
export type LeaseOver =
  /** No renewal was answered in time. */
  | { readonly kind: "lapsed" }
  /** The cluster says that the session is no more. */
  | { readonly kind: "session-ended"; readonly detail: string }
  /** The claim was ended by somebody else. */
  | { readonly kind: "claim-ended"; readonly reason: string };

/** One claim of the session. */
export type Standing =
  | { readonly kind: "held"; readonly phase: "healthy" | "jeopardy"; readonly untilMs: number }
  /** `knownUntilMs`: the deadline as it stood before anything said that it was over. */
  | { readonly kind: "over"; readonly over: LeaseOver; readonly knownUntilMs: number };

/** Between two requests of one attempt. */
export const retryEveryMs = 200;

/** An attempt that is unanswered for that share of the lease is a reason to worry. */
const jeopardyShare = 1 / 6;

/** After a create (or a first keepalive) that was sent at `sentAtMs` and answered at `nowMs`. */
export function beginLease(start: {
  readonly grant: LeaseGrant;
  readonly sentAtMs: number;
  readonly nowMs: number;
}): Lease {
  const { grant, sentAtMs, nowMs } = start;
  const fresh: Lease = {
    phase: "healthy",
    validUntilMs: sentAtMs + grant.leaseMs,
    ttlUntilMs: nowMs + grant.ttlMs,
    leaseMs: grant.leaseMs,
    renewedAtMs: sentAtMs,
    renewAtMs: sentAtMs + grant.renewAfterMs,
    attemptSinceMs: undefined,
    isAsking: false,
    nowMs,
    revision: grant.revision,
    ended: grant.ended.map(({ claimId, reason }) => ({ claimId, reason, knownUntilMs: nowMs })),
    detail: undefined,
  };
  return checked(fresh, nowMs);
}

/** The deadline is looked at before the input is: what comes too late changes nothing. */
export function stepLease(before: Lease, input: LeaseInput): Lease {
  const lease = checked(before, input.nowMs);
  if (isOver(lease)) return lease;
  switch (input.kind) {
    case "checked":
      return lease;
    case "asked":
      return { ...lease, isAsking: true, attemptSinceMs: lease.attemptSinceMs ?? lease.nowMs };
    case "answered":
      return answered(lease, input.grant);
    case "unanswered":
      return { ...lease, isAsking: false, renewAtMs: lease.nowMs + retryEveryMs };
    case "gone":
      return { ...lease, phase: "lost", isAsking: false, detail: input.detail };
    default:
      return unreachable(input);
  }
}

export function isOver({ phase }: Lease): boolean {
  return phase === "unknown" || phase === "lost";
}

/** A request is to be sent now. */
export function isDue(lease: Lease): boolean {
  return !isOver(lease) && !lease.isAsking && lease.nowMs >= lease.renewAtMs;
}

/** When to look again at the latest, if nothing happens before; undefined when it is over. */
export function wakeAtMs(lease: Lease): number | undefined {
  if (isOver(lease)) return undefined;
  const { validUntilMs, attemptSinceMs, phase, isAsking, renewAtMs } = lease;
  const worryAtMs =
    phase === "healthy" && attemptSinceMs !== undefined ? worryFrom(lease, attemptSinceMs) : validUntilMs;
  return Math.min(validUntilMs, worryAtMs, isAsking ? validUntilMs : renewAtMs);
}

/** What a client may believe of a claim that it was told is held. Undefined `claimId`: of the session alone. */
export function standingOf(lease: Lease, claimId: string | undefined): Standing {
  const end = lease.ended.find((one) => one.claimId === claimId);
  if (end !== undefined) {
    const { reason, knownUntilMs } = end;
    return { kind: "over", over: { kind: "claim-ended", reason }, knownUntilMs };
  }
  const { phase, validUntilMs, detail } = lease;
  switch (phase) {
    case "healthy":
    case "jeopardy":
      return { kind: "held", phase, untilMs: validUntilMs };
    case "unknown":
      return { kind: "over", over: { kind: "lapsed" }, knownUntilMs: validUntilMs };
    case "lost":
      return {
        kind: "over",
        over: { kind: "session-ended", detail: detail ?? "" },
        knownUntilMs: validUntilMs,
      };
    default:
      return unreachable(phase);
  }
}

/** Time only goes on; a deadline that has passed ends the lease, and an attempt that takes long endangers it. */
function checked(lease: Lease, atMs: number): Lease {
  const nowMs = Math.max(lease.nowMs, atMs);
  if (isOver(lease)) return { ...lease, nowMs };
  if (nowMs >= lease.validUntilMs) return { ...lease, nowMs, phase: "unknown", isAsking: false };
  const { attemptSinceMs } = lease;
  const isOverdue = attemptSinceMs !== undefined && nowMs >= worryFrom(lease, attemptSinceMs);
  return { ...lease, nowMs, phase: isOverdue ? "jeopardy" : lease.phase };
}

function worryFrom({ leaseMs }: Lease, attemptSinceMs: number): number {
  return attemptSinceMs + leaseMs * jeopardyShare;
}

function answered(lease: Lease, grant: LeaseGrant): Lease {
  const { attemptSinceMs, nowMs } = lease;
  // An answer to nothing that was asked cannot be dated: it renews nothing.
  if (attemptSinceMs === undefined) return lease;
  const told = grant.ended.filter(({ claimId }) => !lease.ended.some((one) => one.claimId === claimId));
  const next: Lease = {
    ...lease,
    phase: "healthy",
    // The cluster never shortens what it granted before.
    validUntilMs: Math.max(lease.validUntilMs, attemptSinceMs + grant.leaseMs),
    ttlUntilMs: Math.max(lease.ttlUntilMs, nowMs + grant.ttlMs),
    leaseMs: grant.leaseMs,
    renewedAtMs: attemptSinceMs,
    renewAtMs: attemptSinceMs + grant.renewAfterMs,
    attemptSinceMs: undefined,
    isAsking: false,
    revision: Math.max(lease.revision, grant.revision),
    ended: [
      ...lease.ended,
      ...told.map(({ claimId, reason }) => ({ claimId, reason, knownUntilMs: lease.validUntilMs })),
    ],
  };
  return next;
}
