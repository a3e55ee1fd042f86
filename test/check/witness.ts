/**
 * The main checker: linear by revision. Every answer names the entry of which it speaks, so the log order is a
 * linearization, and it only has to be tested as one: it agrees with real time, and all answers agree with one state of
 * every name at every entry (SEMANTICS §1 rule 1, §3–§6, I1, I2, I3, I5). Wrong revisions break one or the other, so the
 * server's good will is not needed. Answers without a revision, or whose revision means nothing, are left out.
 */
import { type ClaimFacts, factsOf, isConflict, isDecided, type Sighting } from "./facts.ts";
import type { Acquire, Checker, Finding, History, LookName, Operation } from "./history.ts";
import { type Interval, intervalsIn, intervalsOf, isHeldAt, keptAt, mayBeHeldWithin } from "./intervals.ts";

export const orderRule = "witness-order";
export const exclusionRule = "I1-exclusion";
export const fenceRule = "I3-fences";
export const deadSessionRule = "I5-dead-session";
export const lookRule = "witness-look";
export const refusalRule = "witness-refusal";
export const claimRule = "witness-claim";

export const checkWitness: Checker = (history) => {
  const intervals = [...intervalsOf(history).values()];
  return [
    ...realTime(history),
    ...intervals.flatMap((interval) => ownEntries(history, interval)),
    ...intervals.flatMap((interval) => contradictions(history, interval)),
    ...fences(intervals),
    ...factsOf(history).names.flatMap((name) => overlaps(history, name)),
    ...history.operations.flatMap((operation) => reads(history, operation)),
    ...history.operations.flatMap((operation) => refusals(history, operation)),
  ];
};

// ---- real time -----------------------------------------------------------------------------------------------------

/** Whoever was answered before another one asked is not shown a later state than that one. */
function realTime(history: History): readonly Finding[] {
  const { floorBefore } = factsOf(history);
  return history.operations.filter(isDecided).flatMap((operation): readonly Finding[] => {
    const { id, kind, client, sentAt, revision = 0 } = operation;
    const floor = floorBefore(sentAt);
    if (revision >= floor) return [];
    const before = history.operations.find(
      (other) => isDecided(other) && (other.answeredAt ?? Infinity) < sentAt && other.revision === floor,
    );
    const detail = `${kind} of ${client} is answered with revision ${revision}, ${floor} had been shown before it was sent`;
    return [{ rule: orderRule, detail, operations: [...(before === undefined ? [] : [before.id]), id] }];
  });
}

/** What a request did, it did at a later entry than any that was answered before it was sent, and at none unknown yet. */
function ownEntries(history: History, { claim, grantFrom, grantTo }: Interval): readonly Finding[] {
  const { floorBefore } = factsOf(history);
  const findings: Finding[] = [];
  const [first] = claim.acquires;
  if (first !== undefined && grantFrom === grantTo && grantTo <= floorBefore(first.sentAt)) {
    const detail = `${claim.claimId} is granted at ${grantTo}, before it was asked for`;
    findings.push({ rule: orderRule, detail, operations: [first.id] });
  }
  const released = claim.sightings.find(
    ({ reason, claimRevision }) => reason === "released" && claimRevision !== undefined,
  );
  const [release] = claim.releases;
  const endedAt = released?.claimRevision ?? Infinity;
  if (release !== undefined && endedAt <= floorBefore(release.sentAt)) {
    const detail = `${claim.claimId} is released at ${endedAt}, before that was asked for`;
    findings.push({ rule: orderRule, detail, operations: [release.id] });
  }
  for (const { operation, claimRevision } of claim.sightings) {
    if (claimRevision === undefined || operation.revision === undefined) continue;
    if (claimRevision <= operation.revision) continue;
    const detail = `${claim.claimId} is shown as of ${claimRevision} in an answer of revision ${operation.revision}`;
    findings.push({ rule: orderRule, detail, operations: [operation.id] });
  }
  return findings;
}

// ---- one claim -----------------------------------------------------------------------------------------------------

/** Not held before its grant nor from its end on, nothing granted to a session that had ended. */
function contradictions(history: History, interval: Interval): readonly Finding[] {
  const { claim, grantFrom, grantTo, endTo, provenTo, wasHeld } = interval;
  const findings: Finding[] = [];
  const session = factsOf(history).sessions.get(claim.sessionId ?? "");
  const sessionEnd = session?.ends.find(({ endRevision }) => endRevision !== undefined);
  if (wasHeld && grantFrom > (sessionEnd?.endRevision ?? Infinity)) {
    const detail = `${claim.claimId} is granted at ${grantFrom}, its session ended at ${sessionEnd?.endRevision}`;
    findings.push({ rule: deadSessionRule, detail, operations: idsOf(claim) });
  }
  if (provenTo >= endTo) {
    const detail = `${claim.claimId} ended at ${endTo} and is held at ${provenTo}`;
    findings.push({
      rule: claimRule,
      detail,
      operations: claim.sightings.map(({ operation }) => operation.id),
    });
  }
  for (const sighting of claim.sightings) {
    const what = misfit(interval, sighting);
    if (what === undefined) continue;
    const detail = `${claim.claimId} (granted at ${grantTo}, ended at ${endTo}) ${what}`;
    findings.push({ rule: claimRule, detail, operations: [sighting.operation.id] });
  }
  return findings;
}

