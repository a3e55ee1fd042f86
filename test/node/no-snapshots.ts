/** What a driver starts with whose log never gets long enough for a snapshot. */
import { createLockState } from "../../src/locks/machine.ts";
import type { NodeOptions } from "../../src/node/driver.ts";
import { createInlineMaker } from "../../src/node/snapshot-maker.ts";
import { MemoryFolder } from "../sim/memory-snapshots.ts";

export function noSnapshots(): Pick<NodeOptions, "snapshotFiles" | "snapshotMaker" | "start"> {
  const snapshotFiles = new MemoryFolder().open({ later: queueMicrotask });
  return {
    snapshotFiles,
    snapshotMaker: createInlineMaker(snapshotFiles),
    start: { state: createLockState(), snapshot: undefined, damaged: [] },
  };
}
