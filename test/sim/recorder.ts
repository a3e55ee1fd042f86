/**
 * The all-knowing observer: sees every message, every durable byte, every applied entry and every belief, and stops the
 * run at the first broken promise. It is outside of the members and shares no code with what it checks but the record
 * types and the state hash.
 */
import { createHasher } from "../../src/base/hash.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { checkLockState } from "../../src/locks/invariants.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, ClaimedResource, LockState, Resource } from "../../src/locks/records.ts";
import type { Entry, Message, TraceEvent } from "../../src/raft/types.ts";
import type { SimMember } from "./member.ts";

/** A promise was broken. `rule` is the name under which docs/TESTING.md lists it. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly rule: string;

  constructor(rule: string, detail: string) {
    super(`${rule}: ${detail}`);
    this.rule = rule;
  }
}

/** What somebody believes to hold of a name. */
export interface Holding {
  readonly mode: "exclusive" | "shared" | "permits";
  /** 1 for a lock. */
  readonly permits: number;
}

/** Somebody who may believe that it holds something. */
export interface Believer {
  readonly name: string;
  /** What it believes, at this true time, to hold of this name. */
  holdings(name: string, now: number): readonly Holding[];
  /** True while it trusts that this session lives. */
  trusts(sessionId: string, now: number): boolean;
}

interface Canon {
  readonly term: number;
  readonly chain: number;
  readonly hash: string;
}

export interface Recorder {
  note(text: string): void;
  sent(member: SimMember, to: string, message: Message): void;
  traced(member: SimMember, event: TraceEvent): void;
  applied(member: SimMember, entry: Entry, outcome: Outcome): void;
  crashed(member: SimMember): void;
  /** A member answered a client with the outcome of the entry at this revision. */
  acknowledged(revision: number): void;
  /** Highest revision that any client was answered with so far. */
  readonly acknowledgedUpTo: number;
  /** A read that began when `floor` had been acknowledged shows this revision. */
  readShows(revision: number, floor: number): void;
  /** A client was told that its session is gone for good. */
  toldGone(sessionId: string, isUnknown: boolean): void;
  /** A client begins to believe that it holds something of this name. */
  believes(believer: Believer, name: string): void;
  readonly frontier: number;
  readonly traceHash: number;
  readonly lines: readonly string[];
  readonly counts: Record<string, number>;
}

export interface RecorderOptions {
  readonly now: () => number;
  readonly members: () => readonly SimMember[];
  readonly believers: () => readonly Believer[];
  readonly keepLines: boolean;
  /** Of every simulated semaphore. */
  readonly capacity: number;
}

