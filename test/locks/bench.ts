/** A lock machine with a log of its own: each call is one entry, at the time that the test says. */

import { barrierEnd } from "../../src/locks/barriers.ts";
import type { Command, LockMode, ResourceRequest } from "../../src/locks/commands.ts";
import { checkLockState } from "../../src/locks/invariants.ts";
import { type Applied, type AppliedEntry, apply, createLockState } from "../../src/locks/machine.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, ClaimChange, LockState, Session } from "../../src/locks/records.ts";
import { defaultSettings, type Settings } from "../../src/locks/settings.ts";
import type { Proposal } from "../../src/node/contract.ts";

export const firstFence = 1_000;

/** Of an exclusive lock `a` when nothing is said. */
export interface AcquireOptions {
  readonly lock?: string;
  readonly mode?: LockMode;
  readonly semaphore?: string;
  readonly permits?: number;
  readonly capacity?: number;
  readonly waitMs?: number;
  readonly lockDelayMs?: number;
  readonly maxHoldMs?: number;
  readonly owner?: string;
}

function requested({ lock, mode, semaphore, permits, capacity }: AcquireOptions): ResourceRequest {
  return semaphore === undefined
    ? { kind: "lock", name: lock ?? "a", mode: mode ?? "exclusive" }
    : { kind: "semaphore", name: semaphore, permits: permits ?? 1, capacity };
}

export class Bench {
  readonly state: LockState = createLockState();
  readonly log: AppliedEntry[] = [];
  changes: readonly ClaimChange[] = [];
  /** Cluster time of the next entry. */
  time = 0;

  constructor(settings: Partial<Settings> = {}, isFounded = true) {
    this.term();
    if (isFounded) {
      this.do({
        kind: "found",
        clusterId: "test",
        firstFence,
        settings: { ...defaultSettings, ...settings },
      });
    }
  }

  /** The empty entry that opens a term. It repeats the last stamp: what time was not logged is forgotten. */
  term(): void {
    this.time = this.state.now;
    this.#apply(undefined);
  }

  do(proposal: Proposal): Outcome {
    return this.#apply({ ...proposal, wallMs: 1_700_000_000_000 + this.time } as Command).outcome;
  }

  #apply(command: Command | undefined): Applied {
    const entry = { index: this.state.revision + 1, time: this.time, command };
    this.log.push(entry);
    const applied = apply(this.state, entry);
    this.changes = applied.changes;
    checkLockState(this.state);
    return applied;
  }

  /** Lets time pass and logs it. */
  pass(ms: number): void {
    this.time += ms;
    this.do({ kind: "advance-time" });
  }

  open(id: string, options: { ttlMs?: number; lockDelayMs?: number; label?: string } = {}): Outcome {
    return this.do({
      kind: "open-session",
      sessionId: id,
      sessionRef: `${id}-ref`.padEnd(16, "0"),
      ttlMs: options.ttlMs ?? 10_000,
      lockDelayMs: options.lockDelayMs,
      label: options.label ?? id,
      metadata: [],
    });
  }

  isKnown(id: string): boolean {
    return this.state.sessions.has(id) || this.state.tombstones.has(id);
  }

  session(id: string): Session {
    const session = this.state.sessions.get(id) ?? this.state.tombstones.get(id);
    if (session === undefined) throw new Error(`no session ${id}`);
    return session;
  }

  keep(id: string, seen = 0): Outcome {
    return this.do({ kind: "keep-alive", items: [{ sessionId: id, seen }] });
  }

  close(id: string): Outcome {
    return this.do({ kind: "close-session", sessionId: id });
  }

  acquire(sessionId: string, claimId: string, options: AcquireOptions = {}): Outcome {
    return this.do({
      kind: "acquire",
      sessionId,
      claimId,
      resources: [requested(options)],
      waitMs: options.waitMs ?? 0,
      lockDelayMs: options.lockDelayMs,
      maxHoldMs: options.maxHoldMs,
      owner: options.owner,
      metadata: [],
      cancelOnDisconnect: true,
    });
  }

  release(sessionId: string, claimId: string): Outcome {
    return this.do({ kind: "release", sessionId, claimId });
  }

  shrink(sessionId: string, claimId: string, permits: number): Outcome {
    return this.do({ kind: "shrink", sessionId, claimId, permits });
  }

  kill(sessionId: string): Outcome {
    return this.do({ kind: "kill-session", sessionRef: this.session(sessionId).ref, note: "a test" });
  }

  /** Sets a semaphore; without a capacity, deletes it. */
  semaphore(name: string, capacity: number | undefined): Outcome {
    return capacity === undefined
      ? this.do({ kind: "delete-semaphore", name })
      : this.do({ kind: "set-semaphore", name, capacity });
  }

  cancel(claimId: string, fence?: number): Outcome {
    return this.do({ kind: "cancel", claimId, fence });
  }

  claim(id: string): Claim {
    const claim = this.state.claims.get(id);
    if (claim === undefined) throw new Error(`no claim ${id}`);
    return claim;
  }

  /** What keeps a name back, in the order of the ends that left it. */
  barriers(name: string): readonly { readonly until: number; readonly reason: string }[] {
    return Array.from(this.state.resources.get(name)?.barriers ?? [], (barrier) => ({
      until: barrierEnd(barrier),
      reason: barrier.handBackUntil > barrier.delayUntil ? "hand-back" : "lock-delay",
    }));
  }

  /** `state` of a claim, with the reason when it ended. */
  how(id: string): string {
    const claim = this.claim(id);
    return claim.end === undefined ? claim.state : `ended: ${claim.end.reason}`;
  }
}
