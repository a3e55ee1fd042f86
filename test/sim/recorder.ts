/**
 * The all-knowing observer: sees every message, every byte on a platter, every applied entry, every answer and every
 * belief, and stops the run at the first broken promise. It is outside of the members and shares no code with what it
 * checks but the record types and the state hash. What follows from the clients' side alone is `test/check`.
 */
import { createHasher } from "../../src/base/hash.ts";
import type { PeerMessage } from "../../src/codec/message.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { checkLockState } from "../../src/locks/invariants.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, ClaimedResource, LockState, Resource, Session } from "../../src/locks/records.ts";
import type { NodeEvent } from "../../src/node/driver.ts";
import type { StartState } from "../../src/node/snapshot-loader.ts";
import type { Entry, LogBoundary } from "../../src/raft/types.ts";
import type { StoredState } from "../../src/storage/contract.ts";
import type { CrashLeft } from "./disk.ts";
import type { HttpAnswer, SimMember } from "./member.ts";

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
  /** What it believes, now, to hold of this name. */
  holdings(name: string): readonly Holding[];
  /** True while it trusts that this session lives. */
  trusts(sessionId: string): boolean;
}

interface Canon {
  readonly term: number;
  readonly chain: number;
  readonly outcome: string;
  /** Of some entries only, and of those that a snapshot was made of: hashing is linear in the state. */
  hash: string | undefined;
}

export interface RecorderOptions {
  readonly now: () => number;
  readonly members: () => readonly SimMember[];
  readonly believers: () => readonly Believer[];
  readonly keepLines: boolean;
  /** Of every simulated semaphore. */
  readonly capacity: number;
  /** Every so many entries the whole state is hashed and its invariants are checked. */
  readonly wholeEvery: number;
}

/** What was known of a claim when it was granted. */
interface Held {
  readonly claim: Claim;
  readonly lockDelayMs: number;
  /** As of the last look: an ended claim has let them go. */
  readonly permits: number;
}

/** A hold that ended uncleanly: what its mode excludes may not be granted before (I8), and must be right after (I6). */
interface Closed extends Holding {
  /** Cluster time at which its lock-delay is over. */
  readonly until: number;
  /** Its hand-back: over at this time, or when the session acknowledged that end. */
  readonly handBack:
    | {
        readonly until: number;
        /** It may last until then. */
        readonly latest: number;
        readonly sessionId: string;
        readonly revision: number;
      }
    | undefined;
}

export class Recorder {
  readonly #o: RecorderOptions;
  readonly #canon: Canon[] = [];
  readonly #seenUpTo = new Map<SimMember, number>();
  readonly #leaderOf = new Map<number, string>();
  readonly #voteOf = new Map<string, string>();
  readonly #opened = new Set<string>();
  readonly #live = new Set<string>();
  /** Of sessions, after the last entry. */
  readonly #expiresAt = new Map<string, number>();
  readonly #graceLeft = new Map<string, number>();
  readonly #held = new Map<string, Held>();
  readonly #closed = new Map<string, Closed[]>();
  readonly #lastGranted = new Map<string, number>();
  /** Claims whose request was answered for good with something else than a hold. */
  readonly #finished = new Set<string>();
  readonly #hasher = createHasher();
  readonly counts: Record<string, number> = {};
  readonly lines: string[] = [];
  #lastFence = 0;
  #acknowledgedUpTo = 0;

