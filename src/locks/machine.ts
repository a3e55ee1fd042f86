/**
 * The replicated state machine: what applying one entry does. The table of contents of this folder.
 *
 *   entry ──▶ 1 cluster time      now = max(now, stamp)
 *             2 due deadlines     in the order (deadline, kind, id), each with its grants, within the work budget
 *             3 the command       a session's, a claim's, a semaphore's, or of settings and time
 *             4 grants            of whatever the command freed
 *         ──▶ outcome, changed claims
 *
 * Pure and deterministic: the same entries give the byte-identical state on every replica (SEMANTICS rules 4, 7, I12).
 * It reads no clock, no randomness and no configuration; whatever it needs is in the entry or in the state.
 */
import { assert, present, unreachable } from "../base/assert.ts";
import { barrierEnd } from "./barriers.ts";
import { acquire, cancel, release, shrink } from "./claims.ts";
import type { Command, FoundCommand, SetSettingsCommand } from "./commands.ts";
import { DeadlineQueue, type Mark } from "./deadlines.ts";
import { ownDeadline } from "./endings.ts";
import { grantWhatIsFree } from "./grants.ts";
import type { Outcome } from "./outcomes.ts";
import type { ClaimChange, LockState, Resource } from "./records.ts";
import { deleteSemaphore, setSemaphore } from "./semaphores.ts";
import { closeSession, keepAlive, killSession, openSession, pruneTombstones } from "./sessions.ts";
import { settingFaults } from "./settings.ts";
import { sweep, sweepAll } from "./sweep.ts";

/** An entry as the machine sees it. `command` is absent for the empty entry that opens a term. */
export interface AppliedEntry {
  readonly index: number;
  /** Cluster time stamp, milliseconds. */
  readonly time: number;
  readonly command: Command | undefined;
}

export interface Applied {
  readonly outcome: Outcome;
  /** Claims that changed, in order; valid until the next apply. */
  readonly changes: readonly ClaimChange[];
}

export function createLockState(): LockState {
  return {
    settings: undefined,
    clusterId: "",
    fence: 0,
    now: 0,
    termStart: 0,
    wallMs: 0,
    revision: 0,
    sessions: new Map(),
    tombstones: new Map(),
    sessionsByRef: new Map(),
    claims: new Map(),
    remembered: new Map(),
    resources: new Map(),
    barriers: new Map(),
    semaphoreCount: 0,
    setSemaphores: 0,
    deadlines: new DeadlineQueue(),
    ttlCounts: new Map(),
    heldCount: 0,
    waitingCount: 0,
    changes: [],
    budgetLeft: 0,
  };
}

/** Applies the next entry. Throws only when the entry is out of order or an invariant is broken. */
export function apply(state: LockState, entry: AppliedEntry): Applied {
  assert(entry.index === state.revision + 1, "entries apply in order, each once", {
    index: entry.index,
    revision: state.revision,
  });
  assert(entry.time >= state.now, "cluster time never runs back", { time: entry.time, now: state.now });
  assert(entry.command !== undefined || entry.time === state.now, "no time passes in a term's first entry");
  state.revision = entry.index;
  state.now = entry.time;
  state.changes = [];
  const outcome = applyCommand(state, entry.command);
  return { outcome, changes: state.changes };
}

function applyCommand(state: LockState, command: Command | undefined): Outcome {
  if (command === undefined) {
    // The first entry of a term only notes when the term began: grace counts from there. It repeats the stamp before
    // it, so no time passes here. What the work budget left over was due in the old term and ends by its rules.
    if (state.settings !== undefined) sweepAll(state);
    state.termStart = state.now;
    return { kind: "done" };
  }
  state.wallMs = command.wallMs;
  if (command.kind === "found") return found(state, command);
  if (state.settings === undefined) return { kind: "not-founded" };
  state.budgetLeft = state.settings.sweepBudget;
  sweep(state);
  pruneTombstones(state);
  dropStaleMarks(state);
  const touched = new Set<Resource>();
  const outcome = execute(state, command, touched);
  grantWhatIsFree(state, touched);
  return outcome;
}

