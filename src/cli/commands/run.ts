/**
 * `holdfast run`: a command under a lock or semaphore. Waits for the claim, starts the command, watches over it, gives
 * the claim back when the last process of its group is gone. The rules and why they are so: docs/RUN.md.
 */

import { standingOf } from "../../client/lease.ts";
import { claimAndRenew, type HeldClaim, sessionLost } from "../claiming.ts";
import { connect } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { asFailure, CliError, exitCodes } from "../exit-codes.ts";
import type { HttpClient } from "../http-client.ts";
import { releaseHold } from "../keeping.ts";
import type { SessionLease } from "../lease.ts";
import { isOnTerminal, startGroup } from "../run/child-group.ts";
import { childEnvironment, readSurroundings, type Surroundings } from "../run/environment.ts";
import {
  childExitCode,
  clipGrace,
  planRun,
  type RunOptions,
  type RunPlan,
  refusalExitCode,
} from "../run/plan.ts";
import { releaseClaim } from "../run/releasing.ts";
import { createRunReport, type RunReport } from "../run/report.ts";
import { lockDelayOf, openRunLease } from "../run/session.ts";
import { type RunSignals, watchRunSignals } from "../run/signals.ts";
import { type SupervisionEnd, supervise } from "../run/supervise.ts";
import type { StopReason } from "../signals.ts";
import { age, waitingText } from "../wording.ts";

export async function run({ operands, options, output, argv }: Invocation<RunOptions>): Promise<number> {
  const words = operands.filter((word) => word !== undefined);
  const report = createRunReport(output, options);
  // From here on no signal ends this process without the claim being given up.
  const signals = watchRunSignals();
  let conflictCode: number = exitCodes.notAcquired;
  try {
    const plan = planRun(options, words, argv);
    conflictCode = plan.conflictCode;
    const surroundings = readSurroundings(process.env);
    const client = connect(options);
    return await new Run({ plan, options, surroundings, client, signals, report }).toTheEnd();
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    const failure = asFailure(error);
    const exitCode = refusalExitCode(failure, conflictCode);
    if (exitCode === exitCodes.ok) report.tell("skipped", `skipped: ${failure.detail}`);
    else report.failure({ ...failure, exitCode });
    return exitCode;
  }
}

interface Parts {
  readonly plan: RunPlan;
  readonly options: RunOptions;
  readonly surroundings: Surroundings;
  readonly client: HttpClient;
  readonly signals: RunSignals;
  readonly report: RunReport;
}

/** What there is once the claim is held. */
interface Held {
  readonly held: HeldClaim;
  readonly lease: SessionLease;
  readonly lockDelayMs: number;
  readonly owner: string;
  /** In the lease's time. */
  readonly maxHoldUntilMs: number | undefined;
}

