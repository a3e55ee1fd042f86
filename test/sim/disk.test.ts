/** The simulated disk keeps the same promises as the real one, and its faults are those of a real one. */
import { expect, it } from "vitest";
import { type Identity, memberId } from "../../src/base/identity.ts";
import { createPrng } from "../../src/base/prng.ts";
import type { RaftStorage } from "../../src/storage/contract.ts";
import { storageContract } from "../storage/contract.ts";
import { entriesAfter, hardState, mustWrite, stepOf } from "../storage/log-builder.ts";
import { type Opened, SimDisk } from "./disk.ts";
import type { Scheduler } from "./scheduler.ts";

/** Virtual time that passes by itself, one event a turn of the real loop. */
const scheduler: Scheduler = {
  now: 0,
  eventCount: 0,
  at: (_time, run) => void setImmediate(run),
  after: (_delay, run) => void setImmediate(run),
  runUntil: () => true,
};

const identity: Identity = {
  format: 1,
  clusterName: "sim",
  name: "n1",
  incarnation: "a",
  state: "founded",
  clusterId: "simulated",
  founders: { n1: "a" },
};

function diskOf(seed: number): SimDisk {
  return new SimDisk({
    scheduler,
    random: createPrng(seed),
    snapshotRandom: createPrng(seed, "snapshots"),
    latencyMaxMs: 1,
    identity,
    memberId: memberId("n1", "a"),
  });
}

function open(disk: SimDisk): Promise<Opened> {
  return new Promise((resolve) => disk.open((completion) => completion(), resolve));
}

async function mustOpen(disk: SimDisk): Promise<RaftStorage> {
  const opened = await open(disk);
  if (opened.kind === "refused") throw new Error(opened.why);
  return opened.storage;
}

let seed = 0;

storageContract("the simulated disk", () => {
  const disk = diskOf(++seed);
  return {
    open: () => mustOpen(disk),
    crash: async () => void disk.crash(),
    remove: async () => undefined,
  };
});

it("a crash in the middle of a step leaves the step whole or not at all, torn and zeroed as it may be", async () => {
  const left = new Set<string>();
  for (let each = 0; each < 300; each++) {
    const disk = diskOf(each);
    const storage = await mustOpen(disk);
    const first = entriesAfter(undefined, { count: 3, term: 1 });
    await mustWrite(storage, { hardState: hardState(1, "n1@a"), entries: first });
    const second = entriesAfter(first.at(-1), { count: 4, term: 1 });
    storage.write(stepOf({ entries: second }), () => undefined);
    left.add(disk.crash());

    const { restored } = await mustOpen(disk);

    expect([3, 7]).toContain(restored.entries.length);
    expect(disk.lastIndex).toBe(restored.entries.length);
    expect(restored.hardState).toEqual(hardState(1, "n1@a"));
  }
  expect([...left].sort()).toEqual(["kept", "lost", "torn", "zeroed"]);
});

it("a rotten bit is harmless or refused, never an opening with something else", async () => {
  let refused = 0;
  for (let each = 0; each < 300; each++) {
    const disk = diskOf(each);
    const storage = await mustOpen(disk);
    const entries = entriesAfter(undefined, { count: 20, term: 2 });
    await mustWrite(storage, { hardState: hardState(2, "n1@a"), entries });
    await storage.close();
    disk.crash();
    expect(disk.rot()).toBe(true);

    const opened = await open(disk);

    if (opened.kind === "refused") refused++;
    else {
      expect(opened.storage.restored.entries.length).toBe(20);
      expect(opened.storage.restored.hardState).toEqual(hardState(2, "n1@a"));
    }
  }
  expect(refused).toBeGreaterThan(150);
});

it("a full disk and a failed sync are errors of the write, and of every later one", async () => {
  for (const fault of ["full", "sync"]) {
    const disk = diskOf(7);
    const storage = await mustOpen(disk);
    if (fault === "full") disk.setFull(true);
    else disk.failNextSync();
    const entries = entriesAfter(undefined, { count: 1, term: 0 });
    const write = (): Promise<Error | undefined> =>
      new Promise((resolve) => storage.write(stepOf({ entries }), resolve));

    expect((await write())?.message).toMatch(/ENOSPC|EIO/);
    expect((await write())?.message).toMatch(/ENOSPC|EIO/);
  }
});

it("holds what is on the platter, and nothing that no member ever applied", async () => {
  const disk = diskOf(1);
  const storage = await mustOpen(disk);
  const written = entriesAfter(undefined, { count: 3, term: 1 });
  await mustWrite(storage, { hardState: hardState(1, "n1@a"), entries: written });
  const chainAt = (index: number): number | undefined => written[index - 1]?.chain;

  expect([1, 2, 3].map((index) => disk.holds(index, chainAt))).toEqual([true, true, true]);
  expect(disk.holds(4, chainAt)).toBe(false);
  expect(disk.holds(Number.NaN, chainAt)).toBe(false);
  expect(disk.holds(2, () => 1)).toBe(false);
});
