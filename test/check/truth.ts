/**
 * Answers that must never be given (SEMANTICS §1 rule 1, §2, §3, §4): "gone" of a session that lives, an end whose cause
 * nobody gave, a refusal that makes no sense, a hold handed on before its lock-delay was over (I8). Each is judged by
 * times and by what was asked; never by revisions.
 */
import {
  type ClaimFacts,
  earliestEnd,
  endOf,
  factsOf,
  firstSent,
  isConflict,
  type SessionFacts,
} from "./facts.ts";
import type { Acquire, Checker, Finding, History, Operation, Release } from "./history.ts";

export const goneRule = "truth-gone";
export const causeRule = "truth-cause";
export const lostRule = "truth-lost";
export const codeRule = "truth-code";
export const delayRule = "I8-lock-delay";

export const checkTruth: Checker = (history) => {
  const { sessions, claims, names } = factsOf(history);
  return [
    ...[...sessions.values()].flatMap((session) => [
      ...livesAgain(history, session),
      ...forgotten(history, session),
    ]),
    ...[...claims.values()].flatMap((claim) => [...causeless(history, claim), ...releases(claim)]),
    ...history.operations.flatMap((operation) => codes(history, operation)),
    ...names.flatMap((name) => delays(history, factsOf(history).claimsOf(name))),
  ];
};

/** How long the end of a session is remembered at least, milliseconds of cluster time (SEMANTICS §2). */
const tombstoneMs = 3_600_000;

// ---- sessions ------------------------------------------------------------------------------------------------------

/** Told that it ended, and later an answer to a later question shows it live. */
function livesAgain({ drift }: History, session: SessionFacts): readonly Finding[] {
  const told = session.ends.find(({ reason }) => reason !== "unknown");
  if (told === undefined) return [];
  const again = session.renewals.find(({ sentAt, answeredAt }) => {
    return sentAt > told.answeredAt && answeredAt - told.answeredAt < tombstoneMs * (1 - drift);
  });
  const reasons = new Set(session.ends.map(({ reason }) => reason).filter((reason) => reason !== "unknown"));
  const findings: Finding[] = [];
  if (again !== undefined) {
    const detail = `${session.sessionId} was told ${told.reason} at ${told.answeredAt} and is live again`;
    findings.push({ rule: goneRule, detail, operations: [told.operation.id, again.operation.id] });
  }
  if (reasons.size > 1) {
    const detail = `${session.sessionId} ended in two ways: ${[...reasons].join(", ")}`;
    findings.push({ rule: goneRule, detail, operations: session.ends.map(({ operation }) => operation.id) });
  }
  return [...findings, ...endsWithoutCause(session)];
}

function endsWithoutCause(session: SessionFacts): readonly Finding[] {
  const causes = { closed: firstSent(session.closes), killed: firstSent(session.kills) };
  return session.ends.flatMap(({ reason, answeredAt, operation }): readonly Finding[] => {
    if (reason !== "closed" && reason !== "killed") return [];
    if (causes[reason] <= answeredAt) return [];
    const detail = `${session.sessionId} is told ${reason}, and nobody asked for that`;
    return [{ rule: causeRule, detail, operations: [operation.id] }];
  });
}

/** "Unknown" of a session that lived within the time that its end would be remembered. */
function forgotten({ drift }: History, session: SessionFacts): readonly Finding[] {
  return session.ends.flatMap(({ reason, operation, answeredAt }): readonly Finding[] => {
    if (reason !== "unknown") return [];
    const lived = session.renewals.find((renewal) => {
      return renewal.answeredAt < operation.sentAt && answeredAt - renewal.sentAt < tombstoneMs * (1 - drift);
    });
    if (lived === undefined) return [];
    const detail = `${session.sessionId} lived at ${lived.answeredAt} and is unknown at ${answeredAt}`;
    return [{ rule: goneRule, detail, operations: [lived.operation.id, operation.id] }];
  });
}

