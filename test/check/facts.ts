/**
 * What a history says, put in order: by claim, by session, and how far the log was known to be at a time. All checkers
 * read it; it draws only conclusions that SEMANTICS gives to anybody outside, and never judges.
 */
import type {
  Acquire,
  Asked,
  Close,
  Gone,
  History,
  KeepAlive,
  Kill,
  Open,
  Operation,
  Release,
  Shown,
  Shrink,
} from "./history.ts";

/** What one answer said of one claim. */
export interface Sighting {
  readonly operation: Operation;
  readonly as: "held" | "waiting" | "ended";
  /** Of the grant, when the answer names it. */
  readonly fence: number | undefined;
  /** True when it says that the claim was held once, or is. */
  readonly wasHeld: boolean;
  /** Of a hold. */
  readonly permits: number | undefined;
  /** Of an end; undefined when the answer does not say. */
  readonly reason: string | undefined;
  /** Entry of the grant or the last shrink, or of the end. */
  readonly claimRevision: number | undefined;
  /** Of a read: it was so at exactly this entry. */
  readonly exactRevision: number | undefined;
}

export interface ClaimFacts {
  readonly claimId: string;
  /** In the order of their sending. */
  readonly acquires: readonly Acquire[];
  readonly releases: readonly Release[];
  readonly shrinks: readonly Shrink[];
  readonly sightings: readonly Sighting[];
  /** Of the first acquire. */
  readonly sessionId: string | undefined;
  readonly asked: Asked | undefined;
  readonly fence: number | undefined;
}

/** An answer that says that the session lived when its entry applied. `ttlMs` counts from no earlier than `sentAt`. */
export interface Renewal {
  readonly operation: Open | KeepAlive;
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly ttlMs: number;
}

export interface Told {
  readonly operation: Operation;
  readonly answeredAt: number;
  readonly reason: Gone["reason"];
  readonly endRevision: number | undefined;
}

export interface SessionFacts {
  readonly sessionId: string;
  readonly refs: ReadonlySet<string>;
  readonly opens: readonly Open[];
  readonly keepAlives: readonly KeepAlive[];
  readonly closes: readonly Close[];
  /** Also those of a ref that no answer explains: they may be meant for it. */
  readonly kills: readonly Kill[];
  readonly renewals: readonly Renewal[];
  /** Every answer that says that it is no more. */
  readonly ends: readonly Told[];
}

export interface Facts {
  readonly claims: ReadonlyMap<string, ClaimFacts>;
  readonly sessions: ReadonlyMap<string, SessionFacts>;
  /** Names that somebody asked for or looked at. */
  readonly names: readonly string[];
  /** Claims by the name they asked for, in the order of their first send. */
  claimsOf(name: string): readonly ClaimFacts[];
  /** The highest revision that anybody was answered with before this time; 0 when there is none. */
  floorBefore(time: number): number;
}

const known = new WeakMap<History, Facts>();

/** Computed once for a history, which therefore must not change once it is judged: every checker reads this. */
export function factsOf(history: History): Facts {
  const found = known.get(history);
  if (found !== undefined) return found;
  const facts = collect(history);
  known.set(history, facts);
  return facts;
}

/** Codes of refusals that are the outcome of an applied entry or of a confirmed read (SEMANTICS §1 rule 1). */
const decided: ReadonlySet<string> = new Set([
  "session-conflict",
  "claim-conflict",
  "claim-ended",
  "claim-lost",
  "not-holder",
  "already-held",
  "already-waiting",
  "capacity-conflict",
  "exceeds-capacity",
]);

/** True when the answer's revision says something about the log; any node may say 503, with any revision. */
export function isDecided({ answer, revision }: Operation): boolean {
  if (answer === undefined || revision === undefined) return false;
  return answer.kind !== "denied" || decided.has(answer.code);
}

/** Two holds of one name that must never be at once. Permits exclude only by their sum. */
export function isConflict(a: Asked, b: Asked): boolean {
  return a.mode === "exclusive" || b.mode === "exclusive";
}

/** Ends that leave a lock-delay behind: nobody told the holder, or somebody took it (SEMANTICS §4). */
export const uncleanReasons: ReadonlySet<string> = new Set([
  "session-expired",
  "session-killed",
  "max-hold",
  "revoked",
  "forced",
]);