/** A read shows the stage of exactly its entry. */
function misfit(interval: Interval, { as, exactRevision, claimRevision }: Sighting): string | undefined {
  if (exactRevision === undefined) return undefined;
  const { grantFrom, grantTo, endTo } = interval;
  if (as === "held" && exactRevision < grantFrom) return `is shown held at ${exactRevision}`;
  if (as === "waiting" && exactRevision >= Math.min(grantTo, endTo))
    return `is shown waiting at ${exactRevision}`;
  if (as === "ended" && exactRevision < (claimRevision ?? 0)) return `is shown ended at ${exactRevision}`;
  if (as === "ended" && isHeldAt(interval, exactRevision)) return `is shown ended at ${exactRevision}`;
  return undefined;
}

function idsOf({ acquires }: ClaimFacts): readonly number[] {
  return acquires.slice(0, 1).map(({ id }) => id);
}

// ---- fences --------------------------------------------------------------------------------------------------------

/** Over the whole cluster: whoever was granted at a later entry has a higher fence (I3). */
function fences(intervals: readonly Interval[]): readonly Finding[] {
  const granted = intervals.flatMap((interval) => {
    const { claim, grantTo } = interval;
    return claim.fence === undefined || grantTo === Infinity ? [] : [{ interval, fence: claim.fence }];
  });
  const byLatest = granted.toSorted((a, b) => a.interval.grantTo - b.interval.grantTo);
  const findings: Finding[] = [];
  let next = 0;
  let highest: { readonly interval: Interval; readonly fence: number } | undefined;
  for (const one of granted.toSorted((a, b) => a.interval.grantFrom - b.interval.grantFrom)) {
    for (; (byLatest[next]?.interval.grantTo ?? Infinity) < one.interval.grantFrom; next++) {
      const before = byLatest[next];
      if (before !== undefined && before.fence > (highest?.fence ?? 0)) highest = before;
    }
    if (highest === undefined || one.fence > highest.fence) continue;
    const { claim, grantFrom } = one.interval;
    const detail = `fence ${one.fence} of ${claim.claimId} at ${grantFrom} after ${highest.fence} of ${highest.interval.claim.claimId} at ${highest.interval.grantTo}`;
    findings.push({
      rule: fenceRule,
      detail,
      operations: [...idsOf(highest.interval.claim), ...idsOf(claim)],
    });
  }
  return findings;
}

// ---- one name ------------------------------------------------------------------------------------------------------

/** No two conflicting holds at one entry: it is enough to look at every grant (I1). Permits: `permits.ts`. */
function overlaps(history: History, name: string): readonly Finding[] {
  const held = intervalsIn(history, name)
    .filter(({ wasHeld, grantTo, claim }) => wasHeld && grantTo < Infinity && claim.asked?.mode !== "permits")
    .sort((a, b) => a.grantTo - b.grantTo);
  const findings: Finding[] = [];
  let alive: Interval[] = [];
  for (const interval of held) {
    const at = interval.grantTo;
    alive = alive.filter((other) => isHeldAt(other, at));
    const other = alive.find(
      ({ claim }) => claim.asked && interval.claim.asked && isConflict(claim.asked, interval.claim.asked),
    );
    if (other !== undefined && isHeldAt(interval, at)) {
      const detail = `${name} is held by ${other.claim.claimId} and ${interval.claim.claimId} at ${at}`;
      findings.push({
        rule: exclusionRule,
        detail,
        operations: [...idsOf(other.claim), ...idsOf(interval.claim)],
      });
    }
    alive.push(interval);
  }
  return findings;
}

// ---- reads ---------------------------------------------------------------------------------------------------------

function reads(history: History, operation: Operation): readonly Finding[] {
  const { revision, answer } = operation;
  if (revision === undefined || answer === undefined) return [];
  if (operation.kind === "look-name") return nameShown(history, operation, revision);
  const interval =
    operation.kind === "check" || operation.kind === "look-claim"
      ? intervalsOf(history).get(operation.claimId)
      : undefined;
  if (interval === undefined || !isHeldAt(interval, revision)) return [];
  const isDenied = operation.kind === "look-claim" && answer.kind === "denied" && answer.code === "not-found";
  const isWrong =
    operation.kind === "check" &&
    answer.kind === "checked" &&
    operation.fence === interval.claim.fence &&
    operation.name === interval.claim.asked?.name &&
    answer.status !== "current";
  if (!isDenied && !isWrong) return [];
  const said = answer.kind === "checked" ? answer.status : "not-found";
  const detail = `${interval.claim.claimId} is held at ${revision} and ${operation.kind} says ${said}`;
  return [{ rule: lookRule, detail, operations: [operation.id] }];
}

