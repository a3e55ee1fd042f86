/**
 * A simulated client: one session, one claim at a time, retries with the same ids, and the rule of belief: it trusts a
 * hold from the answer on until its own deadline, counted from the *send* time of the keepalive that was answered
 * (SEMANTICS rule 9). It can crash and be paused; its clock may drift.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { KeepAliveOutcome, Outcome } from "../../src/locks/outcomes.ts";
import { marginMs } from "../../src/locks/settings.ts";
import type { Proposal, Reply } from "../../src/node/contract.ts";
import type { NodeDriver } from "../../src/node/driver.ts";
import type { SimMember } from "./member.ts";
import type { SimNetwork } from "./network.ts";
import type { Believer, Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

export interface ClientOptions {
  readonly name: string;
  readonly random: Prng;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly recorder: Recorder;
  readonly members: readonly SimMember[];
  readonly locks: readonly string[];
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly clockRate: number;
  readonly cancelOnDisconnect: boolean;
  readonly thinkMs: number;
}

/** What an answer to a claim's request says, as a copy: records are the node's own. */
type Answer =
  | { readonly kind: "held" | "waiting" | "refused" | "over"; readonly revision: number }
  | { readonly kind: "gone"; readonly isUnknown: boolean }
  | { readonly kind: "again"; readonly leader: string | undefined };

interface TrustedSession {
  readonly id: string;
  readonly ref: string;
  readonly ttlMs: number;
  /** On the client's own clock. */
  deadline: number;
}

interface Hold {
  readonly lock: string;
  readonly session: TrustedSession;
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

  holds(lock: string, now: number): boolean {
    return this.#held.some((hold) => hold.lock === lock && this.#clock(now) < hold.session.deadline);
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
          this.#session = { id, ref, ttlMs, deadline: firstSend + ttlMs - marginMs(ttlMs) };
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
        driver.keepAlive({ sessionId: session.id, seen: 0 }, (reply) => answer(keepAliveAnswer(reply))),
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

  /** Takes a lock, other than `held`, lets it go again, and goes on. */
  #acquire(session: TrustedSession, then: () => void, held?: string): void {
    const { random, cancelOnDisconnect } = this.#o;
    const lock = random.pick(this.#o.locks.filter((name) => name !== held));
    const claimId = `${session.ref}_${++this.#claims}`;
    const waitMs = random.pick([0, 400, 3_000, 8_000]);
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
      this.#attempt(
        (driver, answer) =>
          askForClaim(driver, answer, { session, claimId, lock, waitMs, cancelOnDisconnect }, (stop) => {
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
          this.#hold(session, { claimId, lock, waitMs }, then);
        },
        (driver) => {
          detach();
          driver.abandon(claimId);
        },
      );
    };
    attempt();
  }

  #hold(
    session: TrustedSession,
    claim: { claimId: string; lock: string; waitMs: number },
    then: () => void,
  ): void {
    const { random, recorder, locks } = this.#o;
    const { claimId, lock } = claim;
    const hold: Hold = { lock, session };
    this.#held.push(hold);
    recorder.note(`${this.name} believes ${lock} ${claimId}`);
    recorder.believes(this, lock);
    const holdMs = random.next() * random.pick([300, 300, 3_000]);
    if (random.chance(0.2)) this.#later(holdMs * random.next(), () => this.#repeatAndHangUp(session, claim));
    const letGo = (): void => {
      if (this.#session !== session) return;
      this.#held = this.#held.filter((other) => other !== hold);
      recorder.note(`${this.name} releases ${lock} ${claimId}`);
      this.#release(session, claimId, then);
    };
    // Sometimes a second lock while it holds the first: clients cross each other.
    const isCrossing = locks.length > 1 && this.#held.length === 1 && random.chance(0.3);
    this.#later(holdMs, () => {
      if (isCrossing && this.#isTrusted(session)) this.#acquire(session, letGo, lock);
      else letGo();
    });
  }

  /** A repetition of the acquire whose connection closes before it is answered: it must not cost the hold. */
  #repeatAndHangUp(session: TrustedSession, claim: { claimId: string; lock: string; waitMs: number }): void {
    const { random, members, network, cancelOnDisconnect } = this.#o;
    const member = random.pick(members);
    network.carry(this.name, member.name, () =>
      member.receive((driver) =>
        driver.propose(acquireProposal({ session, ...claim, cancelOnDisconnect }), (reply) => {
          if (reply.kind === "applied" && reply.outcome.kind === "claim") driver.abandon(claim.claimId);
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
            answer(claimAnswer(reply)),
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
  readonly claimId: string;
  readonly lock: string;
  readonly waitMs: number;
  readonly cancelOnDisconnect: boolean;
}

function acquireProposal(request: ClaimRequest): Proposal {
  return {
    kind: "acquire",
    sessionId: request.session.id,
    claimId: request.claimId,
    resources: [{ kind: "lock", name: request.lock, mode: "exclusive" }],
    waitMs: request.waitMs,
    lockDelayMs: undefined,
    metadata: [],
    cancelOnDisconnect: request.cancelOnDisconnect,
  };
}

/** What the HTTP layer does with an acquire: propose, and hold the request while the claim waits. */
function askForClaim(
  driver: NodeDriver,
  answer: (answer: Answer) => void,
  request: ClaimRequest,
  attached: (detach: () => void) => void,
): void {
  const { claimId } = request;
  driver.propose(acquireProposal(request), (reply) => {
    const first = claimAnswer(reply);
    if (first.kind !== "waiting") {
      driver.noteAnswered(claimId);
      return answer(first);
    }
    const detach = driver.watchClaim(claimId, (claim, view) => {
      driver.noteAnswered(claimId);
      if (claim === undefined) return answer({ kind: "again", leader: undefined });
      answer({ kind: claim.state === "held" ? "held" : "refused", revision: view.revision });
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
  return goneOf(reply.outcome) ?? { kind: "over", revision: reply.revision };
}

function claimAnswer(reply: Reply<Outcome>): Answer {
  if (reply.kind !== "applied") return failed(reply);
  const gone = goneOf(reply.outcome);
  if (gone !== undefined) return gone;
  if (reply.outcome.kind !== "claim") return { kind: "over", revision: reply.revision };
  const { state } = reply.outcome.claim;
  return { kind: state === "ended" ? "refused" : state, revision: reply.revision };
}
