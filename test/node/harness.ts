/** One driver alone in its cluster, on a disk and a clock that the test moves by hand. */
import { createPrng } from "../../src/base/prng.ts";
import { decodeCommand } from "../../src/codec/command.ts";
import type { PeerMessage } from "../../src/codec/message.ts";
import type { KeepAliveOutcome, Outcome } from "../../src/locks/outcomes.ts";
import { defaultSettings, type Settings } from "../../src/locks/settings.ts";
import type { Reply } from "../../src/node/contract.ts";
import { createNode, type NodeDriver } from "../../src/node/driver.ts";
import { emptyBoundary } from "../../src/raft/chain.ts";
import { defaultRaftConfig } from "../../src/raft/config.ts";
import type { Entry } from "../../src/raft/types.ts";
import type { SnapshotFiles } from "../../src/storage/contract.ts";
import { noSnapshots } from "./no-snapshots.ts";

export const tickMs = 50;

interface Box<T> {
  reply: T | undefined;
}

export class Lone {
  readonly node: NodeDriver;
  /** Entries that applied, with their commands' kinds. */
  readonly applied: { readonly entry: Entry; readonly kind: string }[] = [];
  readonly sent: { readonly to: string; readonly message: PeerMessage }[] = [];
  monotonicMs = 1_000_000;
  failure: Error | undefined;
  logBytes = 0;
  isDiskSlow = false;
  /** Called after each deferred turn. */
  eachTurn: () => unknown = () => undefined;
  #write: ((error: Error | undefined) => void) | undefined;
  #turns: (() => void)[] = [];

  constructor(
    options: {
      readonly settings?: Partial<Settings>;
      readonly voters?: readonly string[];
      readonly logBytes?: number;
      readonly queued?: number;
      /** What its disk held at the start; all of one term. */
      readonly entries?: readonly Entry[];
      readonly snapshotFiles?: SnapshotFiles;
    } = {},
  ) {
    const bytes = (): number => this.logBytes;
    this.node = createNode({
      name: "n1",
      raft: { ...defaultRaftConfig, self: "n1@1" },
      voters: options.voters ?? ["n1@1"],
      prng: createPrng(1),
      storage: {
        restored: {
          hardState: { currentTerm: options.entries?.at(-1)?.term ?? 0, votedFor: undefined },
          boundary: emptyBoundary,
          snapshot: undefined,
          entries: options.entries ?? [],
          step: 1,
        },
        step: 1,
        get logBytes() {
          return bytes();
        },
        write: (_step, done) => {
          this.#write = done;
        },
        close: async () => undefined,
      },
      ...noSnapshots(options.snapshotFiles),
      tickMs,
      clusterId: "lone",
      settings: { ...defaultSettings, ...options.settings },
      limits: {
        logBytes: options.logBytes ?? 1_000_000,
        snapshotEveryBytes: 1 << 28,
        snapshotPartBytes: 1_000,
        queuedProposals: options.queued ?? 100,
      },
      host: {
        monotonicMs: () => this.monotonicMs,
        wallMs: () => 1_700_000_000_000,
        defer: (turn) => this.#turns.push(turn),
        send: (to, message) => this.sent.push({ to, message }),
        probe: () => undefined,
        peers: () => [],
        trace: () => undefined,
        applied: (entry) =>
          this.applied.push({ entry, kind: entry.kind === "noop" ? "noop" : decodeCommand(entry.data).kind }),
        guard: (input) => input(),
        storageFailed: (error) => {
          this.failure = error;
        },
      },
    });
  }

  /** Runs deferred turns, and the disk unless it is slow, until nothing is left to do. */
  settle(): void {
    for (let i = 0; i < 1_000; i++) {
      const turns = this.#turns;
      this.#turns = [];
      for (const turn of turns) {
        turn();
        this.eachTurn();
      }
      const isWriting = this.#write !== undefined && !this.isDiskSlow;
      if (isWriting) this.finishWrite();
      if (turns.length === 0 && !isWriting) return;
    }
    throw new Error("the node does not come to rest");
  }

  finishWrite(error?: Error): void {
    const done = this.#write;
    this.#write = undefined;
    done?.(error);
  }