/**
 * The earliest time at which the session can have ended for lack of renewals: the last acknowledged one counts from
 * its sending at the earliest, on a clock that is at most `drift` faster. -Infinity when nothing was acknowledged.
 */
export function earliestExpiry({ renewals }: SessionFacts, drift: number): number {
  return renewals.reduce(
    (latest, { sentAt, ttlMs }) => Math.max(latest, sentAt + ttlMs * (1 - drift)),
    -Infinity,
  );
}

/**
 * The earliest time at which this claim can have ended; by `reason` if that is known, else by anything that the history
 * leaves possible. Infinity: nothing in the history ends it.
 */
export function earliestEnd(history: History, claim: ClaimFacts, reason?: string): number {
  const { sessions } = factsOf(history);
  const session = claim.sessionId === undefined ? undefined : sessions.get(claim.sessionId);
  const begun = claim.acquires[0]?.sentAt ?? -Infinity;
  const released = firstSent(claim.releases);
  const left = Math.min(...claim.acquires.map(({ leftAt = Infinity }) => leftAt));
  const causes: Record<string, number> = {
    released,
    cancelled: Math.min(released, left),
    "session-expired": session === undefined ? begun : earliestExpiry(session, history.drift),
    "session-closed": session === undefined ? begun : firstSent(session.closes),
    "session-killed": session === undefined ? begun : firstSent(session.kills),
    "max-hold": ownDeadline(claim, history.drift, (acquire) => acquire.maxHoldMs),
    "wait-timeout":
      claim.fence === undefined ? ownDeadline(claim, history.drift, ({ waitMs }) => waitMs) : Infinity,
  };
  const known = reason === undefined ? undefined : causes[reason];
  if (known !== undefined) return Math.max(begun, known);
  return reason === undefined ? Math.max(begun, Math.min(...Object.values(causes))) : begun;
}

function ownDeadline(
  { acquires }: ClaimFacts,
  drift: number,
  duration: (acquire: Acquire) => number | undefined,
): number {
  const sentAt = firstSent(acquires);
  const shortest = acquires.reduce(
    (least, acquire) => Math.min(least, duration(acquire) ?? Infinity),
    Infinity,
  );
  // Cluster time is stamped in whole milliseconds: of two stamps the first may be rounded down by more than the second.
  return sentAt + shortest * (1 - drift) - 1;
}

/** Claims that a refusal names as holders in the way. */
export function holdersInTheWay({ answer }: Acquire): readonly string[] {
  if (answer?.kind !== "refused" || answer.code !== "locked") return [];
  return answer.reason === "held" || answer.reason === "capacity" ? answer.blockedBy : [];
}

export function firstSent(operations: readonly Operation[]): number {
  return operations.reduce((first, { sentAt }) => Math.min(first, sentAt), Infinity);
}

/** The end that answers tell of: the first that names its entry, else any. */
export function endOf({ sightings }: ClaimFacts): Sighting | undefined {
  const ends = sightings.filter(({ as }) => as === "ended");
  return ends.find(({ claimRevision }) => claimRevision !== undefined) ?? ends[0];
}

/** In the order of the first of each group. (`Map.groupBy` is younger than the oldest Node that runs this.) */
export function groupBy<T>(all: readonly T[], keyOf: (one: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) listIn(groups, keyOf(one)).push(one);
  return groups;
}

// ---- collecting ----------------------------------------------------------------------------------------------------

interface Draft {
  readonly acquires: Acquire[];
  readonly releases: Release[];
  readonly shrinks: Shrink[];
  readonly sightings: Sighting[];
}

function collect(history: History): Facts {
  const operations = [...history.operations].sort((a, b) => a.sentAt - b.sentAt || a.id - b.id);
  const claims = new Map<string, ClaimFacts>();
  const byName = new Map<string, ClaimFacts[]>();
  for (const [claimId, draft] of draftClaims(operations)) {
    const [first] = draft.acquires;
    const fence = draft.sightings.find((sighting) => sighting.fence !== undefined)?.fence;
    const asked = first?.asked;
    const facts: ClaimFacts = { claimId, ...draft, sessionId: first?.sessionId, asked, fence };
    claims.set(claimId, facts);
    if (asked !== undefined) listIn(byName, asked.name).push(facts);
  }
  for (const operation of operations) if (operation.kind === "look-name") listIn(byName, operation.name);
  for (const list of byName.values()) list.sort((a, b) => firstSent(a.acquires) - firstSent(b.acquires));
  return {
    claims,
    sessions: collectSessions(operations),
    names: [...byName.keys()],
    claimsOf: (name) => byName.get(name) ?? [],
    floorBefore: floors(operations),
  };
}