class Run {
  readonly #parts: Parts;
  #lease: SessionLease | undefined;
  #claimId: string | undefined;
  #isStarted = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async toTheEnd(): Promise<number> {
    const { plan, signals, report } = this.#parts;
    const stopped = signals.untilStopped();
    try {
      const held = await this.#acquire(stopped);
      return await this.#under(held, stopped);
    } catch (error) {
      await this.#giveUp();
      if (!stopped.aborted) throw error;
      const { signal, exitCode } = stopped.reason as StopReason;
      report.tell("cancelled", `cancelled by ${signal}; nothing was run`, { signal, lock: plan.target.name });
      return exitCode;
    }
  }

  async #acquire(stopped: AbortSignal): Promise<Held> {
    const { options, surroundings, client, report } = this.#parts;
    const startedMs = performance.now();
    const opened = await openRunLease({ client, options, surroundings, report, signal: stopped });
    const { lease, owner } = opened;
    this.#lease = lease;
    // The command is told of all nodes: a run in it must find the cluster when this one's node is down.
    const [lockDelayMs] = await Promise.all([
      options.lockDelay ?? lockDelayOf(client, lease, stopped),
      client.learnMembers(),
    ]);
    this.#warnOfGrace(lockDelayMs);
    const held = await this.#claim(lease, owner, lockDelayMs, stopped);
    const waitedMs = performance.now() - startedMs;
    this.#tellAcquired(held, waitedMs);
    const maxHoldUntilMs = await this.#maxHoldUntil(held, lease, stopped);
    return { held, lease, lockDelayMs, owner, maxHoldUntilMs };
  }

  #claim(lease: SessionLease, owner: string, lockDelayMs: number, signal: AbortSignal): Promise<HeldClaim> {
    const { plan, client, report } = this.#parts;
    const { target, waitMs, maxHoldMs } = plan;
    let told = "";
    return claimAndRenew({
      client,
      lease,
      target,
      waitMs,
      lockDelayMs,
      maxHoldMs,
      owner,
      signal,
      asking: (claimId) => {
        this.#claimId = claimId;
      },
      waiting: ({ body }) => {
        const blocker = Array.isArray(body["blockedBy"]) ? body["blockedBy"][0] : undefined;
        const news = JSON.stringify([
          body["position"],
          (blocker as { claimId?: unknown } | undefined)?.claimId,
        ]);
        if (news === told) return;
        told = news;
        report.tell("waiting", waitingText(target.name, body), body);
      },
    });
  }

  /** The default is cut without a word: nobody asked for those five seconds. */
  #warnOfGrace(lockDelayMs: number): void {
    const { plan, report } = this.#parts;
    if (!plan.isGraceGiven || clipGrace(plan.graceMs, lockDelayMs) === plan.graceMs) return;
    const facts = { graceMs: plan.graceMs, lockDelayMs };
    const text = `--grace is longer than the lock-delay: after a lapse it is ${age(lockDelayMs)}, as long as others are kept out`;
    report.warn("grace", `warning: ${text}`, facts);
  }

  #tellAcquired({ claimId, answer, isCovered }: HeldClaim, waitedMs: number): void {
    const { plan, report } = this.#parts;
    const { name } = plan.target;
    const { fence } = answer.body;
    const facts = { lock: name, claimId, fence, waitedMs: Math.round(waitedMs) };
    if (isCovered) {
      const text = `${name} is held by the run around this one (fence ${fence}): runs under that, and releases nothing`;
      report.tell("covered", text, facts);
    } else {
      report.tell("acquired", `acquired ${name} after ${age(waitedMs)} (fence ${fence})`, facts);
    }
  }

  /** Counted from the sending of a question of its own: the answer that said `held` may have been asked for long ago. */
  async #maxHoldUntil(
    { claimId, isCovered }: HeldClaim,
    lease: SessionLease,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { plan, client } = this.#parts;
    const { maxHoldMs } = plan;
    if (maxHoldMs === undefined) return undefined;
    const sentAtMs = lease.keeper.clock.now();
    if (isCovered) return sentAtMs + maxHoldMs;
    const path = `/v1/claims/${claimId}`;
    const { body } = await client.request({ method: "GET", path, sessionId: lease.sessionId, signal });
    const { maxHoldLeftMs } = body;
    // An end that was not heard of yet is one that the renewals bring.
    return sentAtMs + Math.min(maxHoldMs, typeof maxHoldLeftMs === "number" ? maxHoldLeftMs : maxHoldMs);
  }

  async #under(acquired: Held, stopped: AbortSignal): Promise<number> {
    const { plan, surroundings, client, signals, report } = this.#parts;
    const { held, lease, lockDelayMs, owner, maxHoldUntilMs } = acquired;
    const { target, file, args, maxHoldMs } = plan;
    const isTerminal = isOnTerminal();
    const { sessionId } = lease;
    const environment = childEnvironment(process.env, { target, held, sessionId, owner, client });
    // Signals that have arrived are handled before the last look.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    stopped.throwIfAborted();
    const standing = standingOf(lease.keeper.current(), held.claimId);
    if (standing.kind === "over") throw sessionLost(standing.over);
    const isOwnGroup = !isTerminal && !surroundings.isNested;
    const group = await startGroup({ file, args, environment, isOwnGroup });
    this.#isStarted = true;
    report.tell("started", `started ${file}, process ${group.pid}`, { pid: group.pid });
    const supervising = supervise({
      name: target.name,
      group,
      lease,
      claimId: held.claimId,
      onLost: plan.onLost,
      graceMs: plan.graceMs,
      lockDelayMs,
      maxHold:
        maxHoldMs === undefined || maxHoldUntilMs === undefined
          ? undefined
          : { untilMs: maxHoldUntilMs, maxHoldMs },
      isOnTerminal: isTerminal,
      signals,
      report,
    });
    const end = await supervising.catch((error: unknown) => {
      // A bug of ours. Without anybody who renews, nothing may run on.
      group.signal("SIGKILL");
      throw error;
    });
    return await this.#afterwards(acquired, end, signals.untilStopped());
  }

  async #afterwards({ held, lease }: Held, end: SupervisionEnd, stopped: AbortSignal): Promise<number> {
    const { plan, client, report } = this.#parts;
    const { name } = plan.target;
    const { cause } = end;
    if (cause?.kind === "lost")
      return this.#afterLoss(lease, cause.over.kind === "claim-ended" ? cause.over.reason : "");
    const ownCode = cause?.kind === "max-hold" ? exitCodes.maxHold : childExitCode(end.child);
    const standing = standingOf(lease.keeper.current(), held.claimId);
    if (held.isCovered) {
      if (standing.kind === "held") return ownCode;
      return this.#unprotected(`the run around this one lost ${name}`);
    }
    const outcome = await releaseClaim({ client, lease, claimId: held.claimId, signal: stopped });
    if (outcome.kind === "lost") {
      await lease.close();
      return cause?.kind === "max-hold" ? ownCode : this.#unprotected(outcome.detail);
    }
    if (outcome.kind === "untold") {
      if (standing.kind === "over") return this.#unprotected(outcome.detail);
      const text = `${name} could not be released and ends by itself within ${age(outcome.leftMs)}: ${outcome.detail}`;
      report.warn("unreleased", text, { lock: name, leftMs: Math.floor(outcome.leftMs) });
      return ownCode;
    }
    await lease.close();
    report.tell("released", `released ${name}`, { lock: name });
    return ownCode;
  }

  /** The group is gone, and only now the cluster may know it. */
  async #afterLoss(lease: SessionLease, reason: string): Promise<number> {
    await lease.acknowledge();
    await lease.close();
    return reason === "max-hold" ? exitCodes.maxHold : exitCodes.lost;
  }

  #unprotected(why: string): number {
    const { plan, report } = this.#parts;
    const { name } = plan.target;
    const detail = `${name} was lost while the command ran, and it ran on unprotected: ${why}`;
    report.failure({ exitCode: exitCodes.lost, code: "claim-lost", detail, facts: { lock: name } });
    return exitCodes.lost;
  }

  /** Nothing runs: leaves nothing behind, as far as that can be. */
  async #giveUp(): Promise<void> {
    const { client } = this.#parts;
    const lease = this.#lease;
    if (lease === undefined || this.#isStarted) return;
    if (this.#claimId !== undefined && !lease.isOwn) {
      await releaseHold(client, lease, this.#claimId).catch(() => {});
    }
    await lease.close();
  }
}