// ---- claims --------------------------------------------------------------------------------------------------------

/** Cluster time is in whole milliseconds: between two stamps that much less may have passed than they say. */
const clusterGrainMs = 1;

/** An end has a cause that somebody gave or that a deadline gives, and not before its time. */
function causeless(history: History, claim: ClaimFacts): readonly Finding[] {
  if (claim.acquires.length === 0) return [];
  const judged = new Set([
    "released",
    "cancelled",
    "session-closed",
    "session-killed",
    "max-hold",
    "wait-timeout",
  ]);
  return claim.sightings.flatMap(({ as, reason, operation }): readonly Finding[] => {
    if (as !== "ended" || reason === undefined || !judged.has(reason)) return [];
    const earliest = earliestEnd(history, claim, reason);
    const { answeredAt = Infinity } = operation;
    if (earliest <= answeredAt + clusterGrainMs) return [];
    const since =
      earliest === Infinity ? "nothing in the history causes that" : `not possible before ${earliest}`;
    const detail = `${claim.claimId} is told ${reason} at ${answeredAt}: ${since}`;
    return [{ rule: causeRule, detail, operations: [operation.id] }];
  });
}

const lostReasons = new Set(["session-expired", "session-killed", "max-hold", "revoked", "forced"]);

/** A release tells the caller whether it ran unprotected: "lost" exactly when a hold ended uncleanly. */
function releases(claim: ClaimFacts): readonly Finding[] {
  const wasHeld = claim.sightings.some(({ as, fence }) => as === "held" || fence !== undefined);
  return claim.releases.flatMap((release): readonly Finding[] => {
    const { answer } = release;
    if (answer?.kind === "lost" && !lostReasons.has(answer.reason)) return [liar(release, answer.reason)];
    if (answer?.kind === "ended" && wasHeld && lostReasons.has(answer.reason))
      return [liar(release, answer.reason)];
    return [];
  });
}

function liar({ id, claimId, answer }: Release, reason: string): Finding {
  const detail = `the release of ${claimId} is answered ${answer?.kind} for a hold that ended as ${reason}`;
  return { rule: lostRule, detail, operations: [id] };
}

// ---- codes ---------------------------------------------------------------------------------------------------------

const knownCodes = new Set([
  "not-leader",
  "bad-request",
  "not-holder",
  "not-found",
  "request-timeout",
  "session-conflict",
  "claim-conflict",
  "claim-ended",
  "claim-lost",
  "already-held",
  "already-waiting",
  "kind-mismatch",
  "capacity-conflict",
  "in-use",
  "config-conflict",
  "too-large",
  "uri-too-long",
  "invalid",
  "exceeds-capacity",
  "quota",
  "headers-too-large",
  "no-leader",
  "indeterminate",
  "overloaded",
  "shutting-down",
]);

/** Ended claims of one session that are remembered at least (SEMANTICS §3). */
const rememberedClaims = 1_000;

function codes(history: History, operation: Operation): readonly Finding[] {
  const { answer } = operation;
  if (answer?.kind !== "denied") return [];
  const { code } = answer;
  const why = knownCodes.has(code) ? absurdity(history, operation, code) : "no such answer is ever right";
  if (why === undefined) return [];
  const detail = `${operation.kind} of ${operation.client} is denied with ${code}: ${why}`;
  return [{ rule: codeRule, detail, operations: [operation.id] }];
}

function absurdity(history: History, operation: Operation, code: string): string | undefined {
  if (operation.kind === "acquire") return absurdAcquire(history, operation, code);
  if (code !== "not-holder" || (operation.kind !== "release" && operation.kind !== "shrink"))
    return undefined;
  const acquires = factsOf(history).claims.get(operation.claimId)?.acquires ?? [];
  const isOwn = acquires.length > 0 && acquires.every(({ sessionId }) => sessionId === operation.sessionId);
  return isOwn ? "only this session asked for that claim" : undefined;
}

