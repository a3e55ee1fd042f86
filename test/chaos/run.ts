/**
 * One cluster from its founding to the verdict: quiet traffic, faults by the schedule, healing, last reads and writes.
 * What was found goes into the result; nothing is printed but progress. Heals and ends everything however it ends.
 */
import { createPrng } from "../../src/base/prng.ts";
import type { Finding, Healthy, History } from "../check/history.ts";
import { nowMs, pause } from "./clock.ts";
import type { DiskAbilities } from "./disks.ts";
import { carryOut, type FaultContext, type Injection } from "./faults.ts";
import { isStaleWrite, judge } from "./judge.ts";
import { exitText, Members, timing, ttlMs } from "./members.ts";
import type { WorkloadSpec } from "./messages.ts";
import { createSchedule, type FaultKind, type PlannedFault, type Strike } from "./schedule.ts";
import { Timeline } from "./timeline.ts";
import { controlHistory, fencedName, historyOf, unfencedName, Workers } from "./workers.ts";

export interface RunOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly faults: number;
  readonly mustHave: readonly FaultKind[];
  readonly kinds: readonly FaultKind[];
  readonly abilities: DiskAbilities;
  readonly progress: (line: string) => void;
  /** True once a signal came: no more faults. */
  readonly isStopping: () => boolean;
  /** Told how to end all at once, and again when that is no longer needed. */
  readonly onOpen: (end: () => Promise<void>) => () => void;
  /** Called before it is judged: a judge that hangs or throws must not take it along. */
  readonly onHistory: (history: History) => void;
  /** Called before a rejection, while the files are still there. */
  readonly onCollapse: (left: Left) => void;
}

/** What there is to look at, however far it came. */
export interface Left {
  readonly seed: number;
  readonly nodes: number;
  readonly timeline: Timeline;
  /** Paths of the members' logs. */
  readonly logs: readonly string[];
}

export interface Done {
  readonly fault: PlannedFault;
  readonly injection: Injection;
}

export interface Check {
  readonly name: string;
  readonly isKept: boolean;
  /** The figure, or what broke it. */
  readonly detail: string;
}

export interface Figures {
  readonly operations: number;
  readonly unknown: number;
  readonly perSecondBefore: number;
  /** In the windows of faults that leave a majority, which clients can reach. */
  readonly perSecondDuring: number;
  readonly safeSeconds: number;
  /** Between two answers to anybody, from the first fault to the last healing, milliseconds. */
  readonly longestOutageMs: number;
  readonly recoveryMs: number | undefined;
  readonly grants: number;
  /** How many of the installed faults hit who led. */
  readonly leaderHits: number;
  readonly uses: number;
  readonly refusedUses: number;
  readonly seconds: number;
}

export interface RunResult extends Left {
  readonly done: readonly Done[];
  readonly figures: Figures;
  readonly checks: readonly Check[];
  readonly findings: readonly Finding[];
  readonly history: History;
  /** Removes the logs too. */
  readonly dispose: () => Promise<void>;
}

const floors = { perSecondBefore: 200, perSecondDuring: 20, unknownShareMax: 0.2 };
/** Less of such windows says nothing. */
const safeSecondsMin = 8;
const waitMsMax = 2_500;
/** Twice the longest election timeout, and what a loaded machine needs for starting processes. */
const recoveryLimitMs = 2 * 2 * timing.electionTimeoutMs + 3_000;
const readyLimitMs = 15_000;
const warmUpMs = 1_500;
const quietWindowMs = 4_000;
/** An abandoned session may outlive its last renewal by almost three ttls (SEMANTICS §1 rules 5 and 6). */
const aftermathMs = 3 * ttlMs + 4_000;

interface Window {
  readonly from: number;
  readonly to: number;
  readonly isQuorumSafe: boolean;
}

