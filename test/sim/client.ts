/**
 * A simulated client: sessions one after another, each kept alive by the real lease machine (`src/client/lease.ts`), and
 * threads that lock, work and release through the real request handlers. It believes in a hold as SEMANTICS says: from
 * the answer on until its own deadline, counted from the *send* time of what was answered. It can crash, be paused, hang
 * up, be cut off, and its clocks may drift and jump. Everything that it does and is told goes into the history.
 */
import type { Prng } from "../../src/base/prng.ts";
import { advanceElapsed, beginElapsed, type Elapsed } from "../../src/client/elapsed.ts";
import {
  beginLease,
  isDue,
  isOver,
  type Lease,
  type LeaseGrant,
  type LeaseInput,
  stepLease,
  wakeAtMs,
} from "../../src/client/lease.ts";
import {
  acquireAnswer,
  checkAnswer,
  closeAnswer,
  isUndecided,
  keepAliveAnswer,
  killAnswer,
  lookClaimAnswer,
  lookNameAnswer,
  openAnswer,
  releaseAnswer,
  revisionOf,
  shrinkAnswer,
} from "../check/answers.ts";
import type { Asked } from "../check/history.ts";
import { ClientHttp } from "./client-http.ts";
import type { Calling, HistoryWriter, Neglect } from "./history.ts";
import type { HttpAnswer, HttpRequestSent, SimMember } from "./member.ts";
import type { SimNetwork } from "./network.ts";
import { ClientProcess, type Routine, until } from "./process.ts";
import type { Believer, Holding, Recorder } from "./recorder.ts";
import { Violation } from "./recorder.ts";
import type { Grip, Resource } from "./resource.ts";
import type { Scheduler } from "./scheduler.ts";

export interface ClientOptions {
  readonly name: string;
  readonly random: Prng;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly history: HistoryWriter;
  readonly resource: Resource;
  readonly members: readonly SimMember[];
  /** `pool-…` are semaphores, all others locks. */
  readonly names: readonly string[];
  readonly capacity: number;
  /** Refs of live sessions of all clients, for whoever plays the operator. */
  readonly refs: () => readonly string[];
  /** Claims that some client holds now. */
  readonly others: () => readonly string[];
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  /** How fast its clocks run. */
  readonly rates: { readonly clock: number; readonly wall: number };
  /** No setting lets a claim wait longer for somebody who attends it. */
  readonly graceMaxMs: number;
  /** Members answer within seconds when all is well. */
  readonly isPrompt: boolean;
  /** From now on whatever this member is asked must be answered. */
  readonly isWell: (member: SimMember) => boolean;
  readonly cancelOnDisconnect: boolean;
  readonly threads: number;
  /** Until then it works as fast as it can, with the claims that it asks for. */
  readonly rushUntil: number;
  readonly thinkMs: number;
  readonly holdMs: number;
  readonly impatience: number;
  readonly strays: number;
  readonly ownIds: boolean;
}

interface Session {
  readonly id: string;
  readonly ref: string;
  lease: Lease;
  /** The newest renewal whose list of ended holds was acted on. */
  seen: number | undefined;
  claims: number;
  threads: number;
  isOver: boolean;
  readonly holds: Hold[];
  /** Claims that its threads walked away from, by id. */
  readonly neglected: Map<string, Neglect>;
}

interface Wanted extends Asked {
  readonly claimId: string;
  readonly waitMs: number;
  readonly maxHoldMs: number | undefined;
  readonly owner: string | undefined;
}

interface Hold extends Holding {
  readonly wanted: Wanted;
  readonly session: Session;
  readonly fence: number;
  readonly sequencer: string;
  /** True time. */
  readonly from: number;
  /** True time of the last reading of the clocks that found it believed. */
  believedAt: number;
  /** Its max-hold, in elapsed time. */
  readonly untilMs: number;
  isOver: boolean;
}

interface OldSequencer {
  readonly claimId: string;
  readonly name: string;
  readonly fence: number;
  readonly text: string;
}

/** A request that nobody answered for so long is given up. */
const attemptMs = 1_500;

export class SimClient implements Believer {
  readonly #o: ClientOptions;
  readonly #process: ClientProcess;
  readonly #http: ClientHttp;
  readonly #pending = new Set<string>();
  /** Acquires that await their answer. */
  readonly #acquiring = new Set<Calling>();
  #elapsed: Elapsed;
  /** True time of the last reading of the clocks. */
  #readAt = 0;
  /** True time at which its wall clock was set back last. */
  #setBackAt = -Infinity;
  #sessions = 0;
  #session: Session | undefined;
  #sequencers: OldSequencer[] = [];
  #isStopping = false;
  #isLookingOn = false;

