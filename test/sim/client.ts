/**
 * A simulated client: one session, one claim at a time, retries with the same ids, and the rule of belief: it trusts a
 * hold from the answer on until its own deadline, counted from the *send* time of the keepalive that was answered
 * (SEMANTICS rule 9). It can crash and be paused; its clock may drift.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { KeepAliveOutcome, Outcome } from "../../src/locks/outcomes.ts";
import type { Claim } from "../../src/locks/records.ts";
import { marginMs } from "../../src/locks/settings.ts";
import type { Proposal, Reply } from "../../src/node/contract.ts";
import type { NodeDriver } from "../../src/node/driver.ts";
import type { SimMember } from "./member.ts";
import type { SimNetwork } from "./network.ts";
import type { Believer, Holding, Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

export interface ClientOptions {
  readonly name: string;
  readonly random: Prng;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly members: readonly SimMember[];
  /** `pool-…` are semaphores, all others locks. */
  readonly names: readonly string[];
  readonly capacity: number;
  /** Refs of other clients' sessions, for whoever plays the operator. */
  readonly refs: () => readonly string[];
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly clockRate: number;
  readonly cancelOnDisconnect: boolean;
  readonly thinkMs: number;
}

/** What an answer to a claim's request says, as a copy: records are the node's own. */
type Answer =
  | { readonly kind: "waiting" | "refused" | "over"; readonly revision: number }
  /** `leftMs`: until its max-hold, counted from the sending of what was answered. */
  | { readonly kind: "held"; readonly revision: number; readonly leftMs: number }
  /** `ended`: holds that others ended. */
  | { readonly kind: "renewed"; readonly revision: number; readonly ended: readonly string[] }
  | { readonly kind: "gone"; readonly isUnknown: boolean }
  | { readonly kind: "again"; readonly leader: string | undefined };

interface TrustedSession {
  readonly id: string;
  readonly ref: string;
  readonly ttlMs: number;
  /** On the client's own clock. */
  deadline: number;
  /** The newest renewal whose list of ended holds was acted on. */
  seen: number;
}

/** What one claim asks for. */
interface Wanted extends Holding {
  readonly claimId: string;
  readonly name: string;
  readonly waitMs: number;
  readonly maxHoldMs: number | undefined;
}

interface Hold {
  readonly wanted: Wanted;
  readonly session: TrustedSession;
  /** Its max-hold, on the client's own clock. */
  readonly until: number;
}

const attemptTimeoutMs = 1_500;

export class SimClient implements Believer {
  readonly #o: ClientOptions;
  readonly #pending = new Set<string>();
  #life = 0;
  #sessions = 0;
  #claims = 0;
  #session: TrustedSession | undefined;
  #held: Hold[] = [];
  #isStopping = false;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #leader: string | undefined;
  operations = 0;
  unknown = 0;

  constructor(options: ClientOptions) {
    this.#o = options;
  }

  get name(): string {
    return this.#o.name;
  }

  /** True when nothing is under way any more. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#held.length === 0;
  }

  get pendingOperations(): readonly string[] {
    return [...this.#pending];
  }

  #clock(now: number): number {
    return now * this.#o.clockRate;
  }

  /** Of its live session, for others to see. */
  get sessionRef(): string | undefined {
    return this.#session?.ref;
  }

  holdings(name: string, now: number): readonly Holding[] {
    return this.#held
      .filter((hold) => hold.wanted.name === name && this.#isBelieved(hold, now))
      .map((hold) => hold.wanted);
  }

  #isBelieved({ session, until }: Hold, now: number): boolean {
    return this.#clock(now) < Math.min(session.deadline, until);
  }

  trusts(sessionId: string, now: number): boolean {
    return this.#session?.id === sessionId && this.#clock(now) < this.#session.deadline;
  }

  start(): void {
    this.#later(this.#o.random.next() * 500, () => this.#openSession());
  }

