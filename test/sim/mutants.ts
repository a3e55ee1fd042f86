/**
 * Deliberately broken variants. Each is a patch of a source file: the product has no switch for being wrong.
 * The simulator must catch every one, by the rule it names; a checker that never failed proves nothing.
 */
import type { Plan } from "./plan.ts";

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Exact text to find (once) and what stands there instead. */
  readonly changes: readonly (readonly [find: string, put: string])[];
  /** Rules of which the first violation must be one. */
  readonly killedBy: readonly string[];
  /** A seed that is known to kill it, found by a search from 1. */
  readonly seed: number;
  /** Parts of the plan to force: what this bug needs to show. The unbroken code must pass under it too. */
  readonly plan?: Partial<Plan>;
}

export const mutants: readonly Mutant[] = [
  {
    name: "the vote is forgotten at restart",
    file: "src/raft/raft.ts",
    changes: [["votedFor: start.hardState.votedFor,", "votedFor: undefined,"]],
    killedBy: ["one-vote-per-term", "one-leader-per-term"],
    seed: 2,
    plan: {
      faults: ["crash", "fuse"],
      members: 5,
      loss: 0.1,
      delayMax: 600,
      reorder: true,
      downMaxMs: 30,
      faultyMs: 60_000,
    },
  },
  {
    name: "acknowledged before sync",
    file: "src/node/driver.ts",
    changes: [
      [
        "const { hardState, truncateFrom, entries } = job;",
        "const { hardState, truncateFrom, entries } = job;\n    for (const { to, message } of job.thenSend) this.#host.send(to, message);",
      ],
    ],
    killedBy: ["durable-before-sent"],
    seed: 1,
  },
  {
    name: "an older term is committed by counting",
    file: "src/raft/replication.ts",
    changes: [
      [
        "if (reached <= state.commitIndex || termAt(state.log, reached) !== state.currentTerm) return;",
        "if (reached <= state.commitIndex) return;",
      ],
    ],
    killedBy: ["no-crash", "one-entry-per-index"],
    seed: 9,
  },
  {
    name: "a leader expires sessions from its memory",
    file: "src/node/driver.ts",
    changes: [
      [
        "const now = this.#stamp();",
        "const now = this.#stamp();\n    for (const session of this.#state.sessions.values()) if (session.expiresAt <= now) this.#state.sessions.delete(session.id);",
      ],
    ],
    killedBy: ["I12-state-hash", "lock-invariants", "no-crash"],
    seed: 2,
  },
  {
    name: "the queue is last in, first out",
    file: "src/locks/resources.ts",
    changes: [
      [
        "for (const claim of resource.queue) {\n    if (isGrantable(claim)) return claim;",
        "for (const claim of [...resource.queue].reverse()) {\n    if (isGrantable(claim)) return claim;",
      ],
      [
        'if (claimed.mode !== "shared") return claimed.resource.queue.first() !== waiter;',
        'if (claimed.mode !== "shared") return false;',
      ],
    ],
    killedBy: ["I6-fifo"],
    seed: 1,
  },
  {
    name: "a reset is taken as evidence that the leader is lost",
    file: "test/sim/world.ts",
    changes: [
      [
        "this.#showDeath(observer, other);\n  }\n\n  readonly #lastingCuts",
        "observer.receive((driver) => driver.leaderLost(other.id));\n  }\n\n  readonly #lastingCuts",
      ],
    ],
    killedBy: ["leader-stays"],
    seed: 8,
  },
  {
    name: "a batch is stamped when it opens",
    file: "src/node/driver.ts",
    changes: [
      [
        "this.#queue.addKeepAlive(item,",
        "this.#batchStamp ??= this.#stamp();\n    this.#queue.addKeepAlive(item,",
      ],
      ["  #isWriting = false;", "  #isWriting = false;\n  #batchStamp: number | undefined;"],
      [
        "const result = this.#raft.propose(bytes, this.#stamp());",
        "const result = this.#raft.propose(bytes, Math.max(this.#batchStamp ?? this.#stamp(), this.#raft.lastTime()));\n    this.#batchStamp = undefined;",
      ],
    ],
    killedBy: ["I10-expiry-too-early", "I10-belief"],
    seed: 10,
    plan: {
      faults: ["disk-stall", "client-cut", "client-pause"],
      loss: 0,
      members: 3,
      faultyMs: 60_000,
      diskMaxMs: 0.5,
    },
  },
  {
    name: "a terminal answer comes from local state",
    file: "src/node/driver.ts",
    changes: [
      [
        "this.#queue.addKeepAlive(item,",
        'if (!this.#state.sessions.has(item.sessionId)) return reply({ kind: "applied", outcome: { kind: "session-unknown" }, revision: 0 });\n    this.#queue.addKeepAlive(item,',
      ],
    ],
    killedBy: ["terminal-answers-are-true"],
    seed: 1,
    plan: { faults: ["crash", "disk-stall"], members: 1, downMaxMs: 30, diskMaxMs: 10, faultyMs: 60_000 },
  },
  {
    // Found by the simulator in its first run, as a fault of ours; kept as a patch so that it stays found.
    name: "a cancel that came too late ends the doom of an unheard-of grant",
    file: "src/node/driver.ts",
    changes: [["if (fence !== undefined) this.#dooms.remove(claimId);", "this.#dooms.remove(claimId);"]],
    killedBy: ["I10-belief"],
    seed: 129,
  },
  {
    // A fault of ours, found by a hostile review: the simulated clients of then never hung up on a hold they had.
    name: "a grant of an older term is given back",
    file: "src/node/attachments.ts",
    changes: [
      [
        "if (this.#tenureFrom === undefined || claim.grant.revision < this.#tenureFrom)",
        "if (this.#tenureFrom === -1)",
      ],
    ],
    killedBy: ["I10-belief"],
    seed: 1,
    plan: {
      faults: ["transfer"],
      locks: 1,
      clients: 7,
      members: 3,
      loss: 0,
      faultyMs: 60_000,
      cancelOnDisconnect: true,
    },
  },
  {
    name: "the head of the queue is forgotten when a lock is released",
    file: "src/locks/claims.ts",
    changes: [
      [
        'endClaim(state, claim, { reason, at: state.now, refusal: undefined }, touched);\n  return { kind: "released", claim };',
        'endClaim(state, claim, { reason, at: state.now, refusal: undefined }, new Set());\n  return { kind: "released", claim };',
      ],
    ],
    killedBy: ["lock-invariants", "I6-handed-on"],
    seed: 1,
  },
  {
    name: "a shared claim passes an exclusive one that waits",
    file: "src/locks/resources.ts",
    changes: [
      ["if (lock.exclusiveWaiters === 0) return false;", "return false;"],
      ["? resource.exclusiveWaiters > 0", "? false"],
    ],
    killedBy: ["I6-fifo"],
    seed: 1,
  },
  {
    name: "a killed session hands nothing back",
    file: "src/locks/endings.ts",
    changes: [["isHandedBack ? session.expiresAt : 0", "0"]],
    killedBy: ["I10-belief"],
    seed: 7,
  },
  {
    name: "permits that cool are given out",
    file: "src/locks/barriers.ts",
    changes: [["return capacity - held - cooling;", "return capacity - held - 0 * cooling;"]],
    killedBy: ["I10-belief", "lock-invariants"],
    seed: 8,
  },
];
