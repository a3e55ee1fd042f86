/**
 * Linearizability of every name from times alone: no revision is read here, so a server that lies about them does not
 * escape. What clients did is turned into steps between a sending and an answer; `search.ts` looks for an order.
 * Ends that no client asks for (expiry, max-hold, kills, hang-ups) are steps of their own, not before their earliest
 * time and not after the first answer that tells of them (SEMANTICS §1 rules 2 and 9, §2, §3).
 */
import { type ClaimFacts, earliestEnd, endOf, factsOf, firstSent, holdersInTheWay } from "./facts.ts";
import type { Acquire, Asked, Checker, Finding, History, Operation } from "./history.ts";
import { wasNeverHeld } from "./intervals.ts";
import { type Searched, type Step, search } from "./search.ts";

export const linearizabilityRule = "L5-linearizability";
/** The search gave up: that is no pass. */
export const budgetRule = "linearizability-budget";

/** What the search of one name may look at: the usual is 30 000, and this some ten seconds. */
export const workMax = 30_000_000;

export const checkLinearizability: Checker = (history) =>
  factsOf(history).names.flatMap((name) => checkName(history, name));

function checkName(history: History, name: string): readonly Finding[] {
  const { steps, operationsOf } = stepsOf(history, name);
  const capacity = history.capacities.get(name) ?? 1;
  return findings(name, search(steps, { capacity, workMax }), operationsOf);
}

function findings(
  name: string,
  searched: Searched,
  operationsOf: ReadonlyMap<Step, readonly number[]>,
): readonly Finding[] {
  switch (searched.kind) {
    case "linearizable":
      return [];
    case "out-of-budget": {
      const detail = `${name}: no answer within ${workMax} looks`;
      return [{ rule: budgetRule, detail, operations: operationsOf.get(searched.at) ?? [] }];
    }
    default: {
      const { at, holders } = searched;
      const who = "claimId" in at ? ` of ${at.claimId}` : "";
      const held = holders.length === 0 ? "nobody" : holders.join(", ");
      const detail = `${name}: ${at.kind}${who} between ${at.from} and ${at.to} fits no order; before it held: ${held}`;
      return [{ rule: linearizabilityRule, detail, operations: operationsOf.get(at) ?? [] }];
    }
  }
}

export interface Steps {
  readonly steps: readonly Step[];
  /** Ids of the operations that a step comes from. */
  readonly operationsOf: ReadonlyMap<Step, readonly number[]>;
}

/** The steps of one name, in no order. */
export function stepsOf(history: History, name: string): Steps {
  const operationsOf = new Map<Step, readonly number[]>();
  const add = (step: Step | undefined, operations: readonly Operation[]): void => {
    if (step === undefined) return;
    operationsOf.set(
      step,
      operations.map(({ id }) => id),
    );
  };
  const facts = factsOf(history);
  for (const claim of facts.claimsOf(name)) {
    for (const [step, from] of claimSteps(history, claim)) add(step, from);
  }
  for (const operation of history.operations) add(readStep(history, name, operation), [operation]);
  return { steps: [...operationsOf.keys()], operationsOf };
}

type Derived = readonly [step: Step, from: readonly Operation[]];

/** Its grant, if there may have been one, and its end. */
function claimSteps(history: History, claim: ClaimFacts): readonly Derived[] {
  const { claimId, asked, acquires, fence, sightings } = claim;
  if (asked === undefined || wasNeverHeld(claim)) return [];
  const from = firstSent(acquires);
  const least = claim.shrinks.reduce((fewest, { permits }) => Math.min(fewest, permits), asked.permits);
  const want = { mode: asked.mode, permits: asked.permits, least };
  const gone = goneBy(history, claim);
  const told = endOf(claim);
  const toldBy = Math.min(gone, ...endedBy(claim));
  const end: Step = { kind: "end", claimId, from: earliestEnd(history, claim, told?.reason), to: toldBy };
  const ends: Derived = [end, told === undefined ? acquires.slice(0, 1) : [told.operation]];
  const held = sightings.filter(({ wasHeld }) => wasHeld);
  if (held.length > 0) {
    const to = Math.min(...held.map(({ operation }) => operation.answeredAt ?? Infinity));
    const shown = held.find(({ operation }) => operation.answeredAt === to)?.operation;
    const operations =
      shown === undefined ? acquires.slice(0, 1) : [...new Set([...acquires.slice(0, 1), shown])];
    return [[{ kind: "grant", claimId, from, to, want, fence, isCertain: true }, operations], ends];
  }
  if (!mayHaveHappened(claim)) return [];
  return [
    [{ kind: "grant", claimId, from, to: toldBy, want, fence: undefined, isCertain: false }, acquires],
    ends,
  ];
}