  constructor(options: ClientOptions) {
    this.#o = options;
    const { name, random, scheduler, network, recorder, members, strays, rates } = options;
    this.#process = new ClientProcess(scheduler, rates);
    this.#http = new ClientHttp({
      name,
      process: this.#process,
      random,
      scheduler,
      network,
      recorder,
      members,
      strays,
    });
    this.#elapsed = beginElapsed(this.#process.sample());
  }

  get name(): string {
    return this.#o.name;
  }

  /** True when nothing is under way any more. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && (this.#session?.holds.length ?? 0) === 0;
  }

  get pendingOperations(): readonly string[] {
    return [...this.#pending];
  }

  /** Of its live session, for others to see. */
  get sessionRef(): string | undefined {
    return this.#session?.ref;
  }

  get heldClaims(): readonly string[] {
    return this.#session?.holds.map(({ wanted }) => wanted.claimId) ?? [];
  }

  // ---- belief ------------------------------------------------------------------------------------------------------

  /** Reads both clocks, as a client must at least once a second. */
  #now(): number {
    this.#elapsed = advanceElapsed(this.#elapsed, this.#process.sample());
    const { elapsedMs } = this.#elapsed;
    this.#readAt = this.#o.scheduler.now;
    for (const hold of this.#session?.holds ?? []) {
      if (elapsedMs < deadlineOf(hold)) hold.believedAt = this.#o.scheduler.now;
    }
    return elapsedMs;
  }

  /** The same without reading: what it would find. */
  #peek(): number {
    return advanceElapsed(this.#elapsed, this.#process.sample()).elapsedMs;
  }

  holdings(name: string): readonly Holding[] {
    const now = this.#peek();
    const holds = this.#session?.holds ?? [];
    return holds.filter((hold) => hold.wanted.name === name && isBelieved(hold, now));
  }

  trusts(sessionId: string): boolean {
    const session = this.#session;
    if (session === undefined || session.id !== sessionId || session.isOver) return false;
    return !isOver(session.lease) && this.#peek() < session.lease.validUntilMs;
  }

  #step(session: Session, input: LeaseInput): Lease {
    session.lease = stepLease(session.lease, input);
    return session.lease;
  }

  #isTrusted(session: Session): boolean {
    return !session.isOver && !isOver(this.#step(session, { kind: "checked", nowMs: this.#now() }));
  }

  #believe(hold: Hold): void {
    const { name, claimId } = hold.wanted;
    hold.session.holds.push(hold);
    this.#o.recorder.note(this.name, `believes ${name} ${claimId} fence=${hold.fence}`);
    this.#o.recorder.believes(this, name);
  }

  /** It acts on this hold no more. The belief may have ended before, unnoticed. */
  #stopBelieving(hold: Hold): void {
    if (hold.isOver) return;
    hold.isOver = true;
    const { session, wanted, fence, from } = hold;
    session.holds.splice(session.holds.indexOf(hold), 1);
    const trueNow = this.#o.scheduler.now;
    const lateMs = Math.max(0, this.#peek() - deadlineOf(hold));
    const to = Math.max(hold.believedAt, trueNow - lateMs / this.#process.fastestRate);
    const { name, mode, permits, claimId } = wanted;
    const asked = { name, mode, permits };
    this.#o.history.believed({ client: this.name, sessionId: session.id, claimId, asked, fence, from, to });
  }

  #stopBelievingAll({ holds }: Session): void {
    for (let hold = holds[0]; hold !== undefined; hold = holds[0]) this.#stopBelieving(hold);
  }

  // ---- the process ---------------------------------------------------------------------------------------------------

  start(): void {
    this.#process.after(this.#o.random.next() * 200, () => this.#process.spawn(this.#live()));
  }

  /** The process is gone; what it had is abandoned, and another one starts later. */
  crash(): void {
    const { recorder, history, random } = this.#o;
    recorder.note(this.name, "crashes");
    const session = this.#session;
    if (session !== undefined) {
      this.#stopBelievingAll(session);
      history.abandoned(session.id);
    }
    this.#session = undefined;
    this.#pending.clear();
    // Their connections close: the server may cancel what they asked for.
    for (const calling of this.#acquiring) this.#left(calling, this.#o.scheduler.now);
    this.#acquiring.clear();
    this.#http.crash();
    this.#process.crash();
    if (this.#isStopping) return;
    this.#process.after(random.next() * 3_000, () => this.#process.spawn(this.#live()));
  }

  pause(ms: number): boolean {
    if (!this.#process.pause(ms)) return false;
    this.#o.recorder.note(this.name, `pauses for ${ms} ms`);
    return true;
  }

  /** Not right after its wall clock was set back, nor the other way round: what one clock missed the other one hides. */
  suspend(ms: number): boolean {
    if (this.#setBackAt >= this.#readAt || !this.#process.suspend(ms)) return false;
    this.#o.recorder.note(this.name, `is suspended for ${ms} ms`);
    return true;
  }

  jumpWallClock(ms: number): boolean {
    if (ms < 0 && this.#process.wasSuspendedSince(this.#readAt)) return false;
    if (ms < 0) this.#setBackAt = this.#o.scheduler.now;
    this.#o.recorder.note(this.name, `wall clock jumps by ${ms} ms`);
    this.#process.jumpWallClock(ms);
    return true;
  }

  /** The server may have noticed that nobody listens. */
  #left(calling: Calling, at: number): void {
    if (this.#o.cancelOnDisconnect) calling.left(at);
  }

  handleDeath(member: SimMember): void {
    this.#http.handleDeath(member);
  }

  /** From now on it looks more than it works. */
  lookOn(): void {
    this.#isLookingOn = true;
  }

  /** No new work; what is held is released, then the session is closed. */
  stopSoon(): void {
    this.#isStopping = true;
  }

  // ---- asking --------------------------------------------------------------------------------------------------------

  /** Repeats the request until it is decided; undefined when `isEnough` says so first. */
  *#decide(
    sent: HttpRequestSent,
    isEnough: () => boolean,
    limitMs: () => number = () => attemptMs,
  ): Routine<HttpAnswer | undefined> {
    for (let tries = 1; ; tries++) {
      const answer = yield* until(this.#http.attempt(sent, limitMs()));
      if (answer !== undefined && answer.status === 500)
        throw new Violation("no-500", JSON.stringify(answer.body));
      if (answer !== undefined && !isUndecided(answer)) return answer;
      if (isEnough()) return undefined;
      yield* this.#backOff(answer, tries);
    }
  }

  /** At once after a redirect; otherwise longer each time, and never all clients together. */
  *#backOff(answer: HttpAnswer | undefined, tries: number): Routine {
    const longestMs = Math.min(1_000, 20 * 2 ** Math.min(tries, 10));
    yield* this.#process.sleep(answer?.status === 307 ? 1 : 5 + this.#o.random.next() * longestMs);
  }

  #begin(label: string): void {
    this.#pending.add(label);
  }

  #done(label: string): void {
    this.#pending.delete(label);
  }

  // ---- sessions ------------------------------------------------------------------------------------------------------

  *#live(): Routine {
    while (!this.#isStopping) {
      const session = yield* this.#open();
      if (session === undefined) {
        yield* this.#process.sleep(50);
        continue;
      }
      this.#session = session;
      this.#process.spawn(this.#keep(session));
      for (let thread = 1; thread <= this.#o.threads; thread++) {
        session.threads++;
        this.#process.spawn(this.#thread(session, thread));
      }
      while (!session.isOver && session.threads > 0) yield* this.#process.sleep(25);
      if (!session.isOver) yield* this.#close(session);
      if (this.#session === session) this.#session = undefined;
      yield* this.#process.sleep(20);
    }
  }

  *#open(): Routine<Session | undefined> {
    const { ttlMs, lockDelayMs, history, recorder } = this.#o;
    const id = `${this.name}-session-${++this.#sessions}`.padEnd(20, "x");
    const label = `open ${id}`;
    this.#begin(label);
    const calling = history.call({ kind: "open", client: this.name, sessionId: id, ttlMs });
    const sentAtMs = this.#now();
    const answer = yield* this.#decide(
      post("/v1/sessions", { sessionId: id, ttlMs, lockDelayMs, label: this.name }),
      () => this.#now() > sentAtMs + ttlMs / 2,
    );
    this.#done(label);
    if (answer === undefined) return undefined;
    const told = openAnswer(answer);
    calling.answered(told, revisionOf(answer));
    recorder.note(this.name, `session ${id} ${told.kind}`);
    if (told.kind !== "live") return undefined;
    const lease = beginLease({ grant: grantOf(answer), sentAtMs, nowMs: this.#now() });
    return {
      id,
      ref: told.sessionRef,
      lease,
      seen: undefined,
      claims: 0,
      threads: 0,
      isOver: false,
      holds: [],
      neglected: new Map(),
    };
  }

  /** Keepalives until the lease is over. */
  *#keep(session: Session): Routine {
    let calling: Calling | undefined;
    for (;;) {
      if (session.isOver) return;
      const lease = this.#step(session, { kind: "checked", nowMs: this.#now() });
      if (isOver(lease)) return this.#lose(session);
      if (!isDue(lease)) {
        const untilMs = (wakeAtMs(lease) ?? 0) - this.#now();
        yield* this.#process.sleep(Math.max(1, Math.min(untilMs, 500)));
        continue;
      }
      const { seen, id } = session;
      calling ??= this.#o.history.call({ kind: "keepalive", client: this.name, sessionId: id, seen });
      this.#step(session, { kind: "asked", nowMs: this.#now() });
      const sent = post(`/v1/sessions/${id}:keepalive`, seen === undefined ? {} : { seen });
      const answer = yield* until(
        this.#http.attempt(sent, Math.min(attemptMs, lease.validUntilMs - lease.nowMs + 1)),
      );
      if (answer === undefined || isUndecided(answer)) {
        this.#step(session, { kind: "unanswered", nowMs: this.#now() });
        continue;
      }
      calling.answered(keepAliveAnswer(answer), revisionOf(answer));
      calling = undefined;
      this.#takeRenewal(session, answer);
    }
  }

  #takeRenewal(session: Session, answer: HttpAnswer): void {
    const { recorder } = this.#o;
    const told = keepAliveAnswer(answer);
    if (told.kind === "gone") {
      recorder.toldGone(session.id, told.reason === "unknown");
      this.#step(session, { kind: "gone", nowMs: this.#now(), detail: told.reason });
      return;
    }
    if (told.kind === "denied") throw new Violation("renewals-are-taken", told.code);
    const grant = grantOf(answer);
    this.#step(session, { kind: "answered", nowMs: this.#now(), grant });
    if (grant.ended.length === 0) return;
    // What the lease machine makes of it, which every client goes by.
    const ended = new Set(session.lease.ended.map(({ claimId }) => claimId));
    // It stops before it says that it has seen it.
    recorder.note(this.name, `is told of ends: ${[...ended].join(" ")}`);
    recorder.count("told of ends");
    const over = session.holds.filter(({ wanted }) => ended.has(wanted.claimId));
    for (const hold of over) this.#stopBelieving(hold);
    if (this.#o.random.chance(0.9)) session.seen = grant.revision;
  }

  #lose(session: Session): void {
    if (session.isOver) return;
    this.#o.recorder.note(this.name, `lost ${session.id} ${session.lease.phase}`);
    this.#o.recorder.count(`lease ${session.lease.phase}`);
    this.#stopBelievingAll(session);
    session.isOver = true;
  }

  *#close(session: Session): Routine {
    const { history, recorder } = this.#o;
    const label = `close ${session.id}`;
    this.#begin(label);
    this.#stopBelievingAll(session);
    session.isOver = true;
    const calling = history.call({ kind: "close", client: this.name, sessionId: session.id });
    const giveUpAt = this.#now() + this.#o.ttlMs;
    const sent: HttpRequestSent = {
      method: "DELETE",
      target: `/v1/sessions/${session.id}`,
      headers: {},
      body: undefined,
    };
    const answer = yield* this.#decide(sent, () => this.#now() > giveUpAt);
    this.#done(label);
    if (answer === undefined) return;
    const told = closeAnswer(answer);
    calling.answered(told, revisionOf(answer));
    if (told.kind === "gone") recorder.toldGone(session.id, told.reason === "unknown");
  }

  // ---- threads -------------------------------------------------------------------------------------------------------

  *#thread(session: Session, thread: number): Routine {
    const { random, thinkMs } = this.#o;
    while (!this.#isStopping && this.#isTrusted(session)) {
      const longestMs = this.#isRushing() ? 3 : this.#isLookingOn ? Math.max(thinkMs, 3_000) : thinkMs;
      yield* this.#process.sleep(random.next() * longestMs);
      if (!this.#isTrusted(session)) break;
      if (this.#isLookingOn && random.chance(0.6)) yield* this.#lookName();
      const draw = random.next();
      if (draw < 0.8) yield* this.#useLock(session, thread, []);
      else if (draw < 0.88) yield* this.#lookName();
      else if (draw < 0.92) yield* this.#checkSequencer();
      else if (draw < 0.955) yield* this.#pollClaims(session);
      else if (draw < 0.96) yield* this.#kill();
      else if (draw < 0.965) yield* this.#changeSettings();
      else if (draw < 0.97) yield* this.#releaseAnothers(session);
      else yield* this.#lookClaim(session);
    }
    session.threads--;
  }

  #isRushing(): boolean {
    return this.#o.scheduler.now < this.#o.rushUntil;
  }

  /** Takes something other than what it holds, works under it, lets it go. */
  *#useLock(session: Session, thread: number, held: readonly string[]): Routine {
    const { random, names } = this.#o;
    const wanted = this.#want(session, thread, held);
    const hold = yield* this.#acquire(session, wanted);
    if (hold === undefined) return;
    yield* this.#work(hold);
    // Sometimes a second one while it holds the first: clients cross each other.
    const isCrossing = names.length > held.length + 1 && held.length === 0 && random.chance(0.2);
    if (isCrossing && this.#isTrusted(session)) yield* this.#useLock(session, thread, [...held, wanted.name]);
    // The last ones may leave by closing the session, with all that it still holds.
    if (this.#isStopping && random.chance(0.3)) return;
    this.#stopBelieving(hold);
    yield* this.#release(session, wanted.claimId);
  }

  #want(session: Session, thread: number, held: readonly string[]): Wanted {
    const { random, names, capacity, ownIds } = this.#o;
    const name = random.pick(names.filter((each) => !held.includes(each)));
    const isPool = name.startsWith("pool");
    const number = ++session.claims;
    return {
      name,
      claimId: ownIds && random.chance(0.3) ? `${session.id}-own-${number}` : `${session.ref}_${number}`,
      mode: isPool ? "permits" : random.chance(0.3) ? "shared" : "exclusive",
      permits: isPool ? random.between(1, capacity) : 1,
      // Whoever waits does nothing else; there is time for that once the rush is over.
      waitMs: this.#isRushing()
        ? random.pick([0, 0, 0, 40, 400])
        : random.pick([0, 0, 40, 400, 3_000, 8_000]),
      maxHoldMs: random.chance(0.03) ? random.pick([20, 150, 1_500]) : undefined,
      owner: random.pick([undefined, undefined, `t${thread}`, "same"]),
    };
  }

  /** Begins the operation in the history. */
  #callAcquire(session: Session, wanted: Wanted): Calling {
    const { claimId, name, mode, permits, waitMs, maxHoldMs, owner } = wanted;
    return this.#o.history.call({
      kind: "acquire",
      client: this.name,
      sessionId: session.id,
      claimId,
      asked: { name, mode, permits },
      capacity: mode === "permits" ? this.#o.capacity : undefined,
      waitMs,
      maxHoldMs,
      owner,
      queuedAt: undefined,
      leftAt: undefined,
    });
  }

  *#acquire(session: Session, wanted: Wanted): Routine<Hold | undefined> {
    const { random, recorder, scheduler, isPrompt, isWell } = this.#o;
    const { claimId, mode, waitMs } = wanted;
    const label = `acquire ${claimId}`;
    this.#begin(label);
    const calling = this.#callAcquire(session, wanted);
    this.#acquiring.add(calling);
    const isImpatient = random.chance(this.#o.impatience);
    const patienceMs = isImpatient ? random.between(1, 300) : waitMs + 6_000;
    const giveUpAt = this.#now() + patienceMs;
    const first = this.#acquireRequest(session, wanted);
    let sent = first;
    const straysBefore = this.#http.strays;
    // The server may miss it for so long that it cancels the claim: not sooner than 500 ms after an answer.
    let missedAtMs = Infinity;
    let missedFrom = scheduler.now;
    let tries = 0;
    /** Attempts at members of which all is well; a first one may be sent on. */
    let unheard = 0;
    for (;;) {
      const sentAtMs = this.#now();
      const attemptAt = scheduler.now;
      if (sentAtMs > missedAtMs) this.#left(calling, missedFrom);
      missedFrom = attemptAt;
      missedAtMs = sentAtMs + (sent.pollMs ?? 0) + 450;
      const whole = yield* until(
        this.#http.attempt(sent, Math.min(attemptMs, Math.max(1, giveUpAt - sentAtMs)), (member) => {
          if (isWell(member)) unheard++;
        }),
      );
      const answer = whole === undefined ? undefined : fromBatch(sent, whole);
      const isCopied = this.#http.strays > straysBefore;
      if (answer === undefined || isUndecided(answer) || isCopied) this.#left(calling, attemptAt);
      if (answer?.status === 500) throw new Violation("no-500", JSON.stringify(answer.body));
      if (answer === undefined || isUndecided(answer)) {
        if (!this.#isTrusted(session)) break;
        if (this.#now() >= giveUpAt) {
          if (isPrompt && !isImpatient && unheard > 2)
            throw new Violation(
              "liveness-answer",
              `nobody answered ${label} for ${patienceMs} ms, and all is well`,
            );
          recorder.count("gave an acquire up");
          this.#acquiring.delete(calling);
          this.#done(label);
          yield* this.#release(session, claimId);
          return undefined;
        }
        sent = first;
        yield* this.#backOff(answer, ++tries);
        continue;
      }
      const isPoll = sent.method === "GET";
      const acquired = isPoll && answer.status === 404 ? undefined : acquireAnswer(answer);
      if (acquired === undefined) {
        // Cancelled and forgotten while nobody polled: the acquire itself says what it was.
        sent = first;
        continue;
      }
      if (acquired.kind === "waiting") {
        calling.queued();
        unheard = 0;
        if (!this.#isTrusted(session)) break;
        // A copy of it may arrive late, and is attended then.
        if (!isCopied && this.#walksAway(first)) {
          recorder.count("walked away");
          this.#left(calling, attemptAt);
          if (isPrompt) session.neglected.set(claimId, calling.unattended(claimId, this.#o.graceMaxMs));
          this.#acquiring.delete(calling);
          this.#done(label);
          return undefined;
        }
        if (this.#now() >= giveUpAt) continue;
        sent = random.chance(0.5) ? first : this.#pollRequest(session, claimId);
        yield* this.#process.sleep(random.pick([1, 1, 40]));
        continue;
      }
      calling.answered(acquired, revisionOf(answer));
      this.#acquiring.delete(calling);
      this.#done(label);
      recorder.decided(claimId, acquired.kind);
      if (acquired.kind === "gone") {
        recorder.toldGone(session.id, acquired.reason === "unknown");
        this.#step(session, { kind: "gone", nowMs: this.#now(), detail: acquired.reason });
        this.#lose(session);
      }
      if (acquired.kind !== "held" || !this.#isTrusted(session)) return undefined;
      const { fence } = acquired;
      const [resource] = answer.body["resources"] as readonly { readonly sequencer: string }[];
      const leftMs = answer.body["maxHoldLeftMs"] as number | undefined;
      const hold: Hold = {
        mode,
        permits: acquired.permits,
        wanted,
        session,
        fence,
        sequencer: resource?.sequencer ?? "",
        from: scheduler.now,
        believedAt: scheduler.now,
        untilMs: leftMs === undefined ? Infinity : sentAtMs + leftMs,
        isOver: false,
      };
      const isGoneAlready = session.lease.ended.some((end) => end.claimId === claimId);
      if (isGoneAlready || this.#now() >= hold.untilMs) {
        yield* this.#release(session, claimId);
        return undefined;
      }
      this.#believe(hold);
      return hold;
    }
    this.#acquiring.delete(calling);
    this.#done(label);
    return undefined;
  }

  /** It asks no more for a claim that waits, says nothing, and lives on: the server has to notice. */
  #walksAway(first: HttpRequestSent): boolean {
    const { random, cancelOnDisconnect } = this.#o;
    // A batch asks to be kept.
    if (!cancelOnDisconnect || first.target === "/v1/batch") return false;
    return !this.#isRushing() && random.chance(0.02);
  }

  #acquireRequest(session: Session, wanted: Wanted): HttpRequestSent {
    const { random, capacity, cancelOnDisconnect } = this.#o;
    const { claimId, name, mode, permits, waitMs, maxHoldMs, owner } = wanted;
    const common = {
      sessionId: session.id,
      claimId,
      waitMs,
      ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
      ...(owner === undefined ? {} : { owner }),
      ...(cancelOnDisconnect ? {} : { onDisconnect: "keep" }),
    };
    const pool = { permits, capacity };
    if (random.chance(0.1)) {
      const what = mode === "permits" ? { semaphore: name, ...pool } : { lock: name, mode };
      // It looks at another claim by the way, and so attends it: nobody knows until when.
      session.neglected.get(`${session.ref}_1`)?.begun();
      return post("/v1/batch", {
        operations: [
          { op: "acquire", ...common, ...what },
          { op: "get", claimId: `${session.ref}_1` },
        ],
      });
    }
    const pollMs = random.pick([0, 100, 1_000]);
    const body = { ...common, pollMs };
    const sent =
      mode === "permits"
        ? post(`/v1/semaphores/${name}:acquire`, { ...body, ...pool })
        : post(`/v1/locks/${name}:acquire`, { ...body, mode });
    return { ...sent, pollMs };
  }

  #pollRequest(session: Session, claimId: string): HttpRequestSent {
    const pollMs = this.#o.random.pick([100, 1_000]);
    const target = `/v1/claims/${claimId}?pollMs=${pollMs}`;
    return { method: "GET", target, headers: { "holdfast-session": session.id }, body: undefined, pollMs };
  }

  *#work(hold: Hold): Routine {
    const { random } = this.#o;
    const { session, wanted } = hold;
    const holdMs = this.#isRushing() ? 2 : this.#o.holdMs;
    const leaveAt = this.#now() + random.next() * random.pick([holdMs / 10, holdMs / 10, holdMs]);
    this.#sequencers = [...this.#sequencers.slice(-7), oldSequencer(hold)];
    if (random.chance(0.05)) this.#process.spawn(this.#repeatAndHangUp(session, wanted));
    if (random.chance(0.05)) yield* this.#repeat(session, wanted);
    if (hold.permits > 1 && random.chance(0.3)) yield* this.#shrink(hold);
    do {
      if (wanted.mode !== "permits") yield* this.#use(hold);
      yield* this.#process.sleep(Math.min(200, Math.max(0, leaveAt - this.#now())));
    } while (this.#now() < leaveAt && this.#isHeld(hold));
  }

  #isHeld(hold: Hold): boolean {
    return !hold.isOver && this.#isTrusted(hold.session) && isBelieved(hold, this.#now());
  }

  /** What the lock is for. Between the look at the lease and the write anything may happen to this process. */
  *#use(hold: Hold): Routine {
    const { random, scheduler, resource, recorder } = this.#o;
    const { name, mode } = hold.wanted;
    if (mode === "permits" || !this.#isHeld(hold)) return;
    const grip: Grip = { client: this.name, name, mode, fence: hold.fence };
    const onTheWay = <T>(ask: () => T): Routine<T> =>
      until<T>((resume) => scheduler.after(0.1 + random.next() * 2, () => resume(ask())));
    const value = yield* onTheWay(() => resource.read(grip));
    if (value === undefined) return recorder.count("stale use refused");
    // The longer it takes, the likelier that this process sleeps through its lease before it writes.
    if (random.chance(0.5)) yield* this.#process.sleep(random.next() * Math.max(3, this.#o.holdMs / 4));
    const accepted = yield* onTheWay(() => resource.write(grip, value));
    recorder.count(accepted ? "use" : "stale use refused");
  }

  /** The same acquire again while it is held: the same answer. */
  *#repeat(session: Session, wanted: Wanted): Routine {
    const calling = this.#callAcquire(session, wanted);
    const sent = this.#acquireRequest(session, wanted);
    const answer = yield* this.#decide(sent, () => !this.#isTrusted(session));
    const told = answer === undefined ? undefined : fromBatch(sent, answer);
    if (told !== undefined && !isUndecided(told)) calling.answered(acquireAnswer(told), revisionOf(told));
  }

  /** A repetition whose connection closes before it is answered: it must not cost the hold. */
  *#repeatAndHangUp(session: Session, wanted: Wanted): Routine {
    yield* until(this.#http.attempt(this.#acquireRequest(session, wanted), this.#o.random.pick([0.1, 2, 8])));
    this.#o.recorder.count("hung up on a hold");
  }

  *#shrink(hold: Hold): Routine {
    const { history } = this.#o;
    const { session, wanted } = hold;
    const { claimId } = wanted;
    const permits = 1;
    const calling = history.call({
      kind: "shrink",
      client: this.name,
      sessionId: session.id,
      claimId,
      permits,
    });
    // It gives permits up with the sending.
    this.#stopBelieving(hold);
    const sent = {
      ...post(`/v1/claims/${claimId}:shrink`, { permits }),
      headers: { "holdfast-session": session.id },
    };
    const answer = yield* this.#decide(sent, () => !this.#isTrusted(session));
    if (answer !== undefined) calling.answered(shrinkAnswer(answer), revisionOf(answer));
  }

  /** Until it is answered or the session's end makes it unnecessary. */
  *#release(session: Session, claimId: string): Routine {
    if (!this.#isTrusted(session)) return;
    const { history, recorder } = this.#o;
    const label = `release ${claimId}`;
    this.#begin(label);
    recorder.note(this.name, `releases ${claimId}`);
    const calling = history.call({ kind: "release", client: this.name, sessionId: session.id, claimId });
    const sent: HttpRequestSent = {
      method: "DELETE",
      target: `/v1/claims/${claimId}`,
      headers: { "holdfast-session": session.id },
      body: undefined,
    };
    const answer = yield* this.#decide(sent, () => !this.#isTrusted(session));
    this.#done(label);
    if (answer === undefined) return;
    const told = releaseAnswer(answer);
    calling.answered(told, revisionOf(answer));
    recorder.decided(claimId, "released");
    if (told.kind === "gone") recorder.toldGone(session.id, told.reason === "unknown");
  }

  // ---- looks and operators -------------------------------------------------------------------------------------------

  /** One linearizable look: it must show everything that anybody was answered before it began (R10). */
  *#look(target: string): Routine<HttpAnswer | undefined> {
    const floor = this.#o.recorder.acknowledgedUpTo;
    const sent: HttpRequestSent = { method: "GET", target, headers: {}, body: undefined };
    const answer = yield* this.#decide(sent, () => this.#isStopping);
    if (answer !== undefined) this.#o.recorder.readShows(revisionOf(answer) ?? 0, floor);
    return answer;
  }

  *#lookName(): Routine {
    const { random, names, history } = this.#o;
    const name = random.pick(names);
    const calling = history.call({ kind: "look-name", client: this.name, name });
    const kind = name.startsWith("pool") ? "semaphores" : "locks";
    const answer = yield* this.#look(`/v1/${kind}/${name}`);
    if (answer !== undefined) calling.answered(lookNameAnswer(answer), revisionOf(answer));
  }

  *#lookClaim(session: Session): Routine {
    const claimId = `${session.ref}_${this.#o.random.between(1, Math.max(1, session.claims))}`;
    const calling = this.#o.history.call({ kind: "look-claim", client: this.name, claimId });
    const neglect = session.neglected.get(claimId);
    const looking = this.#look(`/v1/claims/${claimId}?pollMs=0`);
    const answer = yield* this.#attending(neglect === undefined ? [] : [neglect], looking);
    if (answer !== undefined) calling.answered(lookClaimAnswer(answer), revisionOf(answer));
  }

  *#checkSequencer(): Routine {
    const { random, history } = this.#o;
    if (this.#sequencers.length === 0) return;
    const { claimId, name, fence, text } = random.pick(this.#sequencers);
    const calling = history.call({ kind: "check", client: this.name, claimId, name, fence });
    const answer = yield* this.#decide(
      post("/v1/sequencers:check", { sequencers: [text] }),
      () => this.#isStopping,
    );
    if (answer !== undefined) calling.answered(checkAnswer(answer), revisionOf(answer));
  }

  *#pollClaims(session: Session): Routine {
    const target = `/v1/sessions/${session.id}/claims?since=0&pollMs=${this.#o.random.pick([0, 200])}`;
    yield* this.#attending([...session.neglected.values()], this.#look(target));
  }

  /** Whoever asks for a claim attends it, for as long as it asks; and a late copy does so later. */
  *#attending<T>(neglected: readonly Neglect[], asking: Routine<T>): Routine<T> {
    const straysBefore = this.#http.strays;
    for (const claim of neglected) claim.begun();
    const answer = yield* asking;
    if (this.#http.strays === straysBefore) for (const claim of neglected) claim.ended();
    return answer;
  }

  /** Plays the operator: ends somebody's session, perhaps its own. Once, whatever comes of it. */
  *#kill(): Routine {
    const { random, refs, history } = this.#o;
    const all = refs();
    if (all.length === 0) return;
    const sessionRef = random.pick(all);
    const calling = history.call({ kind: "kill", client: this.name, sessionRef });
    const sent = post(`/v1/sessions/${sessionRef}:kill`, { reason: this.name });
    const answer = yield* until(this.#http.attempt(sent, attemptMs));
    if (answer === undefined || isUndecided(answer)) return;
    calling.answered(killAnswer(answer), revisionOf(answer));
  }

  /** A claim id is known to others and opens nothing: its holder keeps it. */
  *#releaseAnothers(session: Session): Routine {
    const { random, others, recorder } = this.#o;
    const all = others().filter((claimId) => !session.holds.some(({ wanted }) => wanted.claimId === claimId));
    if (all.length === 0) return;
    const sent: HttpRequestSent = {
      method: "DELETE",
      target: `/v1/claims/${random.pick(all)}`,
      headers: { "holdfast-session": session.id },
      body: undefined,
    };
    const answer = yield* until(this.#http.attempt(sent, attemptMs));
    if (answer?.body["code"] === "not-holder") recorder.count("not the holder");
  }

  /** Settings roll through the cluster while it works; none of these may change what anybody is promised. */
  *#changeSettings(): Routine {
    const { random } = this.#o;
    const body = random.pick([
      { sweepBudget: random.between(1, 50) },
      { disconnectGraceMs: random.pick([500, 3_000]) },
      ...(this.#o.ownIds ? [] : [{ rememberedClaimsPerSession: random.between(2, 40) }]),
      { defaultTtlMs: random.pick([10_000, 15_000]) },
    ]);
    const sent: HttpRequestSent = { method: "PUT", target: "/v1/cluster/settings", headers: {}, body };
    const answer = yield* until(this.#http.attempt(sent, attemptMs));
    if (answer?.status === 200) this.#o.recorder.count("settings changed");
  }
}

