/**
 * Watches over a command that runs under a claim until the last process of its group is gone: renews, forwards signals,
 * ends the group when the claim can no longer be relied on or its max-hold is near. Releases nothing.
 *
 * Everything is decided in `#look`, which first of all looks at the clock: whatever woke this process, be it an answer,
 * a signal, or the end of a suspend, the deadline is judged before it is acted on.
 */
import type { LeaseOver } from "../../client/lease.ts";
import { isOver, standingOf } from "../../client/lease.ts";
import { lossText } from "../keeping.ts";
import type { SessionLease } from "../lease.ts";
import { age } from "../wording.ts";
import type { ChildEnd, ChildGroup } from "./child-group.ts";
import type { EndSignal } from "./end-signals.ts";
import { killAtMs, maxHoldTimes } from "./plan.ts";
import type { RunReport } from "./report.ts";
import type { ForwardedSignal, RunSignals } from "./signals.ts";

/** Why a group was ended by us. */
export type EndCause = { readonly kind: "lost"; readonly over: LeaseOver } | { readonly kind: "max-hold" };

export interface Supervised {
  readonly name: string;
  readonly group: ChildGroup;
  readonly lease: SessionLease;
  /** What protects the command. */
  readonly claimId: string;
  readonly onLost: EndSignal;
  readonly graceMs: number;
  /** In force for this claim. */
  readonly lockDelayMs: number;
  /** `untilMs` in the lease's time. */
  readonly maxHold: { readonly untilMs: number; readonly maxHoldMs: number } | undefined;
  /** The terminal itself sends INT and QUIT to its foreground group. */
  readonly isOnTerminal: boolean;
  readonly signals: RunSignals;
  readonly report: RunReport;
}

export interface SupervisionEnd {
  readonly child: ChildEnd;
  /** Undefined: it ended by itself. */
  readonly cause: EndCause | undefined;
}

/** Resolves when the whole group is gone. */
export function supervise(supervised: Supervised): Promise<SupervisionEnd> {
  return new Supervision(supervised).run();
}

const lookEveryMs = 250;
/** How soon to ask again whether the group is gone: the first time, and at most. */
const goneMsMin = 20;
const goneMsMax = 1000;

class Supervision {
  readonly #parts: Supervised;
  readonly #maxHold: { readonly signalAtMs: number; readonly killAtMs: number } | undefined;
  #child: ChildEnd | undefined;
  #ending: { readonly cause: EndCause; readonly killAtMs: number } | undefined;
  #isKilled = false;
  #isInJeopardy = false;
  #goneEveryMs = goneMsMin;
  #wake = () => {};

  constructor(parts: Supervised) {
    this.#parts = parts;
    const { maxHold, graceMs } = parts;
    this.#maxHold = maxHold === undefined ? undefined : maxHoldTimes({ ...maxHold, graceMs });
  }

