/**
 * A client process: plays some clients against the cluster, and takes orders for the paused writer and its rival. Forked
 * by the controller, spoken to over the channel of `fork`; it ends when that channel closes. A process of its own, so
 * that SIGSTOP stops a client and nothing else.
 */
import { createPrng, type Prng } from "../../src/base/prng.ts";
import type { Mode } from "../check/history.ts";
import {
  type AcquireOptions,
  type ClientOptions,
  type Hold,
  makeSemaphore,
  Session,
  wireOf,
} from "./client.ts";
import { nowMs, pause } from "./clock.ts";
import type { FromWorkload, ToWorkload, WorkloadSpec } from "./messages.ts";
import { Notebook } from "./notebook.ts";
import type { Wire } from "./wire.ts";

const notebook = new Notebook();
const answers = new Map<number, (used: { accepted: boolean; counter: number }) => void>();
let uses = 0;
let isDraining = false;
let running: Promise<unknown> = Promise.resolve();
let spec: WorkloadSpec | undefined;

function say(message: FromWorkload): void {
  process.send?.(message);
}

/** The resource lives in the controller. Undefined `value`: read it under this fence. */
function useResource(
  client: string,
  { asked: { name, mode }, fence }: Hold,
  value?: { readonly read: number; readonly wrote: number },
): Promise<{ readonly accepted: boolean; readonly counter: number }> {
  const id = ++uses;
  return new Promise((resolve) => {
    answers.set(id, resolve);
    say({ kind: "use", id, client, name, mode, fence, value });
  });
}

process.on("message", (message: ToWorkload) => {
  switch (message.kind) {
    case "begin":
      spec = message.spec;
      running = begin(message.spec).catch((error: unknown) =>
        notebook.complain(`a client failed: ${stackOf(error)}`),
      );
      break;
    case "sleep":
      void sleepWith(message.name, message.client);
      break;
    case "rival":
      void rivalFor(message.name, message.client);
      break;
    case "used":
      answers.get(message.id)?.(message);
      answers.delete(message.id);
      break;
    case "drain":
      isDraining = true;
      void running.then(() => say({ kind: "drained" }));
      break;
    case "report":
      say({ kind: "report", report: notebook.report() });
      break;
    default:
      break;
  }
});
process.on("disconnect", () => process.exit(0));
setInterval(
  () => say({ kind: "count", answered: notebook.answered, unknown: notebook.unknown }),
  500,
).unref();

function optionsOf(name: string, { urls, ttlMs, lockDelayMs, seed }: WorkloadSpec): ClientOptions {
  return { name, urls, ttlMs, lockDelayMs, notebook, random: createPrng(seed, `client ${name}`).next };
}

async function begin(given: WorkloadSpec): Promise<void> {
  const [first] = given.clients;
  if (first !== undefined) {
    const wire = wireOf(optionsOf(`${first}-setup`, given));
    for (const [name, capacity] of given.semaphores) await makeSemaphore(wire, name, capacity);
    wire.destroy();
  }
  say({ kind: "ready" });
  await Promise.all(given.clients.map((name) => new Player(name, given).play()));
}

/** One of the names that are held for seconds now and then. */
const longHeld = "nightly";

/** One client, for as long as the run lasts. */
class Player {
  readonly #options: ClientOptions;
  readonly #spec: WorkloadSpec;
  readonly #random: Prng;
  #wire: Wire;
  #sessions = 0;
  #refs: readonly string[] = [];

  constructor(name: string, given: WorkloadSpec) {
    this.#spec = given;
    this.#options = optionsOf(name, given);
    this.#random = createPrng(given.seed, `player ${name}`);
    this.#wire = wireOf(this.#options);
  }

