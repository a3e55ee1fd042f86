/**
 * Valid histories from a seed: a small lock service of its own, with a log, sessions that expire, queues, lock-delay,
 * hand-back, max-hold and kills, and clients that lose answers, repeat, hang up, pause and crash. It shares nothing with
 * the service under test nor with the checkers, and knows no cluster: one log, one clock that may run slow.
 */
import type { Acquire, Asked, Belief, Gone, History, Mode, Operation, Shown, Use } from "./history.ts";

export interface Recipe {
  readonly seed: number;
  readonly clients: number;
  /** Operations after which nobody begins another one. */
  readonly operations: number;
  /** Everybody wants the same lock; else there are locks and semaphores. */
  readonly isOneLock?: boolean;
  /** The service has this bug; the history is invalid when the bug showed. */
  readonly bug?: Bug;
}

export const bugs = [
  "readers do not exclude writers",
  "nothing keeps back what was lost",
  "last come, first served",
  "leases run for half their time",
  "sessions never expire",
  "one permit too many",
  "released readers stay",
  "readers share a fence",
  "ended claims are forgotten",
  "the dead may be granted",
  "every second try-lock is refused",
] as const;

export type Bug = (typeof bugs)[number];

export function generateHistory(recipe: Recipe): History {
  return new World(recipe).run();
}

/** Small and fast, good enough for tests (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const ttlMs = 6_000;
const marginMs = 600;
const lockDelayMs = 800;
const drift = 0.1;

// ---- the service ---------------------------------------------------------------------------------------------------

interface ServedSession {
  readonly id: string;
  readonly ref: string;
  expiresAt: number;
  end: { readonly reason: "expired" | "closed" | "killed"; readonly revision: number } | undefined;
  unseen: { readonly claimId: string; readonly reason: string; readonly revision: number }[];
}

interface ServedClaim {
  readonly id: string;
  readonly session: ServedSession;
  readonly asked: Asked;
  readonly waitUntil: number;
  readonly maxHoldMs: number | undefined;
  state: "waiting" | "held" | "ended";
  kept: number;
  fence: number | undefined;
  grantedAt: number;
  revision: number;
  reason: string;
  refusal: { readonly reason: string; readonly blockedBy: readonly string[] } | undefined;
  isTold: boolean;
}

interface Barrier {
  readonly session: ServedSession;
  readonly claim: ServedClaim;
  readonly permits: number;
  readonly delayUntil: number;
  handBackUntil: number;
}

interface Served {
  readonly holders: ServedClaim[];
  readonly queue: ServedClaim[];
  barriers: Barrier[];
}

/** One log, one state. Every method that changes something is one entry; all times are cluster time. */
class Service {
  revision = 10;
  #fence = 1_000;
  #now = 0;
  readonly #sessions = new Map<string, ServedSession>();
  readonly claims = new Map<string, ServedClaim>();
  readonly #names = new Map<string, Served>();
  readonly #capacities: ReadonlyMap<string, number>;

  readonly #bug: Bug | undefined;

  constructor(capacities: ReadonlyMap<string, number>, bug: Bug | undefined) {
    this.#capacities = capacities;
    this.#bug = bug;
  }

