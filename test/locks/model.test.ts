/**
 * The machine against the naive model: 100 000 random operations from several seeds, compared after each one in what
 * was said and in everything that can be seen. A disagreement prints the history that led to it.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { barrierEnd } from "../../src/locks/barriers.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, LockState } from "../../src/locks/records.ts";
import { type AcquireOptions, Bench, firstFence } from "./bench.ts";
import { describe as describeClaim, Model, type ModelAcquire } from "./model.ts";

const electionMaxMs = 500;
const lockDelayMs = 900;
const names = ["lock-a", "lock-a", "lock-b", "pool-a", "pool-a", "pool-b", "either"];

/** The two side by side. Each step is done to both, and what they say must be equal. */
class Pair {
  readonly bench = new Bench({
    electionTimeoutMaxMs: electionMaxMs,
    lockDelayMs,
    rememberedClaimsPerSession: 1_000_000,
    tombstones: 1_000_000,
    tombstoneMs: 7 * 86_400_000,
    sweepBudget: 1_000_000,
  });
  readonly model = new Model({ electionMaxMs, lockDelayMs, fence: firstFence, revision: 2 });
  readonly history: string[] = [];
  readonly said = new Map<string, number>();
  operations = 0;

  do(what: string, real: () => Outcome, model: () => string): void {
    this.operations++;
    this.history.push(`${this.bench.time} ${what}`);
    const expected = this.model.entry(this.bench.time, model);
    const said = textOf(real());
    if (said !== expected) this.#differ(`${said} instead of ${expected}`);
    const [kind = ""] = said.replace(/^c\d+ /, "").split(" ");
    this.said.set(kind, (this.said.get(kind) ?? 0) + 1);
    this.compare();
  }

  term(): void {
    this.history.push("term");
    this.model.term();
    this.bench.term();
    this.compare();
  }

  compare(): void {
    const { state } = this.bench;
    const real = seenIn(state).join("\n");
    const model = seenInModel(this.model).join("\n");
    if (real !== model) this.#differ(`what is seen differs:\n${real}\ninstead of\n${model}`);
    const numbers = [state.fence, state.revision, state.now].join();
    const expected = [this.model.fence, this.model.revision, this.model.now].join();
    if (numbers !== expected) this.#differ(`fence, revision, time: ${numbers} instead of ${expected}`);
  }

  #differ(what: string): never {
    throw new Error(`${what}\nafter\n${this.history.join("\n")}`);
  }
}

/** Everything that can be seen of live things, in a form that both sides have. */
function seenIn(state: LockState): readonly string[] {
  const seen: string[] = [];
  for (const s of state.sessions.values()) {
    const unseen = s.unseenEnds.map(({ claimId, reason }) => `${claimId}:${reason}`).join();
    seen.push(`session ${s.id} ${s.expiresAt} ${s.graceLeftMs} ${unseen}`);
    for (const claim of s.claims.values()) seen.push(`claim ${ofClaim(claim)}`);
  }
  for (const { name, queue, barriers, ...rest } of state.resources.values()) {
    const kept = [...barriers]
      .map((b) => `${b.fence}@${barrierEnd(b)}`)
      .sort()
      .join();
    const free =
      rest.kind === "semaphore" ? `${rest.capacity - rest.held - rest.cooling}/${rest.capacity}` : "";
    const waiting = Array.from(queue, ({ id }) => id).join();
    seen.push(`${rest.kind} ${name} ${free} [${waiting}] {${kept}}`);
  }
  return seen.sort();
}

function seenInModel(model: Model): readonly string[] {
  const seen: string[] = [];
  for (const s of model.sessions.filter(({ end }) => end === undefined)) {
    const unseen = s.unseen.map(({ claim, reason }) => `${claim}:${reason}`).join();
    seen.push(`session ${s.id} ${s.expiresAt} ${s.budget} ${unseen}`);
  }
  const live = model.claims.filter(({ state }) => state !== "ended");
  for (const claim of live) seen.push(`claim ${describeClaim(claim)}`);
  const used = [
    ...live.map(({ name }) => name),
    ...model.barriers.map(({ name }) => name),
    ...model.semaphores.keys(),
  ];
  for (const name of new Set(used)) {
    const semaphore = model.semaphores.get(name);
    const kept = model.barriers
      .filter((b) => b.name === name)
      .map((b) => `${b.fence}@${Math.max(b.delayUntil, b.handUntil)}`)
      .sort()
      .join();
    const free = semaphore === undefined ? "" : `${model.free(name)}/${semaphore.capacity}`;
    const waiting = model
      .queue(name)
      .map(({ id }) => id)
      .join();
    seen.push(`${semaphore === undefined ? "lock" : "semaphore"} ${name} ${free} [${waiting}] {${kept}}`);
  }
  return seen.sort();
}

