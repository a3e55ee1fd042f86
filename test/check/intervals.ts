/**
 * Holds as intervals of revisions, as far as answers prove them: from the grant until the known end, or until the last
 * entry at which something shows that the hold lives. Draws lower and upper bounds only; never guesses between them.
 */
import { type ClaimFacts, factsOf, type SessionFacts, type Sighting } from "./facts.ts";
import type { History, KeepAlive, Shrink } from "./history.ts";

export interface Interval {
  readonly claim: ClaimFacts;
  /** True when some answer says that it was held. */
  readonly wasHeld: boolean;
  /** It was granted at this entry or later, and */
  readonly grantFrom: number;
  /** at this one or before. Infinity: perhaps never. */
  readonly grantTo: number;
  /** It was not held any more at this entry; Infinity: nobody knows of an end. */
  readonly endTo: number;
  /** It was held until just before this entry: some answer names its end. */
  readonly endAt: number | undefined;
  /** It was held from its grant to this entry at least; -1 when nothing shows it. */
  readonly provenTo: number;
  readonly endReason: string | undefined;
  /** An answer says how it ended, and that it had not been held. */
  readonly wasNeverHeld: boolean;
  /** When it was first asked for; Infinity when it never was. */
  readonly sentAt: number;
}

const known = new WeakMap<History, ReadonlyMap<string, Interval>>();

export function intervalsOf(history: History): ReadonlyMap<string, Interval> {
  const found = known.get(history);
  if (found !== undefined) return found;
  const { claims } = factsOf(history);
  const intervals = new Map([...claims].map(([claimId, claim]) => [claimId, intervalOf(history, claim)]));
  known.set(history, intervals);
  return intervals;
}

const byName = new WeakMap<History, Map<string, readonly Interval[]>>();

/** In the order in which they were asked for. */
export function intervalsIn(history: History, name: string): readonly Interval[] {
  const names = byName.get(history) ?? new Map<string, readonly Interval[]>();
  byName.set(history, names);
  const found = names.get(name);
  if (found !== undefined) return found;
  const intervals = intervalsOf(history);
  const claims = factsOf(history).claimsOf(name);
  const list = claims.flatMap(({ claimId }) => intervals.get(claimId) ?? []);
  names.set(name, list);
  return list;
}

/** True when the claim was held right after this entry, whatever else is unknown. */
export function isHeldAt({ grantTo, endAt = -1, provenTo }: Interval, revision: number): boolean {
  return grantTo <= revision && Math.max(provenTo, endAt - 1) >= revision;
}

/** True when nothing says that it was not held right after some entry of `from`…`to`. */
export function mayBeHeldWithin(
  interval: Interval,
  { from, to }: { readonly from: number; readonly to: number },
): boolean {
  return interval.grantFrom <= to && interval.endTo > from && !interval.wasNeverHeld;
}

/** An answer says how it ended, and that it had not been held. */
export function wasNeverHeld({ sightings }: ClaimFacts): boolean {
  if (sightings.some(({ wasHeld }) => wasHeld)) return false;
  return sightings.some(({ as, reason, operation }) => {
    if (as !== "ended") return false;
    // A look shows the fence of whatever was held once; a refusal says that nothing was.
    return operation.kind === "look-claim" || reason === "refused" || reason === "wait-timeout";
  });
}

/**
 * The fewest permits that the claim can have kept right after an entry, and the most: what was asked for, less what
 * shrinks gave back or may have given back.
 */
export function keptAt(
  claim: ClaimFacts,
  revision: number,
): { readonly least: number; readonly most: number } {
  const asked = claim.asked?.permits ?? 1;
  let least = asked;
  let most = asked;
  for (const shrink of claim.shrinks) {
    const appliedAt = shrinkRevision(shrink);
    if (appliedAt === undefined || appliedAt <= revision) least = Math.min(least, shrink.permits);
    if (appliedAt !== undefined && appliedAt <= revision) most = Math.min(most, shrink.permits);
  }
  return { least, most };
}

/** Unknown without an answer, and also with a refusal: an earlier try of it may have done it. */
function shrinkRevision({ answer }: Shrink): number | undefined {
  return answer?.kind === "held" ? answer.claimRevision : undefined;
}

