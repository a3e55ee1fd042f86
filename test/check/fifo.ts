/**
 * First come, first served (SEMANTICS §3 no barging, §4, §5; I6) as seen from outside: whoever was told that it waits
 * before another one even asked is granted first. Concludes nothing of claims whose requests overlapped, nor of two
 * shared claims, which come in one batch.
 */
import { type ClaimFacts, earliestEnd, endOf, factsOf, firstSent } from "./facts.ts";
import type { Checker, Finding, History, Mode } from "./history.ts";
import { wasNeverHeld } from "./intervals.ts";

export const fifoRule = "I6-fifo";

export const checkFifo: Checker = (history) => {
  const facts = factsOf(history);
  return facts.names.flatMap((name) => checkName(history, facts.claimsOf(name)));
};

interface Granted {
  readonly claim: ClaimFacts;
  readonly mode: Mode;
  readonly fence: number;
  readonly sentAt: number;
}

function checkName(history: History, claims: readonly ClaimFacts[]): readonly Finding[] {
  const granted = claims.flatMap((claim): readonly Granted[] => {
    const { asked, fence } = claim;
    if (asked === undefined || fence === undefined) return [];
    return [{ claim, mode: asked.mode, fence, sentAt: firstSent(claim.acquires) }];
  });
  const earliestAfter = earliestFences(granted.toSorted((a, b) => a.sentAt - b.sentAt));
  const findings: Finding[] = [];
  for (const waiter of claims) {
    const queuedAt = queuedAtOf(waiter);
    const mode = waiter.asked?.mode;
    if (queuedAt === undefined || mode === undefined) continue;
    const passed =
      waiter.fence === undefined
        ? granted.find((other) => isPassedWithoutGrant(history, waiter, { queuedAt, other }))
        : earliestAfter(queuedAt, mode);
    if (passed === undefined || passed.claim === waiter) continue;
    if (waiter.fence === undefined || passed.fence < waiter.fence) findings.push(finding(waiter, passed));
  }
  return findings;
}

function queuedAtOf({ acquires }: ClaimFacts): number | undefined {
  const times = acquires.flatMap(({ queuedAt }) => (queuedAt === undefined ? [] : [queuedAt]));
  return times.length === 0 ? undefined : Math.min(...times);
}

/** The smallest fence among those that were asked for after a time and may not stand in one batch with the mode. */
function earliestFences(bySending: readonly Granted[]): (after: number, mode: Mode) => Granted | undefined {
  const exclusiveFrom: (Granted | undefined)[] = [];
  const anyFrom: (Granted | undefined)[] = [];
  const smaller = (a: Granted, b: Granted | undefined): Granted => (b && b.fence < a.fence ? b : a);
  for (let i = bySending.length - 1; i >= 0; i--) {
    const granted = bySending[i] as Granted;
    anyFrom[i] = smaller(granted, anyFrom[i + 1]);
    exclusiveFrom[i] =
      granted.mode === "shared" ? exclusiveFrom[i + 1] : smaller(granted, exclusiveFrom[i + 1]);
  }
  return (after, mode) => {
    let low = 0;
    let high = bySending.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((bySending[middle]?.sentAt ?? Infinity) > after) high = middle;
      else low = middle + 1;
    }
    return (mode === "shared" ? exclusiveFrom : anyFrom)[low];
  };
}

/** It was never granted, but it cannot have left the queue by the time that the other one held. */
function isPassedWithoutGrant(
  history: History,
  waiter: ClaimFacts,
  { queuedAt, other }: { readonly queuedAt: number; readonly other: Granted },
): boolean {
  if (other.claim === waiter || other.sentAt <= queuedAt) return false;
  if (other.mode === "shared" && waiter.asked?.mode === "shared") return false;
  const heldAt = heldBy(other.claim);
  const isSeenLater = waiter.sightings.some(
    ({ as, operation }) => as === "waiting" && operation.sentAt > heldAt,
  );
  // Nobody told may also mean granted in its turn, and nobody told.
  return (
    isSeenLater || (wasNeverHeld(waiter) && heldAt < earliestEnd(history, waiter, endOf(waiter)?.reason))
  );
}

/** By when it was granted at the latest. */
function heldBy(claim: ClaimFacts): number {
  const known = heldTimes.get(claim);
  if (known !== undefined) return known;
  const time = claim.sightings.reduce(
    (first, { wasHeld, operation: { answeredAt = Infinity } }) =>
      wasHeld ? Math.min(first, answeredAt) : first,
    Infinity,
  );
  heldTimes.set(claim, time);
  return time;
}

/** Every waiter asks for it of every claim that was granted meanwhile. */
const heldTimes = new WeakMap<ClaimFacts, number>();

function finding(waiter: ClaimFacts, { claim, fence }: Granted): Finding {
  const detail = `${claim.claimId} (fence ${fence}) passed ${waiter.claimId}, which waited for ${waiter.asked?.name} before it was asked for`;
  const operations = [...waiter.acquires.slice(0, 1), ...claim.acquires.slice(0, 1)].map(({ id }) => id);
  return { rule: fifoRule, detail, operations };
}