/** The holders are those that must be held at this entry, and none that cannot be. */
function nameShown(history: History, look: LookName, revision: number): readonly Finding[] {
  const { answer, name, id } = look;
  if (answer?.kind !== "shown") return [];
  const faults: string[] = [];
  const { claims } = factsOf(history);
  const shown = new Set(answer.holders.map(({ claimId }) => claimId));
  for (const interval of intervalsIn(history, name)) {
    const { claimId } = interval.claim;
    if (isHeldAt(interval, revision) && !shown.has(claimId)) faults.push(`does not show ${claimId}`);
    if (shown.has(claimId) && interval.endTo <= revision)
      faults.push(`shows ${claimId}, ended at ${interval.endTo}`);
  }
  for (const { claimId, fence, permits } of answer.holders) {
    const claim = claims.get(claimId);
    if (claim?.asked?.name !== name) {
      faults.push(`shows ${claimId}, which nobody asked for`);
      continue;
    }
    if (claim.fence !== fence) faults.push(`shows ${claimId} with fence ${fence}, not ${claim.fence}`);
    const { least, most } = keptAt(claim, revision);
    if (permits < least || permits > most)
      faults.push(`shows ${claimId} with ${permits} of ${least}…${most} permits`);
  }
  for (const claimId of answer.queue) {
    if (claims.get(claimId)?.asked?.name !== name)
      faults.push(`shows ${claimId} waiting, which nobody asked for`);
  }
  const modes = answer.holders.map(({ claimId }) => claims.get(claimId)?.asked?.mode);
  if (modes.length > 1 && modes.includes("exclusive")) faults.push("shows an exclusive holder beside others");
  const isFree = answer.state === "free" || answer.state === "delayed";
  if (!history.capacities.has(name) && isFree !== (answer.holders.length === 0)) {
    faults.push(`is ${answer.state} with ${answer.holders.length} holders`);
  }
  return faults.map((fault) => ({
    rule: lookRule,
    detail: `${name} at ${revision} ${fault}`,
    operations: [id],
  }));
}

// ---- refusals ------------------------------------------------------------------------------------------------------

/** A try-lock that was refused: something may have been in its way, at an entry at which it may have been decided. */
function refusals(history: History, operation: Operation): readonly Finding[] {
  if (operation.kind !== "acquire" || operation.answer?.kind !== "refused") return [];
  const { answer, claimId, asked, revision, id, answeredAt = Infinity } = operation;
  const first = factsOf(history).claims.get(claimId)?.acquires[0];
  if (answer.code !== "locked" || revision === undefined || first === undefined) return [];
  const window = { from: factsOf(history).floorBefore(first.sentAt), to: revision };
  // Whoever had not asked by then was in nobody's way.
  const others = intervalsIn(history, asked.name).filter(
    ({ claim, sentAt }) => claim.claimId !== claimId && sentAt < answeredAt,
  );
  const faults = answer.blockedBy
    .filter((other) => !others.some(({ claim }) => claim.claimId === other))
    .map((other) => `${other} never asked for it`);
  if (!isJustified(history, operation, { reason: answer.reason, others, window })) {
    faults.push(`nothing in its way that is ${answer.reason}`);
  }
  for (const interval of others) {
    if (!answer.blockedBy.includes(interval.claim.claimId)) continue;
    const isPossible = mayBeHeldWithin(interval, window) || mayWaitWithin(interval, window);
    if (!isPossible) faults.push(`${interval.claim.claimId} was not in its way any more, or not yet`);
  }
  return faults.map((fault) => {
    const detail = `${claimId} is refused ${asked.name} between ${window.from} and ${window.to}: ${fault}`;
    return { rule: refusalRule, detail, operations: [id] };
  });
}

interface Window {
  readonly from: number;
  readonly to: number;
}

function isJustified(
  history: History,
  { asked }: Acquire,
  given: { readonly reason: string; readonly others: readonly Interval[]; readonly window: Window },
): boolean {
  const { reason, others, window } = given;
  const held = others.filter((interval) => mayBeHeldWithin(interval, window));
  switch (reason) {
    case "held":
      return held.some(({ claim }) => claim.asked !== undefined && isConflict(claim.asked, asked));
    case "capacity": {
      const capacity = history.capacities.get(asked.name) ?? 0;
      const most = held.reduce((sum, { claim }) => sum + (claim.asked?.permits ?? 1), 0);
      return most + asked.permits > capacity;
    }
    case "queue-ahead":
      return others.some((interval) => mayWaitWithin(interval, window));
    case "lock-delay":
    case "hand-back":
      return others.some((interval) => mayKeepBack(interval, window));
    default:
      return true;
  }
}

/** It may have stood in the queue. */
function mayWaitWithin({ claim, grantTo, endTo }: Interval, { from }: Window): boolean {
  return claim.acquires.some(({ waitMs }) => waitMs > 0) && Math.min(grantTo, endTo) > from;
}

const cleanReasons = new Set([
  "released",
  "cancelled",
  "session-closed",
  "refused",
  "wait-timeout",
  "exceeds-capacity",
]);

/** It may have ended uncleanly by then. */
function mayKeepBack({ wasNeverHeld, grantFrom, endReason }: Interval, { to }: Window): boolean {
  return grantFrom < to && !wasNeverHeld && !cleanReasons.has(endReason ?? "");
}