  #hasBug(bug: Bug): boolean {
    return this.#bug === bug;
  }

  /** What a renewal gives. */
  get #servedTtlMs(): number {
    return this.#hasBug("leases run for half their time") ? ttlMs / 2 : ttlMs;
  }

  /** An entry begins: whatever is due ends first, then what is free is granted. */
  entry(now: number): void {
    this.revision++;
    this.#now = now;
    for (let due = this.#nextDue(); due !== undefined; due = this.#nextDue()) due();
    for (const served of this.#names.values()) this.#grantFree(served);
  }

  #nextDue(): (() => void) | undefined {
    let first: { readonly at: number; readonly end: () => void } | undefined;
    const offer = (at: number, end: () => void): void => {
      if (at <= this.#now && at < (first?.at ?? Infinity)) first = { at, end };
    };
    for (const session of this.#sessions.values()) {
      if (session.end !== undefined || this.#hasBug("sessions never expire")) continue;
      offer(session.expiresAt, () => this.#endSession(session, "expired", session.expiresAt));
    }
    for (const { holders, queue } of this.#names.values()) {
      for (const claim of queue)
        offer(claim.waitUntil, () => this.#endClaim(claim, "wait-timeout", claim.waitUntil));
      for (const claim of holders) {
        if (claim.state !== "held") continue;
        const at = claim.grantedAt + (claim.maxHoldMs ?? Infinity);
        offer(at, () => this.#endClaim(claim, "max-hold", at));
      }
    }
    return first?.end;
  }

  open(id: string): ServedSession {
    const found = this.#sessions.get(id);
    if (found !== undefined) {
      if (found.end === undefined) found.expiresAt = Math.max(found.expiresAt, this.#now + this.#servedTtlMs);
      return found;
    }
    const session: ServedSession = {
      id,
      ref: `ref-${id}`,
      expiresAt: this.#now + this.#servedTtlMs,
      end: undefined,
      unseen: [],
    };
    this.#sessions.set(id, session);
    return session;
  }

  session(id: string): ServedSession | undefined {
    return this.#sessions.get(id);
  }

  byRef(ref: string): ServedSession | undefined {
    return [...this.#sessions.values()].find((session) => session.ref === ref);
  }

  renew(session: ServedSession, seen: number): void {
    for (const { claimId, revision } of session.unseen) {
      const claim = this.claims.get(claimId);
      if (revision > seen || claim === undefined) continue;
      for (const barrier of this.#served(claim).barriers)
        if (barrier.claim === claim) barrier.handBackUntil = 0;
    }
    session.unseen = session.unseen.filter(({ revision }) => revision > seen);
    session.expiresAt = Math.max(session.expiresAt, this.#now + this.#servedTtlMs);
  }

  end(session: ServedSession, reason: "closed" | "killed"): void {
    this.#endSession(session, reason, this.#now);
    for (const served of this.#names.values()) this.#grantFree(served);
  }

  acquire(
    session: ServedSession,
    wish: {
      readonly id: string;
      readonly asked: Asked;
      readonly waitMs: number;
      readonly maxHoldMs: number | undefined;
    },
  ): ServedClaim {
    const found = this.claims.get(wish.id);
    const isForgotten = found?.state === "ended" && this.#hasBug("ended claims are forgotten");
    if (found !== undefined && !isForgotten) return found;
    const claim: ServedClaim = {
      ...wish,
      session,
      waitUntil: this.#now + wish.waitMs,
      state: "waiting",
      kept: wish.asked.permits,
      fence: undefined,
      grantedAt: 0,
      revision: this.revision,
      reason: "",
      refusal: undefined,
      isTold: false,
    };
    this.claims.set(claim.id, claim);
    const served = this.#served(claim);
    const obstacle = this.#obstacle(served, claim);
    if (this.#hasBug("last come, first served")) served.queue.unshift(claim);
    else served.queue.push(claim);
    if (obstacle === undefined) this.#grantFree(served);
    else if (wish.waitMs === 0) {
      claim.refusal = obstacle;
      this.#endClaim(claim, "refused", this.#now);
    }
    return claim;
  }

  /** By the claim's own session, or by the service when nobody listens. */
  release(claim: ServedClaim, isUnheard = false): void {
    if (claim.state === "ended") return;
    const reason = claim.state === "held" && !isUnheard ? "released" : "cancelled";
    if (isUnheard && claim.state === "held") {
      claim.session.unseen.push({ claimId: claim.id, reason, revision: this.revision });
    }
    this.#endClaim(claim, reason, this.#now);
    this.#grantFree(this.#served(claim));
  }

  cancelUnheard(session: ServedSession, id: string): void {
    const asked: Asked = { name: "", mode: "exclusive", permits: 1 };
    const claim = this.acquire(session, { id, asked, waitMs: 1, maxHoldMs: undefined });
    if (claim.state === "held") claim.fence = undefined;
    this.#names.delete("");
    Object.assign(claim, { state: "ended", reason: "cancelled" });
  }

  shrink(claim: ServedClaim, permits: number): void {
    if (permits >= claim.kept) return;
    claim.kept = permits;
    claim.revision = this.revision;
    this.#grantFree(this.#served(claim));
  }

  view(name: string): Served {
    return this.#names.get(name) ?? { holders: [], queue: [], barriers: [] };
  }

  isKeptBack({ barriers }: Served): boolean {
    return barriers.length > 0;
  }

  #served({ asked }: ServedClaim): Served {
    const found = this.#names.get(asked.name);
    if (found !== undefined) return found;
    const served: Served = { holders: [], queue: [], barriers: [] };
    this.#names.set(asked.name, served);
    return served;
  }

  #endSession(session: ServedSession, reason: "expired" | "closed" | "killed", at: number): void {
    session.end = { reason, revision: this.revision };
    for (const claim of this.claims.values()) {
      if (claim.state === "waiting" && this.#hasBug("the dead may be granted")) continue;
      if (claim.session === session && claim.state !== "ended")
        this.#endClaim(claim, `session-${reason}`, at);
    }
  }

  #endClaim(claim: ServedClaim, reason: string, at: number): void {
    const { session } = claim;
    const served = this.#served(claim);
    const wasHeld = claim.state === "held";
    const list = wasHeld ? served.holders : served.queue;
    const stays = wasHeld && claim.asked.mode === "shared" && this.#hasBug("released readers stay");
    if (!stays) list.splice(list.indexOf(claim), 1);
    Object.assign(claim, { state: "ended", reason, revision: this.revision });
    const isTaken = reason === "max-hold" || reason === "session-killed";
    if (this.#hasBug("nothing keeps back what was lost")) return;
    if (!wasHeld || (!isTaken && reason !== "session-expired")) return;
    const handBackUntil = isTaken ? session.expiresAt : 0;
    served.barriers.push({
      session,
      claim,
      permits: claim.kept,
      delayUntil: at + lockDelayMs,
      handBackUntil,
    });
    if (session.end === undefined)
      session.unseen.push({ claimId: claim.id, reason, revision: this.revision });
  }

  #grantFree(served: Served): void {
    served.barriers = served.barriers.filter(
      (one) => Math.max(one.delayUntil, one.handBackUntil) > this.#now,
    );
    for (let next = served.queue[0]; next !== undefined; next = served.queue[0]) {
      if (this.#block(served, next) !== undefined) return;
      served.queue.shift();
      served.holders.push(next);
      Object.assign(next, {
        state: "held",
        fence: this.#nextFence(next),
        grantedAt: this.#now,
        revision: this.revision,
      });
    }
  }

  #nextFence({ asked }: ServedClaim): number {
    return asked.mode === "shared" && this.#hasBug("readers share a fence") ? this.#fence : ++this.#fence;
  }

  /** Of a newcomer. */
  #obstacle(served: Served, claim: ServedClaim): ServedClaim["refusal"] {
    const blocked = this.#block(served, claim);
    if (blocked !== undefined) return blocked;
    const isRefused = this.#hasBug("every second try-lock is refused") && this.revision % 2 === 0;
    if (isRefused) return { reason: "held", blockedBy: [] };
    const isShared = claim.asked.mode === "shared";
    const ahead = isShared ? served.queue.filter(({ asked }) => asked.mode !== "shared") : served.queue;
    return ahead.length === 0 ? undefined : { reason: "queue-ahead", blockedBy: ahead.map(({ id }) => id) };
  }

  #block(served: Served, { asked }: ServedClaim): ServedClaim["refusal"] {
    const { holders, barriers } = served;
    const blockedBy = holders.map(({ id }) => id);
    if (asked.mode === "permits") {
      const held = holders.reduce((sum, { kept }) => sum + kept, 0);
      const cooling = barriers.reduce((sum, { permits }) => sum + permits, 0);
      const surplus = this.#hasBug("one permit too many") ? 1 : 0;
      const capacity = (this.#capacities.get(asked.name) ?? 0) + surplus;
      if (held + cooling + asked.permits <= capacity) return undefined;
      return held + asked.permits <= capacity
        ? { reason: "lock-delay", blockedBy: [] }
        : { reason: "capacity", blockedBy };
    }
    const isExclusive = asked.mode === "exclusive" && !this.#hasBug("readers do not exclude writers");
    if (holders.some((other) => isExclusive || other.asked.mode === "exclusive"))
      return { reason: "held", blockedBy };
    const isKept = barriers.some(({ claim }) => isExclusive || claim.asked.mode === "exclusive");
    return isKept ? { reason: "hand-back", blockedBy: [] } : undefined;
  }
}

// ---- clients -------------------------------------------------------------------------------------------------------

type Answer = NonNullable<Operation["answer"]>;
/** Omit, for each member of a union. */
type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never;
type Wish = Without<Operation, "id" | "client" | "sentAt" | "answeredAt" | "revision" | "answer">;

interface Request {
  operation: Operation;
  isOver: boolean;
  isLeft: boolean;
  readonly done: (answer: Answer | undefined) => void;
}

interface Holding {
  readonly claimId: string;
  readonly asked: Asked;
  readonly fence: number;
  readonly from: number;
  readonly until: number;
}

/** One session as its client sees it. */
interface Session {
  readonly id: string;
  ref: string | undefined;
  leaseUntil: number;
  seen: number | undefined;
  isOver: boolean;
  readonly holdings: Map<string, Holding>;
}

interface Timed {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

class World {
  readonly #random: () => number;
  readonly #recipe: Recipe;
  readonly #capacities: ReadonlyMap<string, number> = new Map([
    ["pool/a", 2],
    ["pool/b", 3],
  ]);
  readonly #service: Service;
  readonly #operations = new Map<number, Operation>();
  readonly #beliefs: Belief[] = [];
  readonly #uses: Use[] = [];
  readonly #abandoned: { readonly sessionId: string; readonly at: number }[] = [];
  readonly #marks = new Map<string, { exclusive: number; shared: number; value: number }>();
  readonly #open: { readonly client: string; readonly session: Session }[] = [];
  readonly #refs: string[] = [];
  readonly #claimIds: string[] = [];
  readonly #sequencers: { readonly claimId: string; readonly name: string; readonly fence: number }[] = [];
  readonly #rate: number;
  readonly #outage: { readonly from: number; readonly to: number } | undefined;
  readonly #lossShare: number;
  readonly #timers: Timed[] = [];
  #now = 0;
  #order = 0;
  #lastId = 0;
  #sessions = 0;
  #lastClaim = 0;

  constructor(recipe: Recipe) {
    this.#recipe = recipe;
    this.#random = createRandom(recipe.seed);
    this.#service = new Service(this.#capacities, recipe.bug);
    this.#rate = 0.94 + 0.06 * this.#random();
    this.#lossShare = 0.25 * this.#random();
    const from = 1_000 + this.#int(20_000);
    this.#outage = this.#chance(0.3) ? { from, to: from + this.#int(9_000) } : undefined;
  }

  run(): History {
    for (let i = 0; i < this.#recipe.clients; i++)
      this.#later(this.#int(500), () => this.#begin(`client-${i}`));
    this.#later(300, () => this.#tick());
    this.#later(this.#int(700), () => this.#observe());
    const end = 400_000;
    for (let next = this.#timers.pop(); next !== undefined && next.at < end; next = this.#timers.pop()) {
      this.#now = next.at;
      next.run();
    }
    for (const { client, session } of this.#open) this.#stopAll(client, session, Infinity);
    const until = this.#now + 1;
    const { from = until, to = until } = this.#outage ?? {};
    return {
      operations: [...this.#operations.values()],
      beliefs: this.#beliefs,
      uses: this.#uses,
      abandoned: this.#abandoned,
      unattended: [],
      healthy: [{ from: 0, to: Math.min(from, until) }, ...(to < until ? [{ from: to, to: until }] : [])],
      capacities: this.#capacities,
      drift,
      lockDelayMs,
    };
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #chance(share: number): boolean {
    return this.#random() < share;
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[this.#int(all.length)];
  }

  get #isClosing(): boolean {
    return this.#lastId >= this.#recipe.operations;
  }

  /** Latest first, so that the next is at the end. */
  #later(delay: number, run: () => void): void {
    const timed = { at: this.#now + delay, order: ++this.#order, run };
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#timers[middle]?.at ?? 0) > timed.at) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timed);
  }

  get #isDown(): boolean {
    return this.#outage !== undefined && this.#now >= this.#outage.from && this.#now < this.#outage.to;
  }

  get #clusterTime(): number {
    const { from = Infinity, to = Infinity } = this.#outage ?? {};
    const lost = Math.max(0, Math.min(this.#now, to) - from);
    return Math.floor((this.#now - lost) * this.#rate);
  }

  /** Time is logged while anybody depends on it. */
  #tick(): void {
    if (!this.#isDown) {
      this.#service.entry(this.#clusterTime);
      this.#tellChanges();
    }
    const isNeeded =
      !this.#isClosing || [...this.#service.claims.values()].some(({ state }) => state !== "ended");
    if (isNeeded) this.#later(200 + this.#int(800), () => this.#tick());
  }

  // ---- requests ----

  #send(client: string, wish: Wish, done: (answer: Answer | undefined) => void = () => undefined): Request {
    const asked = {
      id: ++this.#lastId,
      client,
      sentAt: this.#now,
      answeredAt: undefined,
      revision: undefined,
    };
    const operation = { ...wish, ...asked, answer: undefined } as Operation;
    const request: Request = { operation, isOver: false, isLeft: false, done };
    this.#operations.set(operation.id, operation);
    this.#try(request, 0);
    return request;
  }

  #try(request: Request, tries: number): void {
    if (request.isOver) return;
    if (tries > 6 || (tries > 0 && this.#chance(0.1))) return this.#giveUp(request);
    if (!this.#chance(this.#lossShare)) this.#later(1 + this.#int(40), () => this.#serve(request));
    this.#later(350 + this.#int(300), () => this.#try(request, tries + 1));
  }

  /** Nobody was told. */
  #giveUp(request: Request): void {
    if (request.isOver) return;
    request.isOver = true;
    const { operation } = request;
    if (operation.kind === "acquire") {
      request.isLeft = true;
      this.#operations.set(operation.id, { ...operation, leftAt: operation.sentAt });
      this.#later(this.#int(1_500), () => this.#cancel(operation.claimId));
    }
    request.done(undefined);
  }

  /** Nobody listens for it: the service may take it back, as long as nobody was told. */
  #cancel(claimId: string): void {
    const claim = this.#service.claims.get(claimId);
    if (claim === undefined || this.#isDown || this.#chance(0.3)) return;
    this.#service.entry(this.#clusterTime);
    if (claim.state === "waiting" || (claim.state === "held" && !claim.isTold))
      this.#service.release(claim, true);
    this.#tellChanges();
  }

  readonly #waiting = new Set<Request>();

  #serve(request: Request): void {
    if (this.#isDown) return;
    const answer = this.#handle(request.operation);
    this.#tellChanges();
    if (answer === undefined) this.#waiting.add(request);
    else this.#answer(request, answer);
  }

  #answer(request: Request, answer: Answer): void {
    const { revision } = this.#service;
    if (this.#chance(this.#lossShare)) return;
    this.#later(1 + this.#int(40), () => this.#receive(request, { answer, revision }));
  }

  #receive(
    request: Request,
    { answer, revision }: { readonly answer: Answer; readonly revision: number },
  ): void {
    if (request.isOver) return;
    const { operation } = request;
    if (operation.kind === "acquire" && answer.kind === "waiting") {
      request.operation = { ...operation, queuedAt: operation.queuedAt ?? this.#now };
      this.#operations.set(operation.id, request.operation);
      return;
    }
    request.isOver = true;
    this.#operations.set(operation.id, {
      ...request.operation,
      answeredAt: this.#now,
      revision,
      answer,
    } as Operation);
    request.done(answer);
  }

  /** Requests that are held until their claim waits no longer. */
  #tellChanges(): void {
    for (const request of this.#waiting) {
      const { operation } = request;
      if (operation.kind !== "acquire") continue;
      const claim = this.#service.claims.get(operation.claimId);
      if (claim === undefined || claim.state === "waiting") continue;
      this.#waiting.delete(request);
      if (!request.isOver) this.#answer(request, this.#acquireAnswer(claim));
    }
  }

  #handle(operation: Operation): Answer | undefined {
    const service = this.#service;
    const isRead = operation.kind.startsWith("look") || operation.kind === "check";
    if (!isRead) service.entry(this.#clusterTime);
    switch (operation.kind) {
      case "open": {
        const session = service.open(operation.sessionId);
        if (session.end !== undefined) return goneOf(session);
        return { kind: "live", sessionRef: session.ref, ttlMs, leaseMs: ttlMs - marginMs };
      }
      case "kill": {
        const session = service.byRef(operation.sessionRef);
        if (session === undefined) return goneOf(undefined);
        if (session.end === undefined) service.end(session, "killed");
        if (session.end?.reason !== "killed") return goneOf(session);
        return { kind: "killed", endRevision: session.end.revision };
      }
      case "look-claim": {
        const claim = service.claims.get(operation.claimId);
        if (claim === undefined) return { kind: "denied", code: "not-found" };
        claim.isTold = true;
        return shownOf(claim);
      }
      case "look-name": {
        const served = service.view(operation.name);
        const state = served.holders.length > 0 ? "held" : service.isKeptBack(served) ? "delayed" : "free";
        const holders = served.holders.map(({ id, fence = 0, kept }) => ({
          claimId: id,
          fence,
          permits: kept,
        }));
        for (const claim of served.holders) claim.isTold = true;
        const capacity = this.#capacities.get(operation.name);
        return { kind: "shown", state, holders, queue: served.queue.map(({ id }) => id), capacity };
      }
      case "check": {
        const claim = service.claims.get(operation.claimId);
        const isCurrent = claim?.state === "held" && claim.fence === operation.fence;
        return { kind: "checked", status: isCurrent ? "current" : "released" };
      }
      default: {
        const session = service.session(operation.sessionId);
        if (session === undefined) return goneOf(undefined);
        return this.#handleOwn(operation, session);
      }
    }
  }

  #handleOwn(
    operation: Extract<Operation, { kind: "keepalive" | "close" | "acquire" | "release" | "shrink" }>,
    session: ServedSession,
  ): Answer | undefined {
    const service = this.#service;
    if (operation.kind === "close") {
      if (session.end === undefined) service.end(session, "closed");
      return session.end?.reason === "closed"
        ? { kind: "closed", endRevision: session.end.revision }
        : goneOf(session);
    }
    if (operation.kind === "release") return this.#handleRelease(operation.claimId, session);
    if (session.end !== undefined) return goneOf(session);
    switch (operation.kind) {
      case "keepalive":
        service.renew(session, operation.seen ?? 0);
        return { kind: "renewed", ttlMs, leaseMs: ttlMs - marginMs, ended: [...session.unseen] };
      case "acquire": {
        const { claimId: id, asked, waitMs, maxHoldMs } = operation;
        const claim = service.acquire(session, { id, asked, waitMs, maxHoldMs });
        if (claim.state !== "waiting") return this.#acquireAnswer(claim);
        return this.#chance(0.7) ? undefined : this.#queued(operation);
      }
      default: {
        const claim = service.claims.get(operation.claimId);
        if (claim === undefined) return { kind: "denied", code: "not-found" };
        if (claim.state === "ended")
          return { kind: "denied", code: isLost(claim) ? "claim-lost" : "claim-ended" };
        if (claim.state !== "held" || operation.permits > claim.kept)
          return { kind: "denied", code: "invalid" };
        service.shrink(claim, operation.permits);
        return shownOf(claim);
      }
    }
  }

  /** 202, and the client polls on by repeating it. */
  #queued(operation: Acquire): Answer {
    const request = [...this.#waiting].find((one) => one.operation.id === operation.id);
    if (request !== undefined) this.#waiting.delete(request);
    return { kind: "waiting" };
  }

  #handleRelease(claimId: string, session: ServedSession): Answer {
    const found = this.#service.claims.get(claimId);
    if (found === undefined) {
      if (session.end !== undefined) return goneOf(session);
      this.#service.cancelUnheard(session, claimId);
    }
    const claim = this.#service.claims.get(claimId);
    if (claim === undefined) throw new Error("a released claim is known");
    if (claim.state !== "ended") this.#service.release(claim);
    const { reason, revision: claimRevision } = claim;
    return isLost(claim) ? { kind: "lost", reason, claimRevision } : { kind: "ended", reason, claimRevision };
  }

  #acquireAnswer(claim: ServedClaim): Answer {
    if (claim.state === "held") {
      claim.isTold = true;
      return shownOf(claim);
    }
    const { reason, refusal, session } = claim;
    if (reason === "refused")
      return { kind: "refused", code: "locked", reason: "", blockedBy: [], ...refusal };
    if (reason === "wait-timeout")
      return { kind: "refused", code: "wait-timeout", reason: "held", blockedBy: [] };
    if (session.end !== undefined) return goneOf(session);
    return { kind: "denied", code: isLost(claim) ? "claim-lost" : "claim-ended" };
  }

  // ---- what clients do ----

  #begin(client: string): void {
    if (this.#isClosing) return;
    const session: Session = {
      id: `session-${++this.#sessions}`,
      ref: undefined,
      leaseUntil: Infinity,
      seen: undefined,
      isOver: false,
      holdings: new Map(),
    };
    const sentAt = this.#now;
    this.#send(client, { kind: "open", sessionId: session.id, ttlMs }, (answer) => {
      if (answer?.kind !== "live") {
        if (answer === undefined) this.#abandoned.push({ sessionId: session.id, at: this.#now });
        this.#later(this.#int(500), () => this.#begin(client));
        return;
      }
      session.ref = answer.sessionRef;
      this.#refs.push(answer.sessionRef);
      session.leaseUntil = sentAt + answer.leaseMs;
      this.#open.push({ client, session });
      this.#watchLease(client, session);
      this.#later(1_500 + this.#int(500), () => this.#renew(client, session));
      for (let i = 0; i < 1 + this.#int(2); i++)
        this.#later(this.#int(300), () => this.#work(client, session));
    });
  }

  /** A lapsed lease is final; the next session is another one. */
  #watchLease(client: string, session: Session): void {
    if (session.isOver) return;
    if (this.#now < session.leaseUntil) {
      this.#later(session.leaseUntil - this.#now, () => this.#watchLease(client, session));
      return;
    }
    this.#over(client, session);
  }

  #over(client: string, session: Session): void {
    if (session.isOver) return;
    session.isOver = true;
    this.#stopAll(client, session, this.#now);
    this.#abandoned.push({ sessionId: session.id, at: this.#now });
    this.#later(this.#int(2_000), () => this.#begin(client));
  }

  #stopAll(client: string, session: Session, to: number): void {
    for (const { claimId } of session.holdings.values()) this.#stop(client, session, { claimId, to });
  }

  #stop(
    client: string,
    session: Session,
    { claimId, to }: { readonly claimId: string; readonly to: number },
  ): void {
    const holding = session.holdings.get(claimId);
    if (holding === undefined) return;
    session.holdings.delete(claimId);
    const { asked, fence, from, until } = holding;
    const end = Math.min(to, until, session.leaseUntil);
    this.#beliefs.push({
      client,
      sessionId: session.id,
      claimId,
      asked,
      fence,
      from,
      to: Math.max(from, end),
    });
  }

  #renew(client: string, session: Session): void {
    if (session.isOver) return;
    // It crashes: nothing more of it is sent.
    if (this.#chance(0.08) || this.#isClosing) return this.#crash(client, session);
    const sentAt = this.#now;
    const { seen } = session;
    const wish = {
      kind: "keepalive",
      sessionId: session.id,
      seen: this.#chance(0.7) ? seen : undefined,
    } as const;
    this.#send(client, wish, (answer) => {
      if (session.isOver) return;
      if (answer?.kind === "gone") return this.#over(client, session);
      if (answer?.kind === "renewed") {
        if (this.#now >= session.leaseUntil) return this.#over(client, session);
        for (const { claimId } of answer.ended) this.#stop(client, session, { claimId, to: this.#now });
        session.leaseUntil = Math.max(session.leaseUntil, sentAt + answer.leaseMs);
        session.seen = [...this.#operations.values()].findLast(
          (one) => one.kind === "keepalive" && one.sessionId === session.id && one.revision !== undefined,
        )?.revision;
      }
      this.#later(1_000 + this.#int(1_000), () => this.#renew(client, session));
    });
  }

  /** Nothing more is sent for it; or it was only paused, and hears of its end when it comes back. */
  #crash(client: string, session: Session): void {
    if (this.#isClosing || this.#chance(0.5)) return this.#over(client, session);
    session.isOver = true;
    const held = [...session.holdings.keys()];
    this.#stopAll(client, session, this.#now);
    this.#later(5_500 + this.#int(3_000), () => {
      this.#send(client, { kind: "keepalive", sessionId: session.id, seen: undefined });
      for (const claimId of held) this.#send(client, { kind: "release", sessionId: session.id, claimId });
      this.#begin(client);
    });
  }

  #work(client: string, session: Session): void {
    if (session.isOver || this.#isClosing) return;
    const asked = this.#wish();
    const claimId = `claim-${++this.#lastClaim}`;
    this.#claimIds.push(claimId);
    const waitMs = this.#chance(0.4) ? 0 : this.#int(6_000);
    const maxHoldMs = this.#chance(0.2) ? 500 + this.#int(1_500) : undefined;
    const wish = {
      kind: "acquire",
      sessionId: session.id,
      claimId,
      asked,
      capacity: this.#chance(0.5) ? this.#capacities.get(asked.name) : undefined,
      waitMs,
      maxHoldMs,
      owner: undefined,
      queuedAt: undefined,
      leftAt: undefined,
    } as const;
    const sentAt = this.#now;
    const request = this.#send(client, wish, (answer) => {
      if (answer?.kind === "held") {
        const until = sentAt + (maxHoldMs ?? Infinity);
        this.#hold(client, session, { claimId, asked, fence: answer.fence, from: this.#now, until });
        return;
      }
      // What became of it is unknown: it is given up, or not.
      if (answer === undefined && this.#chance(0.5) && !session.isOver)
        this.#release(client, session, claimId);
      else this.#pause(client, session);
    });
    if (waitMs > 0 && this.#chance(0.1)) this.#later(this.#int(3_000), () => this.#giveUp(request));
  }

  #pause(client: string, session: Session): void {
    this.#later(this.#int(1_200), () => this.#work(client, session));
  }

  #wish(): Asked {
    const names = ["a", "b"].slice(0, this.#recipe.clients > 4 ? 2 : 1);
    const isOneLock = this.#recipe.isOneLock === true;
    const name = isOneLock ? "a" : (this.#pick(names) ?? "a");
    if (!isOneLock && this.#chance(0.4)) {
      const pool = `pool/${name}`;
      return { name: pool, mode: "permits", permits: 1 + this.#int(this.#capacities.get(pool) ?? 1) };
    }
    const mode: Mode = !isOneLock && this.#chance(0.35) ? "shared" : "exclusive";
    return { name: `lock/${name}`, mode, permits: 1 };
  }

  #hold(client: string, session: Session, holding: Holding): void {
    if (session.isOver) return;
    session.holdings.set(holding.claimId, holding);
    const { claimId, asked } = holding;
    const holdMs = this.#int(1_500);
    // A paused client may come back when it believes no more: the resource must see to that.
    this.#later(this.#int(holdMs + 1), () => this.#use(client, holding));
    if (this.#chance(0.2)) this.#later(this.#int(9_000), () => this.#use(client, holding));
    this.#sequencers.push({ claimId, name: asked.name, fence: holding.fence });
    if (asked.permits > 1 && this.#chance(0.5)) {
      const wish = { kind: "shrink", sessionId: session.id, claimId, permits: 1 } as const;
      this.#later(this.#int(holdMs + 1), () => {
        if (!session.isOver) this.#send(client, wish);
      });
    }
    // Some forget to release until their session is over or the hold has its limit.
    if (this.#chance(0.1)) this.#pause(client, session);
    else this.#later(holdMs, () => this.#release(client, session, claimId));
  }

  #release(client: string, session: Session, claimId: string): void {
    if (session.isOver) return;
    this.#stop(client, session, { claimId, to: this.#now });
    if (this.#chance(0.06)) return this.#close(client, session);
    this.#send(client, { kind: "release", sessionId: session.id, claimId }, () =>
      this.#pause(client, session),
    );
  }

  #close(client: string, session: Session): void {
    session.isOver = true;
    this.#stopAll(client, session, this.#now);
    this.#send(client, { kind: "close", sessionId: session.id });
    this.#later(this.#int(1_000), () => this.#begin(client));
  }

  /** Check and use in one step (SEMANTICS §6). */
  #use(client: string, { asked, fence }: Holding): void {
    if (asked.mode === "permits") return;
    const { name, mode } = asked;
    const marks = this.#marks.get(name) ?? { exclusive: 0, shared: 0, value: 0 };
    this.#marks.set(name, marks);
    const isExclusive = mode === "exclusive";
    const accepted = fence >= (isExclusive ? Math.max(marks.exclusive, marks.shared) : marks.exclusive);
    const read = marks.value;
    const wrote = read + 1;
    this.#uses.push({ client, name, mode, fence, at: this.#now, accepted, read, wrote });
    if (!accepted) return;
    if (isExclusive) Object.assign(marks, { exclusive: fence, value: wrote });
    else marks.shared = Math.max(marks.shared, fence);
  }

  /** Reads, operators, and those who ask again. */
  #observe(): void {
    if (this.#isClosing) return;
    const names = ["lock/a", "pool/a", "lock/b", "pool/b"];
    const claimId = this.#pick(this.#claimIds);
    const sequencer = this.#pick(this.#sequencers);
    const ref = this.#pick(this.#refs);
    const dice = this.#random();
    if (dice < 0.5) this.#send("observer", { kind: "look-name", name: this.#pick(names) ?? "lock/a" });
    else if (dice < 0.75 && claimId !== undefined) this.#send("observer", { kind: "look-claim", claimId });
    else if (dice < 0.9 && sequencer !== undefined) this.#send("observer", { kind: "check", ...sequencer });
    else if (dice < 0.93 && ref !== undefined) this.#send("operator", { kind: "kill", sessionRef: ref });
    else this.#askAgain();
    this.#later(this.#int(1_000), () => this.#observe());
  }

  /** An answered acquire once more: the same claim. */
  #askAgain(): void {
    const answered = [...this.#operations.values()].filter(
      (one): one is Acquire => one.kind === "acquire" && one.answer !== undefined,
    );
    const again = this.#pick(answered);
    if (again === undefined) return;
    const {
      id: _id,
      sentAt: _sentAt,
      answeredAt: _answeredAt,
      revision: _revision,
      answer: _answer,
      ...wish
    } = again;
    this.#send(again.client, { ...wish, queuedAt: undefined, leftAt: undefined });
  }
}

function goneOf(session: ServedSession | undefined): Gone {
  return { kind: "gone", reason: session?.end?.reason ?? "unknown", endRevision: session?.end?.revision };
}

function shownOf({ state, fence, revision, kept, reason }: ServedClaim): Shown {
  if (state === "waiting") return { kind: "waiting" };
  if (state === "held") return { kind: "held", fence: fence ?? 0, claimRevision: revision, permits: kept };
  return { kind: "ended", reason, fence, claimRevision: revision };
}

function isLost({ fence, reason }: ServedClaim): boolean {
  return (
    fence !== undefined &&
    (reason === "max-hold" || reason === "session-expired" || reason === "session-killed")
  );
}