function absurdAcquire(history: History, acquire: Acquire, code: string): string | undefined {
  const { owner, asked, claimId, sessionId } = acquire;
  const capacity = history.capacities.get(asked.name);
  switch (code) {
    case "already-held":
    case "already-waiting":
      return owner === undefined ? "it names no owner" : undefined;
    case "exceeds-capacity":
      return capacity !== undefined && asked.permits <= capacity ? `it asks for ${asked.permits}` : undefined;
    case "capacity-conflict":
      return acquire.capacity === undefined || acquire.capacity === capacity
        ? "it names no other one"
        : undefined;
    case "claim-conflict": {
      const { claims } = factsOf(history);
      const others = claims.get(claimId)?.acquires ?? [];
      const count = history.operations.filter(
        (other) => other.kind === "acquire" && other.sessionId === sessionId,
      );
      const isAlone = others.every((other) => isSameRequest(other, acquire));
      return isAlone && count.length < (history.remembered ?? rememberedClaims)
        ? "nobody else uses that id"
        : undefined;
    }
    case "claim-ended": {
      const { releases = [], acquires = [] } = factsOf(history).claims.get(claimId) ?? {};
      const isLeft = acquires.some(({ leftAt }) => leftAt !== undefined);
      return releases.length === 0 && !isLeft ? "nobody gave it up" : undefined;
    }
    default:
      return undefined;
  }
}

function isSameRequest(a: Acquire, b: Acquire): boolean {
  return (
    a.sessionId === b.sessionId &&
    a.owner === b.owner &&
    a.asked.name === b.asked.name &&
    a.asked.mode === b.asked.mode &&
    a.asked.permits === b.asked.permits
  );
}

// ---- lock-delay ----------------------------------------------------------------------------------------------------

/**
 * After an unclean end nothing that the hold excluded is granted for the lock-delay. The end was not before the earliest
 * time that its cause allows, the next grant not after the answer that shows it. Locks only: permits cool, and others
 * may be free.
 */
function delays(history: History, claims: readonly ClaimFacts[]): readonly Finding[] {
  const granted = claims.filter(({ fence, asked }) => fence !== undefined && asked?.mode !== "permits");
  const lost = granted.filter((claim) => lostReasons.has(endOf(claim)?.reason ?? ""));
  return lost.flatMap((claim) => {
    const freeAt = earliestFree(history, claim);
    return granted.flatMap((next): readonly Finding[] => {
      const isLater = (next.fence ?? 0) > (claim.fence ?? Infinity);
      if (!isLater || claim.asked === undefined || next.asked === undefined) return [];
      if (!isConflict(claim.asked, next.asked)) return [];
      const shown = next.sightings.find(
        ({ wasHeld, operation }) => wasHeld && (operation.answeredAt ?? Infinity) < freeAt,
      );
      if (shown === undefined) return [];
      const detail = `${next.claimId} is granted ${claim.asked.name} by ${shown.operation.answeredAt}, ${claim.claimId} keeps it back until ${freeAt}`;
      return [{ rule: delayRule, detail, operations: [shown.operation.id] }];
    });
  });
}

/** The lock-delay counts from the end; after a kill or a max-hold the lease must be over too, or acknowledged. */
function earliestFree(history: History, claim: ClaimFacts): number {
  const reason = endOf(claim)?.reason;
  const delayed = earliestEnd(history, claim, reason) + history.lockDelayMs * (1 - history.drift);
  if (reason !== "session-killed") return delayed;
  const session = factsOf(history).sessions.get(claim.sessionId ?? "");
  const leases = session?.renewals ?? [];
  const lease = Math.max(
    ...leases.map(({ sentAt, ttlMs }) => sentAt + ttlMs * (1 - history.drift)),
    -Infinity,
  );
  return Math.max(delayed, lease);
}
