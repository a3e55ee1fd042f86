/**
 * Valid histories made invalid, each in one way, so that the checkers can be tested. A mutation looks for a place at
 * which it is certain that the result breaks a promise; without one it declines (undefined).
 */

import { latestExpiryMs } from "./expiry.ts";
import { type ClaimFacts, earliestEnd, endOf, factsOf } from "./facts.ts";
import type {
  Acquire,
  Asked,
  Belief,
  History,
  LookClaim,
  LookName,
  Operation,
  Shown,
  Use,
} from "./history.ts";
import { latestCancelMs, unattendedRule } from "./unattended.ts";

export interface Mutation {
  readonly name: string;
  /** At least one of these is found in every history that it makes. */
  readonly rules: readonly string[];
  /** The checker that is alone to see it, at least at times. */
  readonly alone?: string;
  readonly mutate: (history: History, random: () => number) => History | undefined;
}

export const mutations: readonly Mutation[] = [
  { name: "two claims with one fence", rules: ["I3-one-fence"], mutate: duplicateFence },
  { name: "fences that fall", rules: ["I3-fences"], mutate: swapFences },
  {
    name: "a hold beside a hold",
    rules: ["I1-exclusion"],
    mutate: (history, random) => intrude(history, random, "lock"),
  },
  {
    name: "permits beyond the capacity",
    rules: ["I2-permits"],
    mutate: (history, random) => intrude(history, random, "pool"),
  },
  {
    name: "a hold while a lease runs",
    rules: ["L5-linearizability"],
    alone: "linearizability",
    mutate: takeOver,
  },
  { name: "a holder after its release", rules: ["I4-one-end", "witness-look"], mutate: showReleased },
  { name: "a holder that is not shown", rules: ["witness-look"], mutate: hideHolder },
  { name: "an answer from the past", rules: ["witness-order"], alone: "witness", mutate: stale },
  { name: "a refusal without a reason", rules: ["witness-refusal"], mutate: refuse },
  { name: "more permits than asked for", rules: ["I2-over-release"], mutate: addPermit },
  { name: "a shrink that gives", rules: ["I2-over-release"], alone: "permits", mutate: growByShrink },
  { name: "a waiter that is passed", rules: ["I6-fifo"], alone: "fifo", mutate: pass },
  {
    name: "a claim that is granted twice",
    rules: ["I9-same-claim"],
    alone: "exactly-once",
    mutate: grantTwice,
  },
  { name: "an ended claim that is held again", rules: ["I4-one-end"], mutate: revive },
  { name: "an end with two reasons", rules: ["I4-one-end"], alone: "exactly-once", mutate: endTwice },
  { name: "a belief that lasts too long", rules: ["I10-belief"], alone: "belief", mutate: believeOn },
  { name: "a stale write that is accepted", rules: ["I11-fenced"], alone: "fenced", mutate: acceptStale },
  { name: "an update that is lost", rules: ["I11-lost-update"], alone: "fenced", mutate: loseUpdate },
  { name: "a session that expires early", rules: ["L9-never-early"], alone: "expiry", mutate: expireEarly },
  { name: "a dead session that holds", rules: ["L10-never-late"], alone: "expiry", mutate: holdForEver },
  { name: "a waiter that nobody attends", rules: [unattendedRule], alone: "unattended", mutate: waitOn },
  { name: "a shown hold that is given back", rules: ["L12-given-back-unheard"], mutate: giveBackShown },
  { name: "a session that lives after its end", rules: ["truth-gone"], alone: "truth", mutate: liveAgain },
  { name: "a session that is forgotten", rules: ["truth-gone"], mutate: forget },
  { name: "a grant to a dead session", rules: ["I5-dead-session"], mutate: grantToDead },
  { name: "a lock-delay that is not kept", rules: ["I8-lock-delay"], mutate: skipDelay },
  { name: "an internal error", rules: ["truth-code"], alone: "truth", mutate: fail },
  { name: "a clean release that is told lost", rules: ["truth-lost"], mutate: tellLost },
  { name: "an end without a cause", rules: ["truth-cause"], mutate: endWithoutCause },
];

// ---- tools ---------------------------------------------------------------------------------------------------------

function pick<T>(all: readonly T[], random: () => number): T | undefined {
  return all[Math.floor(random() * all.length)];
}

function replaced(history: History, changed: Operation): History {
  return { ...history, operations: history.operations.map((one) => (one.id === changed.id ? changed : one)) };
}