  constructor(options: RecorderOptions) {
    this.#o = options;
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  /** One line of the trace: true time, who, what. */
  note(who: string, text: string): void {
    const now = this.#o.now();
    this.#hasher
      .uint(Math.floor(now * 1_000))
      .text(who)
      .text(text);
    if (this.#o.keepLines) this.lines.push(`${now.toFixed(3).padStart(12)} ${who.padEnd(4)} ${text}`);
  }

  get traceHash(): number {
    return this.#hasher.digest();
  }

  // ---- Raft ----------------------------------------------------------------------------------------------------------

  sent(member: SimMember, to: string, message: PeerMessage): void {
    if (message.kind === "vote-response" && message.granted) this.#vote(member.id, message.term, to);
    if (message.kind === "vote") this.#vote(member.id, message.term, member.id);
    if (message.kind === "append" && message.entries.length > 0) this.count("append sent");
    this.#checkPromised(member, message);
  }

  #vote(voter: string, term: number, candidate: string): void {
    const key = `${voter} ${term}`;
    const before = this.#voteOf.get(key);
    if (before !== undefined && before !== candidate) {
      throw new Violation(
        "one-vote-per-term",
        `${voter} votes for ${candidate} and ${before} in term ${term}`,
      );
    }
    this.#voteOf.set(key, candidate);
  }

  #checkPromised(member: SimMember, message: PeerMessage): void {
    if (!("term" in message)) return;
    const { hardState, lastIndex } = member.disk;
    if (message.term > hardState.currentTerm && message.kind !== "pre-vote-response") {
      throw new Violation("durable-before-sent", `${member.name} sends ${message.kind} of an unwritten term`);
    }
    if (message.kind === "vote-response" && message.granted) {
      if (hardState.currentTerm === message.term && hardState.votedFor === undefined) {
        throw new Violation("durable-before-sent", `${member.name} sends an unwritten vote`);
      }
    }
    if (message.kind !== "append-response" || message.result.kind !== "matched") return;
    const { matchIndex } = message.result;
    if (lastIndex < matchIndex) {
      throw new Violation("durable-before-sent", `${member.name} acknowledges unwritten ${matchIndex}`);
    }
  }

  traced(member: SimMember, event: NodeEvent): void {
    const { kind, ...facts } = event;
    this.note(member.name, `${kind} ${JSON.stringify(facts)}`);
    if (event.kind === "role") this.#noteRole(member, event);
    if (event.kind === "truncate") this.count(event.to > event.from ? "truncated two or more" : "truncated");
    if (event.kind === "leader-lost") this.count("leader lost");
    if (event.kind === "vote" && !event.granted) this.count("vote refused");
    this.#noteSnapshots(member, event);
  }

