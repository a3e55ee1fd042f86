/**
 * A simulated disk that keeps the storage contract: a step becomes durable after a while, all or nothing; a crash
 * loses what was not durable, or not, by chance. What is durable is visible to the checkers.
 */
import { assert } from "../../src/base/assert.ts";
import type { Prng } from "../../src/base/prng.ts";
import { entryBytes } from "../../src/codec/entry.ts";
import type { Entry, HardState } from "../../src/raft/types.ts";
import type { DurableStep, RaftStorage } from "../../src/storage/contract.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SimDisk {
  /** Entries on the platter, from index 1. */
  readonly durable: readonly Entry[];
  readonly hardState: HardState;
  /** `run` carries completions into the process: later, when it is paused. */
  open(run: (completion: () => void) => void): RaftStorage;
  /** The process died: the step under way is kept or lost, whole. */
  crash(): void;
  /** Steps that begin before this (true) time take at least until then. */
  stallUntil(time: number): void;
}

export function createSimDisk(scheduler: Scheduler, random: Prng, latencyMaxMs: number): SimDisk {
  let durable: Entry[] = [];
  let hardState: HardState = { currentTerm: 0, votedFor: undefined };
  let step = 0;
  let logBytes = 0;
  let boot = 0;
  let stalledUntil = 0;
  let underWay: DurableStep | undefined;

  const bytesOf = (entries: readonly Entry[]): number =>
    entries.reduce((sum, entry) => sum + entryBytes(entry), 0);

  function makeDurable(written: DurableStep): void {
    if (written.truncateFrom !== undefined) {
      logBytes -= bytesOf(durable.slice(written.truncateFrom - 1));
      durable = durable.slice(0, written.truncateFrom - 1);
    }
    for (const entry of written.entries) {
      assert(entry.index === durable.length + 1, "the disk holds a whole log", { index: entry.index });
      durable.push(entry);
    }
    if (written.hardState !== undefined) hardState = written.hardState;
    logBytes += bytesOf(written.entries);
    step++;
  }

  return {
    get durable() {
      return durable;
    },
    get hardState() {
      return hardState;
    },
    open(run) {
      const own = ++boot;
      let isClosed = false;
      const restored = { hardState, entries: durable.slice(), step };
      return {
        restored,
        get step() {
          return step;
        },
        get logBytes() {
          return logBytes;
        },
        write(written, done) {
          assert(underWay === undefined, "one write at a time");
          if (isClosed) {
            scheduler.after(0, () => run(() => done(new Error("the disk is closed"))));
            return;
          }
          underWay = written;
          const latency = 0.05 + random.next() * latencyMaxMs;
          scheduler.at(Math.max(scheduler.now + latency, stalledUntil), () => {
            if (boot !== own) return;
            makeDurable(written);
            underWay = undefined;
            run(() => done(undefined));
          });
        },
        close: () =>
          new Promise<void>((resolve) => {
            isClosed = true;
            const look = (): void => (underWay === undefined ? resolve() : scheduler.after(1, look));
            look();
          }),
      };
    },
    crash() {
      boot++;
      if (underWay !== undefined && random.chance(0.5)) makeDurable(underWay);
      underWay = undefined;
    },
    stallUntil(time) {
      stalledUntil = Math.max(stalledUntil, time);
    },
  };
}