/** Refusals that are told only when no earlier try of the same request had made a claim. */
const definite = new Set([
  "already-held",
  "already-waiting",
  "capacity-conflict",
  "exceeds-capacity",
  "invalid",
  "kind-mismatch",
  "quota",
]);

/** Nothing says that it was granted, and not every acquire of it was turned down for good. */
function mayHaveHappened({ acquires }: ClaimFacts): boolean {
  return acquires.some(({ answer }) => answer?.kind !== "denied" || !definite.has(answer.code));
}

function endedBy({ sightings }: ClaimFacts): readonly number[] {
  return sightings.flatMap(({ as, operation }) => (as === "ended" ? [operation.answeredAt ?? Infinity] : []));
}

/** When somebody was told that its session is no more: then the claim is over too. */
function goneBy(history: History, { sessionId }: ClaimFacts): number {
  const session = factsOf(history).sessions.get(sessionId ?? "");
  // "Unknown" may come before the session was opened.
  const ends = session?.ends.filter(({ reason }) => reason !== "unknown") ?? [];
  return Math.min(Infinity, ...ends.map(({ answeredAt }) => answeredAt));
}

/** Reads and refusals: they change nothing. */
function readStep(history: History, name: string, operation: Operation): Step | undefined {
  const { sentAt: from, answeredAt: to = Infinity } = operation;
  switch (operation.kind) {
    case "look-name":
      if (operation.name !== name || operation.answer?.kind !== "shown") return undefined;
      return { kind: "look", from, to, holders: operation.answer.holders.map(({ claimId }) => claimId) };
    case "look-claim": {
      const { claimId, answer } = operation;
      if (answer?.kind !== "held" && answer?.kind !== "waiting") return undefined;
      if (!isOf(history, claimId, name)) return undefined;
      return { kind: "see", claimId, from, to, isHeld: answer.kind === "held" };
    }
    case "check": {
      const { claimId, answer } = operation;
      if (answer?.kind !== "checked" || answer.status !== "current" || operation.name !== name)
        return undefined;
      return { kind: "see", claimId, from, to, isHeld: true };
    }
    case "acquire":
      return operation.asked.name === name ? refusedStep(history, operation) : undefined;
    default:
      return undefined;
  }
}

function isOf(history: History, claimId: string, name: string): boolean {
  return factsOf(history).claims.get(claimId)?.asked?.name === name;
}

/**
 * Only what holders cause can be judged: a delay or a queue leaves no trace among them. A repeated refusal says what was
 * so at the first.
 */
function refusedStep(history: History, operation: Acquire): Step | undefined {
  const { claimId, asked, answer, answeredAt = Infinity } = operation;
  const holders = holdersInTheWay(operation);
  if (answer?.kind !== "refused" || answer.code !== "locked") return undefined;
  if (answer.reason !== "held" && answer.reason !== "capacity") return undefined;
  const acquires = factsOf(history).claims.get(claimId)?.acquires ?? [];
  return {
    kind: "refused",
    claimId,
    from: firstSent(acquires),
    to: answeredAt,
    want: wanted(asked),
    holders,
  };
}

function wanted({ mode, permits }: Asked): {
  readonly mode: Asked["mode"];
  readonly permits: number;
  readonly least: number;
} {
  return { mode, permits, least: permits };
}