  /** The process is gone; what it had is abandoned, and another one starts later. */
  crash(): void {
    this.#o.recorder.note(`${this.name} crashes`);
    this.#life++;
    this.#session = undefined;
    this.#held = [];
    this.#pending.clear();
    this.#isPaused = false;
    this.#backlog = [];
    if (!this.#isStopping) this.#later(this.#o.random.next() * 3_000, () => this.#openSession());
  }

  pause(ms: number): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    const life = this.#life;
    this.#o.scheduler.after(ms, () => {
      if (life !== this.#life) return;
      this.#isPaused = false;
      const backlog = this.#backlog;
      this.#backlog = [];
      for (const input of backlog) input();
    });
  }

  /** No new work; what is held is released, then the session is closed. */
  stopSoon(): void {
    this.#isStopping = true;
  }

  // ---- time and network, as this process sees them ---------------------------------------------------------------

  #run(life: number, input: () => void): void {
    if (life !== this.#life) return;
    if (this.#isPaused) this.#backlog.push(() => this.#run(life, input));
    else input();
  }

  #later(ms: number, input: () => void): void {
    const life = this.#life;
    this.#o.scheduler.after(ms, () => this.#run(life, input));
  }

  /** One attempt at one member. `done` is called once: with the answer, or undefined after the time-out. */
  #attempt(
    ask: (driver: NodeDriver, answer: (answer: Answer) => void) => void,
    done: (answer: Answer | undefined, member: string) => void,
    hangUp: (driver: NodeDriver) => void,
  ): void {
    const { members, random, network } = this.#o;
    const member = members.find(({ name }) => name === this.#leader) ?? random.pick(members);
    const life = this.#life;
    let isOver = false;
    const finish = (answer: Answer | undefined): void => {
      if (isOver) return;
      isOver = true;
      if (answer === undefined) {
        this.#leader = undefined;
        network.carry(this.name, member.name, () => member.receive(hangUp));
      } else if (answer.kind === "again") this.#leader = answer.leader;
      else this.#leader = member.name;
      done(answer, member.name);
    };
    network.carry(this.name, member.name, () =>
      member.receive((driver) =>
        ask(driver, (answer) => {
          if ("revision" in answer && answer.revision > 0) this.#o.recorder.acknowledged(answer.revision);
          network.carry(member.name, this.name, () => this.#run(life, () => finish(answer)));
        }),
      ),
    );
    this.#later(attemptTimeoutMs, () => finish(undefined));
  }

  #gone(answer: { readonly isUnknown: boolean }, sessionId: string): void {
    this.#o.recorder.toldGone(sessionId, answer.isUnknown);
  }

  // ---- the session -------------------------------------------------------------------------------------------------

  #openSession(): void {
    if (this.#isStopping) return;
    this.#sessions++;
    const id = `${this.name}-session-${this.#sessions}`.padEnd(20, "x");
    const ref = `${this.name}s${this.#sessions}`.padEnd(16, "0");
    const { ttlMs, lockDelayMs } = this.#o;
    const label = `open ${id}`;
    this.#pending.add(label);
    const firstSend = this.#clock(this.#o.scheduler.now);
    const attempt = (): void => {
      if (this.#clock(this.#o.scheduler.now) >= firstSend + ttlMs - marginMs(ttlMs)) {
        this.#pending.delete(label);
        this.#later(100, () => this.#openSession());
        return;
      }
      // The deadline counts from the first send of this request, through every retry.
      this.#attempt(
        (driver, answer) =>
          driver.propose(
            {
              kind: "open-session",
              sessionId: id,
              sessionRef: ref,
              ttlMs,
              lockDelayMs,
              label: this.name,
              metadata: [],
            },
            (reply) => answer(sessionAnswer(reply)),
          ),
        (answer) => {
          if (answer === undefined || answer.kind === "again") return this.#later(50, attempt);
          this.#pending.delete(label);
          if (answer.kind === "gone") return this.#later(50, () => this.#openSession());
          this.operations++;
          this.#session = { id, ref, ttlMs, deadline: firstSend + ttlMs - marginMs(ttlMs), seen: 0 };
          this.#claims = 0;
          this.#renewLater(this.#session);
          this.#work(this.#session);
        },
        () => undefined,
      );
    };
    attempt();
  }

  #isTrusted(session: TrustedSession): boolean {
    return this.#session === session && this.#clock(this.#o.scheduler.now) < session.deadline;
  }

  #renewLater(session: TrustedSession): void {
    this.#later((session.ttlMs / 3) * (0.8 + 0.2 * this.#o.random.next()), () => this.#renew(session));
  }

  #renew(session: TrustedSession): void {
    if (this.#session !== session) return;
    if (!this.#isTrusted(session)) return this.#lose(session);
    const sent = this.#clock(this.#o.scheduler.now);
    this.#attempt(
      (driver, answer) =>
        driver.keepAlive({ sessionId: session.id, seen: session.seen }, (reply) =>
          answer(keepAliveAnswer(reply)),
        ),
      (answer) => {
        if (this.#session !== session) return;
        if (answer?.kind === "gone") {
          this.#gone(answer, session.id);
          return this.#lose(session);
        }
        // A lapsed deadline is final: an answer that comes too late renews nothing.
        if (!this.#isTrusted(session)) return this.#lose(session);
        if (answer === undefined || answer.kind === "again") {
          return this.#later(100, () => this.#renew(session));
        }
        this.operations++;
        if (answer.kind === "renewed" && answer.ended.length > 0) {
          // It stops before it says that it has seen it.
          this.#held = this.#held.filter(({ wanted }) => !answer.ended.includes(wanted.claimId));
          this.#o.recorder.note(`${this.name} is told of ends: ${answer.ended.join(" ")}`);
        }
        if (answer.kind === "renewed") session.seen = answer.revision;
        session.deadline = Math.max(session.deadline, sent + session.ttlMs - marginMs(session.ttlMs));
        this.#renewLater(session);
      },
      () => undefined,
    );
  }

  #lose(session: TrustedSession): void {
    if (this.#session !== session) return;
    this.#o.recorder.note(`${this.name} lost ${session.id}`);
    this.#session = undefined;
    this.#held = [];
    this.#later(100, () => this.#openSession());
  }

  // ---- the work ----------------------------------------------------------------------------------------------------

  #work(session: TrustedSession): void {
    if (this.#session !== session) return;
    if (!this.#isTrusted(session)) return this.#lose(session);
    if (this.#isStopping) return this.#close(session);
    this.#later(this.#o.random.next() * this.#o.thinkMs, () => {
      if (!this.#isTrusted(session) || this.#isStopping) return this.#work(session);
      const then = (): void => this.#work(session);
      if (this.#o.random.chance(0.15)) this.#read(then);
      else if (this.#o.random.chance(0.02)) this.#kill(then);
      else this.#acquire(session, then);
    });
  }

  /** A linearizable look: it must show everything that anybody was answered before it began (R10). */
  #read(then: () => void): void {
    const floor = this.#o.recorder.acknowledgedUpTo;
    this.#attempt(
      (driver, answer) =>
        driver.read((reply) => {
          if (reply.kind === "confirmed") answer({ kind: "over", revision: reply.view.revision });
          else answer({ kind: "again", leader: reply.leader });
        }),
      (answer) => {
        if (answer?.kind === "over") {
          this.operations++;
          this.#o.recorder.readShows(answer.revision, floor);
        }
        then();
      },
      () => undefined,
    );
  }

  /** Plays the operator: ends somebody's session, perhaps its own. Once, whatever comes of it. */
  #kill(then: () => void): void {
    const refs = this.#o.refs();
    if (refs.length === 0) return then();
    const sessionRef = this.#o.random.pick(refs);
    this.#attempt(
      (driver, answer) =>
        driver.propose({ kind: "kill-session", sessionRef, note: this.name }, (reply) => {
          if (reply.kind === "applied") answer({ kind: "over", revision: reply.revision });
          else answer(failed(reply));
        }),
      () => then(),
      () => undefined,
    );
  }

  #want(session: TrustedSession, other: string | undefined): Wanted {
    const { random, names, capacity } = this.#o;
    const name = random.pick(names.filter((each) => each !== other));
    const isPool = name.startsWith("pool");
    return {
      name,
      claimId: `${session.ref}_${++this.#claims}`,
      mode: isPool ? "permits" : random.chance(0.3) ? "shared" : "exclusive",
      permits: isPool ? random.between(1, capacity) : 1,
      waitMs: random.pick([0, 400, 3_000, 8_000]),
      maxHoldMs: random.chance(0.15) ? random.pick([150, 1_500]) : undefined,
    };
  }

  /** Takes something other than `held`, lets it go again, and goes on. */
  #acquire(session: TrustedSession, then: () => void, held?: string): void {
    const { cancelOnDisconnect, capacity } = this.#o;
    const wanted = this.#want(session, held);
    const { claimId, waitMs } = wanted;
    const label = `acquire ${claimId}`;
    this.#pending.add(label);
    const giveUpAt = this.#o.scheduler.now + waitMs + 6_000;
    const end = (): void => {
      this.#pending.delete(label);
      then();
    };
    const attempt = (): void => {
      if (!this.#isTrusted(session)) return end();
      if (this.#o.scheduler.now > giveUpAt) {
        this.unknown++;
        this.#pending.delete(label);
        return this.#release(session, claimId, then);
      }
      let detach = (): void => undefined;
      const sent = this.#clock(this.#o.scheduler.now);
      this.#attempt(
        (driver, answer) =>
          askForClaim(driver, answer, { session, wanted, capacity, cancelOnDisconnect }, (stop) => {
            detach = stop;
          }),
        (answer) => {
          if (answer === undefined || answer.kind === "again") return this.#later(50, attempt);
          if (answer.kind === "waiting") return this.#later(5, attempt);
          this.operations++;
          if (answer.kind === "gone") {
            this.#gone(answer, session.id);
            this.#pending.delete(label);
            return this.#lose(session);
          }
          if (answer.kind !== "held" || !this.#isTrusted(session)) return end();
          this.#pending.delete(label);
          this.#hold({ wanted, session, until: sent + answer.leftMs }, then);
        },
        (driver) => {
          detach();
          driver.abandon(claimId);
        },
      );
    };
    attempt();
  }

  #hold(hold: Hold, then: () => void): void {
    const { random, recorder, names } = this.#o;
    const { wanted, session } = hold;
    const { claimId, name } = wanted;
    this.#held.push(hold);
    recorder.note(`${this.name} believes ${name} ${claimId}`);
    recorder.believes(this, name);
    const holdMs = random.next() * random.pick([300, 300, 3_000]);
    if (random.chance(0.2)) this.#later(holdMs * random.next(), () => this.#repeatAndHangUp(session, wanted));
    const letGo = (): void => {
      if (this.#session !== session) return;
      this.#held = this.#held.filter((other) => other !== hold);
      // The last one may leave by closing the session, with all that it still holds.
      if (this.#isStopping && random.chance(0.5)) {
        this.#held = [];
        return this.#close(session);
      }
      recorder.note(`${this.name} releases ${name} ${claimId}`);
      this.#release(session, claimId, then);
    };
    // Sometimes a second lock while it holds the first: clients cross each other.
    const isCrossing = names.length > 1 && this.#held.length === 1 && random.chance(0.3);
    this.#later(holdMs, () => {
      if (isCrossing && this.#isTrusted(session)) this.#acquire(session, letGo, name);
      else letGo();
    });
  }

  /** A repetition of the acquire whose connection closes before it is answered: it must not cost the hold. */
  #repeatAndHangUp(session: TrustedSession, wanted: Wanted): void {
    const { random, members, network, cancelOnDisconnect, capacity } = this.#o;
    const member = random.pick(members);
    network.carry(this.name, member.name, () =>
      member.receive((driver) =>
        driver.propose(acquireProposal({ session, wanted, capacity, cancelOnDisconnect }), (reply) => {
          if (reply.kind === "applied" && reply.outcome.kind === "claim") driver.abandon(wanted.claimId);
        }),
      ),
    );
  }

  /** Until it is answered or the session's end makes it unnecessary. */
  #release(session: TrustedSession, claimId: string, then: () => void): void {
    const label = `release ${claimId}`;
    this.#pending.add(label);
    const attempt = (): void => {
      if (!this.#isTrusted(session)) {
        this.#pending.delete(label);
        return then();
      }
      this.#attempt(
        (driver, answer) =>
          driver.propose({ kind: "release", sessionId: session.id, claimId }, (reply) =>
            answer(claimAnswer(reply, driver.staleView().clusterTimeMs)),
          ),
        (answer) => {
          if (answer === undefined || answer.kind === "again") return this.#later(50, attempt);
          this.operations++;
          this.#pending.delete(label);
          if (answer.kind === "gone") {
            this.#gone(answer, session.id);
            return this.#lose(session);
          }
          then();
        },
        () => undefined,
      );
    };
    attempt();
  }

  #close(session: TrustedSession): void {
    const label = `close ${session.id}`;
    this.#pending.add(label);
    this.#session = undefined;
    const giveUpAt = this.#o.scheduler.now + session.ttlMs;
    const attempt = (): void => {
      if (this.#o.scheduler.now > giveUpAt) {
        this.#pending.delete(label);
        return;
      }
      this.#attempt(
        (driver, answer) =>
          driver.propose({ kind: "close-session", sessionId: session.id }, (reply) =>
            answer(sessionAnswer(reply)),
          ),
        (answer) => {
          if (answer === undefined || answer.kind === "again") return this.#later(50, attempt);
          this.#pending.delete(label);
        },
        () => undefined,
      );
    };
    attempt();
  }
}