function ofClaim(claim: Claim): string {
  const [claimed] = claim.resources;
  return describeClaim({
    id: claim.id,
    state: claim.state,
    fence: claim.grant?.fence ?? 0,
    kept: claimed?.mode === "permits" ? claimed.kept : 1,
    reason: claim.end?.reason ?? "",
  });
}

function textOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case "claim":
      return ofClaim(outcome.claim);
    case "released":
      return `released ${outcome.claim.end?.reason}`;
    case "already-held":
    case "already-waiting":
      return `${outcome.kind} ${outcome.claim.id}`;
    case "keep-alive": {
      const [item] = outcome.items;
      if (item?.kind !== "renewed") return item?.kind ?? "nothing";
      return `renewed ${item.unseenEnds.map(({ claimId, reason }) => `${claimId}:${reason}`).join()}`;
    }
    default:
      return outcome.kind;
  }
}

/** What a step does is decided by its numbers, so that fast-check can make a failing history short. */
interface Step {
  readonly kind: (typeof kinds)[number];
  /** Which session, claim, name. */
  readonly session: number;
  readonly claim: number;
  readonly name: number;
  /** Freely used. */
  readonly n: number;
  readonly m: number;
}

const kinds = [
  ...Array<"time">(16).fill("time"),
  "term",
  "term",
  ...Array<"open">(8).fill("open"),
  ...Array<"keep">(16).fill("keep"),
  "close",
  "kill",
  ...Array<"acquire">(34).fill("acquire"),
  ...Array<"release">(10).fill("release"),
  ...Array<"shrink">(4).fill("shrink"),
  ...Array<"cancel">(3).fill("cancel"),
  ...Array<"set">(3).fill("set"),
  "delete",
] as const;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(...kinds),
  session: fc.nat(3),
  claim: fc.nat(400),
  name: fc.nat(names.length - 1),
  n: fc.nat(1_000),
  m: fc.nat(1_000),
});

/** Round numbers, so that deadlines fall together: there the order of ends matters. */
const pauses = [0, 1, 250, 500, 500, 1_000, 1_000, 2_000];

class Play {
  readonly pair = new Pair();
  /** Sessions opened in each slot; an ended one is followed by the next. */
  readonly #opened = [0, 0, 0, 0];

  take(s: Step): void {
    const { pair } = this;
    const { bench, model } = pair;
    // Mostly one opens a session before one uses it.
    const current = `s${s.session}.${this.#opened[s.session]}`;
    const isLive = model.sessions.some(({ id, end }) => id === current && end === undefined);
    if (!isLive && s.kind !== "time" && s.m % 5 > 0) return this.#open(s);
    const session = `s${s.session}.${this.#opened[s.session]}`;
    switch (s.kind) {
      case "time":
        bench.time += at(pauses, s.n) + (s.m % 10 === 0 ? s.n : 0);
        return pair.do(
          "time",
          () => bench.do({ kind: "advance-time" }),
          () => "done",
        );
      case "term":
        return pair.term();
      case "open":
        return this.#open(s);
      case "keep": {
        const known = model.sessions.find(({ id }) => id === session);
        const seen = at([0, 0, known?.lastRenewal ?? 0, known?.lastRenewal ?? 0, model.revision + 5], s.n);
        return pair.do(
          `keep ${session} ${seen}`,
          () => bench.keep(session, seen),
          () => model.keep(session, seen),
        );
      }
      case "close":
        return pair.do(
          `close ${session}`,
          () => bench.close(session),
          () => model.endSession(session, "closed"),
        );
      case "kill": {
        if (!model.sessions.some(({ id }) => id === session)) return;
        return pair.do(
          `kill ${session}`,
          () => bench.kill(session),
          () => model.endSession(session, "killed"),
        );
      }
      case "acquire":
        return this.#acquire(s, session);
      case "release": {
        const [by, id] = this.#aim(s, session);
        return pair.do(
          `release ${by} ${id}`,
          () => bench.release(by, id),
          () => model.release(by, id),
        );
      }
      case "shrink": {
        const [by, id] = this.#aim(s, session);
        const permits = 1 + (s.m % 3);
        const real = () => bench.shrink(by, id, permits);
        return pair.do(`shrink ${by} ${id} ${permits}`, real, () => model.shrink(by, id, permits));
      }
      case "cancel": {
        const [, id] = this.#aim(s, session);
        const fence = s.m % 2 === 0 ? undefined : bench.state.claims.get(id)?.grant?.fence;
        return pair.do(
          `cancel ${id} ${fence}`,
          () => bench.cancel(id, fence),
          () => model.cancel(id, fence),
        );
      }
      case "set": {
        const name = at(names, s.name);
        const capacity = at([0, 1, 2, 3, 5], s.n);
        const real = () => bench.semaphore(name, capacity);
        return pair.do(`set ${name} ${capacity}`, real, () => model.setSemaphore(name, capacity));
      }
      case "delete": {
        const name = at(names, s.name);
        const real = () => bench.semaphore(name, undefined);
        return pair.do(`delete ${name}`, real, () => model.deleteSemaphore(name));
      }
    }
  }

