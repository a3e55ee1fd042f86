/**
 * Sessions: opening, renewing, closing, expiring, and what is remembered of ended ones.
 * All of it happens when an entry applies, so a deposed leader can neither renew nor expire anything
 * (etcd #12528, #15247). SEMANTICS §1 rules 3–6, §2.
 */
import { present } from "../base/assert.ts";
import { acknowledgeEnd } from "./barriers.ts";
import type { KeepAliveItem, KillSessionCommand, OpenSessionCommand } from "./commands.ts";
import { endSession, forget, rememberEnded, settleClaimsOf, settleSession } from "./endings.ts";
import { settleSessionClaims } from "./grants.ts";
import type { KeepAliveOutcome, Outcome, SessionEnded, SessionUnknown } from "./outcomes.ts";
import type { LockState, Resource, Session } from "./records.ts";
import { grantedTtlMs } from "./settings.ts";
import { sweepAll } from "./sweep.ts";

/** Tombstones that one entry removes because of their age. */
const prunedAtOnce = 8;

/** The live session of that id, settled with its claims as far as they were due; or why there is none. */
export function liveSession(
  state: LockState,
  sessionId: string,
  touched: Set<Resource>,
): Session | SessionEnded | SessionUnknown {
  const session = state.sessions.get(sessionId);
  if (session !== undefined) {
    if (session.expiresAt <= state.now) settleSession(state, session, touched);
    // What it is told must be complete.
    if (session.end === undefined) settleClaimsOf(state, session, state.now, touched);
    return session.end === undefined ? session : { kind: "session-ended", session };
  }
  const ended = state.tombstones.get(sessionId);
  return ended === undefined ? { kind: "session-unknown" } : { kind: "session-ended", session: ended };
}

/** As `liveSession`, with all that is due around its claims settled too: before one of them is decided about. */
export function settledSession(
  state: LockState,
  sessionId: string,
  touched: Set<Resource>,
): Session | SessionEnded | SessionUnknown {
  const session = liveSession(state, sessionId, touched);
  if (!("kind" in session)) settleSessionClaims(state, session);
  return session;
}

/** Opens a session; the same call again renews it like a keepalive and returns it. */
export function openSession(state: LockState, command: OpenSessionCommand, touched: Set<Resource>): Outcome {
  const settings = present(state.settings, "settings");
  const found = liveSession(state, command.sessionId, touched);
  if (!("kind" in found)) {
    if (!isSameBody(found, command)) return { kind: "session-conflict" };
    renew(state, found);
    return { kind: "session", session: found, created: false };
  }
  if (found.kind === "session-ended") return found;
  if (state.sessionsByRef.has(command.sessionRef)) return { kind: "session-conflict" };
  // Sessions that are due do not count.
  if (state.sessions.size >= settings.sessions) sweepAll(state);
  if (state.sessions.size >= settings.sessions)
    return { kind: "quota", limit: "sessions", max: settings.sessions };
  const ttlMs = grantedTtlMs(settings, command.ttlMs);
  const session: Session = {
    id: command.sessionId,
    ref: command.sessionRef,
    ttlMs,
    askedTtlMs: command.ttlMs,
    lockDelayMs: command.lockDelayMs,
    label: command.label,
    metadata: command.metadata,
    createdWallMs: command.wallMs,
    expiresAt: state.now + ttlMs,
    graceLeftMs: ttlMs,
    lastRenewal: state.revision,
    seen: 0,
    claims: new Map(),
    owners: new Map(),
    unseenEnds: [],
    remembered: new Map(),
    forgottenRevision: 0,
    forgottenUpTo: 0,
    end: undefined,
  };
  state.sessions.set(session.id, session);
  state.sessionsByRef.set(session.ref, session);
  state.ttlCounts.set(ttlMs, (state.ttlCounts.get(ttlMs) ?? 0) + 1);
  state.deadlines.add({ at: session.expiresAt, kind: "session", id: session.id });
  return { kind: "session", session, created: true };
}

function isSameBody(session: Session, command: OpenSessionCommand): boolean {
  return (
    session.askedTtlMs === command.ttlMs &&
    session.lockDelayMs === command.lockDelayMs &&
    session.label === command.label &&
    session.metadata.length === command.metadata.length &&
    session.metadata.every(
      ([key, value], i) => command.metadata[i]?.[0] === key && command.metadata[i]?.[1] === value,
    )
  );
}

export function keepAlive(state: LockState, item: KeepAliveItem, touched: Set<Resource>): KeepAliveOutcome {
  const session = liveSession(state, item.sessionId, touched);
  if ("kind" in session) return session;
  if (item.seen > session.lastRenewal) return { kind: "seen-ahead", lastRenewal: session.lastRenewal };
  if (item.seen > session.seen) {
    session.seen = item.seen;
    for (const { revision, claim } of session.unseenEnds) {
      if (revision > item.seen) continue;
      acknowledgeEnd(state, claim, touched);
      rememberEnded(state, claim);
    }
    session.unseenEnds = session.unseenEnds.filter((end) => end.revision > item.seen);
  }
  renew(state, session);
  return { kind: "renewed", session, unseenEnds: session.unseenEnds };
}

/** A full ttl from now, never less than it had; the budget for grace is whole again. */
function renew(state: LockState, session: Session): void {
  session.expiresAt = Math.max(session.expiresAt, state.now + session.ttlMs);
  session.graceLeftMs = session.ttlMs;
  session.lastRenewal = state.revision;
}

/** A clean end: nothing is delayed. Closing again says the same; a session that expired says so. */
export function closeSession(state: LockState, sessionId: string, touched: Set<Resource>): Outcome {
  const session = settledSession(state, sessionId, touched);
  if (!("kind" in session)) {
    endSession(state, session, { reason: "closed", at: state.now, note: "" }, touched);
    return { kind: "session-closed", session };
  }
  if (session.kind === "session-ended" && session.session.end?.reason === "closed") {
    return { kind: "session-closed", session: session.session };
  }
  return session;
}

/**
 * An operator's end of a session: unclean, and its holder may believe until its lease is over (hand-back). Killing it
 * again says the same; one that expired or was closed says so.
 */
export function killSession(state: LockState, command: KillSessionCommand, touched: Set<Resource>): Outcome {
  const known = state.sessionsByRef.get(command.sessionRef);
  const session =
    known === undefined ? ({ kind: "session-unknown" } as const) : settledSession(state, known.id, touched);
  if (!("kind" in session)) {
    endSession(state, session, { reason: "killed", at: state.now, note: command.note }, touched);
    return { kind: "session-killed", session };
  }
  if (session.kind === "session-ended" && session.session.end?.reason === "killed") {
    return { kind: "session-killed", session: session.session };
  }
  return session;
}

/** Drops what is remembered of sessions that ended long ago, or of the oldest when there are too many. */
export function pruneTombstones(state: LockState): void {
  const { tombstoneMs, tombstones, sweepBudget } = present(state.settings, "settings");
  let pruned = 0;
  for (const session of state.tombstones.values()) {
    const isOld = present(session.end, "the end of an ended session").at + tombstoneMs <= state.now;
    const max = state.tombstones.size > tombstones ? sweepBudget : isOld ? prunedAtOnce : 0;
    if (pruned >= max) break;
    state.tombstones.delete(session.id);
    state.sessionsByRef.delete(session.ref);
    for (const claim of session.remembered.values()) forget(state, claim);
    pruned++;
  }
}