/** In elapsed time. */
function deadlineOf({ session, untilMs }: Hold): number {
  return Math.min(session.lease.validUntilMs, untilMs);
}

function isBelieved(hold: Hold, elapsedMs: number): boolean {
  const { session, wanted } = hold;
  const { lease } = session;
  if (session.isOver || isOver(lease) || elapsedMs >= deadlineOf(hold)) return false;
  return !lease.ended.some(({ claimId }) => claimId === wanted.claimId);
}

function oldSequencer({ wanted, fence, sequencer }: Hold): OldSequencer {
  return { claimId: wanted.claimId, name: wanted.name, fence, text: sequencer };
}

function post(target: string, body: object): HttpRequestSent {
  return { method: "POST", target, headers: {}, body };
}

function grantOf({ body }: HttpAnswer): LeaseGrant {
  const {
    leaseMs,
    ttlMs,
    renewAfterMs,
    revision,
    ended = [],
  } = body as unknown as LeaseGrant & {
    readonly ended?: LeaseGrant["ended"];
  };
  return { leaseMs, ttlMs, renewAfterMs, revision, ended };
}

/** The first result of a batch, as if it had been asked alone. */
function fromBatch(sent: HttpRequestSent, answer: HttpAnswer): HttpAnswer {
  if (sent.target !== "/v1/batch" || answer.status !== 200) return answer;
  const [first] = answer.body["results"] as readonly { status: number; body: HttpAnswer["body"] }[];
  return { headers: answer.headers, status: first?.status ?? 0, body: first?.body ?? {} };
}
