/**
 * Makes snapshots in a thread of its own, so that neither the time nor the memory of a second machine is the node's: the
 * thread asks for entries as it goes on, and ends with each snapshot. The thread itself is `snapshot-worker.ts`.
 */
import { Worker } from "node:worker_threads";
import { encodeEntry } from "./codec/entry.ts";
import type { EntrySource, MadeSnapshot, SnapshotMaker, SnapshotOrder } from "./node/snapshot-maker.ts";
import type { Entry, LogIndex } from "./raft/types.ts";

/** What the thread is started with. */
export interface SnapshotTask {
  /** Of the folder of snapshots. */
  readonly path: string;
  readonly order: SnapshotOrder;
}

/** What the thread says: bring entries from there on, or how it ended. */
export type FromThread =
  | { readonly kind: "more"; readonly from: LogIndex }
  | { readonly kind: "ended"; readonly made: MadeSnapshot };

/** What it is told: entries, each as on disk, or undefined: called off. */
export type ToThread = readonly Uint8Array[] | undefined;

export function createThreadMaker(path: string): SnapshotMaker {
  let worker: Worker | undefined;
  return {
    make(order, entries, done) {
      worker = startThread({ path, order }, entries, (made) => {
        worker = undefined;
        done(made);
      });
    },
    async close() {
      const ending = worker;
      worker = undefined;
      ending?.removeAllListeners();
      await ending?.terminate();
    },
  };
}

function startThread(task: SnapshotTask, entries: EntrySource, done: (made: MadeSnapshot) => void): Worker {
  const worker = new Worker(new URL("./snapshot-worker.js", import.meta.url), { workerData: task });
  let made: MadeSnapshot = { kind: "interrupted", why: "its thread ended early" };
  worker.on("message", (message: FromThread) => {
    if (message.kind === "ended") made = message.made;
    else entries(message.from, (some) => worker.postMessage(bytesOf(some) satisfies ToThread));
  });
  // Out of memory, or a fault of ours: the node itself is whole, and its log refuses writes when it gets too long.
  worker.on("error", (error) => {
    made = { kind: "interrupted", why: error instanceof Error ? error.message : String(error) };
  });
  worker.on("exit", () => done(made));
  return worker;
}

function bytesOf(entries: readonly Entry[] | undefined): ToThread {
  return entries?.map(encodeEntry);
}