interface ClaimRequest {
  readonly session: TrustedSession;
  readonly wanted: Wanted;
  readonly capacity: number;
  readonly cancelOnDisconnect: boolean;
}

function acquireProposal({ session, wanted, capacity, cancelOnDisconnect }: ClaimRequest): Proposal {
  const { name, mode, permits, claimId, waitMs, maxHoldMs } = wanted;
  return {
    kind: "acquire",
    sessionId: session.id,
    claimId,
    resources: [
      mode === "permits" ? { kind: "semaphore", name, permits, capacity } : { kind: "lock", name, mode },
    ],
    waitMs,
    lockDelayMs: undefined,
    maxHoldMs,
    owner: undefined,
    metadata: [],
    cancelOnDisconnect,
  };
}

/** What the HTTP layer does with an acquire: propose, and hold the request while the claim waits. */
function askForClaim(
  driver: NodeDriver,
  answer: (answer: Answer) => void,
  request: ClaimRequest,
  attached: (detach: () => void) => void,
): void {
  const { claimId } = request.wanted;
  driver.propose(acquireProposal(request), (reply) => {
    const first = claimAnswer(reply, driver.staleView().clusterTimeMs);
    if (first.kind !== "waiting") {
      driver.noteAnswered(claimId);
      return answer(first);
    }
    const detach = driver.watchClaim(claimId, (claim, view) => {
      driver.noteAnswered(claimId);
      if (claim === undefined) return answer({ kind: "again", leader: undefined });
      const { revision, clusterTimeMs } = view;
      if (claim.state !== "held") return answer({ kind: "refused", revision });
      answer({ kind: "held", revision, leftMs: maxHoldLeftMs(claim, clusterTimeMs) });
    });
    attached(detach);
  });
}

