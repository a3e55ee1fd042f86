/**
 * `holdfast acquire`: one claim on one lock. Without --keep it ends with the claim held and a session that nothing
 * renews, and says so; with --keep it stays, renews, and says at once when the lock can no longer be relied on.
 */
import type { HeldClaimView } from "../../api/types.ts";
import { type ClaimRecord, createClaimFile, removeClaimFile, replaceClaimFile } from "../claim-file.ts";
import { claimAndRenew, type HeldClaim, sessionLost } from "../claiming.ts";
import { connect, lockNameOf, sessionIdOf } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes, usageError } from "../exit-codes.ts";
import type { HttpClient } from "../http-client.ts";
import { holdOn, releaseHold } from "../keeping.ts";
import { adoptLease, openLease, type SessionLease } from "../lease.ts";
import type { ConnectionOptions } from "../options.ts";
import { type Output, properties } from "../output.ts";
import { type StopReason, watchForStop } from "../signals.ts";
import { checkTarget, type TargetOptions, targetOf } from "../target.ts";
import { age, waitingText, whoAndWhere } from "../wording.ts";

export interface AcquireOptions extends ConnectionOptions, TargetOptions {
  readonly session?: string;
  readonly wait?: number;
  readonly nonblock?: boolean;
  readonly ttl?: number;
  readonly lockDelay?: number;
  readonly maxHold?: number;
  readonly label?: string;
  readonly claimFile?: string;
  readonly keep?: boolean;
}

/** A renewal older than that is repeated before the lease is handed over. */
const staleMs = 1000;

export async function acquire({ operands, options, output }: Invocation<AcquireOptions>): Promise<number> {
  const lock = lockNameOf(operands[0]);
  checkOptions(options);
  const client = connect(options);
  const stop = watchForStop();
  const run = new Acquisition({ lock, options, output, client, signal: stop.signal });
  let held: HeldClaim;
  try {
    await run.open();
    held = await run.claim();
    output.data(held.answer, heldText(held, lock));
    if (options.keep !== true) return await run.leave(held);
  } catch (error) {
    await run.giveUp();
    if (!stop.signal.aborted) throw error;
    const { signal, exitCode } = stop.signal.reason as StopReason;
    output.note("cancelled", `cancelled by ${signal}; ${lock} was not acquired`);
    return exitCode;
  }
  stop.watchStdin();
  return holdOn({ client, output, lock, lease: run.lease, claimId: held.claimId, signal: stop.signal });
}

function checkOptions(options: AcquireOptions): void {
  checkTarget(options);
  const { session, wait, nonblock, ttl, label, claimFile, keep } = options;
  if (nonblock === true && wait !== undefined) throw usageError("-n does not wait: leave out --wait");
  if (session !== undefined && (ttl !== undefined || label !== undefined)) {
    throw usageError(
      "--ttl and --label are for a session of its own: leave them out, or leave out --session",
    );
  }
  if (keep === true && claimFile !== undefined) {
    throw usageError("--keep releases the claim itself: leave out --claim-file");
  }
  if (session !== undefined) sessionIdOf(session, "name it with --session");
}

interface Parts {
  readonly lock: string;
  readonly options: AcquireOptions;
  readonly output: Output;
  readonly client: HttpClient;
  readonly signal: AbortSignal;
}

class Acquisition {
  readonly #parts: Parts;
  #lease: SessionLease | undefined;
  #claimId: string | undefined;
  #hasFile = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get lease(): SessionLease {
    if (this.#lease === undefined) throw new Error("the session is open by now");
    return this.#lease;
  }

  async open(): Promise<void> {
    const { client, options, signal } = this.#parts;
    const { ttl: ttlMs, label, session } = options;
    this.#lease =
      session === undefined
        ? await openLease(client, { ttlMs, label: label ?? whoAndWhere(), signal })
        : await adoptLease(client, session, signal);
  }

  claim(): Promise<HeldClaim> {
    const { client, lock, options, output, signal } = this.#parts;
    let isTold = false;
    return claimAndRenew({
      client,
      lease: this.lease,
      target: targetOf(lock, options),
      waitMs: options.nonblock === true ? 0 : options.wait,
      lockDelayMs: options.lockDelay,
      maxHoldMs: options.maxHold,
      signal,
      asking: (claimId) => this.#asking(claimId),
      waiting: (answer) => {
        if (isTold) return;
        isTold = true;
        output.note("waiting", waitingText(lock, answer.body), answer.body);
        void client.learnMembers();
      },
    });
  }

  #asking(claimId: string): void {
    this.#claimId = claimId;
    const path = this.#parts.options.claimFile;
    if (path === undefined) return;
    if (this.#hasFile) replaceClaimFile(path, this.#record(claimId, undefined));
    else createClaimFile(path, this.#record(claimId, undefined));
    this.#hasFile = true;
  }

  #record(claimId: string, fence: number | undefined): ClaimRecord {
    const { client, lock } = this.#parts;
    const { sessionId, isOwn } = this.lease;
    return { lock, claimId, sessionId, ownSession: isOwn, fence, endpoints: client.endpoints };
  }

  /** Hands the claim over to whoever called: with as much time left as can be, and saying how much that is. */
  async leave({ claimId, answer }: HeldClaim): Promise<number> {
    const { output, options } = this.#parts;
    const lease = this.lease;
    if (lease.renewedAgoMs > staleMs) {
      const over = await lease.renew(claimId);
      if (over !== undefined) throw sessionLost(over);
    }
    const path = options.claimFile;
    if (path !== undefined)
      replaceClaimFile(path, this.#record(claimId, answer.body["fence"] as number | undefined));
    if (!lease.isOwn) return exitCodes.ok;
    const leftMs = lease.leftMs();
    const how = path === undefined ? `${claimId} --session ${lease.sessionId}` : `--claim-file ${path}`;
    output.note(
      "unrenewed",
      `nothing renews this claim: it can be relied on for ${age(leftMs)} from now\nrelease it with: holdfast release ${how}`,
      { leftMs: Math.floor(leftMs), claimId, sessionId: lease.sessionId },
    );
    return exitCodes.ok;
  }

  /** Nothing was acquired, or it is not wanted any more: leaves nothing behind, as far as that can be. */
  async giveUp(): Promise<void> {
    const { client, options } = this.#parts;
    const lease = this.#lease;
    if (lease === undefined) return;
    if (this.#claimId !== undefined && !lease.isOwn)
      await releaseHold(client, lease, this.#claimId).catch(() => {});
    await lease.close();
    if (this.#hasFile && options.claimFile !== undefined) removeClaimFile(options.claimFile);
  }
}

function heldText({ claimId, answer }: HeldClaim, name: string): string {
  const { fence, waitedMs, maxHoldLeftMs, resources } = answer.body as unknown as HeldClaimView;
  const [held] = resources;
  const isLock = held === undefined || "lock" in held;
  return properties([
    [isLock ? "lock" : "semaphore", name],
    ["mode", held !== undefined && "lock" in held ? held.mode : undefined],
    ["permits", held !== undefined && "semaphore" in held ? held.permits : undefined],
    ["claim", claimId],
    ["fence", fence],
    ["sequencer", held?.sequencer],
    ["held at most", maxHoldLeftMs === undefined ? undefined : age(maxHoldLeftMs)],
    ["waited", waitedMs > 0 ? age(waitedMs) : undefined],
  ]);
}
