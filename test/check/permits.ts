/**
 * Semaphores (SEMANTICS §5, I2): permits held never exceed the capacity at any entry, nobody holds more than was asked
 * for or gets permits back, and what has ended or was given back is shown by nobody. Counts only what answers prove.
 */
import { type ClaimFacts, factsOf, type Sighting } from "./facts.ts";
import type { Checker, Finding, History, LookName } from "./history.ts";
import { type Interval, intervalsOf, isHeldAt, keptAt } from "./intervals.ts";

export const permitsRule = "I2-permits";
export const overReleaseRule = "I2-over-release";

export const checkPermits: Checker = (history) => [
  ...[...history.capacities].flatMap(([name, capacity]) => sums(history, name, capacity)),
  ...history.operations.flatMap((operation) =>
    operation.kind === "look-name" ? shownSum(history, operation) : [],
  ),
  ...[...factsOf(history).claims.values()].flatMap(growth),
];

/** At every grant: with it, and with all that were held for certain. */
function sums(history: History, name: string, capacity: number): readonly Finding[] {
  const intervals = intervalsOf(history);
  const held = factsOf(history)
    .claimsOf(name)
    .flatMap(({ claimId }) => {
      const interval = intervals.get(claimId);
      return interval?.wasHeld === true && interval.grantTo < Infinity ? [interval] : [];
    })
    .sort((a, b) => a.grantTo - b.grantTo);
  const findings: Finding[] = [];
  let alive: Interval[] = [];
  for (const interval of held) {
    const at = interval.grantTo;
    alive = alive.filter((other) => isHeldAt(other, at));
    const all = [
      ...alive.filter((other) => isHeldAt(other, at)),
      ...(isHeldAt(interval, at) ? [interval] : []),
    ];
    const sum = all.reduce((total, { claim }) => total + keptAt(claim, at).least, 0);
    if (sum > capacity) {
      const who = all.map(({ claim }) => claim.claimId).join(", ");
      const detail = `${sum} of ${capacity} permits of ${name} are held at ${at}: ${who}`;
      findings.push({ rule: permitsRule, detail, operations: all.flatMap(({ claim }) => idsOf(claim)) });
    }
    alive.push(interval);
  }
  return findings;
}

function idsOf({ acquires }: ClaimFacts): readonly number[] {
  return acquires.slice(0, 1).map(({ id }) => id);
}

function shownSum({ capacities }: History, { id, name, answer, revision }: LookName): readonly Finding[] {
  const capacity = capacities.get(name);
  if (capacity === undefined || answer?.kind !== "shown") return [];
  const findings: Finding[] = [];
  const sum = answer.holders.reduce((total, { permits }) => total + permits, 0);
  if (sum > capacity) {
    const detail = `${name} shows ${sum} of ${capacity} permits held at ${revision}`;
    findings.push({ rule: permitsRule, detail, operations: [id] });
  }
  if (answer.capacity !== undefined && answer.capacity !== capacity) {
    const detail = `${name} has the capacity ${capacity} and shows ${answer.capacity}`;
    findings.push({ rule: permitsRule, detail, operations: [id] });
  }
  return findings;
}

/** Never more than asked for, nor more than before; and a shrink that was answered is seen by all who ask later. */
function growth(claim: ClaimFacts): readonly Finding[] {
  const { asked, claimId } = claim;
  if (asked === undefined) return [];
  const shown = claim.sightings.filter(({ permits }) => permits !== undefined);
  const findings: Finding[] = [];
  for (const sighting of shown) {
    const { permits = 0, operation } = sighting;
    const before = shown.find((other) => isBefore(other, sighting) && (other.permits ?? 0) < permits);
    const least = Math.min(asked.permits, ...claim.shrinks.map((shrink) => shrink.permits));
    const isMoreThanKept =
      operation.kind === "shrink" && operation.answer?.kind === "held" && permits > operation.permits;
    if (permits <= asked.permits && permits >= least && before === undefined && !isMoreThanKept) continue;
    const detail = `${claimId} asked for ${asked.permits} of ${asked.name} and is shown with ${permits}${
      before === undefined ? "" : ` after ${before.permits}`
    }`;
    const operations = [...(before === undefined ? [] : [before.operation.id]), operation.id];
    findings.push({ rule: overReleaseRule, detail, operations });
  }
  return findings;
}

function isBefore(a: Sighting, b: Sighting): boolean {
  if ((a.operation.answeredAt ?? Infinity) < b.operation.sentAt) return true;
  return a.exactRevision !== undefined && b.exactRevision !== undefined && a.exactRevision < b.exactRevision;
}