type Bare<T> = T extends unknown ? Omit<T, "id"> : never;

function added(history: History, operation: Bare<Operation>): History {
  const id = Math.max(...history.operations.map((one) => one.id)) + 1;
  return { ...history, operations: [...history.operations, { ...operation, id } as Operation] };
}

/** At the end somebody looks at a hold and is told that it ended so. */
function shownEnded(
  history: History,
  { claimId, answer }: ReturnType<typeof heldAcquires>[number],
  reason: string,
): History {
  const { time, revision } = highest(history);
  return added(history, {
    kind: "look-claim",
    client: "observer",
    claimId,
    sentAt: time + 1,
    answeredAt: time + 2,
    revision,
    answer: { kind: "ended", reason, fence: answer.fence, claimRevision: revision },
  });
}

function claimsIn(history: History): readonly ClaimFacts[] {
  return [...factsOf(history).claims.values()];
}

function isHeld(
  operation: Operation,
): operation is Acquire & { readonly answer: Extract<Shown, { kind: "held" }> } {
  return operation.kind === "acquire" && operation.answer?.kind === "held";
}

function heldAcquires(
  history: History,
): readonly (Acquire & { readonly answer: Extract<Shown, { kind: "held" }> })[] {
  const seen = new Set<string>();
  return history.operations.filter(isHeld).filter(({ claimId }) => seen.size < seen.add(claimId).size);
}

function highest(history: History): {
  readonly revision: number;
  readonly fence: number;
  readonly time: number;
} {
  const { operations } = history;
  return {
    revision: Math.max(0, ...operations.map(({ revision = 0 }) => revision)),
    fence: Math.max(0, ...claimsIn(history).map(({ fence = 0 }) => fence)),
    time: Math.max(...operations.map(({ sentAt, answeredAt = 0 }) => Math.max(sentAt, answeredAt))),
  };
}

function withFences(history: History, fenceOf: (fence: number) => number): History {
  const text = JSON.stringify(history.operations, (key, value: unknown) =>
    key === "fence" && typeof value === "number" ? fenceOf(value) : value,
  );
  return { ...history, operations: JSON.parse(text) as readonly Operation[] };
}

/** What was over by then, as it was known then. */
function prefix(history: History, time: number): History {
  const operations = history.operations
    .filter(({ sentAt }) => sentAt <= time)
    .map((operation): Operation => {
      if ((operation.answeredAt ?? Infinity) <= time) return operation;
      return { ...operation, answeredAt: undefined, revision: undefined, answer: undefined };
    });
  return { ...history, operations, beliefs: [], uses: [], abandoned: [], unattended: [] };
}

function acquireOf(asked: Asked, what: Partial<Acquire>): Bare<Acquire> {
  return {
    kind: "acquire",
    client: "intruder",
    sessionId: "session-intruder",
    claimId: "claim-intruder",
    asked,
    capacity: undefined,
    waitMs: 0,
    maxHoldMs: undefined,
    owner: undefined,
    queuedAt: undefined,
    leftAt: undefined,
    sentAt: 0,
    answeredAt: undefined,
    revision: undefined,
    answer: undefined,
    ...what,
  };
}

// ---- fences and holds ----------------------------------------------------------------------------------------------

function duplicateFence(history: History, random: () => number): History | undefined {
  const [a, b] = [pick(heldAcquires(history), random), pick(heldAcquires(history), random)];
  if (a === undefined || b === undefined || a.claimId === b.claimId) return undefined;
  return withFences(history, (fence) => (fence === a.answer.fence ? b.answer.fence : fence));
}

function swapFences(history: History, random: () => number): History | undefined {
  const [a, b] = [pick(heldAcquires(history), random), pick(heldAcquires(history), random)];
  if (a === undefined || b === undefined || a.answer.claimRevision === b.answer.claimRevision)
    return undefined;
  const swap = new Map([
    [a.answer.fence, b.answer.fence],
    [b.answer.fence, a.answer.fence],
  ]);
  return withFences(history, (fence) => swap.get(fence) ?? fence);
}