  async play(): Promise<void> {
    while (!isDraining) {
      const session = await Session.open(this.#options, this.#wire, ++this.#sessions);
      if (session === undefined) await pause(100);
      else await this.#live(session);
    }
    this.#wire.destroy();
  }

  async #live(session: Session): Promise<void> {
    const until = nowMs() + this.#random.between(2_000, 15_000);
    let isClear = true;
    while (!isDraining && isClear && !session.isOver && nowMs() < until) {
      isClear = await this.#work(session);
      await pause(this.#random.next() * 2 * this.#spec.thinkMs);
    }
    if (session.isOver) await session.leave();
    else if (!isDraining && this.#random.chance(0.15)) {
      await session.abandon();
      this.#wire = wireOf(this.#options);
    } else await session.close();
  }

  /** False: something is left behind that nobody knows of; only the end of the session clears it. */
  async #work(session: Session): Promise<boolean> {
    const random = this.#random;
    const what = random.next();
    if (what < 0.5) return this.#hold(session, "exclusive");
    if (what < 0.65) return this.#hold(session, "shared");
    if (what < 0.82) return this.#hold(session, "permits");
    if (what < 0.995) {
      const isLock = random.chance(0.7);
      const name = isLock ? random.pick(this.#spec.locks) : random.pick(this.#spec.semaphores)[0];
      this.#refs = await session.lookAtName(name, isLock ? "exclusive" : "permits");
      return true;
    }
    const victim = this.#refs[0];
    if (victim !== undefined && victim !== session.ref) await session.kill(victim);
    return true;
  }

  async #hold(session: Session, mode: Mode): Promise<boolean> {
    const random = this.#random;
    const claimId = session.nextClaimId();
    const options = this.#wish(mode);
    const { hold, isKnown } = await session.acquire(claimId, options);
    if (hold !== undefined) {
      await this.#useHold(session, hold, options);
      // Left for the end of the session.
      if (random.chance(0.01)) return false;
    }
    const isReleased = !session.isOver && (await this.#giveUp(session, claimId, hold));
    return isReleased || (isKnown && hold === undefined);
  }

  #wish(mode: Mode): AcquireOptions {
    const random = this.#random;
    const [semaphore, capacity] = random.pick(this.#spec.semaphores);
    return {
      asked:
        mode === "permits"
          ? { name: semaphore, mode, permits: random.between(1, Math.min(3, capacity)) }
          : { name: this.#lockName(), mode, permits: 1 },
      capacity: mode === "permits" && random.chance(0.3) ? capacity : undefined,
      waitMs: random.chance(0.35) ? 0 : random.between(300, 2_500),
      maxHoldMs: random.chance(0.02) ? random.between(100, 400) : undefined,
      owner: random.chance(0.3) ? "main" : undefined,
      onDisconnect: random.chance(0.7) ? "keep" : "cancel",
      pollMs: random.between(200, 1_000),
    };
  }

  /** Hot ones for the rules among many, one of its own for the traffic. */
  #lockName(): string {
    return this.#random.chance(0.55) ? `own/${this.#options.name}` : this.#random.pick(this.#spec.locks);
  }

  /** Also what was never known to be held: an acquire that is still under way must not hold later. */
  async #giveUp(session: Session, claimId: string, hold: Hold | undefined): Promise<boolean> {
    if (hold === undefined && this.#random.chance(0.5)) await session.lookAtClaim(claimId);
    hold?.end();
    return session.release(claimId);
  }

  async #useHold(session: Session, hold: Hold, options: AcquireOptions): Promise<void> {
    const random = this.#random;
    const { name, mode, permits } = hold.asked;
    const client = this.#options.name;
    if (mode !== "permits" && hold.isBelieved()) {
      const taken = await useResource(client, hold);
      if (random.chance(0.3)) await pause(random.between(1, 12));
      if (mode === "exclusive" && taken.accepted && hold.isBelieved())
        await useResource(client, hold, { read: taken.counter, wrote: taken.counter + 1 });
    }
    // Long enough for everything that may happen to a lease to happen under a hold.
    if (name === longHeld && random.chance(0.04)) await pause(random.between(500, 3_000));
    if (options.maxHoldMs !== undefined && random.chance(0.7)) await pause(options.maxHoldMs * 1.2);
    if (random.chance(0.06)) await session.check(hold);
    if (random.chance(0.03)) await session.acquire(hold.claimId, options);
    if (random.chance(0.05)) await session.lookAtClaim(hold.claimId);
    if (mode === "permits" && permits > 1 && hold.isBelieved() && random.chance(0.4)) {
      hold.end();
      await session.shrink(hold, random.between(1, permits - 1));
    }
  }
}

// ---- the paused writer and its rival

const controlWish = { waitMs: 10_000, pollMs: 1_000, onDisconnect: "keep" } as const;

/** Everything that could tell this process of the time that passed runs after the write. */
async function sleepWith(name: string, client: string): Promise<void> {
  if (spec === undefined) return;
  const options = optionsOf(client, spec);
  const wire = wireOf(options);
  const session = await Session.open(options, wire, 1);
  const claimId = session?.nextClaimId() ?? "";
  const asked = { name, mode: "exclusive", permits: 1 } as const;
  const { hold } = (await session?.acquire(claimId, { ...controlWish, asked })) ?? {};
  const taken = hold === undefined ? undefined : await useResource(client, hold);
  if (session === undefined || hold === undefined || taken?.accepted !== true || !hold.isBelieved()) {
    await session?.close();
    wire.destroy();
    say({ kind: "slept", name, outcome: { kind: "no-hold" } });
    return;
  }
  const asleep: FromWorkload = { kind: "asleep", name, fence: hold.fence };
  await new Promise<void>((resolve) => {
    process.send?.(asleep, undefined, undefined, () => resolve());
  });
  // It has looked, and it will write: what lies between is as long as the machine likes.
  if (hold.isBelieved()) process.kill(process.pid, "SIGSTOP");
  const writing = useResource(client, hold, { read: taken.counter, wrote: taken.counter + 1 });
  const believedAfter = hold.isBelieved();
  const { accepted } = await writing;
  await session.leave();
  wire.destroy();
  say({ kind: "slept", name, outcome: { kind: "wrote", accepted, believedAfter } });
}

async function rivalFor(name: string, client: string): Promise<void> {
  if (spec === undefined) return;
  const options = optionsOf(client, spec);
  const wire = wireOf(options);
  const session = await Session.open(options, wire, 1);
  const claimId = session?.nextClaimId() ?? "";
  const asked = { name, mode: "exclusive", permits: 1 } as const;
  const { hold } = (await session?.acquire(claimId, { ...controlWish, asked })) ?? {};
  let fence: number | undefined;
  if (hold?.isBelieved() === true) {
    const taken = await useResource(client, hold);
    if (taken.accepted && hold.isBelieved()) {
      const value = { read: taken.counter, wrote: taken.counter + 1 };
      if ((await useResource(client, hold, value)).accepted) fence = hold.fence;
    }
  }
  await session?.release(claimId);
  await session?.close();
  wire.destroy();
  say({ kind: "rivalled", name, fence });
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
