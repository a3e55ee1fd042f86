/** What a driver starts with that never makes a snapshot; it may fetch one into `snapshotFiles`. */
import { createLockState } from "../../src/locks/machine.ts";
import type { NodeOptions } from "../../src/node/driver.ts";
import { createInlineMaker } from "../../src/node/snapshot-maker.ts";
import type { SnapshotFiles } from "../../src/storage/contract.ts";
import { MemoryFolder } from "../sim/memory-snapshots.ts";

export function noSnapshots(
  snapshotFiles: SnapshotFiles = new MemoryFolder().open({ later: queueMicrotask }),
): Pick<NodeOptions, "snapshotFiles" | "snapshotMaker" | "start"> {
  return {
    snapshotFiles,
    snapshotMaker: createInlineMaker(snapshotFiles),
    start: { state: createLockState(), snapshot: undefined, damaged: [] },
  };
}