/** Somebody else gets all of it between a grant and its release. */
function intrude(history: History, random: () => number, prefixed: string): History | undefined {
  const held = heldAcquires(history).flatMap((acquire) => {
    const release = history.operations.find(
      (one) => one.kind === "release" && one.claimId === acquire.claimId && one.answer?.kind === "ended",
    );
    const { answeredAt = Infinity, asked, answer, claimId } = acquire;
    const isShrunk = (factsOf(history).claims.get(claimId)?.shrinks.length ?? 0) > 0;
    if (release?.kind !== "release" || release.answer?.kind !== "ended" || isShrunk) return [];
    const isRoom =
      release.sentAt - answeredAt > 10 && release.answer.claimRevision > answer.claimRevision + 1;
    return isRoom && asked.name.startsWith(prefixed) ? [acquire] : [];
  });
  const victim = pick(held, random);
  if (victim === undefined) return undefined;
  const { answeredAt = 0, answer, asked } = victim;
  const permits = history.capacities.get(asked.name) ?? 1;
  const mode = asked.mode === "permits" ? "permits" : "exclusive";
  const claimRevision = answer.claimRevision + 0.5;
  return added(
    history,
    acquireOf(
      { ...asked, mode, permits },
      {
        sentAt: answeredAt + 2,
        answeredAt: answeredAt + 4,
        revision: claimRevision,
        answer: { kind: "held", fence: answer.fence + 0.5, claimRevision, permits },
      },
    ),
  );
}

/** Nobody is told of any end, and its session was renewed a moment ago. */
function takeOver(history: History, random: () => number): History | undefined {
  const victim = pick(heldAcquires(history), random);
  if (victim?.asked.mode !== "exclusive") return undefined;
  const time = victim.answeredAt ?? 0;
  const until = prefix(history, time);
  const claim = factsOf(until).claims.get(victim.claimId);
  if (claim === undefined || endOf(claim) !== undefined || earliestEnd(until, claim) <= time + 20)
    return undefined;
  const { revision, fence } = highest(until);
  const claimRevision = revision + 1;
  return added(
    until,
    acquireOf(victim.asked, {
      sentAt: time + 5,
      answeredAt: time + 15,
      revision: claimRevision,
      answer: { kind: "held", fence: fence + 1, claimRevision, permits: 1 },
    }),
  );
}

function looksAt(history: History): readonly (LookName & { readonly answer: { readonly kind: "shown" } })[] {
  return history.operations.filter(
    (one): one is LookName & { readonly answer: Extract<LookName["answer"], { kind: "shown" }> } =>
      one.kind === "look-name" && one.answer?.kind === "shown",
  );
}

function showReleased(history: History, random: () => number): History | undefined {
  const look = pick(looksAt(history), random);
  if (look?.answer?.kind !== "shown") return undefined;
  const claim = factsOf(history)
    .claimsOf(look.name)
    .find(({ claimId, fence, sightings }) => {
      const isOver = sightings.some(({ reason, operation }) => {
        return reason === "released" && (operation.answeredAt ?? Infinity) < look.sentAt;
      });
      return (
        fence !== undefined && isOver && look.answer?.kind === "shown" && !look.answer.queue.includes(claimId)
      );
    });
  if (claim?.fence === undefined) return undefined;
  const holder = { claimId: claim.claimId, fence: claim.fence, permits: 1 };
  return replaced(history, { ...look, answer: { ...look.answer, state: "held", holders: [holder] } });
}

function hideHolder(history: History, random: () => number): History | undefined {
  const look = pick(looksAt(history), random);
  if (look?.answer?.kind !== "shown") return undefined;
  const { answer, revision = 0 } = look;
  const hidden = answer.holders.find(({ claimId }) => {
    const { sightings = [] } = factsOf(history).claims.get(claimId) ?? {};
    const isGranted = sightings.some(
      ({ as, claimRevision }) => as === "held" && (claimRevision ?? Infinity) <= revision,
    );
    return (
      isGranted &&
      sightings.some(({ as, claimRevision }) => as === "ended" && (claimRevision ?? 0) > revision)
    );
  });
  if (hidden === undefined) return undefined;
  const holders = answer.holders.filter((holder) => holder !== hidden);
  const state = holders.length === 0 ? "free" : answer.state;
  return replaced(history, { ...look, answer: { ...answer, holders, state } });
}

