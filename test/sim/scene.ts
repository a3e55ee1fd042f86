/**
 * A directed run: the simulated cluster without the clients and faults of a seed; a test says what happens. Time passes only
 * while something is asked or waited for.
 */
import { createPrng } from "../../src/base/prng.ts";
import { isUndecided } from "../check/answers.ts";
import { ClientHttp } from "./client-http.ts";
import type { HttpAnswer, HttpRequestSent, SimMember } from "./member.ts";
import type { Plan } from "./plan.ts";
import { ClientProcess } from "./process.ts";
import { World } from "./world.ts";

/** Nothing happens by itself. */
const still: Plan = {
  members: 3,
  clients: 0,
  threads: 1,
  locks: 1,
  pools: 1,
  tickMs: 50,
  electionTicks: 15,
  ttlMs: 6_000,
  lockDelayMs: 0,
  thinkMs: 10,
  holdMs: 10,
  calmMs: 0,
  faultyMs: 0,
  everyMs: 1_000,
  loss: 0,
  duplication: 0,
  delayMax: 1,
  reorder: false,
  encode: true,
  diskMaxMs: 1,
  inflight: 64,
  appendBytesMax: 1 << 20,
  drift: 0,
  downMaxMs: 100,
  cancelOnDisconnect: true,
  strays: 0,
  impatience: 0.03,
  ownIds: true,
  snapshotEveryBytes: 1 << 28,
  snapshotPartBytes: 1_000,
  wholeEvery: 1,
  isFenced: true,
  staysBroken: false,
  faults: [],
  without: [],
};

export class Scene {
  readonly world: World;
  #clients = 0;

  constructor(plan: Partial<Plan> = {}, seed = 1) {
    this.world = new World(seed, { ...still, ...plan }, false);
    for (const member of this.world.members) member.start();
    this.until(() => this.world.leader() !== undefined, 60_000);
  }

  get now(): number {
    return this.world.scheduler.now;
  }

  get leader(): SimMember {
    const leader = this.world.leader();
    if (leader === undefined) throw new Error("nobody leads");
    return leader;
  }

  get followers(): readonly SimMember[] {
    return this.world.members.filter((member) => member !== this.leader);
  }

  /** What the leader has applied. */
  get state() {
    const { driver } = this.leader;
    if (driver === undefined) throw new Error("the leader is down");
    return driver.staleView().state;
  }

  advance(ms: number): void {
    this.world.scheduler.runUntil(this.now + ms, () => false);
  }

  /** Throws when it has not come about within `limitMs`. */
  until(isSo: () => boolean, limitMs: number): void {
    const limit = this.now + limitMs;
    while (!isSo()) {
      if (this.now >= limit) throw new Error(`not within ${limitMs} ms`);
      this.advance(5);
    }
  }

  /** A client with connections of its own; `name` is what cuts name. */
  client(name = `x${++this.#clients}`): SceneClient {
    return new SceneClient(this, name);
  }

  /** In both directions; returns how to heal it. */
  cut(side: readonly string[], rest: readonly string[]): () => void {
    const { network } = this.world;
    const undo = side.flatMap((a) => rest.flatMap((b) => [network.cut(a, b), network.cut(b, a)]));
    return () => {
      for (const heal of undo) heal();
    };
  }

  count(what: string): number {
    return this.world.recorder.counts[what] ?? 0;
  }
}

/** Well below the smallest ttl: who is silent so long is asked elsewhere. */
const attemptMs = 1_500;

/** One answer that has come, or not yet. */
export interface Asked {
  answer: HttpAnswer | undefined;
}

export class SceneClient {
  readonly name: string;
  readonly #scene: Scene;
  readonly #http: ClientHttp;
  readonly #process: ClientProcess;

  constructor(scene: Scene, name: string) {
    this.name = name;
    this.#scene = scene;
    const { scheduler, network, recorder, members, seed } = scene.world;
    const random = createPrng(seed, `scene ${name}`);
    this.#process = new ClientProcess(scheduler, { clock: 1, wall: 1 });
    const common = { name, process: this.#process, random, scheduler };
    this.#http = new ClientHttp({ ...common, network, recorder, members, strays: 0 });
  }

  /** Sends it, and again until it is decided. */
  ask(sent: HttpRequestSent): Asked {
    const asked: Asked = { answer: undefined };
    const attempt = (): void => {
      this.#http.attempt(
        sent,
        attemptMs,
      )((answer) => {
        if (answer !== undefined && !isUndecided(answer)) asked.answer = answer;
        else this.#process.after(20, attempt);
      });
    };
    attempt();
    return asked;
  }

  /** Sends it once; whatever is answered is lost. `after` milliseconds from now. */
  sendCopy(sent: HttpRequestSent, after: number): void {
    this.#scene.world.scheduler.after(after, () => {
      for (const member of this.#scene.world.members) member.request(sent, () => undefined);
    });
  }

  /** The same, with the time that it takes. */
  told(sent: HttpRequestSent, limitMs = 60_000): HttpAnswer {
    const asked = this.ask(sent);
    this.#scene.until(() => asked.answer !== undefined, limitMs);
    return asked.answer as HttpAnswer;
  }

  open(sessionId: string, ttlMs: number): HttpAnswer {
    return this.told(post("/v1/sessions", { sessionId, ttlMs }));
  }

  keepAlive(sessionId: string, seen?: number): HttpAnswer {
    return this.told(post(`/v1/sessions/${sessionId}:keepalive`, seen === undefined ? {} : { seen }));
  }
}

export function post(target: string, body: object): HttpRequestSent {
  return { method: "POST", target, headers: {}, body };
}

export function release(sessionId: string, claimId: string): HttpRequestSent {
  const headers = { "holdfast-session": sessionId };
  return { method: "DELETE", target: `/v1/claims/${claimId}`, headers, body: undefined };
}
