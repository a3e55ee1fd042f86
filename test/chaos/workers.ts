/**
 * The client processes as the controller sees them: starts them, keeps the resource that they use, stops and wakes the
 * paused writers, and puts the history together. Ends only processes that it forked.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Healthy, History, Operation } from "../check/history.ts";
import { nowMs, pause } from "./clock.ts";
import type { Injection } from "./faults.ts";
import type { FromWorkload, ToWorkload, WorkloadReport, WorkloadSpec } from "./messages.ts";
import { Resource } from "./resource.ts";
import type { Timeline } from "./timeline.ts";

/** Two that play clients, two that are stopped, one that takes what the stopped ones held. */
const players = 2;
const clientsEach = 12;
export const unfencedName = "control/unfenced";
export const fencedName = "control/fenced";

export interface WorkersOptions {
  readonly spec: Omit<WorkloadSpec, "clients">;
  readonly timeline: Timeline;
}

export interface PauseResult {
  /** Undefined: it did not come so far. */
  readonly staleAccepted: boolean | undefined;
  readonly reason: string;
}

type Kind = FromWorkload["kind"];
type Heard<K extends Kind> = Extract<FromWorkload, { kind: K }>;

class Worker {
  readonly name: string;
  readonly child: ChildProcess;
  isBusy = false;
  answered = 0;
  unknown = 0;
  readonly #waiting = new Set<(message: FromWorkload) => void>();

  constructor(name: string, use: (message: Heard<"use">) => Extract<ToWorkload, { kind: "used" }>) {
    this.name = name;
    this.child = fork(fileURLToPath(new URL("./workload.js", import.meta.url)), [], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.child.on("message", (message: FromWorkload) => {
      if (message.kind === "use") this.say(use(message));
      if (message.kind === "count") {
        this.answered = message.answered;
        this.unknown = message.unknown;
      }
      for (const waiting of this.#waiting) waiting(message);
    });
    this.child.on("error", () => {});
  }

  say(message: ToWorkload): void {
    if (this.child.connected) this.child.send(message, () => {});
  }

  /** The first of these kinds, about `name` if that is given; undefined when none came in time. */
  next<K extends Kind>(kinds: readonly K[], limitMs: number, name?: string): Promise<Heard<K> | undefined> {
    return new Promise((resolve) => {
      const end = (message: Heard<K> | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(heard);
        resolve(message);
      };
      const heard = (message: FromWorkload) => {
        const isMeant = name === undefined || ("name" in message && message.name === name);
        if (isMeant && (kinds as readonly Kind[]).includes(message.kind)) end(message as Heard<K>);
      };
      const timer = setTimeout(() => end(undefined), limitMs);
      this.#waiting.add(heard);
    });
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => {
      this.child.once("exit", resolve);
    });
    this.child.kill("SIGKILL");
    await ended;
  }
}

export class Workers {
  readonly resource = new Resource([unfencedName], nowMs);
  readonly #options: WorkersOptions;
  readonly #players: readonly Worker[];
  readonly #sleepers: readonly Worker[];
  readonly #rival: Worker;
  #pauses = 0;

  constructor(options: WorkersOptions) {
    this.#options = options;
    const use = (message: Heard<"use">) => ({
      kind: "used" as const,
      id: message.id,
      ...this.resource.use(message),
    });
    this.#players = Array.from({ length: players }, (_, i) => new Worker(`players ${i + 1}`, use));
    this.#sleepers = [1, 2].map((i) => new Worker(`sleeper ${i}`, use));
    this.#rival = new Worker("rival", use);
  }

  get #all(): readonly Worker[] {
    return [...this.#players, ...this.#sleepers, this.#rival];
  }