/** A read is answered with less than somebody had been shown before it was sent. */
function stale(history: History, random: () => number): History | undefined {
  const reads = history.operations.filter(
    ({ kind, answer }) => kind === "keepalive" && answer?.kind === "renewed",
  );
  const read = pick(reads, random);
  const floor = read === undefined ? 0 : factsOf(history).floorBefore(read.sentAt);
  if (read?.kind !== "keepalive" || read.answer?.kind !== "renewed" || floor < 12) return undefined;
  if (read.answer.ended.length > 0) return undefined;
  return replaced(history, { ...read, revision: floor - 1 });
}

function refuse(history: History): History | undefined {
  const { revision, time } = highest(history);
  return added(
    history,
    acquireOf(
      { name: "lock/nobody", mode: "exclusive", permits: 1 },
      {
        sentAt: time + 1,
        answeredAt: time + 2,
        revision: revision + 1,
        answer: { kind: "refused", code: "locked", reason: "held", blockedBy: [] },
      },
    ),
  );
}

// ---- permits -------------------------------------------------------------------------------------------------------

function addPermit(history: History, random: () => number): History | undefined {
  const acquire = pick(
    heldAcquires(history).filter(({ asked }) => asked.mode === "permits"),
    random,
  );
  if (acquire === undefined) return undefined;
  return replaced(history, { ...acquire, answer: { ...acquire.answer, permits: acquire.asked.permits + 1 } });
}

function growByShrink(history: History, random: () => number): History | undefined {
  const shrinks = history.operations.filter((one) => one.kind === "shrink" && one.answer?.kind === "held");
  const shrink = pick(shrinks, random);
  if (shrink?.kind !== "shrink" || shrink.answer?.kind !== "held") return undefined;
  return replaced(history, { ...shrink, answer: { ...shrink.answer, permits: shrink.answer.permits + 1 } });
}

// ---- order and identity --------------------------------------------------------------------------------------------

/** Whoever was granted later is said to have waited before the earlier one asked. */
function pass(history: History, random: () => number): History | undefined {
  const first = pick(heldAcquires(history), random);
  if (first === undefined) return undefined;
  const later = heldAcquires(history).filter(({ asked, answer, claimId }) => {
    const isShared = asked.mode === "shared" && first.asked.mode === "shared";
    const { acquires = [] } = factsOf(history).claims.get(claimId) ?? {};
    return (
      asked.name === first.asked.name &&
      !isShared &&
      answer.fence > first.answer.fence &&
      acquires.length === 1
    );
  });
  const waiter = pick(later, random);
  if (waiter === undefined || factsOf(history).claims.get(first.claimId)?.acquires[0]?.id !== first.id)
    return undefined;
  return replaced(history, {
    ...waiter,
    waitMs: 60_000,
    sentAt: first.sentAt - 2,
    queuedAt: first.sentAt - 1,
  });
}

/** Asked again after the answer, it shows another grant. */
function grantTwice(history: History, random: () => number): History | undefined {
  const acquire = pick(heldAcquires(history), random);
  if (acquire === undefined) return undefined;
  const { answeredAt = 0, answer } = acquire;
  return added(history, {
    ...acquire,
    sentAt: answeredAt + 1,
    answeredAt: answeredAt + 2,
    answer: { ...answer, fence: answer.fence + 0.5 },
  });
}

function revive(history: History, random: () => number): History | undefined {
  const ended = claimsIn(history).filter(({ fence, sightings }) => {
    return (
      fence !== undefined &&
      sightings.some(({ as, claimRevision }) => as === "ended" && claimRevision !== undefined)
    );
  });
  const claim = pick(ended, random);
  if (claim?.fence === undefined) return undefined;
  const { revision, time } = highest(history);
  return added(history, {
    kind: "look-claim",
    client: "observer",
    claimId: claim.claimId,
    sentAt: time + 1,
    answeredAt: time + 2,
    revision,
    answer: { kind: "held", fence: claim.fence, claimRevision: revision, permits: 1 },
  });
}

function endTwice(history: History, random: () => number): History | undefined {
  const released = history.operations.filter((one) => one.kind === "release" && one.answer?.kind === "ended");
  const release = pick(released, random);
  if (release?.kind !== "release" || release.answer?.kind !== "ended" || release.answer.reason !== "released")
    return undefined;
  const { claimId, answeredAt = 0, revision = 0, answer } = release;
  const fence = factsOf(history).claims.get(claimId)?.fence;
  if (fence === undefined) return undefined;
  const look: Bare<LookClaim> = {
    kind: "look-claim",
    client: "observer",
    claimId,
    sentAt: answeredAt + 1,
    answeredAt: answeredAt + 2,
    revision: Math.max(revision, factsOf(history).floorBefore(answeredAt + 1)),
    answer: { kind: "ended", reason: "cancelled", fence, claimRevision: answer.claimRevision },
  };
  return added(history, look);
}