  #open(s: Step): void {
    const { bench, model } = this.pair;
    const current = `s${s.session}.${this.#opened[s.session]}`;
    const isEnded = model.sessions.some(({ id, end }) => id === current && end !== undefined);
    if (isEnded && s.n % 5 > 0) this.#opened[s.session] = (this.#opened[s.session] ?? 0) + 1;
    const id = `s${s.session}.${this.#opened[s.session]}`;
    const ttlMs = 5_000 + 500 * s.session;
    const delay = s.session === 0 ? undefined : s.session * 500;
    const options = delay === undefined ? { ttlMs } : { ttlMs, lockDelayMs: delay };
    this.pair.do(
      `open ${id}`,
      () => bench.open(id, options),
      () => model.open(id, ttlMs, delay),
    );
  }

  /** Often a live claim with the session that it belongs to. */
  #aim(s: Step, session: string): readonly [session: string, claim: string] {
    const live = [...this.pair.bench.state.claims.values()].filter(({ state }) => state !== "ended");
    if (s.n % 4 === 0 || live.length === 0) return [session, `c${s.claim}`];
    const claim = at(live, s.claim);
    return [claim.session.id, claim.id];
  }

  #acquire(s: Step, session: string): void {
    const { bench, model } = this.pair;
    const name = at(names, s.name);
    const isSemaphore = name.startsWith("pool") || (name === "either" && s.m % 2 === 0);
    const request: ModelAcquire = {
      session,
      claim: `c${s.claim}`,
      name,
      mode: isSemaphore ? "permits" : s.n % 2 === 0 ? "shared" : "exclusive",
      permits: isSemaphore ? 1 + (s.n % 3) : 1,
      capacity: isSemaphore ? at([undefined, 3, 3, 2], s.m) : undefined,
      waitMs: at([0, 500, 1_000, 3_000, 20_000], s.m),
      owner: at([undefined, undefined, "x", "y"], s.n),
      delay: at([undefined, undefined, 0, 1_500], s.m),
      maxHold: at([undefined, undefined, 500, 2_000], s.n >> 2),
    };
    this.pair.do(
      `acquire ${JSON.stringify(request)}`,
      () => bench.acquire(session, request.claim, optionsOf(request)),
      () => model.acquire(request),
    );
  }
}

function optionsOf(request: ModelAcquire): AcquireOptions {
  const { mode, name, permits, capacity, waitMs, owner, delay, maxHold } = request;
  return {
    ...(mode === "permits" ? { semaphore: name, permits } : { lock: name, mode }),
    waitMs,
    ...(capacity === undefined ? {} : { capacity }),
    ...(owner === undefined ? {} : { owner }),
    ...(delay === undefined ? {} : { lockDelayMs: delay }),
    ...(maxHold === undefined ? {} : { maxHoldMs: maxHold }),
  };
}

function at<T>(items: readonly T[], n: number): T {
  return items[n % items.length] as T;
}

let operations = 0;
const said = new Map<string, number>();

it.each([1, 2, 3, 4, 5])(
  "agrees with the naive model over 20 000 random operations and more (seed %i)",
  (seed) => {
    const before = operations;
    const property = fc.property(fc.array(step, { minLength: 250, maxLength: 250 }), (steps) => {
      const play = new Play();
      for (const s of steps) play.take(s);
      operations += play.pair.operations;
      for (const [kind, times] of play.pair.said) said.set(kind, (said.get(kind) ?? 0) + times);
    });
    fc.assert(property, { numRuns: 90, seed });

    expect(operations - before).toBeGreaterThanOrEqual(20_000);
  },
);

it("was asked everything and met everything", () => {
  const met = [...said.keys()].sort();

  expect(operations).toBeGreaterThanOrEqual(100_000);
  expect(met).toEqual([
    "already-held",
    "already-waiting",
    "capacity-conflict",
    "claim-conflict",
    "claim-ended",
    "claim-lost",
    "claim-unknown",
    "done",
    "ended",
    "exceeds-capacity",
    "held",
    "in-use",
    "kind-mismatch",
    "not-holder",
    "not-shrinkable",
    "released",
    "renewed",
    "seen-ahead",
    "semaphore",
    "semaphore-deleted",
    "semaphore-unknown",
    "session",
    "session-closed",
    "session-ended",
    "session-killed",
    "session-unknown",
    "shrunk",
    "waiting",
  ]);
});