  async run(): Promise<SupervisionEnd> {
    const { group, lease, signals } = this.#parts;
    signals.forwardTo({
      forward: (signal) => this.#forward(signal),
      stopping: () => this.#stopping(),
      continued: () => this.#continued(),
    });
    const controller = new AbortController();
    void group.ended.then((end) => this.#childEnded(end));
    const keeping = lease.keeper.keep(controller.signal, () => this.#look());
    keeping.catch(() => {});
    try {
      for (;;) {
        // Nothing is left to be ended: whether it was protected to its end, the release will tell.
        if (this.#child !== undefined && group.isGone()) {
          return { child: this.#child, cause: this.#ending?.cause };
        }
        this.#look();
        await this.#pause();
      }
    } finally {
      controller.abort();
      await keeping;
    }
  }

  #now(): number {
    return this.#parts.lease.keeper.clock.now();
  }

  #look(): void {
    const { lease, claimId, graceMs, lockDelayMs } = this.#parts;
    const state = lease.keeper.current();
    const { nowMs } = state;
    const standing = standingOf(state, claimId);
    if (standing.kind === "over") {
      // One that ended while we were stopped needs no ending: the release will tell whether it was protected.
      if (this.#ending?.cause.kind !== "lost" && !this.#parts.group.isGone()) {
        const killAt = killAtMs(standing, { nowMs, graceMs, lockDelayMs });
        const before = this.#ending?.killAtMs ?? killAt;
        this.#end({ kind: "lost", over: standing.over }, Math.min(killAt, before), nowMs);
      }
    } else {
      this.#tellJeopardy(standing.phase === "jeopardy", standing.untilMs - nowMs);
      if (this.#ending === undefined && this.#maxHold !== undefined && nowMs >= this.#maxHold.signalAtMs) {
        this.#end({ kind: "max-hold" }, this.#maxHold.killAtMs, nowMs);
      }
    }
    if (this.#ending !== undefined && nowMs >= this.#ending.killAtMs) this.#kill();
  }

  #end(cause: EndCause, killAt: number, nowMs: number): void {
    const { name, group, onLost, report } = this.#parts;
    this.#ending = { cause, killAtMs: killAt };
    const leftMs = Math.max(0, killAt - nowMs);
    const facts = { lock: name, signal: onLost, killInMs: Math.floor(leftMs) };
    const then = `the command gets ${onLost}, and KILL in ${age(leftMs)}`;
    if (cause.kind === "lost") {
      const { over } = cause;
      const reason = over.kind === "claim-ended" ? { reason: over.reason } : {};
      report.warn("lost", `${name} is lost: ${lossText(over)}; ${then}`, {
        cause: over.kind,
        ...reason,
        ...facts,
      });
    } else {
      report.warn("max-hold", `${name} may not be held for longer; ${then}`, facts);
    }
    this.#goneEveryMs = goneMsMin;
    group.signal(`SIG${onLost}`);
    // One that is stopped would not notice.
    group.signal("SIGCONT");
  }

  /** Again and again: a member may have been forked meanwhile. */
  #kill(): void {
    const { group, report } = this.#parts;
    if (!this.#isKilled) report.tell("killed", "the command did not end in time: KILL", { pid: group.pid });
    this.#isKilled = true;
    group.signal("SIGKILL");
  }

  #tellJeopardy(isNow: boolean, leftMs: number): void {
    if (isNow === this.#isInJeopardy) return;
    this.#isInJeopardy = isNow;
    const { name, report } = this.#parts;
    const facts = { lock: name, leftMs: Math.floor(leftMs) };
    if (isNow) {
      report.tell("jeopardy", `the session cannot be renewed; ${name} is good for ${age(leftMs)}`, facts);
    } else report.tell("healthy", "the session is renewed again", facts);
  }

  #forward(signal: ForwardedSignal): void {
    const { group, isOnTerminal, report } = this.#parts;
    this.#look();
    // Sent once more, ctrl-C would look like the second one that many programs take for "now, at once". From elsewhere
    // use TERM.
    if (isOnTerminal && (signal === "SIGINT" || signal === "SIGQUIT")) return;
    report.tell("signal", `${signal} goes to the command`, { signal });
    group.signal(signal);
  }

  /** Who stops us must not leave a command running that nobody renews for; a terminal stops the whole job by itself. */
  #stopping(): void {
    const { group, isOnTerminal } = this.#parts;
    if (!isOnTerminal) group.signal("SIGSTOP");
  }

  #continued(): void {
    const { group, isOnTerminal } = this.#parts;
    this.#look();
    if (!isOnTerminal) group.signal("SIGCONT");
  }

  #childEnded(end: ChildEnd): void {
    const { group, report, name } = this.#parts;
    this.#child = end;
    report.tell("exited", `the command has ended with ${end.signal ?? end.code}`, { ...end });
    if (!group.isGone()) {
      const count = group.count();
      const others =
        count === 1 ? "one process of its group still runs" : `${count} processes of its group still run`;
      report.tell("lingering", `${others}: ${name} is kept until then`, { count });
    }
    this.#wake();
  }

  async #pause(): Promise<void> {
    const nowMs = this.#now();
    const { lease } = this.#parts;
    const state = lease.keeper.current();
    const dues = [
      isOver(state) ? undefined : state.validUntilMs,
      this.#ending === undefined ? this.#maxHold?.signalAtMs : this.#ending.killAtMs,
    ].filter((due) => due !== undefined && due > nowMs) as readonly number[];
    let everyMs = lookEveryMs;
    if (this.#child !== undefined) {
      everyMs = this.#goneEveryMs;
      this.#goneEveryMs = Math.min(goneMsMax, 1.5 * this.#goneEveryMs);
    }
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(everyMs, ...dues.map((due) => due - nowMs)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