// ---- beliefs and uses ----------------------------------------------------------------------------------------------

function believeOn(history: History, random: () => number): History | undefined {
  const { beliefs } = history;
  const pairs = beliefs.flatMap((first) => {
    const next = beliefs.find((other) => isNext(first, other));
    return next === undefined ? [] : [{ first, next }];
  });
  const pair = pick(pairs, random);
  if (pair === undefined) return undefined;
  const longer = { ...pair.first, to: pair.next.from + 1 };
  return { ...history, beliefs: beliefs.map((one) => (one === pair.first ? longer : one)) };
}

function isNext(first: Belief, other: Belief): boolean {
  const isExclusive = first.asked.mode === "exclusive" || other.asked.mode === "exclusive";
  return (
    first.asked.name === other.asked.name &&
    isExclusive &&
    other.from >= first.to &&
    other.to > other.from + 1
  );
}

function acceptStale(history: History, random: () => number): History | undefined {
  const use = pick(
    history.uses.filter(({ accepted }) => !accepted),
    random,
  );
  return use === undefined ? undefined : withUse(history, use, { ...use, accepted: true });
}

function loseUpdate(history: History, random: () => number): History | undefined {
  const accepted = history.uses.filter((use) => use.accepted && use.mode === "exclusive" && use.read > 0);
  const use = pick(accepted, random);
  return use === undefined ? undefined : withUse(history, use, { ...use, read: use.read - 1 });
}

function withUse(history: History, use: Use, changed: Use): History {
  return { ...history, uses: history.uses.map((one) => (one === use ? changed : one)) };
}

// ---- sessions ------------------------------------------------------------------------------------------------------

function expireEarly(history: History, random: () => number): History | undefined {
  const renewals = [...factsOf(history).sessions.values()].flatMap((session) => session.renewals);
  const renewal = pick(renewals, random);
  if (renewal === undefined) return undefined;
  const time = renewal.answeredAt;
  const until = prefix(history, time);
  const { revision } = highest(until);
  return added(until, {
    kind: "keepalive",
    client: renewal.operation.client,
    sessionId: renewal.operation.sessionId,
    seen: undefined,
    sentAt: time + 1,
    answeredAt: time + 10,
    revision: revision + 1,
    answer: { kind: "gone", reason: "expired", endRevision: revision + 1 },
  });
}

/** It was abandoned, the cluster is well, and long after it is still shown. */
function holdForEver(history: History, random: () => number): History | undefined {
  const acquire = pick(heldAcquires(history), random);
  if (acquire === undefined) return undefined;
  const time = acquire.answeredAt ?? 0;
  const until = prefix(history, time);
  const { sessionId, claimId, answer } = acquire;
  const session = factsOf(until).sessions.get(sessionId);
  const ttlMs = Math.max(...(session?.renewals.map((renewal) => renewal.ttlMs) ?? []));
  if (ttlMs === -Infinity) return undefined;
  const claim = factsOf(until).claims.get(claimId);
  if (claim === undefined || endOf(claim) !== undefined) return undefined;
  const late = time + latestExpiryMs(ttlMs, history.drift) + 1;
  const look: Bare<LookClaim> = {
    kind: "look-claim",
    client: "observer",
    claimId,
    sentAt: late,
    answeredAt: late + 1,
    revision: highest(until).revision,
    answer,
  };
  const healthy = [{ from: 0, to: Infinity }];
  return added({ ...until, healthy, abandoned: [{ sessionId, at: time }] }, look);
}

/** Its client walked away, its session lives on, all is well, and long after its grace it still waits. */
function waitOn(history: History, random: () => number): History | undefined {
  const acquire = pick(heldAcquires(history), random);
  const renewal = acquire && factsOf(history).sessions.get(acquire.sessionId)?.renewals[0];
  if (acquire === undefined || renewal === undefined) return undefined;
  const { time, revision } = highest(history);
  const late = time + latestCancelMs(1_000, history.drift) + 1;
  const look: Bare<LookClaim> = {
    kind: "look-claim",
    client: "observer",
    claimId: "claim-intruder",
    sentAt: late,
    answeredAt: late + 1,
    revision,
    answer: { kind: "waiting" },
  };
  const waits = acquireOf(acquire.asked, { sentAt: time, queuedAt: time, waitMs: 1_000_000, leftAt: time });
  const unattended = [{ claimId: "claim-intruder", at: time, graceMs: 1_000 }];
  return added(added({ ...history, healthy: [{ from: 0, to: Infinity }], unattended }, waits), look);
}

