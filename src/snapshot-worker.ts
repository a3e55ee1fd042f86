/**
 * The thread that makes one snapshot (see `snapshot-thread.ts`). Touches nothing but the folder of snapshots; whatever
 * breaks in it ends it, and not the node.
 */
import { parentPort, workerData } from "node:worker_threads";
import { present } from "./base/assert.ts";
import { decodeEntry } from "./codec/entry.ts";
import { type EntrySource, makeSnapshot } from "./node/snapshot-maker.ts";
import type { FromThread, SnapshotTask, ToThread } from "./snapshot-thread.ts";
import { openSnapshotFiles } from "./storage/snapshot-files.ts";

const port = present(parentPort ?? undefined, "the thread that wants a snapshot");
const { path, order } = workerData as SnapshotTask;

function say(message: FromThread): void {
  port.postMessage(message);
}

const entries: EntrySource = (from, take) => {
  port.once("message", (some: ToThread) => take(some?.map(decodeEntry)));
  say({ kind: "more", from });
};

makeSnapshot(openSnapshotFiles(path), order, entries, (made) => {
  say({ kind: "ended", made });
  port.close();
});