  /** The disk is quick again, and everything that waited for it happens. */
  quicken(): void {
    this.isDiskSlow = false;
    this.finishWrite();
    this.settle();
  }

  /** Real time passes, tick by tick. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += tickMs) {
      this.monotonicMs += tickMs;
      this.node.tick();
      this.settle();
    }
  }

  lead(): this {
    for (let i = 0; i < 100 && !this.node.status().isServing; i++) this.pass(tickMs);
    if (!this.node.status().isServing) throw new Error("it does not lead");
    return this;
  }

  /** Makes n1 of three win and serve, by answering for n2. */
  winAlone(): this {
    for (let i = 0; i < 300 && !this.node.status().isServing; i++) {
      this.pass(tickMs);
      for (const { to, message } of this.sent.splice(0)) if (to === "n2@1") this.#answerForN2(message);
      this.settle();
    }
    if (!this.node.status().isServing) throw new Error("it does not lead");
    return this;
  }

  #answerForN2(message: PeerMessage): void {
    if (!("term" in message)) return;
    const { term } = message;
    if (message.kind === "pre-vote") {
      const { nextTerm } = message;
      this.node.message("n2@1", { kind: "pre-vote-response", term, nextTerm, granted: true });
    } else if (message.kind === "vote") {
      this.node.message("n2@1", { kind: "vote-response", term, granted: true });
    } else if (message.kind === "append") {
      const result = { kind: "matched", matchIndex: message.prevLogIndex + message.entries.length } as const;
      this.node.message("n2@1", { kind: "append-response", term, result, echo: message.echo });
    }
  }

  /** n2 acknowledges whatever it is sent, until nothing is left to commit. */
  commit(): void {
    for (let i = 0; i < 10; i++) {
      this.settle();
      for (const { to, message } of this.sent.splice(0)) if (to === "n2@1") this.#answerForN2(message);
    }
    this.settle();
  }

  /** Another member leads a higher term. */
  depose(): void {
    const echo = { round: 0, sentTick: 0 };
    const term = this.node.status().term + 98;
    this.node.message("n2@1", { kind: "heartbeat", term, leaderCommit: 0, echo });
    this.settle();
  }

  kinds(): readonly string[] {
    return this.applied.map(({ kind }) => kind);
  }

  propose(proposal: Parameters<NodeDriver["propose"]>[0]): Box<Reply<Outcome>> {
    const box: Box<Reply<Outcome>> = { reply: undefined };
    this.node.propose(proposal, (reply) => {
      if (box.reply !== undefined) throw new Error("two replies");
      box.reply = reply;
    });
    return box;
  }

  keepAlive(sessionId: string): Box<Reply<KeepAliveOutcome>> {
    const box: Box<Reply<KeepAliveOutcome>> = { reply: undefined };
    this.node.keepAlive({ sessionId, seen: 0 }, (reply) => {
      box.reply = reply;
    });
    return box;
  }

  open(sessionId: string, ttlMs = 6_000): Box<Reply<Outcome>> {
    const sessionRef = `ref-${sessionId}`.padEnd(16, "0");
    return this.propose({
      kind: "open-session",
      sessionId,
      sessionRef,
      ttlMs,
      lockDelayMs: 0,
      label: "",
      metadata: [],
    });
  }

  acquire(sessionId: string, claimId: string, waitMs = 0): Box<Reply<Outcome>> {
    return this.propose({
      kind: "acquire",
      sessionId,
      claimId,
      resources: [{ kind: "lock", name: "a", mode: "exclusive" }],
      waitMs,
      lockDelayMs: undefined,
      maxHoldMs: undefined,
      owner: undefined,
      metadata: [],
      cancelOnDisconnect: true,
    });
  }

  release(sessionId: string, claimId: string): Box<Reply<Outcome>> {
    return this.propose({ kind: "release", sessionId, claimId });
  }

  /** A session `s` that holds the lock with `c` and waits for it with `d`. */
  contend(ttlMs = 6_000): void {
    this.open("s", ttlMs);
    this.acquire("s", "c");
    this.acquire("s", "d", ttlMs);
    this.settle();
  }

  claimState(claimId: string): string | undefined {
    return this.node.staleView().state.claims.get(claimId)?.state;
  }

  sessions(): number {
    return this.node.staleView().state.sessions.size;
  }
}
