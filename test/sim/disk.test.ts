/** The simulated disk keeps the same promises as the real one. */
import { createPrng } from "../../src/base/prng.ts";
import { storageContract } from "../storage/contract.ts";
import { createSimDisk } from "./disk.ts";
import type { Scheduler } from "./scheduler.ts";

/** Virtual time that passes by itself, one event a turn of the real loop. */
const scheduler: Scheduler = {
  now: 0,
  eventCount: 0,
  at: (_time, run) => void setImmediate(run),
  after: (_delay, run) => void setImmediate(run),
  runUntil: () => true,
};

let seed = 0;

storageContract("the simulated disk", () => {
  const disk = createSimDisk(scheduler, createPrng(++seed), 1);
  return {
    open: async () => disk.open((completion) => completion()),
    crash: async () => disk.crash(),
    remove: async () => undefined,
  };
});