  #noteRole(member: SimMember, { role, term, reason }: Extract<NodeEvent, { kind: "role" }>): void {
    if (role === "leader") {
      this.count("leader elected");
      const before = this.#leaderOf.get(term);
      if (before !== undefined && before !== member.id) {
        throw new Violation("one-leader-per-term", `${before} and ${member.id} lead term ${term}`);
      }
      this.#leaderOf.set(term, member.id);
    }
    if (role !== "leader" && role !== "follower") this.count("campaign");
    if (role === "follower" && reason.includes("check-quorum")) this.count("check-quorum step-down");
    if (reason.includes("disk hangs")) this.count("hung disk step-down");
  }

  #noteSnapshots(member: SimMember, event: NodeEvent): void {
    if (event.kind === "snapshot-begun") this.#noteHash(member.name, stateOf(member), event.index);
    if (event.kind === "snapshot-made") this.count("snapshot made");
    if (event.kind === "compact") this.count("log given up");
    if (event.kind === "fetch-begun") this.count(event.have > 0 ? "fetch resumed" : "fetch begun");
    if (event.kind === "fetch-done") this.count("fetch done");
    if (event.kind === "fetch-dropped") this.count("fetch dropped");
    if (event.kind === "install") this.count(event.lost > 0 ? "install over entries" : "install");
  }

  /** The state of this member is that of this committed entry: as all others had it, or will. */
  #noteHash(name: string, state: LockState, index: number): void {
    const canon = this.#canon[index - 1];
    if (canon === undefined) throw new Error("a state of no committed entry");
    const hash = stateHash(state);
    if (canon.hash !== undefined && canon.hash !== hash)
      throw new Violation("I12-state-hash", `${name} has another state at ${index}`);
    canon.hash = hash;
  }

  /** Its state is now another member's, of this entry. */
  installed(member: SimMember, last: LogBoundary): void {
    this.note(member.name, `installs ${last.index}`);
    this.#checkSnapshot(member.name, last);
    this.#noteHash(member.name, stateOf(member), last.index);
  }

  /** What a start made of snapshots and log. A damaged one may be passed over for the one before. */
  loaded(member: SimMember, { state, snapshot, damaged }: StartState, isDamaged: boolean): void {
    if (damaged.length > 0 && !isDamaged)
      throw new Violation("restart-finds-all", `${member.name}: ${damaged.join("; ")}`);
    if (damaged.length > 0) this.count("started from an older snapshot");
    if (snapshot === undefined) return;
    this.count("started from a snapshot");
    this.note(member.name, `loads ${snapshot.index}`);
    this.#checkSnapshot(member.name, snapshot);
    this.#noteHash(member.name, state, snapshot.index);
  }

  #checkSnapshot(name: string, { index, chain }: LogBoundary): void {
    if (this.#canon[index - 1]?.chain !== chain)
      throw new Violation("one-entry-per-index", `${name} has a snapshot of another log at ${index}`);
  }

  /** It says that it leads, and for that long it could not reach a majority. Twice B is what check-quorum takes. */
  leadsWithoutQuorum(member: SimMember, ms: number): void {
    throw new Violation("check-quorum", `${member.name} leads ${ms} ms after it lost its majority`);
  }

  // ---- processes and disks -------------------------------------------------------------------------------------------

  crashed(_member: SimMember, left: CrashLeft): void {
    this.count("crash");
    if (left !== "nothing to lose") this.count(`crash: unsynced bytes ${left}`);
  }

  /** `isDamaged`: somebody turned bits of this disk, or wiped it. */
  refused(member: SimMember, why: string, isDamaged: boolean): void {
    if (!isDamaged)
      throw new Violation("restart-finds-all", `${member.name} is refused, and nothing was damaged: ${why}`);
    this.count(why.startsWith("missing") ? "wiped member refused" : "damaged member refused");
  }

  /** A start found this on its disk: all that the platter showed before, nothing else. */
  opened(member: SimMember, stored: StoredState): void {
    const { entries, hardState } = stored;
    if (!member.disk.isExpected(stored))
      throw new Violation("restart-finds-all", `${member.name} opened with another state than it had`);
    this.note(member.name, `opens entries=${entries.length} term=${hardState.currentTerm}`);
  }

  // ---- entries -------------------------------------------------------------------------------------------------------

  applied(member: SimMember, entry: Entry, outcome: Outcome): void {
    const { driver } = member;
    if (driver === undefined) throw new Error("a crashed member applied an entry");
    const { state } = driver.staleView();
    // After a restart the whole log is applied again: what this member was seen to do before is looked at less often.
    const seenUpTo = this.#seenUpTo.get(member) ?? 0;
    const every = this.#o.wholeEvery * (entry.index <= seenUpTo ? 10 : 1);
    this.#seenUpTo.set(member, Math.max(seenUpTo, entry.index));
    const isWhole = entry.index % every === 0;
    const said = describe(outcome);
    const known = this.#canon[entry.index - 1];
    const hash = isWhole ? stateHash(state) : undefined;
    if (known !== undefined) {
      if (known.chain !== entry.chain || known.term !== entry.term) {
        throw new Violation("one-entry-per-index", `${member.name} commits another entry at ${entry.index}`);
      }
      const isSame = hash === undefined || known.hash === undefined || known.hash === hash;
      if (!isSame || known.outcome !== said) {
        throw new Violation("I12-state-hash", `${member.name} has another state at ${entry.index}`);
      }
      return;
    }
    if (entry.index !== this.#canon.length + 1)
      throw new Violation("one-entry-per-index", "a gap in the applied log");
    this.#canon.push({ term: entry.term, chain: entry.chain, outcome: said, hash });
    this.note(
      member.name,
      `apply ${entry.index} term=${entry.term} time=${entry.time} ${said} ${hash ?? "-"}`,
    );
    this.count(`outcome ${outcome.kind}`);
    if (isWhole) this.#checkWhole(state);
    this.#checkFrontier(state, entry.index);
  }

  #checkWhole(state: LockState): void {
    try {
      checkLockState(state);
    } catch (error) {
      throw new Violation("lock-invariants", error instanceof Error ? error.message : String(error));
    }
  }

  /** At the first apply anywhere: what this entry did must be allowed. */
  #checkFrontier(state: LockState, index: number): void {
    this.#noteEnds(state);
    this.#checkSessions(state);
    const granted: { readonly resource: Resource; readonly claim: Claim; readonly fence: number }[] = [];
    for (const resource of state.resources.values()) {
      this.#checkResource(state, resource);
      for (const claim of resource.holders) {
        if (claim.grant?.revision === index) granted.push({ resource, claim, fence: claim.grant.fence });
      }
    }
    granted.sort((a, b) => a.fence - b.fence);
    for (const { resource, claim, fence } of granted) {
      if (fence <= this.#lastFence)
        throw new Violation("I3-fences", `fence ${fence} after ${this.#lastFence}`);
      this.#lastFence = fence;
      this.#checkGrant(state, resource, claim);
      this.count(`grant ${wantOf(claim).mode}`);
      if (claim.enqueuedRevision < index) this.count("grant after waiting");
      if (granted.filter((other) => other.resource === resource).length > 1)
        this.count("several granted at once");
    }
  }

  /** Holds that this entry ended: what they leave behind, judged from their facts and not with the machine's barriers. */
  #noteEnds(state: LockState): void {
    // What was granted and ended by one and the same entry stood in no state that anybody saw.
    for (const { claim, state: became } of state.changes) {
      const [asked] = claim.asked;
      if (became !== "held" || claim.state !== "ended" || asked === undefined) continue;
      this.#hold(state, claim, asked.kind === "semaphore" ? asked.permits : 1);
    }
    for (const [id, { claim, lockDelayMs, permits }] of this.#held) {
      const now = state.claims.get(id) ?? claim;
      if (now.state === "held") {
        const kept = wantOf(now).permits;
        // Another replica may be ahead now; its record is the one to look at.
        if (now !== claim || kept !== permits) this.#held.set(id, { claim: now, lockDelayMs, permits: kept });
        continue;
      }
      this.#held.delete(id);
      const { end, session } = now;
      if (end === undefined) continue;
      this.count(`hold ended ${end.reason}`);
      const isClean =
        end.reason === "released" || end.reason === "cancelled" || end.reason === "session-closed";
      if (isClean) continue;
      const isByOthers = end.reason === "max-hold" || end.reason === "session-killed";
      for (const claimed of claim.asked) {
        const mode = claimed.kind === "semaphore" ? "permits" : claimed.mode;
        // The entry that ended it may have renewed the session afterwards: what counts is how it stood before.
        const until = this.#expiresAt.get(session.id) ?? 0;
        // Unless a fail-over's grace had moved it, which that renewal hides: that late it may be, not that it must be.
        const latest = Math.max(until, this.#mayHaveMoved(session, end.revision) ? session.expiresAt : 0);
        const handBack = isByOthers
          ? { until, latest, sessionId: session.id, revision: end.revision }
          : undefined;
        const closed = { mode, permits, until: end.at + lockDelayMs, handBack } as const;
        this.#closed.set(claimed.name, [...(this.#closed.get(claimed.name) ?? []), closed]);
      }
    }
  }

  #checkSessions(state: LockState): void {
    for (const id of this.#live) {
      if (state.sessions.has(id)) continue;
      this.#live.delete(id);
      const end = state.tombstones.get(id)?.end;
      this.count(`session ${end?.reason ?? "forgotten"}`);
      if (end?.reason !== "expired") continue;
      for (const believer of this.#o.believers()) {
        if (believer.trusts(id))
          throw new Violation("I10-expiry-too-early", `${believer.name} still trusts ${id}`);
      }
    }
    for (const session of state.sessions.values()) {
      this.#expiresAt.set(session.id, session.expiresAt);
      this.#graceLeft.set(session.id, session.graceLeftMs);
      if (this.#opened.has(session.id)) continue;
      this.#opened.add(session.id);
      this.#live.add(session.id);
    }
  }

  #checkGrant(state: LockState, resource: Resource, claim: Claim): void {
    const { name } = resource;
    if (claim.enqueuedRevision <= (this.#lastGranted.get(name) ?? 0)) {
      throw new Violation("I6-fifo", `${claim.id} is granted ${name} out of turn`);
    }
    this.#lastGranted.set(name, claim.enqueuedRevision);
    for (const waiter of resource.queue) {
      if (waiter.enqueuedRevision < claim.enqueuedRevision) {
        throw new Violation("I6-fifo", `${claim.id} passes ${waiter.id} on ${name}`);
      }
    }
    // Ids of the form <ref>_<n> are safe for ever, all others as long as they are remembered (§3).
    if (this.#finished.has(claim.id) && claim.id.startsWith(`${claim.session.ref}_`))
      throw new Violation("no-ghost-grants", `${claim.id} was answered for good before it was granted`);
    if (claim.session.end !== undefined || claim.session.expiresAt <= state.now)
      throw new Violation("I5-dead-session", `${claim.id} is granted to a session that is due`);
    if (claim.enqueuedRevision < state.revision && (claim.waitDeadline ?? Infinity) <= state.now)
      throw new Violation("I5-dead-session", `${claim.id} is granted although its wait is over`);
    this.#checkClosed(state, name, claim);
    this.#hold(state, claim, wantOf(claim).permits);
  }

  #hold(state: LockState, claim: Claim, permits: number): void {
    const lockDelayMs = claim.lockDelayMs ?? claim.session.lockDelayMs ?? state.settings?.lockDelayMs ?? 0;
    this.#held.set(claim.id, { claim, lockDelayMs, permits });
  }

  /** I8, from what ended and how alone. */
  #checkClosed(state: LockState, name: string, claim: Claim): void {
    const closed = this.#stillClosed(state, name).filter((each) => isClosed(state, each, "until"));
    const { mode } = wantOf(claim);
    const isShut = closed.some(
      (each) => each.mode === "exclusive" || (each.mode === "shared" && mode === "exclusive"),
    );
    if (isShut) throw new Violation("I8-lock-delay", `${claim.id} is granted ${name} in a lock-delay`);
    const cooling = permitsOf(closed);
    const resource = state.resources.get(name);
    if (mode !== "permits" || resource === undefined) return;
    const held = permitsOf(Array.from(resource.holders, wantOf));
    if (held + cooling > this.#o.capacity)
      throw new Violation("I8-lock-delay", `${claim.id} is granted permits of ${name} that cool`);
  }

  #stillClosed(state: LockState, name: string): readonly Closed[] {
    const before = this.#closed.get(name);
    if (before === undefined || before.length === 0) return [];
    const closed = before.filter((each) => isClosed(state, each, "latest"));
    this.#closed.set(name, closed);
    return closed;
  }

  /** Grace was taken by this entry; or the session was renewed by it, which fills the grace up again. */
  #mayHaveMoved(session: Session, revision: number): boolean {
    return session.lastRenewal === revision || session.graceLeftMs < (this.#graceLeft.get(session.id) ?? 0);
  }

  /** Who holds and who waits, judged from the records alone and not with the machine's own eyes. */
  #checkResource(state: LockState, resource: Resource): void {
    const { name } = resource;
    const { capacity } = this.#o;
    const holding = Array.from(resource.holders, wantOf);
    if (isTooMuch(holding, capacity)) {
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
    if (!isTooMuch([...holding, ...this.#stillClosed(state, name), wantOf(next)], capacity)) {
      throw new Violation("I6-handed-on", `${name} is free for ${next.id}, which waits`);
    }
  }

  // ---- answers and beliefs -------------------------------------------------------------------------------------------

  get acknowledgedUpTo(): number {
    return this.#acknowledgedUpTo;
  }

  /** A member answers a client. What it decided or showed is on the disks of a majority. */
  answered({ status, headers, body }: HttpAnswer): void {
    if (status === 307) return this.count("redirected");
    if (status === 503) return this.count(`unanswered ${String(body["code"])}`);
    const revision = Number(headers["holdfast-revision"]);
    this.count("acknowledged");
    this.#acknowledgedUpTo = Math.max(this.#acknowledgedUpTo, revision);
    const members = this.#o.members();
    const chainAt = (index: number): number | undefined => this.#canon[index - 1]?.chain;
    const holding = members.filter((member) => member.disk.holds(revision, chainAt)).length;
    if (holding * 2 <= members.length) {
      throw new Violation(
        "acknowledged-means-durable",
        `revision ${revision} is on ${holding} of ${members.length}`,
      );
    }
  }

  /** The request for this claim was answered for good; anything but a hold means that it will never be granted. */
  decided(claimId: string, kind: string): void {
    if (kind !== "held" && kind !== "waiting") this.#finished.add(claimId);
  }

  /** A read that began when `floor` had been acknowledged shows this revision. */
  readShows(revision: number, floor: number): void {
    this.count("read");
    if (revision < floor)
      throw new Violation("R10-stale-read", `shows ${revision}, ${floor} was acknowledged`);
  }

  /** A client was told that its session is gone for good. */
  toldGone(sessionId: string, isUnknown: boolean): void {
    this.count("told gone");
    if (this.#live.has(sessionId)) {
      const said = isUnknown ? "unknown" : "ended";
      throw new Violation("terminal-answers-are-true", `told ${said} of a live session ${sessionId}`);
    }
  }

  /** A client begins to believe that it holds something of this name. */
  believes(believer: Believer, name: string): void {
    const all = this.#o.believers().map((other) => ({ other, held: other.holdings(name) }));
    const together = all.flatMap(({ held }) => held);
    if (!isTooMuch(together, this.#o.capacity)) return;
    const others = all.filter(({ other, held }) => other !== believer && held.length > 0);
    const who = others.map(({ other }) => other.name).join(" and ");
    throw new Violation("I10-belief", `${believer.name} and ${who} believe in ${name}`);
  }
}

function stateOf({ driver }: SimMember): LockState {
  if (driver === undefined) throw new Error("a crashed member has a state");
  return driver.staleView().state;
}

/** At least, or at the latest. */
function isClosed(state: LockState, { until, handBack }: Closed, by: "until" | "latest"): boolean {
  if (until > state.now) return true;
  if (handBack === undefined || handBack[by] <= state.now) return false;
  const session = state.sessions.get(handBack.sessionId) ?? state.tombstones.get(handBack.sessionId);
  return session === undefined || session.seen < handBack.revision;
}

function permitsOf(holdings: readonly Holding[]): number {
  return holdings.reduce((sum, { mode, permits }) => sum + (mode === "permits" ? permits : 0), 0);
}

/** More than exclusion or the capacity allows. */
function isTooMuch(held: readonly Holding[], capacity: number): boolean {
  const permits = permitsOf(held);
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
    case "shrunk":
    case "claim-ended":
    case "claim-lost": {
      const { id, state, end, grant } = outcome.claim;
      return `${outcome.kind} ${id} ${state} ${end?.reason ?? ""} ${grant?.fence ?? ""}`;
    }
    case "session":
    case "session-closed":
    case "session-ended":
    case "session-killed":
      return `${outcome.kind} ${outcome.session.ref}`;
    case "keep-alive":
      return `keep-alive ${outcome.items.map(({ kind }) => kind).join(" ")}`;
    default:
      return outcome.kind;
  }
}
