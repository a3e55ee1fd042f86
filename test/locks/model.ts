/**
 * The lock machine once more, as simply as the rules can be said: lists, searched from the start every time. It knows
 * no marks, no counters, no budget and no bounds. What it and the real machine disagree about is a fault in one of
 * them. Shares no code with src/locks; reads SEMANTICS §1 (rules 4, 6), §2–§5.
 */

interface ModelSession {
  readonly id: string;
  readonly ttl: number;
  readonly delay: number | undefined;
  expiresAt: number;
  budget: number;
  lastRenewal: number;
  seen: number;
  unseen: {
    readonly claim: string;
    readonly reason: string;
    readonly revision: number;
    readonly fence: number;
  }[];
  end: string | undefined;
}

interface ModelClaim {
  readonly id: string;
  readonly session: ModelSession;
  readonly name: string;
  readonly mode: "exclusive" | "shared" | "permits";
  readonly asked: number;
  readonly order: number;
  readonly owner: string | undefined;
  readonly delay: number | undefined;
  readonly maxHold: number | undefined;
  readonly waitUntil: number;
  kept: number;
  state: "waiting" | "held" | "ended";
  fence: number;
  grantedAt: number;
  reason: string;
  /** The refusal of one that came to no place in any queue. */
  readonly denial?: string;
}

interface ModelBarrier {
  readonly name: string;
  readonly mode: ModelClaim["mode"];
  readonly permits: number;
  readonly fence: number;
  readonly delayUntil: number;
  handUntil: number;
}

export interface ModelAcquire {
  readonly session: string;
  readonly claim: string;
  readonly name: string;
  readonly mode: ModelClaim["mode"];
  readonly permits: number;
  readonly capacity: number | undefined;
  readonly waitMs: number;
  readonly owner: string | undefined;
  readonly delay: number | undefined;
  readonly maxHold: number | undefined;
}

const handedBack = ["session-killed", "max-hold"];
const lostReasons = ["session-expired", ...handedBack];
const refusedReasons = ["refused", "wait-timeout", "exceeds-capacity"];

export class Model {
  readonly #graceMs: number;
  readonly #defaultDelay: number;
  readonly #minTtl: number;
  readonly sessions: ModelSession[] = [];
  readonly claims: ModelClaim[] = [];
  barriers: ModelBarrier[] = [];
  readonly semaphores = new Map<string, { capacity: number; isSet: boolean }>();
  fence: number;
  now = 0;
  revision: number;
  termStart = 0;

  constructor(options: {
    readonly electionMaxMs: number;
    readonly lockDelayMs: number;
    readonly fence: number;
    readonly revision: number;
  }) {
    this.#graceMs = 3 * options.electionMaxMs;
    this.#minTtl = 4 * options.electionMaxMs;
    this.#defaultDelay = options.lockDelayMs;
    this.fence = options.fence;
    this.revision = options.revision;
  }

  term(): void {
    this.revision++;
    this.termStart = this.now;
  }

  /** An entry stamped `time`: first whatever is due, then `command`, then what it freed. */
  entry(time: number, command: () => string): string {
    this.revision++;
    this.now = time;
    for (let due = this.#firstDue(); due !== undefined; due = this.#firstDue()) {
      due();
      this.#grantAll();
    }
    const said = command();
    this.#grantAll();
    return said;
  }

  // ---- deadlines ---------------------------------------------------------------------------------------------------