function execute(state: LockState, command: Exclude<Command, FoundCommand>, touched: Set<Resource>): Outcome {
  switch (command.kind) {
    case "advance-time":
      return { kind: "done" };
    case "open-session":
      return openSession(state, command, touched);
    case "keep-alive":
      return { kind: "keep-alive", items: command.items.map((item) => keepAlive(state, item, touched)) };
    case "close-session":
      return closeSession(state, command.sessionId, touched);
    case "kill-session":
      return killSession(state, command, touched);
    case "acquire":
      return acquire(state, command, touched);
    case "release":
      return release(state, command, touched);
    case "shrink":
      return shrink(state, command, touched);
    case "cancel":
      return cancel(state, command, touched);
    case "set-semaphore":
      return setSemaphore(state, command, touched);
    case "delete-semaphore":
      return deleteSemaphore(state, command, touched);
    case "set-settings":
      return setSettings(state, command);
    default:
      return unreachable(command);
  }
}

function found(state: LockState, command: FoundCommand): Outcome {
  if (state.settings !== undefined) return { kind: "done" };
  state.settings = command.settings;
  state.clusterId = command.clusterId;
  state.fence = command.firstFence;
  return { kind: "done" };
}

/** All of the changes or none. They count from the next entry on; what was granted under the old ones stays. */
function setSettings(state: LockState, { changes }: SetSettingsCommand): Outcome {
  const settings = { ...present(state.settings, "settings"), ...Object.fromEntries(changes) };
  const faults = settingFaults(settings);
  if (faults.length > 0) return { kind: "settings-refused", faults };
  state.settings = settings;
  return { kind: "settings", settings };
}

/** True while the mark reminds of a deadline that its record still has. */
function isNeeded(state: LockState, mark: Mark): boolean {
  switch (mark.kind) {
    case "session":
      return state.sessions.has(mark.id);
    case "barrier": {
      const barrier = state.barriers.get(Number(mark.id));
      return barrier !== undefined && barrierEnd(barrier) === mark.at;
    }
    case "max-hold":
    case "wait": {
      const claim = state.claims.get(mark.id);
      return claim !== undefined && ownDeadline(claim) === mark.at;
    }
    default:
      return unreachable(mark.kind);
  }
}

/** Bounds the marks by what exists: claims that were granted long before their wait ended leave theirs behind. */
function dropStaleMarks(state: LockState): void {
  const live = state.sessions.size + state.waitingCount + state.heldCount + state.barriers.size;
  const bound = 1024 + 2 * live;
  if (state.deadlines.size <= bound) return;
  const seen = new Set<string>();
  state.deadlines.keepOnly((mark) => {
    if (!isNeeded(state, mark)) return false;
    // A session that was settled by touch has two; the earlier one is enough.
    if (mark.kind !== "session") return true;
    return seen.size < seen.add(mark.id).size;
  });
}

/** When the next deadline is due, in cluster time; undefined when nobody depends on time. */
export function nextDeadline(state: LockState): number | undefined {
  for (;;) {
    const mark = state.deadlines.first();
    if (mark === undefined) return undefined;
    if (isNeeded(state, mark)) {
      if (mark.kind !== "session") return mark.at;
      const { expiresAt } = present(state.sessions.get(mark.id), "a live session");
      if (expiresAt === mark.at) return mark.at;
      state.deadlines.takeFirst();
      state.deadlines.add({ ...mark, at: expiresAt });
    } else {
      state.deadlines.takeFirst();
    }
  }
}

/** How far cluster time may go unlogged while somebody depends on it (SEMANTICS rule 5). */
export function timeLogIntervalMs(state: LockState): number {
  let shortest = Infinity;
  for (const ttlMs of state.ttlCounts.keys()) shortest = Math.min(shortest, ttlMs);
  return Math.min(Math.max(shortest / 4, 1_000), 60_000);
}
