/** A CPU profile, summed up. */
import { expect, it } from "vitest";
import { bucketTimes } from "./profile.ts";

const frame = (functionName: string, url = "") => ({ functionName, url });

const profile = {
  startTime: 1_000,
  nodes: [
    { id: 1, callFrame: frame("(root)"), children: [2, 3, 4, 5] },
    { id: 2, callFrame: frame("(idle)") },
    { id: 3, callFrame: frame("(garbage collector)") },
    { id: 4, callFrame: frame("turn", "file:///x/dist/node/driver.js"), children: [6, 7] },
    { id: 5, callFrame: frame("onwrite", "node:internal/streams/writable"), children: [8] },
    { id: 6, callFrame: frame("propose", "file:///x/dist/raft/raft.js") },
    {
      id: 7,
      callFrame: frame("put", "file:///x/node_modules/classic-level/chained-batch.js"),
      children: [9],
    },
    { id: 8, callFrame: frame("writev") },
    { id: 9, callFrame: frame("") },
  ],
  samples: [2, 3, 4, 6, 7, 9, 8, 2],
  timeDeltas: [100, 10, 20, 30, 40, 50, 60, 70],
};

it("counts self time by file, natives by name or for their caller", () => {
  const times = bucketTimes(profile, { fromMicros: 0, toMicros: 10_000 });

  expect(Object.fromEntries(times)).toEqual({
    idle: 170,
    "garbage collection": 10,
    driver: 20,
    raft: 30,
    "storage (LevelDB)": 90,
    "writes to sockets (system calls)": 60,
  });
});

it("counts only the samples of the window", () => {
  const times = bucketTimes(profile, { fromMicros: 1_105, toMicros: 1_165 });

  expect(Object.fromEntries(times)).toEqual({ "garbage collection": 10, driver: 20, raft: 30 });
});