  #firstDue(): (() => void) | undefined {
    const due: {
      readonly at: number;
      readonly rank: number;
      readonly id: string;
      readonly run: () => void;
    }[] = [];
    for (const s of this.sessions) {
      if (s.end === undefined)
        due.push({ at: s.expiresAt, rank: 0, id: s.id, run: () => this.#sessionDue(s) });
    }
    for (const c of this.claims) {
      if (c.state === "held") due.push({ at: maxHoldEnd(c), rank: 1, id: c.id, run: () => this.#settle(c) });
      if (c.state === "waiting") due.push({ at: c.waitUntil, rank: 3, id: c.id, run: () => this.#settle(c) });
    }
    for (const b of this.barriers) {
      const run = () => this.#drop(b);
      due.push({ at: Math.max(b.delayUntil, b.handUntil), rank: 2, id: String(b.fence), run });
    }
    const [first] = due
      .filter(({ at }) => at <= this.now)
      .sort((a, b) => a.at - b.at || a.rank - b.rank || (a.id < b.id ? -1 : 1));
    return first?.run;
  }

  #drop(barrier: ModelBarrier): void {
    this.barriers = this.barriers.filter((b) => b !== barrier);
  }

  #sessionDue(s: ModelSession): void {
    const target = this.termStart + Math.min(s.ttl, this.#graceMs);
    const more = Math.min(target - s.expiresAt, s.budget);
    if (more > 0) {
      s.expiresAt += more;
      s.budget -= more;
      if (s.expiresAt > this.now) return;
    }
    this.#endSession(s, "expired", s.expiresAt);
  }

  /** Ends the claim if it is due: by its own deadline or its session's, whichever is first. */
  #settle(c: ModelClaim): void {
    const own = c.state === "waiting" ? c.waitUntil : maxHoldEnd(c);
    if (c.session.expiresAt <= Math.min(own, this.now)) this.#sessionDue(c.session);
    if (c.state !== "ended" && own <= this.now) this.#endOwn(c, own);
    if (c.state !== "ended" && c.session.expiresAt <= this.now) this.#sessionDue(c.session);
  }

  #endOwn(c: ModelClaim, at: number): void {
    this.#end(c, c.state === "waiting" ? "wait-timeout" : "max-hold", at);
  }

  #endSession(s: ModelSession, how: "expired" | "closed" | "killed", at: number): void {
    s.end = how;
    s.unseen = [];
    for (const c of this.claims.filter((claim) => claim.session === s && claim.state !== "ended")) {
      const own = c.state === "waiting" ? c.waitUntil : maxHoldEnd(c);
      if (own < at || (own === at && how !== "expired")) this.#endOwn(c, own);
      else this.#end(c, `session-${how}`, at);
    }
  }

  #end(c: ModelClaim, reason: string, at: number): void {
    const wasHeld = c.state === "held";
    c.state = "ended";
    c.reason = reason;
    if (!wasHeld || !lostReasons.includes(reason)) return;
    const isBack = handedBack.includes(reason);
    const barrier: ModelBarrier = {
      name: c.name,
      mode: c.mode,
      permits: c.kept,
      fence: c.fence,
      delayUntil: at + (c.delay ?? c.session.delay ?? this.#defaultDelay),
      handUntil: isBack ? c.session.expiresAt : 0,
    };
    if (Math.max(barrier.delayUntil, barrier.handUntil) > this.now) this.barriers.push(barrier);
    if (isBack && c.session.end === undefined) {
      c.session.unseen.push({ claim: c.id, reason, revision: this.revision, fence: c.fence });
    }
  }

  // ---- queues ------------------------------------------------------------------------------------------------------

  queue(name: string): readonly ModelClaim[] {
    return this.claims
      .filter((c) => c.name === name && c.state === "waiting")
      .sort((a, b) => a.order - b.order);
  }

  holders(name: string): readonly ModelClaim[] {
    return this.claims.filter((c) => c.name === name && c.state === "held");
  }

  free(name: string): number {
    const held = this.holders(name).reduce((sum, c) => sum + c.kept, 0);
    const cooling = this.barriers.filter((b) => b.name === name).reduce((sum, b) => sum + b.permits, 0);
    return (this.semaphores.get(name)?.capacity ?? 0) - held - cooling;
  }

  #kindOf(name: string): "lock" | "semaphore" | undefined {
    if (this.semaphores.has(name)) return "semaphore";
    const isUsed =
      this.claims.some((c) => c.name === name && c.state !== "ended") ||
      this.barriers.some((b) => b.name === name);
    return isUsed ? "lock" : undefined;
  }

