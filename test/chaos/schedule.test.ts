import { expect, it } from "vitest";
import {
  createSchedule,
  faultKinds,
  type PlannedFault,
  type Strike,
  shareOfKinds,
  spareOf,
} from "./schedule.ts";

const ttlMs = 3_200;

function scheduleOf(seed: number, nodes = 5, faults = 200): readonly Strike[] {
  const mustHave = shareOfKinds(faultKinds, { seed, part: 0, parts: 1 });
  return createSchedule({ seed, nodes, faults, mustHave, kinds: faultKinds, ttlMs });
}

function faultsOf(strikes: readonly Strike[]): readonly PlannedFault[] {
  return strikes.flatMap(({ faults }) => faults);
}

it("the same seed gives the same schedule, another seed another one", () => {
  expect(scheduleOf(7)).toEqual(scheduleOf(7));
  expect(scheduleOf(8)).not.toEqual(scheduleOf(7));
});

it("every kind that must come comes, as far as there are faults for them", () => {
  for (let seed = 0; seed < 50; seed++) {
    const kinds = new Set(faultsOf(scheduleOf(seed, 3, faultKinds.length)).map(({ kind }) => kind));
    expect(kinds.size).toBe(faultKinds.length);
    expect(faultsOf(scheduleOf(seed, 3, 5)).length).toBe(5);
  }
});

it("two clusters share the kinds among them", () => {
  for (let seed = 0; seed < 50; seed++) {
    const parts = [0, 1].map((part) => shareOfKinds(faultKinds, { seed, part, parts: 2 }));
    expect(parts.flat().toSorted()).toEqual([...faultKinds].toSorted());
  }
});

it("about four of five faults leave a majority, and half of them want the leader", () => {
  const all = Array.from({ length: 20 }, (_, seed) => faultsOf(scheduleOf(seed))).flat();
  const share = (is: (fault: PlannedFault) => boolean) => all.filter(is).length / all.length;

  expect(share(({ isQuorumSafe }) => isQuorumSafe)).toBeGreaterThan(0.75);
  expect(share(({ isQuorumSafe }) => isQuorumSafe)).toBeLessThan(0.9);
  expect(share(({ wantsLeader }) => wantsLeader)).toBeCloseTo(0.5, 1);
});

it("a fault that is safe takes no more members than can be spared, two together neither", () => {
  const light = ["client-pause", "slow-link", "reset"];
  for (const nodes of [3, 5]) {
    for (let seed = 0; seed < 30; seed++) {
      for (const { faults } of scheduleOf(seed, nodes)) {
        const taking = faults.filter(({ kind, isQuorumSafe }) => isQuorumSafe && !light.includes(kind));
        const taken = taking.reduce((sum, { victims }) => sum + victims.length, 0);
        expect(taken).toBeLessThanOrEqual(spareOf(nodes));
        for (const { isQuorumSafe, kind, victims } of faults) {
          const breaks = !isQuorumSafe && kind !== "clients-from-leader";
          if (breaks) expect(victims.length).toBeGreaterThan(spareOf(nodes));
          if (breaks) expect(faults.length).toBe(1);
        }
      }
    }
  }
});

it("strikes are of one or two faults, and some of them are of two", () => {
  const sizes = Array.from({ length: 20 }, (_, seed) =>
    scheduleOf(seed).map(({ faults }) => faults.length),
  ).flat();

  expect(new Set(sizes)).toEqual(new Set([1, 2]));
  expect(sizes.filter((size) => size === 2).length / sizes.length).toBeGreaterThan(0.15);
});

it("a pause beyond the ttl is one", () => {
  const pauses = faultsOf(scheduleOf(3)).filter(({ kind }) => kind === "pause-beyond-ttl");

  expect(pauses.length).toBeGreaterThan(0);
  for (const { holdMs } of pauses) expect(holdMs).toBeGreaterThan(ttlMs);
});