  /** Resolves when all play. */
  async begin(): Promise<void> {
    await Promise.all(
      this.#all.map(async (worker, at) => {
        const isPlayer = at < players;
        const clients = isPlayer ? Array.from({ length: clientsEach }, (_, i) => `c${at + 1}-${i + 1}`) : [];
        const ready = worker.next(["ready"], 20_000);
        worker.say({ kind: "begin", spec: { ...this.#options.spec, clients } });
        if ((await ready) === undefined) throw new Error(`${worker.name} is not ready`);
      }),
    );
  }

  get answered(): number {
    return this.#all.reduce((sum, { answered }) => sum + answered, 0);
  }

  /** A client holds, is stopped for longer than its ttl while another one takes over, and writes when woken. */
  async pauseClient(name: string): Promise<PauseResult> {
    const sleeper = this.#sleepers.find(({ isBusy }) => !isBusy);
    if (sleeper === undefined) return { staleAccepted: undefined, reason: "both sleepers are busy" };
    sleeper.isBusy = true;
    const number = ++this.#pauses;
    const { timeline, spec } = this.#options;
    try {
      const began = sleeper.next(["asleep", "slept"], 25_000, name);
      sleeper.say({ kind: "sleep", name, client: `sleeper${number}` });
      if ((await began)?.kind !== "asleep") return { staleAccepted: undefined, reason: "it got no hold" };
      const since = nowMs();
      timeline.add("clients", `the holder of ${name} is stopped`);
      const rivalled = this.#rival.next(["rivalled"], 30_000, name);
      this.#rival.say({ kind: "rival", name, client: `rival${number}` });
      const rival = await rivalled;
      await pause(Math.max(0, since + spec.ttlMs + 100 - nowMs()));
      const woken = sleeper.next(["slept"], 10_000, name);
      sleeper.child.kill("SIGCONT");
      timeline.add("clients", `the holder of ${name} is woken after ${Math.round(nowMs() - since)} ms`);
      const slept = await woken;
      if (rival?.fence === undefined)
        return { staleAccepted: undefined, reason: "nobody else got the lock meanwhile" };
      if (slept?.outcome.kind !== "wrote") return { staleAccepted: undefined, reason: "it did not wake" };
      const { accepted, believedAfter } = slept.outcome;
      const reason = believedAfter
        ? "it still believed in its hold"
        : `its write was ${accepted ? "taken" : "refused"}`;
      return { staleAccepted: believedAfter ? true : accepted, reason };
    } finally {
      sleeper.child.kill("SIGCONT");
      sleeper.isBusy = false;
    }
  }

  /** The same as a fault: on a fenced name, where the write must be refused. */
  async pauseAsFault(complain: (text: string) => void): Promise<Injection> {
    const { staleAccepted, reason } = await this.pauseClient(`paused/${this.#pauses + 1}`);
    if (staleAccepted === undefined) return { kind: "indeterminate", reason };
    if (staleAccepted) complain(`a client was stopped for longer than its ttl, and ${reason}`);
    return { kind: "installed", detail: `a holder was stopped for longer than its ttl, and ${reason}` };
  }

  /** Milliseconds until all had finished what they had begun; undefined when one has not in time. */
  async drain(limitMs: number): Promise<number | undefined> {
    const since = nowMs();
    const drained = this.#players.map((worker) => worker.next(["drained"], limitMs));
    for (const worker of this.#players) worker.say({ kind: "drain" });
    const all = await Promise.all(drained);
    return all.includes(undefined) ? undefined : nowMs() - since;
  }

  async reports(): Promise<readonly WorkloadReport[]> {
    const reports = await Promise.all(
      this.#all.map(async (worker) => {
        const report = worker.next(["report"], 20_000);
        worker.say({ kind: "report" });
        return (await report)?.report;
      }),
    );
    if (reports.includes(undefined)) throw new Error("a client process handed over nothing");
    return reports.flatMap((report) => report ?? []);
  }

  async end(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.end()));
  }
}

/** All clients' notes as one history; what was done to unguarded names is left out. */
export function historyOf(input: {
  readonly reports: readonly WorkloadReport[];
  readonly resource: Resource;
  readonly healthy: readonly Healthy[];
  readonly spec: Omit<WorkloadSpec, "clients">;
}): History {
  const { reports, resource, healthy, spec } = input;
  const operations = reports.flatMap((report) => report.operations).sort((a, b) => a.sentAt - b.sentAt);
  return {
    operations: operations.map((operation, id): Operation => ({ ...operation, id })),
    beliefs: reports.flatMap((report) => report.beliefs),
    uses: resource.uses.filter(({ name }) => name !== unfencedName),
    abandoned: reports.flatMap((report) => report.abandoned),
    unattended: [],
    healthy,
    capacities: new Map(spec.semaphores),
    // One host, one clock: what is left is the rounding of ticks.
    drift: 0.01,
    lockDelayMs: spec.lockDelayMs,
  };
}

/** The control's own history: nothing but what was done to the unguarded name. */
export function controlHistory(history: History, resource: Resource): History {
  return {
    ...history,
    operations: [],
    beliefs: [],
    uses: resource.uses.filter(({ name }) => name === unfencedName),
  };
}
