/**
 * Deliberately broken variants. Each is a patch of a source file: the product has no switch for being wrong.
 * The simulator must catch every one, by a rule it names; a checker that never failed proves nothing. With which seed
 * stands in `mutants.json`, found by a search from 2 on; `npm run mutants` runs them all.
 */
import type { Plan } from "./plan.ts";

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Exact text to find (once) and what stands there instead. */
  readonly changes: readonly (readonly [find: string, put: string])[];
  /** Rules of which the first violation must be one. */
  readonly killedBy: readonly string[];
  /** Parts of the plan to force: what this bug needs to show. The unbroken code must pass under it too. */
  readonly plan?: Partial<Plan>;
}

/** The first seed that kills a mutant, and the rule that it breaks. */
export interface Kill {
  readonly seed: number;
  readonly rule: string;
}

/** By name. */
export type Kills = Readonly<Record<string, Kill>>;

/** A mutant that survives more seeds than that is not caught. */
export const seedsMax = 500;

/** The text of its file with the bug in it. Throws when a place is not there, or there twice. */
export function applyMutant({ name, file, changes }: Mutant, text: string): string {
  return changes.reduce((patched, [find, put]) => {
    const count = patched.split(find).length - 1;
    if (count !== 1) throw new Error(`${name}: "${find}" stands ${count} times in ${file}`);
    return patched.replace(find, () => put);
  }, text);
}