function intervalOf(history: History, claim: ClaimFacts): Interval {
  const { sightings, sessionId, acquires } = claim;
  const facts = factsOf(history);
  const session = sessionId === undefined ? undefined : facts.sessions.get(sessionId);
  const held = sightings.filter(({ as }) => as === "held");
  const end = sightings.find(({ as, claimRevision }) => as === "ended" && claimRevision !== undefined);
  const sessionEnd = session?.ends.find(({ endRevision }) => endRevision !== undefined)?.endRevision;
  const endTo = Math.min(end?.claimRevision ?? Infinity, sessionEnd ?? Infinity);
  const grantTo = Math.min(...sightings.map((sighting) => grantedBy(sighting)), Infinity);
  const first = acquires[0];
  const isGrantExact = held.some(({ claimRevision, permits }) => {
    return (
      claimRevision !== undefined && (claim.asked?.mode !== "permits" || permits === claim.asked.permits)
    );
  });
  // Whoever asks is granted by a later entry than any that was answered before.
  const askedFrom = first === undefined ? 0 : facts.floorBefore(first.sentAt) + 1;
  const shownTo = Math.max(
    -1,
    ...held.map(({ exactRevision, claimRevision }) => exactRevision ?? claimRevision ?? -1),
  );
  const renewedTo = session === undefined ? -1 : provenByRenewals(history, claim, session);
  return {
    claim,
    wasHeld: sightings.some(({ wasHeld }) => wasHeld),
    grantFrom: isGrantExact ? grantTo : Math.max(askedFrom, lastWaiting(sightings) + 1),
    grantTo,
    endTo,
    endAt: end?.claimRevision,
    provenTo: Math.max(shownTo, renewedTo),
    endReason: sightings.find(({ as, reason }) => as === "ended" && reason !== undefined)?.reason,
    wasNeverHeld: wasNeverHeld(claim),
    sentAt: first?.sentAt ?? Infinity,
  };
}

/** The entry by which this answer shows it granted. One entry may grant what was due to it, and end it by its command. */
function grantedBy({ wasHeld, claimRevision, exactRevision, operation }: Sighting): number {
  return wasHeld ? (claimRevision ?? exactRevision ?? operation.revision ?? Infinity) : Infinity;
}

function lastWaiting(sightings: readonly Sighting[]): number {
  return sightings.reduce(
    (last, { as, exactRevision }) => (as === "waiting" ? Math.max(last, exactRevision ?? -1) : last),
    -1,
  );
}

/**
 * A renewal lists every hold that ended otherwise than by the session's own request. So one that does not list this
 * hold, while nothing gave it up, shows that it lived at the renewal's own entry: which is later than any entry that
 * was answered before the renewal was sent.
 */
function provenByRenewals(history: History, claim: ClaimFacts, { keepAlives, closes }: SessionFacts): number {
  const facts = factsOf(history);
  const heldAt = Math.min(
    ...claim.sightings.map(({ as, operation }) =>
      as === "held" ? (operation.answeredAt ?? Infinity) : Infinity,
    ),
  );
  const givenUpAt = Math.min(...[...claim.releases, ...closes].map(({ sentAt }) => sentAt), Infinity);
  let proven = -1;
  for (const keepAlive of keepAlives) {
    const { sentAt, answeredAt = Infinity, answer } = keepAlive;
    if (sentAt <= heldAt || answeredAt >= givenUpAt || answer?.kind !== "renewed") continue;
    if (answer.ended.some(({ claimId }) => claimId === claim.claimId)) break;
    if (isSeenBacked(keepAlive, claim, keepAlives)) proven = Math.max(proven, facts.floorBefore(sentAt) + 1);
  }
  return proven;
}

/** All that was acknowledged by then is the revision of an answer that we know, and that did not list the claim. */
function isSeenBacked({ sentAt }: KeepAlive, { claimId }: ClaimFacts, all: readonly KeepAlive[]): boolean {
  const seen = all
    .filter((one) => one.sentAt <= sentAt)
    .flatMap(({ seen }) => (seen === undefined ? [] : [seen]));
  return seen.every((revision) =>
    all.some(
      ({ answer, revision: told }) =>
        told === revision &&
        answer?.kind === "renewed" &&
        answer.ended.every((ended) => ended.claimId !== claimId),
    ),
  );
}
