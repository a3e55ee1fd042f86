/**
 * One claim id is one claim (SEMANTICS §3, I9, I4): all answers that name it agree on the fence, on the end and its
 * reason, what has ended never comes back, and what was shown as held is not given back unasked. A fence stands for one
 * claim. Never looks at other claims of the name.
 */
import { type ClaimFacts, factsOf, isDecided, type Sighting } from "./facts.ts";
import type { Checker, Finding } from "./history.ts";

export const sameClaimRule = "I9-same-claim";
export const oneEndRule = "I4-one-end";
export const oneFenceRule = "I3-one-fence";
export const unheardRule = "L12-given-back-unheard";

export const checkExactlyOnce: Checker = (history) => {
  const facts = factsOf(history);
  const findings = [...facts.claims.values()].flatMap((claim) => [
    ...disagreements(claim),
    ...returns(claim),
    ...strangers(claim),
  ]);
  return [...findings, ...sharedFences([...facts.claims.values()])];
};

/** What must be the same in all answers that say it at all. */
function disagreements(claim: ClaimFacts): readonly Finding[] {
  const { sightings } = claim;
  const ended = sightings.filter(({ as }) => as === "ended");
  const told = ended.filter(({ reason }) => reason !== undefined);
  const isLock = claim.asked?.mode !== "permits";
  const grants = sightings.filter(({ as }) => isLock && as === "held");
  return [
    ...differing(claim, sameClaimRule, "fences", sightings, ({ fence }) => fence),
    ...differing(claim, sameClaimRule, "grants", grants, ({ claimRevision }) => claimRevision),
    ...differing(claim, oneEndRule, "reasons", told, ({ reason }) => reason),
    ...differing(claim, oneEndRule, "ends", ended, ({ claimRevision }) => claimRevision),
    ...heldAndNever(claim, ended),
    ...givenBack(claim, ended),
  ];
}

function differing(
  claim: ClaimFacts,
  rule: string,
  what: string,
  sightings: readonly Sighting[],
  of: (sighting: Sighting) => string | number | undefined,
): readonly Finding[] {
  const [first, ...rest] = sightings.filter((sighting) => of(sighting) !== undefined);
  const other = rest.find((sighting) => first !== undefined && of(sighting) !== of(first));
  if (first === undefined || other === undefined) return [];
  return [finding(claim, rule, `has two ${what}, ${of(first)} and ${of(other)}`, [first, other])];
}

/** Refused, timed out: then it was never held. */
function heldAndNever(claim: ClaimFacts, ended: readonly Sighting[]): readonly Finding[] {
  const never = ended.find(({ reason }) => reason === "refused" || reason === "wait-timeout");
  const held = claim.sightings.find(({ wasHeld }) => wasHeld);
  if (never === undefined || held === undefined) return [];
  return [finding(claim, sameClaimRule, `ended as ${never.reason} and was held`, [never, held])];
}

/**
 * A hold is given back for its client's silence only while no answer has told of it, to whoever asked for it or looked.
 * That it stood in somebody's way is no harm: it did.
 */
function givenBack(claim: ClaimFacts, ended: readonly Sighting[]): readonly Finding[] {
  const cancelled = ended.find(({ reason }) => reason === "cancelled");
  const held = claim.sightings.find(
    ({ as, operation }) => as === "held" && operation.answer?.kind !== "refused",
  );
  if (cancelled === undefined || held === undefined) return [];
  return [finding(claim, unheardRule, "was shown as held, and was cancelled", [held, cancelled])];
}

/** Waiting, held, ended: an answer to what was sent later, or a read of a later entry, never shows an earlier stage. */
function returns(claim: ClaimFacts): readonly Finding[] {
  const stage = { waiting: 0, held: 1, ended: 2 };
  for (const before of claim.sightings) {
    const { answeredAt = Infinity } = before.operation;
    const after = claim.sightings.find(
      ({ as, operation, exactRevision }) =>
        stage[as] < stage[before.as] &&
        (operation.sentAt > answeredAt ||
          (before.exactRevision !== undefined && (exactRevision ?? -1) >= before.exactRevision)),
    );
    if (after === undefined) continue;
    return [finding(claim, oneEndRule, `was ${before.as} and is ${after.as} later`, [before, after])];
  }
  return [];
}

/** Another session, another thing, another owner under the same id: at most one of them can have the claim. */
function strangers(claim: ClaimFacts): readonly Finding[] {
  const shown = claim.acquires.filter(
    (operation) =>
      isDecided(operation) && (operation.answer?.kind === "held" || operation.answer?.kind === "waiting"),
  );
  const [first, ...rest] = shown;
  const other = rest.find(
    ({ sessionId, owner, asked }) =>
      first !== undefined &&
      (sessionId !== first.sessionId ||
        owner !== first.owner ||
        asked.name !== first.asked.name ||
        asked.mode !== first.asked.mode ||
        asked.permits !== first.asked.permits),
  );
  if (first === undefined || other === undefined) return [];
  const detail = `${claim.claimId} was given for two different requests`;
  return [{ rule: sameClaimRule, detail, operations: [first.id, other.id] }];
}

function sharedFences(claims: readonly ClaimFacts[]): readonly Finding[] {
  const findings: Finding[] = [];
  const owners = new Map<number, ClaimFacts>();
  for (const claim of claims) {
    const { fence } = claim;
    if (fence === undefined) continue;
    const other = owners.get(fence);
    if (other === undefined) {
      owners.set(fence, claim);
      continue;
    }
    const both = [other, claim].flatMap(({ sightings }) =>
      sightings.filter((one) => one.fence === fence).slice(0, 1),
    );
    findings.push(finding(claim, oneFenceRule, `has the fence ${fence} of ${other.claimId}`, both));
  }
  return findings;
}

function finding(claim: ClaimFacts, rule: string, what: string, sightings: readonly Sighting[]): Finding {
  return {
    rule,
    detail: `${claim.claimId} (${claim.asked?.name ?? "nothing"}) ${what}`,
    operations: sightings.map(({ operation }) => operation.id),
  };
}