export const mutants: readonly Mutant[] = [
  {
    name: "the vote is forgotten at restart",
    file: "src/raft/raft.ts",
    changes: [
      ["votedFor: start.hardState.votedFor,", "votedFor: undefined,"],
      [
        "durableHardState: start.hardState,",
        "durableHardState: { ...start.hardState, votedFor: undefined },",
      ],
    ],
    killedBy: ["no-crash", "one-vote-per-term", "one-leader-per-term"],
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
        "const { hardState, truncateFrom, entries, snapshot } = job;",
        "const { hardState, truncateFrom, entries, snapshot } = job;\n    for (const { to, message } of job.thenSend) this.#host.send(to, message);",
      ],
    ],
    killedBy: ["durable-before-sent"],
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
  },
  {
    name: "a reset is taken as evidence that the leader is lost",
    file: "test/sim/world.ts",
    changes: [
      [
        "this.#showDeath(observer, other);\n  }\n\n  mayLose",
        "observer.receive((driver) => driver.leaderLost(other.id));\n  }\n\n  mayLose",
      ],
    ],
    killedBy: ["leader-stays"],
    plan: {
      faults: ["reset"],
      loss: 0,
      delayMax: 1.5,
      diskMaxMs: 0.5,
      members: 3,
      drift: 0,
      inflight: 64,
      everyMs: 600,
    },
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
    killedBy: ["L5-linearizability", "I10-expiry-too-early", "I10-belief", "truth-cause"],
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
    killedBy: ["terminal-answers-are-true", "acknowledged-means-durable", "truth-gone"],
    plan: { faults: ["crash", "disk-stall"], members: 1, downMaxMs: 30, diskMaxMs: 10, faultyMs: 60_000 },
  },
  {
    // Found by the simulator in its first run, as a fault of ours; kept as a patch so that it stays found.
    name: "a cancel that came too late ends the doom of an unheard-of grant",
    file: "src/node/driver.ts",
    changes: [["if (fence !== undefined) this.#dooms.remove(claimId);", "this.#dooms.remove(claimId);"]],
    killedBy: ["L12-given-back-unheard", "I10-belief", "L5-linearizability"],
    plan: {
      faults: [],
      cancelOnDisconnect: true,
      impatience: 0.5,
      strays: 0.1,
      locks: 1,
      pools: 0,
      clients: 7,
      threads: 3,
      members: 3,
      loss: 0,
      holdMs: 50,
      thinkMs: 1,
      diskMaxMs: 40,
      appendBytesMax: 1 << 20,
      inflight: 64,
      ownIds: false,
    },
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
    plan: {
      faults: ["transfer"],
      locks: 4,
      clients: 7,
      threads: 3,
      members: 3,
      loss: 0,
      faultyMs: 60_000,
      everyMs: 300,
      holdMs: 3_000,
      diskMaxMs: 10,
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
    // Of such a state no snapshot can be read.
    plan: { snapshotEveryBytes: 1 << 28 },
  },
  {
    name: "a shared claim passes an exclusive one that waits",
    file: "src/locks/resources.ts",
    changes: [
      ["if (lock.exclusiveWaiters === 0) return false;", "return false;"],
      ["? resource.exclusiveWaiters > 0", "? false"],
    ],
    killedBy: ["I6-fifo"],
  },
  {
    name: "a killed session hands nothing back",
    file: "src/locks/endings.ts",
    changes: [["isHandedBack ? session.expiresAt : 0", "0"]],
    killedBy: ["I8-lock-delay", "I10-belief"],
  },
  {
    name: "permits that cool are given out",
    file: "src/locks/barriers.ts",
    changes: [["return capacity - held - cooling;", "return capacity - held - 0 * cooling;"]],
    killedBy: ["I8-lock-delay", "I10-belief", "lock-invariants"],
  },
  // ---- Raft ----
  {
    name: "a vote leaves before it is written",
    file: "src/raft/state.ts",
    changes: [
      [
        "return isHardStateDurable(state) && restsOn <= state.durableIndex;",
        'return (message.kind === "vote-response" || isHardStateDurable(state)) && restsOn <= state.durableIndex;',
      ],
    ],
    killedBy: ["durable-before-sent"],
  },
  {
    name: "a campaign's term leaves before it is written",
    file: "src/raft/state.ts",
    changes: [
      [
        "return isHardStateDurable(state) && restsOn <= state.durableIndex;",
        'return (message.kind === "vote" || isHardStateDurable(state)) && restsOn <= state.durableIndex;',
      ],
    ],
    killedBy: ["durable-before-sent"],
  },
  {
    name: "a longer log is taken for a newer one",
    file: "src/raft/log.ts",
    changes: [
      [
        "return lastLogTerm > ownTerm || (lastLogTerm === ownTerm && lastLogIndex >= lastIndex(log));",
        "return lastLogIndex >= lastIndex(log) || (lastLogTerm > ownTerm && lastLogIndex >= lastIndex(log));",
      ],
    ],
    killedBy: ["no-crash", "one-entry-per-index", "acknowledged-means-durable"],
    plan: {
      faults: ["leader-from-peers", "crash", "crash-all", "fuse"],
      members: 3,
      loss: 0,
      clients: 7,
      threads: 3,
      thinkMs: 0,
      holdMs: 10,
      everyMs: 600,
      downMaxMs: 60,
      tickMs: 20,
      electionTicks: 10,
      ttlMs: 1_600,
      faultyMs: 60_000,
    },
  },
  {
    name: "a vote for whoever asks",
    file: "src/raft/log.ts",
    changes: [
      [
        "return lastLogTerm > ownTerm || (lastLogTerm === ownTerm && lastLogIndex >= lastIndex(log));",
        "return lastLogTerm > ownTerm || lastLogIndex >= 0;",
      ],
    ],
    killedBy: ["no-crash", "one-entry-per-index", "acknowledged-means-durable"],
  },
  {
    name: "two votes in one term",
    file: "src/raft/election.ts",
    changes: [
      [
        "state.votedFor !== undefined && state.votedFor !== from",
        "state.votedFor === state.config.self && state.votedFor !== from",
      ],
    ],
    killedBy: ["no-crash", "one-vote-per-term", "one-leader-per-term"],
  },
  {
    name: "a refused vote is counted",
    file: "src/raft/election.ts",
    changes: [
      [
        'if (state.role !== "candidate" || response.term !== state.currentTerm) return;\n  state.votes.set(from, response.granted);',
        'if (state.role !== "candidate" || response.term !== state.currentTerm) return;\n  state.votes.set(from, true);',
      ],
    ],
    killedBy: ["one-leader-per-term", "no-crash"],
  },
  {
    name: "half of the members are a majority",
    file: "src/raft/configuration.ts",
    changes: [
      [
        "return Math.floor(configuration.voters.length / 2) + 1;",
        "return Math.floor(configuration.voters.length / 2);",
      ],
    ],
    killedBy: ["one-leader-per-term", "no-crash"],
  },
  {
    name: "the logs are not compared before appending",
    file: "src/raft/replication.ts",
    changes: [
      [
        "if (termAt(state.log, prevLogIndex) !== request.prevLogTerm) {",
        "if (termAt(state.log, prevLogIndex) === undefined) {",
      ],
    ],
    killedBy: ["no-crash"],
    plan: {
      faults: ["leader-from-peers", "crash", "crash-all", "fuse"],
      members: 3,
      loss: 0,
      clients: 7,
      threads: 3,
      thinkMs: 0,
      holdMs: 10,
      everyMs: 600,
      downMaxMs: 60,
      tickMs: 20,
      electionTicks: 10,
      ttlMs: 1_600,
      faultyMs: 60_000,
    },
  },
  {
    name: "a log is cut where nothing conflicts",
    file: "src/raft/replication.ts",
    changes: [
      [
        "if (heldTerm === entry.term) return;",
        "if (heldTerm === entry.term && entry.index <= state.commitIndex) return;",
      ],
    ],
    killedBy: ["acknowledged-means-durable", "no-crash", "durable-before-sent", "one-entry-per-index"],
  },
  {
    name: "a leader counts its own entries before they are written",
    file: "src/raft/replication.ts",
    changes: [
      [
        "(voter) => progressOf(state, voter).matchIndex);",
        "(voter) => (voter === state.config.self ? lastIndex(state.log) : progressOf(state, voter).matchIndex));",
      ],
    ],
    killedBy: ["acknowledged-means-durable", "no-crash"],
  },
  {
    name: "a heartbeat commits what the follower may not have",
    file: "src/raft/replication.ts",
    changes: [
      [
        "leaderCommit: Math.min(matchIndex, state.commitIndex),",
        "leaderCommit: Math.max(Math.min(matchIndex, 0), state.commitIndex),",
      ],
    ],
    killedBy: ["one-entry-per-index", "no-crash"],
  },
  {
    name: "a write under way counts for the entries that replaced its own",
    file: "src/raft/durability.ts",
    changes: [
      [
        "if (state.job !== undefined) state.job.durableIndexAfter =",
        "if (state.job?.jobId === -1) state.job.durableIndexAfter =",
      ],
    ],
    killedBy: ["durable-before-sent", "acknowledged-means-durable", "no-crash"],
    plan: {
      faults: ["leader-from-peers", "crash", "crash-all", "disk-stall"],
      members: 3,
      diskMaxMs: 10,
      loss: 0,
      clients: 7,
      threads: 3,
      thinkMs: 0,
      holdMs: 10,
      everyMs: 600,
      downMaxMs: 60,
      tickMs: 20,
      electionTicks: 10,
      ttlMs: 1_600,
      faultyMs: 60_000,
    },
  },
  {
    name: "a new leader reads before an entry of its term is committed",
    file: "src/raft/reads.ts",
    changes: [
      ["if (state.commitIndex < state.termStartIndex) return;\n", ""],
      ["read.index !== undefined && read.index >= state.termStartIndex,", "read.index !== undefined,"],
    ],
    killedBy: ["R10-stale-read", "witness-order"],
  },
  {
    name: "a leader without a majority goes on",
    file: "src/raft/raft.ts",
    changes: [
      [
        "if (state.ticks - lastProof > electionTicks) {",
        "if (state.ticks - lastProof > 1_000 * electionTicks) {",
      ],
    ],
    killedBy: ["check-quorum"],
    plan: {
      faults: ["isolate-leader", "leader-from-peers"],
      members: 3,
      tickMs: 100,
      electionTicks: 10,
      ttlMs: 8_000,
    },
  },
  {
    name: "an answer of an older term counts",
    file: "src/raft/raft.ts",
    changes: [
      [
        'case "append-response":\n      if (isFromNewerTerm(state, message.term) || message.term < state.currentTerm) return;',
        'case "append-response":\n      if (isFromNewerTerm(state, message.term)) return;',
      ],
    ],
    killedBy: ["no-crash", "acknowledged-means-durable", "one-entry-per-index"],
    plan: {
      faults: ["transfer", "slow-link"],
      members: 3,
      loss: 0,
      everyMs: 150,
      delayMax: 60,
      reorder: true,
      duplication: 0.3,
      tickMs: 20,
      electionTicks: 10,
      ttlMs: 1_600,
    },
  },
  // ---- storage ----
  {
    name: "a failed commit is reported as done",
    file: "src/storage/durable-steps.ts",
    changes: [["if (error !== undefined) return this.#finish(this.#fail(error), done);", "void error;"]],
    killedBy: ["durable-before-sent", "acknowledged-means-durable", "restart-finds-all", "no-crash"],
  },
  {
    name: "a failed sync is tried again",
    file: "src/storage/durable-steps.ts",
    changes: [
      [
        "if (error !== undefined) return this.#finish(this.#fail(error), done);",
        "if (error !== undefined)\n          return this.#parts.store.commit(\n            (batch) => this.#fill(batch, step, gone, head),\n            (again) => {\n              if (again !== undefined) return this.#finish(this.#fail(again), done);\n              this.#follow(step, end);\n              this.#stored(head, done);\n            },\n          );",
      ],
    ],
    killedBy: ["restart-finds-all", "no-crash"],
    plan: { faults: ["sync-error", "crash"], members: 3 },
  },
  {
    name: "what was cut stays on the disk",
    file: "src/storage/durable-steps.ts",
    changes: [
      [
        "if (from !== undefined) deleteRange(batch, { from, to: this.#end.index });",
        "if (from !== undefined) deleteRange(batch, { from, to: from - 1 });",
      ],
    ],
    killedBy: ["restart-finds-all", "acknowledged-means-durable", "no-crash"],
    plan: {
      faults: ["leader-from-peers", "crash", "crash-all", "fuse"],
      members: 3,
      loss: 0,
      clients: 7,
      threads: 3,
      thinkMs: 0,
      holdMs: 10,
      everyMs: 600,
      downMaxMs: 60,
      tickMs: 20,
      electionTicks: 10,
      ttlMs: 1_600,
      faultyMs: 60_000,
    },
  },
  {
    name: "the anchor runs ahead of the store",
    file: "src/storage/durable-steps.ts",
    changes: [["const [gone, stale] = divide(", "this.#head = head;\n    const [gone, stale] = divide("]],
    killedBy: ["restart-finds-all"],
    plan: { faults: ["crash", "fuse", "disk-stall"], diskMaxMs: 10, everyMs: 600 },
  },
  {
    name: "a lost step is not missed at start",
    file: "src/storage/directory-check.ts",
    changes: [
      ["if (head.step < state.step) {", "if (head.step < 0) {"],
      ["vote, step: head.step }, done);", "vote, step: Math.max(head.step, anchor.state.step) }, done);"],
    ],
    killedBy: ["restart-finds-all"],
    plan: { faults: ["bit-rot", "crash"], members: 5, everyMs: 600 },
  },
  {
    name: "the checksums of the write-ahead log are not looked at",
    file: "src/storage/level-log.ts",
    changes: [
      [
        "if (view.getUint32(at, true) !== maskedCrc(view, at + 6, next)) return undefined;",
        "if (maskedCrc(view, at + 6, next) < 0) return undefined;",
      ],
    ],
    killedBy: ["restart-finds-all", "no-crash"],
    plan: { faults: ["crash", "fuse"] },
  },
  {
    name: "a torn end is taken for damage",
    file: "src/storage/level-log.ts",
    changes: [
      [
        'return { kind: goesOn ? "damaged" : "torn", batches, at: from };',
        'return { kind: "damaged", batches: goesOn ? batches : 0, at: from };',
      ],
    ],
    killedBy: ["restart-finds-all"],
  },
  // ---- snapshots ----
  {
    name: "a snapshot counts before it is on the disk",
    file: "src/node/snapshot-maker.ts",
    changes: [
      [
        "file.finish((unfinished) => {",
        "file.finish(() => undefined);\n        [undefined as Error | undefined].forEach((unfinished) => {",
      ],
    ],
    killedBy: ["restart-finds-all", "acknowledged-means-durable", "no-crash"],
    plan: { faults: ["crash", "fuse", "crash-all"], snapshotEveryBytes: 700, diskMaxMs: 10, everyMs: 600 },
  },
  {
    name: "a fetched snapshot counts before it is on the disk",
    file: "src/node/snapshots.ts",
    changes: [
      [
        "file.finish((error) =>",
        "file.finish(() => undefined);\n    [undefined as Error | undefined].forEach((error) =>",
      ],
    ],
    killedBy: ["restart-finds-all", "acknowledged-means-durable", "no-crash"],
    plan: {
      faults: ["crash", "fuse", "isolate-leader"],
      members: 3,
      clients: 3,
      threads: 1,
      thinkMs: 200,
      snapshotEveryBytes: 2_000,
      snapshotPartBytes: 1 << 16,
      diskMaxMs: 10,
      everyMs: 600,
      faultyMs: 20_000,
      downMaxMs: 4_000,
    },
  },
  {
    name: "a snapshot is of the moment when it is written",
    file: "src/node/snapshot-maker.ts",
    changes: [
      [
        "if (entry.index <= header.last.index) applyTo(state, entry);",
        "if (entry.index < header.last.index) applyTo(state, entry);\n      state.revision = header.last.index;\n      state.now = header.last.time;",
      ],
    ],
    killedBy: ["I12-state-hash", "lock-invariants", "no-crash"],
    plan: { faults: ["crash", "isolate-leader"], snapshotEveryBytes: 2_000 },
  },
  {
    name: "a snapshot forgets who is being delayed",
    file: "src/locks/image.ts",
    changes: [
      [
        "  for (const barrier of state.barriers.values()) yield barrierImage(barrier);",
        "  if (state.fence < 0) for (const barrier of state.barriers.values()) yield barrierImage(barrier);",
      ],
    ],
    killedBy: ["I12-state-hash", "I8-lock-delay", "restart-finds-all"],
    plan: { faults: ["crash", "client-crash"], snapshotEveryBytes: 700, lockDelayMs: 1_000, everyMs: 600 },
  },
  {
    name: "an install counts as durable at once",
    file: "src/raft/durability.ts",
    changes: [
      [
        "  state.durableIndex = 0;\n  const { job } = state;",
        "  state.durableIndex = last;\n  const { job } = state;",
      ],
    ],
    killedBy: ["durable-before-sent", "acknowledged-means-durable", "no-crash"],
    plan: { faults: ["crash", "isolate-leader"], snapshotEveryBytes: 700, members: 3, diskMaxMs: 10 },
  },
  {
    name: "the snapshot that the log begins behind is removed",
    file: "src/node/driver.ts",
    changes: [
      [
        "this.#snapshots.noteBoundary(job.snapshot.boundary.index)",
        "this.#snapshots.noteBoundary(job.snapshot.last.index + 1)",
      ],
    ],
    killedBy: ["restart-finds-all", "acknowledged-means-durable", "no-crash"],
    plan: { faults: ["crash"], snapshotEveryBytes: 2_000 },
  },
  {
    name: "the log is given up to the newest snapshot before that is on the disk",
    file: "src/node/snapshots.ts",
    changes: [
      [
        '    host.trace({ kind: "snapshot-begun", index: last.index, entries: last.index - base });\n',
        '    host.trace({ kind: "snapshot-begun", index: last.index, entries: last.index - base });\n    host.taken(last);\n',
      ],
    ],
    killedBy: ["restart-finds-all", "acknowledged-means-durable", "no-crash"],
    plan: { faults: ["crash"], snapshotEveryBytes: 2_000 },
  },
  // ---- the driver ----
  {
    name: "a keepalive is answered when it came, not when it applied",
    file: "src/node/driver.ts",
    changes: [
      [
        'this.#queue.addKeepAlive(item, (fate) => reply(fate.kind === "applied" ? fate : this.#unanswered(fate)));',
        'const session = this.#state.sessions.get(item.sessionId);\n    if (session !== undefined) {\n      const outcome = { kind: "renewed", session, unseenEnds: session.unseenEnds } as const;\n      reply({ kind: "applied", outcome, revision: this.#state.revision });\n    }\n    this.#queue.addKeepAlive(item, (fate) => {\n      if (session === undefined) reply(fate.kind === "applied" ? fate : this.#unanswered(fate));\n    });',
      ],
    ],
    killedBy: ["I10-expiry-too-early", "I10-belief", "witness-order", "L9-never-early"],
  },
  {
    name: "cluster time is the wall clock of whoever leads",
    file: "src/node/driver.ts",
    changes: [
      [
        "#stamp(): number {\n    return this.#clock.stamp({",
        "#stamp(): number {\n    if (this.#isTimeProposed !== undefined) return Math.floor(Math.max(this.#raft.lastTime(), this.#host.wallMs()));\n    return this.#clock.stamp({",
      ],
    ],
    killedBy: [
      "L5-linearizability",
      "I10-expiry-too-early",
      "I10-belief",
      "L9-never-early",
      "truth-cause",
      "truth-gone",
    ],
  },
  {
    name: "cluster time runs a fifth too fast",
    file: "src/node/clock.ts",
    changes: [
      [
        "if (mayRun) value += Math.min(passed, stepMaxMs);",
        "if (mayRun) value += 1.2 * Math.min(passed, stepMaxMs);",
      ],
    ],
    killedBy: ["L5-linearizability", "I10-expiry-too-early", "L9-never-early", "truth-cause", "I6-fifo"],
    plan: { faults: ["client-cut", "client-pause"], lockDelayMs: 0, members: 3, loss: 0 },
  },
  {
    name: "the answers of one batch go to each other's callers",
    file: "src/node/driver.ts",
    changes: [
      [
        "this.#pending.add(result.index + i, result.term, waiter);",
        "this.#pending.add(result.index + batch.length - 1 - i, result.term, waiter);",
      ],
    ],
    killedBy: ["no-500", "no-crash", "truth-code", "witness-claim", "witness-order"],
  },
  {
    name: "each member applies by the settings of its own file",
    file: "src/node/driver.ts",
    changes: [
      [
        "this.#host.applied?.(entry, outcome);",
        "if (this.#state.settings !== undefined) this.#state.settings = this.#options.settings;\n    this.#host.applied?.(entry, outcome);",
      ],
    ],
    killedBy: ["I12-state-hash"],
  },
  {
    name: "a read shows a grant that is being given back",
    file: "src/node/driver.ts",
    changes: [
      [
        "if (this.#dooms.isEmpty) this.#reads.answerReady(",
        "if (this.#reads !== undefined) this.#reads.answerReady(",
      ],
    ],
    killedBy: ["L12-given-back-unheard", "I10-belief", "L5-linearizability"],
    plan: {
      faults: [],
      cancelOnDisconnect: true,
      impatience: 0.5,
      strays: 0.1,
      locks: 1,
      pools: 0,
      clients: 7,
      threads: 3,
      members: 3,
      loss: 0,
      holdMs: 50,
      thinkMs: 1,
      diskMaxMs: 40,
      appendBytesMax: 1 << 20,
      inflight: 64,
      ownIds: false,
    },
  },
  {
    name: "whoever is away for a moment loses its place",
    file: "src/node/attachments.ts",
    changes: [
      ["if (monotonicMs - since < graceMs) break;", "if (monotonicMs - since < graceMs / 100) break;"],
    ],
    killedBy: ["truth-code", "truth-cause", "I6-fifo"],
  },
  {
    name: "a hold that was told is taken for unheard of",
    file: "src/node/attachments.ts",
    changes: [["this.#answered.add(claim.id);\n    // Its client is told", "// Its client is told"]],
    killedBy: ["L12-given-back-unheard", "I10-belief", "truth-cause"],
  },
  // ---- the machine ----
  {
    name: "whoever is due is granted still",
    file: "src/locks/grants.ts",
    changes: [
      [
        "function settleProspects(state: LockState, touched: Set<Resource>): void {\n  if (!isBehind(state)) return;",
        "function settleProspects(state: LockState, touched: Set<Resource>): void {\n  if (!isBehind(state) || state.now >= 0) return;",
      ],
      ["assert(claim.session.expiresAt > state.now,", "assert(claim.session.expiresAt > 0,"],
      ["assert(ownDeadline(claim) > state.now,", "assert(ownDeadline(claim) > 0,"],
    ],
    killedBy: ["I5-dead-session"],
  },
  {
    name: "permits die with their session",
    file: "src/locks/endings.ts",
    changes: [
      [
        'if (claimed.mode === "permits") claimed.resource.held -= claimed.kept;',
        'if (claimed.mode === "permits") claimed.resource.held -= claim.session.end?.reason === "expired" ? 0 : claimed.kept;',
      ],
    ],
    killedBy: ["I6-handed-on", "lock-invariants"],
  },
  {
    name: "permits never get warm again",
    file: "src/locks/barriers.ts",
    changes: [
      [
        'if (claimed.mode === "permits") claimed.resource.cooling -= claimed.kept;',
        'if (claimed.mode === "permits") claimed.resource.cooling -= 0 * claimed.kept;',
      ],
    ],
    killedBy: ["I6-handed-on", "lock-invariants"],
  },
  {
    name: "the first of two readers frees the lock",
    file: "src/locks/endings.ts",
    changes: [
      [
        "else if (claimed.resource.holders.size === 0) claimed.resource.mode = undefined;",
        "else claimed.resource.mode = undefined;",
      ],
    ],
    killedBy: ["no-crash", "I1-exclusion", "lock-invariants"],
  },
  {
    name: "a used id is forgotten without a trace",
    file: "src/locks/endings.ts",
    changes: [
      ["if (number !== undefined && number > claim.session.forgottenUpTo) claim", "if (number === -1) claim"],
    ],
    killedBy: ["no-ghost-grants", "I4-one-end", "I9-same-claim"],
    plan: { strays: 0.05, ownIds: false },
  },
  {
    name: "an acquire that was denied is not remembered",
    file: "src/locks/claims.ts",
    changes: [
      [
        "recordEnded(state, session, { id: claimId, asked: resources, owner, end });",
        'if (claimId === "") recordEnded(state, session, { id: claimId, asked: resources, owner, end });',
      ],
    ],
    killedBy: ["no-ghost-grants", "I4-one-end", "I9-same-claim"],
    plan: { strays: 0.05 },
  },
  {
    name: "a try that was refused may be granted later",
    file: "src/locks/endings.ts",
    changes: [
      [
        "export function rememberEnded(state: LockState, claim: Claim): void {\n",
        'export function rememberEnded(state: LockState, claim: Claim): void {\n  if (claim.end?.reason === "refused" && claim.resources === nothing) {\n    state.claims.delete(claim.id);\n    return;\n  }\n',
      ],
    ],
    killedBy: ["no-ghost-grants", "I4-one-end", "I9-same-claim", "lock-invariants"],
    plan: { strays: 0.05 },
  },
  {
    name: "anybody may release a claim",
    file: "src/locks/claims.ts",
    changes: [
      [
        'if (claim !== undefined && claim.session.id !== command.sessionId) return { kind: "not-holder" };\n  if ("kind" in session) {',
        'if (claim !== undefined && claim.session.id === "") return { kind: "not-holder" };\n  if ("kind" in session) {',
      ],
    ],
    killedBy: ["I10-belief", "truth-cause", "witness-claim", "I1-exclusion"],
  },
  {
    name: "a shrink frees what is kept",
    file: "src/locks/claims.ts",
    changes: [
      ["claimed.resource.held -= claimed.kept - command.permits;", "claimed.resource.held -= claimed.kept;"],
    ],
    killedBy: ["I2-permits", "lock-invariants"],
  },
  {
    name: "a shrink frees nothing",
    file: "src/locks/claims.ts",
    changes: [["claimed.resource.held -= claimed.kept - command.permits;", "claimed.resource.held -= 0;"]],
    killedBy: ["I6-handed-on", "lock-invariants"],
  },
  {
    name: "no lock-delay after an expiry",
    file: "src/locks/endings.ts",
    changes: [
      [
        "raiseBarrier(state, claim, { resources, endedAt: how.at, handBackUntil });",
        'if (how.reason !== "session-expired") raiseBarrier(state, claim, { resources, endedAt: how.at, handBackUntil });',
      ],
    ],
    killedBy: ["I8-lock-delay"],
    plan: { lockDelayMs: 1_000 },
  },
  {
    name: "any keepalive hands back",
    file: "src/locks/sessions.ts",
    changes: [
      [
        "if (item.seen > session.seen) {",
        "for (const { claim } of session.unseenEnds) acknowledgeEnd(state, claim, touched);\n  if (item.seen > session.seen) {",
      ],
    ],
    killedBy: ["I8-lock-delay", "I10-belief"],
    plan: { lockDelayMs: 0 },
  },
  {
    name: "a hold that ran out is not handed back",
    file: "src/locks/endings.ts",
    changes: [['"max-hold": "hand-back",', '"max-hold": "delay",']],
    killedBy: ["I8-lock-delay", "I10-belief"],
    plan: { lockDelayMs: 0 },
  },
  {
    name: "keepalives tell of no ends",
    file: "src/locks/sessions.ts",
    changes: [
      [
        'return { kind: "renewed", session, unseenEnds: session.unseenEnds };',
        'return { kind: "renewed", session, unseenEnds: [] };',
      ],
    ],
    killedBy: ["witness-claim"],
  },
  {
    name: "readers share a fence",
    file: "src/locks/grants.ts",
    changes: [["state.fence++;", 'if (claim.resources[0]?.mode !== "shared") state.fence++;']],
    killedBy: ["I3-fences"],
  },
  {
    name: "a renewal lasts four fifths of what was told",
    file: "src/locks/sessions.ts",
    changes: [["state.now + session.ttlMs);", "state.now + 0.8 * session.ttlMs);"]],
    killedBy: ["L5-linearizability", "I10-expiry-too-early", "L9-never-early", "I8-lock-delay"],
  },
  {
    name: "grace is given again and again",
    file: "src/locks/endings.ts",
    changes: [
      ["const target = state.termStart + ", "const target = state.now + "],
      ["session.graceLeftMs -= extension;", "session.graceLeftMs -= 0;"],
    ],
    killedBy: ["liveness", "L10-never-late"],
  },
  {
    name: "ended sessions are forgotten at once",
    file: "src/locks/sessions.ts",
    changes: [["+ tombstoneMs <= state.now;", "+ 0 * tombstoneMs <= state.now;"]],
    killedBy: ["truth-gone"],
  },
  {
    name: "a lost hold is told as released",
    file: "src/locks/claims.ts",
    changes: [
      [
        'if (claim.state === "ended") return isLost(claim) ? lost(claim) : { kind: "released", claim };',
        'if (claim.state === "ended") return { kind: "released", claim };',
      ],
    ],
    killedBy: ["truth-lost"],
  },
  {
    name: "a clean release is followed by a lock-delay",
    file: "src/locks/endings.ts",
    changes: [['released: "nothing",', 'released: "delay",']],
    killedBy: ["I6-handed-on", "witness-refusal", "truth-lost", "truth-code"],
    plan: { lockDelayMs: 1_000 },
  },
  {
    name: "a wait is over after half of its time",
    file: "src/locks/claims.ts",
    changes: [
      [
        "state.now + Math.min(command.waitMs, waitMsMax)",
        "state.now + Math.min(command.waitMs / 2, waitMsMax)",
      ],
    ],
    killedBy: ["truth-cause", "I6-fifo"],
  },
  // ---- HTTP ----
  {
    name: "a look is answered from what this member knows",
    file: "src/http/reads.ts",
    changes: [["  readConfirmed(exchange, show);\n}", "  show(node.staleView());\n}"]],
    killedBy: ["R10-stale-read", "witness-order", "acknowledged-means-durable"],
  },
  {
    name: "the end of a poll is told as the end of the wait",
    file: "src/http/claims.ts",
    changes: [
      [
        "else show(still, view);",
        'else if (still.state !== "waiting") show(still, view);\n      else exchange.refuse("wait-timeout", "It was not free.", { claimId: id, reason: "held", blockedBy: [] });',
      ],
    ],
    killedBy: ["truth-cause", "no-ghost-grants"],
  },
  {
    name: "a lease is as long as its ttl",
    file: "src/http/render.ts",
    changes: [
      ["leaseMs: Math.max(0, ttlMs - marginMs(ttlMs))", "leaseMs: Math.max(0, ttlMs - 0 * marginMs(ttlMs))"],
    ],
    killedBy: ["I10-expiry-too-early", "I10-belief"],
    plan: {
      drift: 0.04,
      faults: ["client-cut", "client-pause"],
      loss: 0,
      members: 3,
      diskMaxMs: 0.5,
      lockDelayMs: 0,
      holdMs: 3_000,
    },
  },
  {
    name: "whoever hangs up on a repetition loses its hold",
    file: "src/http/claims.ts",
    changes: [
      ["claimView(claim, view), () => exchange.node.noteAnswered(claim.id));", "claimView(claim, view));"],
    ],
    killedBy: ["L12-given-back-unheard", "I10-belief", "truth-cause"],
  },
  {
    name: "the results of a batch come in another order",
    file: "src/http/batch.ts",
    changes: [
      [
        "this.#exchange.answer(200, { results }, () => {",
        "this.#exchange.answer(200, { results: results.reverse() }, () => {",
      ],
    ],
    killedBy: [
      "witness-order",
      "I10-belief",
      "no-ghost-grants",
      "truth-code",
      "witness-claim",
      "I9-same-claim",
    ],
  },
  // ---- the client ----
  {
    name: "a client believes for a whole ttl",
    file: "src/client/lease.ts",
    changes: [["attemptSinceMs + grant.leaseMs)", "attemptSinceMs + grant.ttlMs)"]],
    killedBy: ["I10-expiry-too-early", "I10-belief"],
    plan: {
      drift: 0.04,
      faults: ["client-cut", "client-pause"],
      loss: 0,
      members: 3,
      diskMaxMs: 0.5,
      lockDelayMs: 0,
      holdMs: 3_000,
    },
  },
  {
    name: "elapsed time is that of the monotonic clock alone",
    file: "src/client/elapsed.ts",
    changes: [
      [
        "const stepMs = Math.max(ranMs, isOver ? wallRanMs : wallRanMs - wallGrainMs, 0);",
        "const stepMs = Math.max(ranMs, 0);",
      ],
    ],
    killedBy: ["I10-belief", "I10-expiry-too-early"],
    plan: { faults: ["client-suspend"], drift: 0 },
  },
  {
    name: "a claim that nobody polls waits on",
    file: "src/node/attachments.ts",
    changes: [
      [
        "return old.filter((claim) => !this.#isRequested(claim));",
        'return old.filter((claim) => claim.id === "");',
      ],
    ],
    killedBy: ["L11-never-unattended"],
    plan: { cancelOnDisconnect: true, faults: [] },
  },
  {
    name: "a lock-delay lasts twice as long as it was asked for",
    file: "src/locks/barriers.ts",
    changes: [["const delayUntil = endedAt + (claim", "const delayUntil = endedAt + 2 * (claim"]],
    killedBy: ["I6-handed-on"],
    plan: { lockDelayMs: 1_000, faults: ["client-crash"] },
  },
  {
    name: "an acknowledged end is handed back late",
    file: "src/locks/barriers.ts",
    changes: [["  barrier.handBackUntil = 0;", "  barrier.handBackUntil += 0;"]],
    killedBy: ["I6-handed-on", "no-crash"],
  },
  {
    name: "a renewal lasts four times as long as it should",
    file: "src/locks/sessions.ts",
    changes: [
      [
        "state.now + session.ttlMs);\n  session.graceLeftMs",
        "state.now + 4 * session.ttlMs);\n  session.graceLeftMs",
      ],
    ],
    killedBy: ["L10-never-late"],
    plan: { faults: ["client-crash"], tickMs: 50, electionTicks: 15, ttlMs: 6_000, members: 3 },
  },
  {
    name: "a leader of a later term steps down now and then",
    file: "src/raft/raft.ts",
    changes: [
      [
        "  maybeAbortTransfer(state);\n  const lastProof",
        '  maybeAbortTransfer(state);\n  if (state.currentTerm > 1 && state.ticks - state.leaderSinceTick > 6 * electionTicks) return stepDown(state, "restless");\n  const lastProof',
      ],
    ],
    killedBy: ["leader-stays"],
  },
];