function failed(reply: Exclude<Reply<unknown>, { kind: "applied" }>): Answer {
  return { kind: "again", leader: reply.kind === "not-leader" ? reply.leader : undefined };
}

function goneOf(outcome: Outcome | KeepAliveOutcome): Answer | undefined {
  if (outcome.kind === "session-ended") return { kind: "gone", isUnknown: false };
  if (outcome.kind === "session-unknown") return { kind: "gone", isUnknown: true };
  return undefined;
}

function sessionAnswer(reply: Reply<Outcome>): Answer {
  if (reply.kind !== "applied") return failed(reply);
  return goneOf(reply.outcome) ?? { kind: "over", revision: reply.revision };
}

function keepAliveAnswer(reply: Reply<KeepAliveOutcome>): Answer {
  if (reply.kind !== "applied") return failed(reply);
  const { outcome, revision } = reply;
  if (outcome.kind !== "renewed") return goneOf(outcome) ?? { kind: "over", revision };
  return { kind: "renewed", revision, ended: outcome.unseenEnds.map(({ claimId }) => claimId) };
}

function maxHoldLeftMs({ grant, maxHoldMs }: Claim, clusterTimeMs: number): number {
  return grant === undefined || maxHoldMs === undefined ? Infinity : grant.at + maxHoldMs - clusterTimeMs;
}

/** `clusterTimeMs`: of the answer. */
function claimAnswer(reply: Reply<Outcome>, clusterTimeMs: number): Answer {
  if (reply.kind !== "applied") return failed(reply);
  const gone = goneOf(reply.outcome);
  if (gone !== undefined) return gone;
  if (reply.outcome.kind !== "claim") return { kind: "over", revision: reply.revision };
  const { claim } = reply.outcome;
  const { revision } = reply;
  if (claim.state === "held") return { kind: "held", revision, leftMs: maxHoldLeftMs(claim, clusterTimeMs) };
  return { kind: claim.state === "ended" ? "refused" : "waiting", revision };
}