/** Rejects when it could not be played to its end. */
export async function runCluster(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  try {
    return await run.play();
  } catch (error) {
    options.onCollapse(run.left());
    await run.end();
    throw error;
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #timeline = new Timeline(nowMs);
  readonly #complaints: string[] = [];
  readonly #done: Done[] = [];
  readonly #windows: Window[] = [];
  readonly #healthy: Healthy[] = [];
  readonly #checks: Check[] = [];
  readonly #began = nowMs();
  #aftermathWindow: Window | undefined;
  #members: Members | undefined;
  #workers: Workers | undefined;
  #closed: () => void = () => {};

  constructor(options: RunOptions) {
    this.#options = options;
    this.#closed = options.onOpen(() => this.end());
  }

  left(): Left {
    const { seed, nodes } = this.#options;
    const logs = this.#members?.all.map(({ node }) => node.logPath) ?? [];
    return { seed, nodes, timeline: this.#timeline, logs };
  }

  /** Everything that was started; may be called again. */
  async end(): Promise<void> {
    this.#closed();
    await this.#workers?.end();
    await this.#members?.destroy();
  }

  async play(): Promise<RunResult> {
    const { seed, nodes, faults, mustHave, kinds, abilities } = this.#options;
    const members = await Members.start({
      count: nodes,
      timeline: this.#timeline,
      hasDisks: abilities.mount.missing === undefined,
      random: createPrng(seed, `ports ${nodes}`),
    });
    this.#members = members;
    const spec = workloadOf(seed, members.urls);
    const workers = new Workers({ spec, timeline: this.#timeline });
    this.#workers = workers;
    await workers.begin();
    const control = this.#control(workers);
    const quiet = await this.#quietWindow();
    await control;

    for (const strike of createSchedule({ seed, nodes, faults, mustHave, kinds, ttlMs })) {
      if (this.#options.isStopping()) break;
      await this.#strike(strike, members, workers);
    }
    const recoveryMs = await this.#recover(members);
    await this.#aftermath();
    const drainedMs = await workers.drain(waitMsMax + recoveryLimitMs);
    const limit = waitMsMax + recoveryLimitMs;
    this.#check(
      "pending operations are answered",
      drainedMs !== undefined,
      drainedMs === undefined ? `not within ${limit} ms` : `after ${Math.round(drainedMs)} ms`,
    );
    await this.#lastWords(members);
    return this.#verdict({ members, workers, spec, quiet, recoveryMs });
  }

  #check(name: string, isKept: boolean, detail: string): void {
    this.#checks.push({ name, isKept, detail });
    this.#timeline.add("chaos", `${isKept ? "kept" : "BROKEN"}: ${name}: ${detail}`);
  }

  #say(text: string): void {
    this.#timeline.add("chaos", text);
    this.#options.progress(
      `${this.#options.nodes} nodes, ${((nowMs() - this.#began) / 1_000).toFixed(0)} s: ${text}`,
    );
  }

  // ---- before the faults

  /** With the guard off a stale write must get through, and the judge must see it; with the guard on it must not. */
  async #control(workers: Workers): Promise<void> {
    const [open, guarded] = await Promise.all([
      workers.pauseClient(unfencedName),
      workers.pauseClient(fencedName),
    ]);
    const seen = judge(controlHistory(emptyHistory, workers.resource)).filter(isStaleWrite);
    this.#check(
      "control: without fences a stale write gets through and is found",
      open.staleAccepted === true && seen.length > 0,
      `${open.reason}; ${seen[0]?.detail ?? "nothing was found"}`,
    );
    this.#check("control: with fences it is refused", guarded.staleAccepted === false, guarded.reason);
    this.#say(`control: unguarded, ${open.reason}; guarded, ${guarded.reason}`);
  }

  async #quietWindow(): Promise<Window> {
    await pause(warmUpMs);
    const from = nowMs();
    await pause(quietWindowMs);
    const window = { from, to: nowMs(), isQuorumSafe: true };
    this.#healthy.push({ from: window.from, to: window.to });
    return window;
  }

  // ---- faults

  async #strike({ faults, quietMs }: Strike, members: Members, workers: Workers): Promise<void> {
    const quietFrom = nowMs();
    await pause(quietMs);
    this.#healthy.push({ from: quietFrom, to: nowMs() });
    const context: FaultContext = {
      members,
      abilities: this.#options.abilities,
      taken: new Set(),
      complain: (text) => this.#complain(text),
      pauseClient: () => workers.pauseAsFault((text) => this.#complain(text)),
      isStopping: this.#options.isStopping,
    };
    const from = nowMs();
    const before = workers.answered;
    await Promise.all(
      faults.map(async (fault, i) => {
        await pause(i * Math.round((fault.draws[7] ?? 0) * 400));
        this.#timeline.add("chaos", `fault ${fault.index} ${fault.kind} begins`);
        const injection = await carryOut(fault, context);
        this.#done.push({ fault, injection });
        this.#timeline.add("chaos", `fault ${fault.index} ${fault.kind} ${injectionText(injection)}`);
      }),
    );
    const isQuorumSafe = faults.every((fault) => fault.isQuorumSafe);
    const healedAt = nowMs();
    this.#windows.push({ from, to: healedAt, isQuorumSafe });
    const lacking = await members.unready(readyLimitMs);
    for (const member of lacking) {
      this.#complain(
        `${member.id} is not ready ${readyLimitMs} ms after ${faults.map(({ kind }) => kind).join(" and ")}`,
      );
      if (!member.isUp) member.outBecause = "it ended";
    }
    const seconds = (nowMs() - from) / 1_000;
    const text = this.#done
      .slice(-faults.length)
      .map(({ fault, injection }) => `${fault.kind}: ${injectionText(injection)}`);
    const rate = Math.round((workers.answered - before) / seconds);
    const back = Math.round(nowMs() - healedAt);
    this.#say(
      `${text.join("; ")}${isQuorumSafe ? "" : " [no majority]"}; ${rate} op/s, all back after ${back} ms`,
    );
  }

  #complain(text: string): void {
    this.#complaints.push(text);
    this.#say(`BROKEN: ${text}`);
  }

  // ---- after them

  async #recover(members: Members): Promise<number | undefined> {
    const since = nowMs();
    const recovered = await members.leader(recoveryLimitMs).then(
      () => nowMs() - since,
      () => undefined,
    );
    this.#check(
      "a leader after healing",
      recovered !== undefined,
      recovered === undefined ? `none within ${recoveryLimitMs} ms` : `after ${Math.round(recovered)} ms`,
    );
    return recovered;
  }

  /** Long enough for whoever was abandoned to be gone for certain: only then can the judge say who is not. */
  async #aftermath(): Promise<void> {
    if (this.#options.isStopping()) return;
    const from = nowMs();
    await pause(aftermathMs);
    this.#aftermathWindow = { from, to: nowMs(), isQuorumSafe: true };
    this.#healthy.push({ from, to: this.#aftermathWindow.to });
  }

  /** Through every member: a write is decided and read. */
  async #lastWords(members: Members): Promise<void> {
    const failures: string[] = [];
    for (const [i, { id, node }] of members.left.entries()) {
      const sessionId = `last-words-of-${id}-${i}`.padEnd(20, "x");
      const opened = await askUntil(`${node.url}/v1/sessions`, 5_000, { sessionId, ttlMs });
      const seen =
        opened === undefined ? undefined : await askUntil(`${node.url}/v1/sessions/${sessionId}`, 5_000);
      if (seen !== 200)
        failures.push(`${id}: ${opened ?? "no answer"} to a write, ${seen ?? "no answer"} to a read`);
    }
    this.#check(
      "a write and a read through every member",
      failures.length === 0,
      failures.join("; ") || "all answered",
    );
  }

  async #verdict(input: {
    readonly members: Members;
    readonly workers: Workers;
    readonly spec: Omit<WorkloadSpec, "clients">;
    readonly quiet: Window;
    readonly recoveryMs: number | undefined;
  }): Promise<RunResult> {
    const { members, workers, spec, quiet, recoveryMs } = input;
    const reports = await workers.reports();
    await workers.end();
    await members.stop();
    const history = historyOf({ reports, resource: workers.resource, healthy: this.#healthy, spec });
    this.#options.onHistory(history);
    this.#say(`judging ${history.operations.length} operations`);
    const findings = judge(history);
    const leaderHits = this.#done.filter(
      ({ injection }) => injection.kind === "installed" && injection.hitLeader === true,
    ).length;
    const figures = figuresOf(history, {
      leaderHits,
      quiet,
      windows: this.#windows,
      recoveryMs,
      began: this.#began,
    });
    this.#gates(figures);
    this.#afterHealing(history);
    this.#check("no promise is broken", findings.length === 0, firstOf(findings));
    this.#check(
      "faults come to what they should",
      this.#complaints.length === 0,
      this.#complaints.join("; ") || "all",
    );
    const said = reports.flatMap(({ complaints }) => complaints);
    for (const text of said) this.#timeline.add("clients", text);
    this.#check("answers are those of the API", said.length === 0, said.slice(0, 5).join("; ") || "all");
    const { unexpected } = members;
    const exits = unexpected.map(({ id, exit }) => `${id}: ${exitText(exit)}`);
    this.#check("members end only as they should", exits.length === 0, exits.join("; ") || "all");
    return {
      ...this.left(),
      done: this.#done,
      figures,
      checks: this.#checks,
      findings,
      history,
      dispose: () => this.end(),
    };
  }

  /** What is asked of a cluster that is well is answered: nobody has to give up any more. */
  #afterHealing({ operations }: History): void {
    const window = this.#aftermathWindow;
    if (window === undefined) return;
    // A keepalive is called off when its session is closed.
    const asked = operations.filter(
      ({ kind, sentAt }) => kind !== "keepalive" && sentAt >= window.from && sentAt < window.to,
    );
    const open = asked.filter(({ answeredAt }) => answeredAt === undefined);
    const which = open.map(({ id, kind, client }) => `#${id} ${kind} of ${client}`).slice(0, 5);
    this.#check(
      "everything asked after the healing is answered",
      open.length === 0 && asked.length > 0,
      `${asked.length - open.length} of ${asked.length}${which.length > 0 ? `; not ${which.join(", ")}` : ""}`,
    );
  }

  #gates({ perSecondBefore, perSecondDuring, safeSeconds, operations, unknown }: Figures): void {
    this.#check(
      `at least ${floors.perSecondBefore} operations a second before the faults`,
      perSecondBefore >= floors.perSecondBefore,
      perSecondBefore.toFixed(0),
    );
    // A single election is a good part of a second or two.
    if (safeSeconds >= safeSecondsMin) {
      this.#check(
        `at least ${floors.perSecondDuring} while a majority is there`,
        perSecondDuring >= floors.perSecondDuring,
        `${perSecondDuring.toFixed(0)} over ${safeSeconds.toFixed(0)} s`,
      );
    }
    const share = operations === 0 ? 1 : unknown / operations;
    this.#check(
      `at most ${floors.unknownShareMax * 100} % of outcomes unknown`,
      share <= floors.unknownShareMax,
      `${(share * 100).toFixed(2)} %`,
    );
  }
}