function giveBackShown(history: History, random: () => number): History | undefined {
  const acquire = pick(heldAcquires(history), random);
  if (acquire === undefined) return undefined;
  return shownEnded(replaced(history, { ...acquire, leftAt: acquire.sentAt }), acquire, "cancelled");
}

function liveAgain(history: History, random: () => number): History | undefined {
  const sessions = [...factsOf(history).sessions.values()];
  const told = pick(
    sessions.filter(({ ends }) => ends.some(({ reason }) => reason !== "unknown")),
    random,
  );
  if (told === undefined) return undefined;
  const { revision, time } = highest(history);
  return added(history, {
    kind: "keepalive",
    client: "revenant",
    sessionId: told.sessionId,
    seen: undefined,
    sentAt: time + 1,
    answeredAt: time + 2,
    revision,
    answer: { kind: "renewed", ttlMs: 6_000, leaseMs: 5_400, ended: [] },
  });
}

function forget(history: History, random: () => number): History | undefined {
  const { revision, time } = highest(history);
  const sessions = [...factsOf(history).sessions.values()].filter(({ renewals }) => renewals.length > 0);
  const session = pick(sessions, random);
  if (session === undefined) return undefined;
  return added(history, {
    kind: "close",
    client: "forgotten",
    sessionId: session.sessionId,
    sentAt: time + 1,
    answeredAt: time + 2,
    revision,
    answer: { kind: "gone", reason: "unknown", endRevision: undefined },
  });
}

function grantToDead(history: History, random: () => number): History | undefined {
  const sessions = [...factsOf(history).sessions.values()];
  const dead = pick(
    sessions.filter(({ ends }) => ends.some(({ endRevision }) => endRevision !== undefined)),
    random,
  );
  if (dead === undefined) return undefined;
  const { revision, fence, time } = highest(history);
  const claimRevision = revision + 1;
  return added(
    history,
    acquireOf(
      { name: "lock/fresh", mode: "exclusive", permits: 1 },
      {
        sessionId: dead.sessionId,
        sentAt: time + 1,
        answeredAt: time + 2,
        revision: claimRevision,
        answer: { kind: "held", fence: fence + 1, claimRevision, permits: 1 },
      },
    ),
  );
}

function skipDelay(history: History, random: () => number): History | undefined {
  const unclean = ["session-expired", "session-killed", "max-hold"];
  const lost = claimsIn(history).filter((claim) => {
    const { asked, fence } = claim;
    return asked?.mode === "exclusive" && fence !== undefined && unclean.includes(endOf(claim)?.reason ?? "");
  });
  const claim = pick(lost, random);
  if (claim?.asked === undefined || claim.fence === undefined) return undefined;
  const time = earliestEnd(history, claim, endOf(claim)?.reason);
  const answer = { kind: "held", fence: claim.fence + 0.5, claimRevision: 0, permits: 1 } as const;
  return added(history, acquireOf(claim.asked, { sentAt: time, answeredAt: time + 5, answer }));
}

// ---- answers -------------------------------------------------------------------------------------------------------

function fail(history: History): History | undefined {
  const { time } = highest(history);
  return added(history, {
    kind: "look-name",
    client: "observer",
    name: "lock/a",
    sentAt: time + 1,
    answeredAt: time + 2,
    revision: undefined,
    answer: { kind: "denied", code: "internal" },
  });
}

function tellLost(history: History, random: () => number): History | undefined {
  const released = history.operations.filter((one) => one.kind === "release" && one.answer?.kind === "ended");
  const release = pick(released, random);
  if (release?.kind !== "release" || release.answer?.kind !== "ended") return undefined;
  return replaced(history, { ...release, answer: { ...release.answer, kind: "lost" } });
}

function endWithoutCause(history: History, random: () => number): History | undefined {
  const live = heldAcquires(history).filter(({ maxHoldMs }) => maxHoldMs === undefined);
  const acquire = pick(live, random);
  return acquire === undefined ? undefined : shownEnded(history, acquire, "max-hold");
}