  /** Nobody holds it or keeps it back in a way that excludes this. */
  #isClear(name: string, mode: ModelClaim["mode"], permits: number): boolean {
    if (mode === "permits") return this.free(name) >= permits;
    const others = [...this.holders(name), ...this.barriers.filter((b) => b.name === name)];
    return others.every((other) => mode === "shared" && other.mode === "shared");
  }

  #mayGo(c: ModelClaim): boolean {
    const ahead = this.queue(c.name).filter((other) => other.order < c.order);
    const isPassing = ahead.some((other) => !(c.mode === "shared" && other.mode === "shared"));
    return !isPassing && this.#isClear(c.name, c.mode, c.asked);
  }

  /** Again and again: whoever could go and is due ends; then the oldest that could go is granted. */
  #grantAll(): void {
    for (;;) {
      const ready = this.claims
        .filter((c) => c.state === "waiting" && this.#mayGo(c))
        .sort((a, b) => a.order - b.order);
      const due = ready.find((c) => c.waitUntil <= this.now || c.session.expiresAt <= this.now);
      const [oldest] = ready;
      if (due !== undefined) {
        this.#settle(due);
        // Grace may have kept it alive; then it is due no more.
        continue;
      }
      if (oldest === undefined) break;
      oldest.state = "held";
      oldest.fence = ++this.fence;
      oldest.grantedAt = this.now;
    }
    for (const [name, { isSet }] of this.semaphores) {
      const isUsed = this.holders(name).length + this.queue(name).length > 0;
      if (!isSet && !isUsed && !this.barriers.some((b) => b.name === name)) this.semaphores.delete(name);
    }
  }

  // ---- commands: each says what the machine should say ----------------------------------------------------------------

  #live(id: string): ModelSession | string {
    const s = this.sessions.find((session) => session.id === id);
    if (s === undefined) return "session-unknown";
    return s.end === undefined ? s : "session-ended";
  }

  open(id: string, ttl: number, delay: number | undefined): string {
    const known = this.#live(id);
    if (known === "session-ended") return known;
    if (typeof known !== "string") {
      this.#renew(known);
      return "session";
    }
    const granted = Math.max(ttl, this.#minTtl);
    this.sessions.push({
      id,
      ttl: granted,
      delay,
      expiresAt: this.now + granted,
      budget: granted,
      lastRenewal: this.revision,
      seen: 0,
      unseen: [],
      end: undefined,
    });
    return "session";
  }

  #renew(s: ModelSession): void {
    s.expiresAt = Math.max(s.expiresAt, this.now + s.ttl);
    s.budget = s.ttl;
    s.lastRenewal = this.revision;
  }

  keep(id: string, seen: number): string {
    const s = this.#live(id);
    if (typeof s === "string") return s;
    if (seen > s.lastRenewal) return "seen-ahead";
    if (seen > s.seen) {
      s.seen = seen;
      for (const end of s.unseen.filter(({ revision }) => revision <= seen)) {
        for (const b of this.barriers.filter(({ fence }) => fence === end.fence)) {
          b.handUntil = 0;
          if (b.delayUntil <= this.now) this.#drop(b);
        }
      }
      s.unseen = s.unseen.filter(({ revision }) => revision > seen);
    }
    this.#renew(s);
    return `renewed ${s.unseen.map(({ claim, reason }) => `${claim}:${reason}`).join()}`;
  }

  endSession(id: string, how: "closed" | "killed"): string {
    const s = this.#live(id);
    if (typeof s !== "string") {
      this.#endSession(s, how, this.now);
      return `session-${how}`;
    }
    const end = this.sessions.find((session) => session.id === id)?.end;
    return end === how ? `session-${how}` : s;
  }

  acquire(a: ModelAcquire): string {
    const s = this.#live(a.session);
    if (typeof s === "string") return s;
    const known = this.claims.find((c) => c.id === a.claim);
    if (known !== undefined) {
      const isSame =
        known.session === s &&
        known.name === a.name &&
        known.mode === a.mode &&
        known.asked === a.permits &&
        known.owner === a.owner;
      if (known.name !== "" ? !isSame : known.session !== s) return "claim-conflict";
      return this.#again(known);
    }
    if (a.owner !== undefined) {
      const own = this.claims.filter((c) => c.session === s && c.owner === a.owner);
      const waiting = own.find((c) => c.state === "waiting");
      if (waiting !== undefined) return this.#deny(s, a, `already-waiting ${waiting.id}`);
      const held = own.find(
        (c) =>
          c.state === "held" &&
          c.name === a.name &&
          a.mode !== "permits" &&
          (c.mode === "exclusive" || c.mode === a.mode),
      );
      if (held !== undefined) return this.#deny(s, a, `already-held ${held.id}`);
    }
    const kind = this.#kindOf(a.name);
    if (kind !== undefined && kind !== (a.mode === "permits" ? "semaphore" : "lock"))
      return this.#deny(s, a, "kind-mismatch");
    if (a.mode === "permits") {
      const capacity = this.semaphores.get(a.name)?.capacity ?? a.capacity;
      if (capacity === undefined) return this.#deny(s, a, "semaphore-unknown");
      if (a.capacity !== undefined && a.capacity !== capacity) return this.#deny(s, a, "capacity-conflict");
      if (a.permits > capacity) return this.#deny(s, a, "exceeds-capacity");
      if (!this.semaphores.has(a.name)) this.semaphores.set(a.name, { capacity, isSet: false });
    }
    const claim: ModelClaim = {
      id: a.claim,
      session: s,
      name: a.name,
      mode: a.mode,
      asked: a.permits,
      order: this.revision,
      owner: a.owner,
      delay: a.delay,
      maxHold: a.maxHold,
      waitUntil: a.waitMs === 0 ? Infinity : this.now + a.waitMs,
      kept: a.permits,
      state: "waiting",
      fence: 0,
      grantedAt: 0,
      reason: "",
    };
    this.claims.push(claim);
    if (!this.#mayGo(claim) && a.waitMs === 0) this.#end(claim, "refused", this.now);
    // What can go goes at once, before anybody asks what became of it.
    this.#grantAll();
    return describe(claim);
  }

  /** Refused before it could wait, and remembered as that. */
  #deny(session: ModelSession, a: ModelAcquire, denial: string): string {
    this.#noteEnded(session, {
      id: a.claim,
      name: a.name,
      mode: a.mode,
      asked: a.permits,
      owner: a.owner,
      reason: "refused",
      denial,
    });
    return denial;
  }

  #again(c: ModelClaim): string {
    if (c.denial !== undefined) {
      const [what, id] = c.denial.split(" ");
      if (id === undefined) return c.denial;
      // What it named may have moved on: nobody is sent there any more.
      const state = what === "already-held" ? "held" : "waiting";
      return this.claims.some((other) => other.id === id && other.state === state) ? c.denial : "claim-ended";
    }
    if (c.state !== "ended" || refusedReasons.includes(c.reason)) return describe(c);
    return lostReasons.includes(c.reason) && c.fence > 0 ? "claim-lost" : "claim-ended";
  }

  release(session: string, claim: string): string {
    const s = this.#live(session);
    if (s === "session-unknown") return s;
    const c = this.claims.find(({ id }) => id === claim);
    if (c !== undefined && c.session.id !== session) return "not-holder";
    if (c === undefined) {
      if (typeof s === "string") return s;
      this.#noteCancelled(s, claim);
      return "released cancelled";
    }
    if (c.state === "held") this.#end(c, "released", this.now);
    else if (c.state === "waiting") this.#end(c, "cancelled", this.now);
    return lostReasons.includes(c.reason) && c.fence > 0 ? "claim-lost" : `released ${c.reason}`;
  }

  #noteCancelled(session: ModelSession, id: string): void {
    this.#noteEnded(session, {
      id,
      name: "",
      mode: "exclusive",
      asked: 1,
      owner: undefined,
      reason: "cancelled",
    });
  }

  /** A claim that was over before it began. */
  #noteEnded(
    session: ModelSession,
    facts: Pick<ModelClaim, "id" | "name" | "mode" | "asked" | "owner" | "reason" | "denial">,
  ): void {
    this.claims.push({
      ...facts,
      session,
      order: this.revision,
      delay: undefined,
      maxHold: undefined,
      waitUntil: Infinity,
      kept: facts.asked,
      state: "ended",
      fence: 0,
      grantedAt: 0,
    });
  }

  shrink(session: string, claim: string, permits: number): string {
    const s = this.#live(session);
    if (s === "session-unknown") return s;
    const c = this.claims.find(({ id }) => id === claim);
    if (c === undefined) return typeof s === "string" ? s : "claim-unknown";
    if (c.session.id !== session) return "not-holder";
    if (c.state === "ended")
      return lostReasons.includes(c.reason) && c.fence > 0 ? "claim-lost" : "claim-ended";
    if (c.state !== "held" || c.mode !== "permits" || permits > c.kept) return "not-shrinkable";
    c.kept = permits;
    return "shrunk";
  }

  cancel(claim: string, fence: number | undefined): string {
    const c = this.claims.find(({ id }) => id === claim);
    const isMeant = fence === undefined ? c?.state === "waiting" : c?.state === "held" && c.fence === fence;
    if (c === undefined || !isMeant) return "done";
    this.#end(c, "cancelled", this.now);
    if (fence !== undefined)
      c.session.unseen.push({ claim, reason: "cancelled", revision: this.revision, fence });
    return "done";
  }

  setSemaphore(name: string, capacity: number): string {
    if (this.#kindOf(name) === "lock") return "kind-mismatch";
    this.semaphores.set(name, { capacity, isSet: true });
    for (const c of this.queue(name)) if (c.asked > capacity) this.#end(c, "exceeds-capacity", this.now);
    return "semaphore";
  }

  deleteSemaphore(name: string): string {
    const kind = this.#kindOf(name);
    const semaphore = this.semaphores.get(name);
    if (semaphore === undefined) return kind === "lock" ? "kind-mismatch" : "semaphore-unknown";
    if (this.holders(name).length + this.queue(name).length > 0) return "in-use";
    semaphore.isSet = false;
    return "semaphore-deleted";
  }
}

function maxHoldEnd(c: ModelClaim): number {
  return c.maxHold === undefined ? Infinity : c.grantedAt + c.maxHold;
}

/** A claim as both sides show it. */
export function describe(c: {
  readonly id: string;
  readonly state: string;
  readonly fence: number;
  readonly kept: number;
  readonly reason: string;
}): string {
  if (c.state === "waiting") return `${c.id} waiting`;
  return c.state === "held" ? `${c.id} held #${c.fence} x${c.kept}` : `${c.id} ended ${c.reason}`;
}