export function listIn<T>(map: Map<string, T[]>, key: string): T[] {
  const found = map.get(key);
  if (found !== undefined) return found;
  const list: T[] = [];
  map.set(key, list);
  return list;
}

function draftClaims(operations: readonly Operation[]): Map<string, Draft> {
  const drafts = new Map<string, Draft>();
  const draftOf = (claimId: string): Draft => {
    const found = drafts.get(claimId);
    if (found !== undefined) return found;
    const draft: Draft = { acquires: [], releases: [], shrinks: [], sightings: [] };
    drafts.set(claimId, draft);
    return draft;
  };
  for (const operation of operations) {
    if (operation.kind === "acquire") draftOf(operation.claimId).acquires.push(operation);
    if (operation.kind === "release") draftOf(operation.claimId).releases.push(operation);
    if (operation.kind === "shrink") draftOf(operation.claimId).shrinks.push(operation);
    const isRepeated = operation.kind === "acquire" && draftOf(operation.claimId).acquires[0] !== operation;
    for (const [claimId, sighting] of sightingsIn(operation)) {
      if (isRepeated && "claimId" in operation && claimId !== operation.claimId) continue;
      draftOf(claimId).sightings.push(sighting);
    }
  }
  return drafts;
}

type Seen = readonly [claimId: string, sighting: Sighting];

const nothing = {
  fence: undefined,
  wasHeld: false,
  permits: undefined,
  reason: undefined,
  claimRevision: undefined,
  exactRevision: undefined,
};

/** Everything that an answer says of claims. */
function sightingsIn(operation: Operation): readonly Seen[] {
  const { answer, revision } = operation;
  if (answer === undefined) return [];
  switch (operation.kind) {
    case "acquire":
      return acquireSightings(operation);
    case "shrink":
    case "look-claim": {
      const shown = operation.answer;
      if (shown === undefined || shown.kind === "gone") return [];
      const { claimId } = operation;
      if (shown.kind === "denied") return deniedSighting(operation, claimId, shown.code);
      const exactRevision = operation.kind === "look-claim" ? revision : undefined;
      return [[claimId, { ...shownSighting(operation, shown), exactRevision }]];
    }
    case "release": {
      const told = operation.answer;
      if (told === undefined || told.kind === "gone" || told.kind === "denied") return [];
      const { reason, claimRevision } = told;
      const wasHeld = told.kind === "lost" || reason === "released";
      return [[operation.claimId, { ...nothing, operation, as: "ended", reason, claimRevision, wasHeld }]];
    }
    case "keepalive":
      if (operation.answer?.kind !== "renewed") return [];
      return operation.answer.ended.map(({ claimId, reason, revision: claimRevision }): Seen => {
        return [claimId, { ...nothing, operation, as: "ended", reason, claimRevision, wasHeld: true }];
      });
    case "look-name":
      if (operation.answer?.kind !== "shown") return [];
      return [
        ...operation.answer.holders.map(({ claimId, fence, permits }): Seen => {
          const as = "held";
          const held = { operation, as, fence, permits, wasHeld: true, exactRevision: revision } as const;
          return [claimId, { ...nothing, ...held }];
        }),
        ...operation.answer.queue.map((claimId): Seen => {
          return [claimId, { ...nothing, operation, as: "waiting", exactRevision: revision }];
        }),
      ];
    case "check": {
      if (operation.answer?.kind !== "checked" || operation.answer.status !== "current") return [];
      const { fence, claimId } = operation;
      const held = { operation, as: "held", fence, wasHeld: true, exactRevision: revision } as const;
      return [[claimId, { ...nothing, ...held }]];
    }
    default:
      return [];
  }
}

function acquireSightings(operation: Acquire): readonly Seen[] {
  const { answer, claimId } = operation;
  if (answer === undefined || answer.kind === "gone") return [];
  if (answer.kind === "denied") return deniedSighting(operation, claimId, answer.code);
  if (answer.kind === "refused") {
    const reason = answer.code === "locked" ? "refused" : "wait-timeout";
    return [[claimId, { ...nothing, operation, as: "ended", reason }], ...blockers(operation)];
  }
  return [[claimId, shownSighting(operation, answer)]];
}

