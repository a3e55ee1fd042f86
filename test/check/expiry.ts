/**
 * Sessions expire neither early nor late (SEMANTICS §1 rules 2, 5 and 6, §2). Early: an end by expiry is told before the
 * last acknowledged renewal can have run out on any clock. Late: a session that nobody renews is shown as holding,
 * waiting or in the way although the cluster was well for longer than any grace lasts. Concludes nothing of sessions
 * that somebody may still renew, nor of times in which the cluster was not well throughout.
 */
import { type ClaimFacts, earliestExpiry, factsOf, type SessionFacts } from "./facts.ts";
import type { Acquire, Checker, Finding, History, Operation } from "./history.ts";

export const earlyRule = "L9-never-early";
export const lateRule = "L10-never-late";

export const checkExpiry: Checker = (history) => {
  const { sessions } = factsOf(history);
  return [
    ...[...sessions.values()].flatMap((session) => toldEarly(history, session)),
    ...claimsEndedEarly(history),
    ...shownLate(history),
  ];
};

/**
 * How long a session may outlive its last renewal in a well cluster, in milliseconds: its ttl, the grace that fail-overs
 * may add (one more ttl), the quarter of it that a change of leader may forget, and half of it for the election that
 * ends the bad time (a ttl is at least four election timeouts), on a clock that is slow by `drift`; and two seconds for
 * requests under way, batches and a busy machine.
 */
export function latestExpiryMs(ttlMs: number, drift: number): number {
  return (2.75 * ttlMs) / (1 - drift) + 2_000;
}

function toldEarly({ drift }: History, session: SessionFacts): readonly Finding[] {
  const earliest = earliestExpiry(session, drift);
  return session.ends
    .filter(({ reason, answeredAt }) => reason === "expired" && answeredAt < earliest)
    .map(({ operation, answeredAt }) => early(session, earliest, { operation, answeredAt }));
}

/** Others may hear of it from a claim first. */
function claimsEndedEarly(history: History): readonly Finding[] {
  const { drift } = history;
  const { claims, sessions } = factsOf(history);
  return [...claims.values()].flatMap(({ sessionId, sightings }) => {
    const session = sessionId === undefined ? undefined : sessions.get(sessionId);
    if (session === undefined) return [];
    const earliest = earliestExpiry(session, drift);
    return sightings.flatMap(({ reason, operation }): readonly Finding[] => {
      const { answeredAt = Infinity } = operation;
      if (reason !== "session-expired" || answeredAt >= earliest) return [];
      return [early(session, earliest, { operation, answeredAt })];
    });
  });
}

function early(
  { sessionId, renewals }: SessionFacts,
  earliest: number,
  { operation, answeredAt }: { readonly operation: Operation; readonly answeredAt: number },
): Finding {
  const last = renewals.toSorted((a, b) => b.sentAt - a.sentAt)[0];
  return {
    rule: earlyRule,
    detail: `${sessionId} is told expired at ${answeredAt}, its lease runs until ${earliest} at least`,
    operations: [...(last === undefined ? [] : [last.operation.id]), operation.id],
  };
}

function shownLate(history: History): readonly Finding[] {
  const { sessions, claims } = factsOf(history);
  const bounds = new Map<string, number>();
  for (const { sessionId, at } of history.abandoned) {
    const session = sessions.get(sessionId);
    if (session === undefined) continue;
    const latest = latestEnd(history, session, at);
    bounds.set(sessionId, Math.min(latest, bounds.get(sessionId) ?? Infinity));
  }
  if (bounds.size === 0) return [];
  return history.operations.flatMap((operation) =>
    claimsShownLive(history, operation).flatMap((claimId) => {
      const claim = claims.get(claimId);
      const bound = bounds.get(claim?.sessionId ?? "") ?? Infinity;
      return claim !== undefined && operation.sentAt > bound ? [late(claim, bound, operation)] : [];
    }),
  );
}

/** When an abandoned session must be over: in the first well time that lasts long enough. */
function latestEnd(
  { healthy, drift }: History,
  { renewals, opens }: SessionFacts,
  abandonedAt: number,
): number {
  const ttls = [...renewals.map(({ ttlMs }) => ttlMs), ...opens.map(({ ttlMs }) => ttlMs)];
  // Nobody knows to what an unanswered request was raised.
  if (renewals.length === 0) return Infinity;
  const bound = latestExpiryMs(Math.max(...ttls), drift);
  const ends = healthy.flatMap(({ from, to }) => {
    const end = Math.max(from, abandonedAt) + bound;
    return end <= to ? [end] : [];
  });
  return Math.min(...ends);
}

/** Claims that an answer shows as held, waiting or in the way. */
function claimsShownLive(history: History, operation: Operation): readonly string[] {
  const { answer } = operation;
  if (answer === undefined) return [];
  switch (answer.kind) {
    case "shown":
      return [...answer.holders.map(({ claimId }) => claimId), ...answer.queue];
    case "refused":
      // A refusal is said again as it was said first.
      return operation.kind === "acquire" && answer.code === "locked" && isFirstAsk(history, operation)
        ? answer.blockedBy
        : [];
    case "held":
    case "waiting":
      return operation.kind === "look-claim" ? [operation.claimId] : [];
    case "checked":
      return operation.kind === "check" && answer.status === "current" ? [operation.claimId] : [];
    default:
      return [];
  }
}

function isFirstAsk(history: History, { claimId, id }: Acquire): boolean {
  return factsOf(history).claims.get(claimId)?.acquires[0]?.id === id;
}

function late({ claimId, sessionId }: ClaimFacts, bound: number, { id, sentAt }: Operation): Finding {
  const detail = `${claimId} of ${sessionId} is shown to who asked at ${sentAt}; its session was over by ${bound}`;
  return { rule: lateRule, detail, operations: [id] };
}