export function createRecorder(options: RecorderOptions): Recorder {
  const canon: Canon[] = [];
  const leaderOf = new Map<number, string>();
  const voteOf = new Map<string, string>();
  const opened = new Set<string>();
  const ended = new Set<string>();
  const lastGranted = new Map<string, number>();
  const counts: Record<string, number> = {};
  const lines: string[] = [];
  const hasher = createHasher();
  let lastFence = 0;
  let acknowledgedUpTo = 0;

  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };

  function note(text: string): void {
    const line = `${options.now().toFixed(3).padStart(12)} ${text}`;
    hasher.text(line);
    if (options.keepLines) lines.push(line);
  }

  function vote(voter: string, term: number, candidate: string): void {
    const key = `${voter} ${term}`;
    const before = voteOf.get(key);
    if (before !== undefined && before !== candidate) {
      throw new Violation(
        "one-vote-per-term",
        `${voter} votes for ${candidate} and ${before} in term ${term}`,
      );
    }
    voteOf.set(key, candidate);
  }

  function checkPromised(member: SimMember, message: Message): void {
    if (message.term > member.disk.hardState.currentTerm && message.kind !== "pre-vote-response") {
      throw new Violation("durable-before-sent", `${member.name} sends ${message.kind} of an unwritten term`);
    }
    if (message.kind === "vote-response" && message.granted) {
      const { currentTerm, votedFor } = member.disk.hardState;
      if (currentTerm === message.term && votedFor === undefined) {
        throw new Violation("durable-before-sent", `${member.name} sends an unwritten vote`);
      }
    }
    if (message.kind === "append-response" && message.result.kind === "matched") {
      if (member.disk.durable.length < message.result.matchIndex) {
        throw new Violation(
          "durable-before-sent",
          `${member.name} acknowledges unwritten ${message.result.matchIndex}`,
        );
      }
    }
  }

  /** At the first apply anywhere: what this entry did must be allowed. */
  function checkFrontier(state: LockState, index: number): void {
    const granted: { readonly resource: Resource; readonly claim: Claim; readonly fence: number }[] = [];
    for (const resource of state.resources.values()) {
      checkResource(state, resource);
      for (const claim of resource.holders) {
        if (claim.grant?.revision === index) granted.push({ resource, claim, fence: claim.grant.fence });
      }
    }
    for (const { resource, claim, fence } of granted.sort((a, b) => a.fence - b.fence)) {
      if (fence <= lastFence) throw new Violation("I3-fences", `fence ${fence} after ${lastFence}`);
      lastFence = fence;
      const { name } = resource;
      if (claim.enqueuedRevision <= (lastGranted.get(name) ?? 0)) {
        throw new Violation("I6-fifo", `${claim.id} is granted ${name} out of turn`);
      }
      lastGranted.set(name, claim.enqueuedRevision);
      for (const waiter of resource.queue) {
        if (waiter.enqueuedRevision < claim.enqueuedRevision) {
          throw new Violation("I6-fifo", `${claim.id} passes ${waiter.id} on ${name}`);
        }
      }
      count(`grant ${wantOf(claim).mode}`);
      if (claim.enqueuedRevision < index) count("grant after waiting");
      if (granted.filter((other) => other.resource === resource).length > 1) count("several granted at once");
    }
    for (const claim of state.claims.values()) {
      if (claim.end?.revision === index && claim.grant !== undefined) count(`hold ended ${claim.end.reason}`);
    }
    for (const session of state.tombstones.values()) {
      if (session.end?.revision !== index) continue;
      ended.add(session.id);
      if (session.end.reason !== "expired") continue;
      count("session expired");
      for (const believer of options.believers()) {
        if (believer.trusts(session.id, options.now())) {
          throw new Violation("I10-expiry-too-early", `${believer.name} still trusts ${session.ref}`);
        }
      }
    }
    for (const session of state.sessions.values()) opened.add(session.id);
  }

  /** Who holds and who waits, judged from the records alone and not with the machine's own eyes. */
  function checkResource(state: LockState, resource: Resource): void {
    const { name } = resource;
    const holding = Array.from(resource.holders, wantOf);
    if (isTooMuch(holding, options.capacity)) {
      throw new Violation(
        resource.kind === "lock" ? "I1-exclusion" : "I2-permits",
        `too much is held of ${name}`,
      );
    }
    // The work budget may leave what is due for the next entry.
    if (state.budgetLeft <= 0) return;
    const waiting = [...resource.queue].sort((a, b) => a.enqueuedRevision - b.enqueuedRevision);
    const next = waiting.find(
      ({ session, waitDeadline = Infinity }) => Math.min(session.expiresAt, waitDeadline) > state.now,
    );
    if (next === undefined) return;
    const kept = [...resource.barriers]
      .filter(({ delayUntil, handBackUntil }) => Math.max(delayUntil, handBackUntil) > state.now)
      .flatMap(({ resources }) => resources.map(wanted));
    if (!isTooMuch([...holding, ...kept, wantOf(next)], options.capacity)) {
      throw new Violation("I6-handed-on", `${name} is free for ${next.id}, which waits`);
    }
  }

  return {
    note,
    counts,
    lines,
    get frontier() {
      return canon.length;
    },
    get traceHash() {
      return hasher.digest();
    },

    sent(member, to, message) {
      if (message.kind === "vote-response" && message.granted) vote(member.id, message.term, to);
      if (message.kind === "vote") vote(member.id, message.term, member.id);
      if (message.kind === "append" && message.entries.length > 0) count("append sent");
      checkPromised(member, message);
    },

    traced(member, event) {
      const { kind, ...facts } = event;
      note(`${member.name} ${kind} ${JSON.stringify(facts)}`);
      if (event.kind === "role" && event.role === "leader") {
        count("leader elected");
        const before = leaderOf.get(event.term);
        if (before !== undefined && before !== member.id) {
          throw new Violation("one-leader-per-term", `${before} and ${member.id} lead term ${event.term}`);
        }
        leaderOf.set(event.term, member.id);
      }
      if (event.kind === "truncate") count(event.to > event.from ? "truncated two or more" : "truncated");
      if (event.kind === "leader-lost") count("leader lost");
      if (event.kind === "vote" && !event.granted) count("vote refused");
      if (event.kind === "role" && event.role === "follower" && event.reason.includes("check-quorum")) {
        count("check-quorum step-down");
      }
      if (event.kind === "role" && event.reason.includes("disk hangs")) count("hung disk step-down");
    },

    applied(member, entry, outcome) {
      const { driver } = member;
      if (driver === undefined) throw new Error("a crashed member applied an entry");
      const { state } = driver.staleView();
      const hash = stateHash(state);
      const known = canon[entry.index - 1];
      if (known !== undefined) {
        if (known.chain !== entry.chain || known.term !== entry.term) {
          throw new Violation(
            "one-entry-per-index",
            `${member.name} commits another entry at ${entry.index}`,
          );
        }
        if (known.hash !== hash) {
          throw new Violation("I12-state-hash", `${member.name} has another state at ${entry.index}`);
        }
        return;
      }
      if (entry.index !== canon.length + 1)
        throw new Violation("one-entry-per-index", "a gap in the applied log");
      canon.push({ term: entry.term, chain: entry.chain, hash });
      note(
        `${member.name} apply ${entry.index} term=${entry.term} time=${entry.time} ${describe(outcome)} ${hash}`,
      );
      count(`outcome ${outcome.kind}`);
      try {
        checkLockState(state);
      } catch (error) {
        throw new Violation("lock-invariants", error instanceof Error ? error.message : String(error));
      }
      checkFrontier(state, entry.index);
    },

    crashed() {
      count("crash");
    },

    get acknowledgedUpTo() {
      return acknowledgedUpTo;
    },

    readShows(revision, floor) {
      count("read");
      if (revision < floor)
        throw new Violation("R10-stale-read", `shows ${revision}, ${floor} was acknowledged`);
    },

    acknowledged(revision) {
      count("acknowledged");
      acknowledgedUpTo = Math.max(acknowledgedUpTo, revision);
      const { chain } = canon[revision - 1] ?? { chain: -1 };
      const members = options.members();
      const holding = members.filter((member) => member.disk.durable[revision - 1]?.chain === chain).length;
      if (holding * 2 <= members.length) {
        throw new Violation(
          "acknowledged-means-durable",
          `revision ${revision} is on ${holding} of ${members.length}`,
        );
      }
    },

    toldGone(sessionId, isUnknown) {
      count("told gone");
      const lives = opened.has(sessionId) && !ended.has(sessionId);
      if (lives) {
        const said = isUnknown ? "unknown" : "ended";
        throw new Violation("terminal-answers-are-true", `told ${said} of a live session ${sessionId}`);
      }
    },

    believes(believer, name) {
      const all = options.believers().map((other) => ({ other, held: other.holdings(name, options.now()) }));
      if (
        !isTooMuch(
          all.flatMap(({ held }) => held),
          options.capacity,
        )
      )
        return;
      const others = all.filter(({ other, held }) => other !== believer && held.length > 0);
      const who = others.map(({ other }) => other.name).join(" and ");
      throw new Violation("I10-belief", `${believer.name} and ${who} believe in ${name}`);
    },
  };
}

/** More than exclusion or the capacity allows. */
function isTooMuch(held: readonly Holding[], capacity: number): boolean {
  const permits = held.reduce((sum, { mode, permits: n }) => sum + (mode === "permits" ? n : 0), 0);
  const isExcluded = held.length > 1 && held.some(({ mode }) => mode === "exclusive");
  return permits > capacity || isExcluded;
}

/** Simulated claims are of one thing. */
function wantOf(claim: Claim): Holding {
  const [claimed] = claim.resources;
  if (claimed === undefined) throw new Error("a claim in a queue names something");
  return wanted(claimed);
}

function wanted(claimed: ClaimedResource): Holding {
  return { mode: claimed.mode, permits: claimed.mode === "permits" ? claimed.kept : 1 };
}

function describe(outcome: Outcome): string {
  switch (outcome.kind) {
    case "claim":
    case "released":
    case "claim-ended":
    case "claim-lost":
      return `${outcome.kind} ${outcome.claim.id} ${outcome.claim.state} ${outcome.claim.end?.reason ?? ""}`;
    case "session":
    case "session-closed":
    case "session-ended":
      return `${outcome.kind} ${outcome.session.ref}`;
    default:
      return outcome.kind;
  }
}