function workloadOf(seed: number, urls: readonly string[]): Omit<WorkloadSpec, "clients"> {
  return {
    seed,
    urls,
    ttlMs,
    lockDelayMs: 200,
    locks: ["orders", "billing/close", "deploy", "users:42", "a/b/c", "nightly"],
    semaphores: [
      ["pool", 4],
      ["gate", 2],
      ["db", 3],
      ["upload/slots", 6],
    ],
    thinkMs: 8,
  };
}

const emptyHistory: History = {
  operations: [],
  beliefs: [],
  uses: [],
  abandoned: [],
  unattended: [],
  healthy: [],
  capacities: new Map(),
  drift: 0,
  lockDelayMs: 0,
};

function figuresOf(
  { operations, beliefs, uses }: History,
  known: {
    readonly leaderHits: number;
    readonly quiet: Window;
    readonly windows: readonly Window[];
    readonly recoveryMs: number | undefined;
    readonly began: number;
  },
): Figures {
  const { leaderHits, quiet, windows, recoveryMs, began } = known;
  const answers = operations.flatMap(({ answeredAt }) => answeredAt ?? []).sort((a, b) => a - b);
  const within = ({ from, to }: Window) => answers.filter((at) => at >= from && at < to).length;
  const lengthOf = (of: readonly Window[]) => of.reduce((sum, { from, to }) => sum + to - from, 0) / 1_000;
  const safe = windows.filter(({ isQuorumSafe }) => isQuorumSafe);
  const answeredSafe = safe.reduce((sum, window) => sum + within(window), 0);
  const first = windows[0]?.from ?? quiet.from;
  const last = windows.at(-1)?.to ?? quiet.to;
  const during = answers.filter((at) => at >= first && at <= last);
  const gaps = [...during, last].map((at, i) => at - (during[i - 1] ?? first));
  return {
    operations: operations.length,
    unknown: operations.length - answers.length,
    perSecondBefore: within(quiet) / lengthOf([quiet]),
    perSecondDuring: answeredSafe / Math.max(0.001, lengthOf(safe)),
    safeSeconds: lengthOf(safe),
    longestOutageMs: Math.round(gaps.reduce((most, gap) => Math.max(most, gap), 0)),
    recoveryMs: recoveryMs === undefined ? undefined : Math.round(recoveryMs),
    grants: new Set(beliefs.map(({ fence }) => fence)).size,
    leaderHits,
    uses: uses.length,
    refusedUses: uses.filter(({ accepted }) => !accepted).length,
    seconds: Math.round((nowMs() - began) / 1_000),
  };
}

export function injectionText(injection: Injection): string {
  switch (injection.kind) {
    case "installed":
      return injection.detail;
    case "skipped":
      return `skipped: ${injection.reason}`;
    default:
      return `indeterminate: ${injection.reason}`;
  }
}

function firstOf(findings: readonly Finding[]): string {
  if (findings.length === 0) return "no finding";
  return `${findings.length}: ${findings
    .slice(0, 5)
    .map(({ rule, detail }) => `${rule} ${detail}`)
    .join("; ")}`;
}

/** The status of the first answer that is not "later"; follows to the leader. */
async function askUntil(url: string, limitMs: number, body?: object): Promise<number | undefined> {
  const until = nowMs() + limitMs;
  while (nowMs() < until) {
    try {
      const response = await fetch(url, {
        signal: AbortSignal.timeout(1_000),
        ...(body === undefined
          ? {}
          : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      });
      await response.arrayBuffer();
      if (response.status < 500) return response.status;
    } catch {
      // Asked again.
    }
    await pause(50);
  }
  return undefined;
}