/** Who is named by a first refusal because of holders is a holder. Said again, it speaks of another time. */
function blockers(operation: Acquire): readonly Seen[] {
  return holdersInTheWay(operation).map((claimId): Seen => {
    return [claimId, { ...nothing, operation, as: "held", wasHeld: true }];
  });
}

/** 409 `claim-ended` and `claim-lost` speak of the claim too. */
function deniedSighting(operation: Operation, claimId: string, code: string): readonly Seen[] {
  if (code !== "claim-ended" && code !== "claim-lost") return [];
  return [[claimId, { ...nothing, operation, as: "ended", wasHeld: code === "claim-lost" }]];
}

function shownSighting(operation: Operation, shown: Shown): Sighting {
  switch (shown.kind) {
    case "held": {
      const { fence, permits, claimRevision } = shown;
      return { ...nothing, operation, as: "held", fence, permits, claimRevision, wasHeld: true };
    }
    case "waiting":
      return { ...nothing, operation, as: "waiting" };
    default: {
      const { reason, fence, claimRevision } = shown;
      return {
        ...nothing,
        operation,
        as: "ended",
        reason,
        fence,
        claimRevision,
        wasHeld: fence !== undefined,
      };
    }
  }
}

function collectSessions(operations: readonly Operation[]): Map<string, SessionFacts> {
  const owners = new Map<string, string>();
  const sessions = new Map<string, Operation[]>();
  for (const operation of operations) {
    if ("sessionId" in operation) listIn(sessions, operation.sessionId).push(operation);
    if (operation.kind !== "open" || operation.answer?.kind !== "live") continue;
    owners.set(operation.answer.sessionRef, operation.sessionId);
  }
  const kills = operations.filter((operation) => operation.kind === "kill");
  const facts = new Map<string, SessionFacts>();
  for (const [sessionId, own] of sessions) {
    const meant = kills.filter(({ sessionRef }) => (owners.get(sessionRef) ?? sessionId) === sessionId);
    // What a kill of an unexplained ref was told is no news of this session.
    const known = meant.filter(({ sessionRef }) => owners.has(sessionRef));
    facts.set(sessionId, sessionFacts(sessionId, own, meant, known));
  }
  return facts;
}

function sessionFacts(
  sessionId: string,
  own: readonly Operation[],
  kills: readonly Kill[],
  known: readonly Kill[],
): SessionFacts {
  const opens = own.filter((operation) => operation.kind === "open");
  const keepAlives = own.filter((operation) => operation.kind === "keepalive");
  const refs = opens.flatMap(({ answer }) => (answer?.kind === "live" ? [answer.sessionRef] : []));
  return {
    sessionId,
    refs: new Set(refs),
    opens,
    keepAlives,
    closes: own.filter((operation) => operation.kind === "close"),
    kills,
    renewals: [...opens, ...keepAlives].flatMap(renewalIn),
    ends: [...own, ...known].flatMap(toldIn),
  };
}

function renewalIn(operation: Open | KeepAlive): readonly Renewal[] {
  const { answer, sentAt, answeredAt } = operation;
  if (answeredAt === undefined || (answer?.kind !== "live" && answer?.kind !== "renewed")) return [];
  return [{ operation, sentAt, answeredAt, ttlMs: answer.ttlMs }];
}

function toldIn(operation: Operation): readonly Told[] {
  const { answer, answeredAt } = operation;
  if (answer === undefined || answeredAt === undefined) return [];
  switch (answer.kind) {
    case "gone":
      return [{ operation, answeredAt, reason: answer.reason, endRevision: answer.endRevision }];
    case "closed":
    case "killed":
      return [{ operation, answeredAt, reason: answer.kind, endRevision: answer.endRevision }];
    default:
      return [];
  }
}

function floors(operations: readonly Operation[]): (time: number) => number {
  const answered = operations
    .filter(isDecided)
    .map(({ answeredAt = Infinity, revision = 0 }) => ({ answeredAt, revision }))
    .sort((a, b) => a.answeredAt - b.answeredAt);
  const highest: number[] = [];
  for (const { revision } of answered) highest.push(Math.max(revision, highest[highest.length - 1] ?? 0));
  return (time) => {
    let low = 0;
    let high = answered.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((answered[middle]?.answeredAt ?? Infinity) < time) low = middle + 1;
      else high = middle;
    }
    return highest[low - 1] ?? 0;
  };
}
