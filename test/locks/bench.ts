/** A lock machine with a log of its own: each call is one entry, at the time that the test says. */

import type { Command } from "../../src/locks/commands.ts";
import { checkLockState } from "../../src/locks/invariants.ts";
import { type Applied, type AppliedEntry, apply, createLockState } from "../../src/locks/machine.ts";
import type { Outcome } from "../../src/locks/outcomes.ts";
import type { Claim, ClaimChange, LockState, Session } from "../../src/locks/records.ts";
import { defaultSettings, type Settings } from "../../src/locks/settings.ts";
import type { Proposal } from "../../src/node/contract.ts";

export const firstFence = 1_000;

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

  acquire(
    sessionId: string,
    claimId: string,
    options: { lock?: string; waitMs?: number; lockDelayMs?: number } = {},
  ): Outcome {
    return this.do({
      kind: "acquire",
      sessionId,
      claimId,
      resources: [{ kind: "lock", name: options.lock ?? "a", mode: "exclusive" }],
      waitMs: options.waitMs ?? 0,
      lockDelayMs: options.lockDelayMs,
      metadata: [],
      cancelOnDisconnect: true,
    });
  }

  release(sessionId: string, claimId: string): Outcome {
    return this.do({ kind: "release", sessionId, claimId });
  }

  cancel(claimId: string, fence?: number): Outcome {
    return this.do({ kind: "cancel", claimId, fence });
  }

  claim(id: string): Claim {
    const claim = this.state.claims.get(id);
    if (claim === undefined) throw new Error(`no claim ${id}`);
    return claim;
  }

  /** `state` of a claim, with the reason when it ended. */
  how(id: string): string {
    const claim = this.claim(id);
    return claim.end === undefined ? claim.state : `ended: ${claim.end.reason}`;
  }
}
