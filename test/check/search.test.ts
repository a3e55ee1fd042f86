import { describe, expect, it } from "vitest";
import { createRandom } from "./generate.ts";
import type { Mode } from "./history.ts";
import { type Step, search } from "./search.ts";

type Grant = Extract<Step, { kind: "grant" }>;

const capacity = 3;
const budget = { capacity, workMax: 100_000 };

// ---- the same question by trying every order -----------------------------------------------------------------------

interface State {
  readonly holders: readonly Grant[];
  readonly granted: ReadonlySet<string>;
  readonly lastFence: number;
}

/** True when some order of these steps exists, with or without those that may not have happened. */
function isPossible(steps: readonly Step[]): boolean {
  const unsure = steps.filter((step) => step.kind === "grant" && !step.isCertain);
  return subsets(unsure).some((left) => {
    const happened = steps.filter((step) => !left.includes(step) && isOf(step, steps, left));
    const open = happened.filter(({ kind, to }) => kind === "end" && to === Infinity);
    return subsets(open).some((never) =>
      isOrdered(
        happened.filter((step) => !never.includes(step)),
        steps,
      ),
    );
  });
}

/** An end happens only to what was granted. */
function isOf(step: Step, steps: readonly Step[], left: readonly Step[]): boolean {
  if (step.kind !== "end") return true;
  return steps.some((one) => one.kind === "grant" && one.claimId === step.claimId && !left.includes(one));
}

function subsets<T>(all: readonly T[]): readonly (readonly T[])[] {
  return all.reduce<readonly (readonly T[])[]>(
    (sets, one) => [...sets, ...sets.map((set) => [...set, one])],
    [[]],
  );
}

function isOrdered(steps: readonly Step[], all: readonly Step[], state?: State): boolean {
  if (steps.length === 0) return true;
  const before = state ?? { holders: [], granted: new Set(), lastFence: 0 };
  return steps.some((step) => {
    if (steps.some((other) => other !== step && other.to < step.from)) return false;
    const after = applied(before, step, all);
    return (
      after !== undefined &&
      isOrdered(
        steps.filter((other) => other !== step),
        all,
        after,
      )
    );
  });
}

function applied(state: State, step: Step, all: readonly Step[]): State | undefined {
  const { holders, granted, lastFence } = state;
  switch (step.kind) {
    case "grant": {
      if (!isRoom(holders, step.want.mode, step.want.least) || (step.fence ?? Infinity) <= lastFence)
        return undefined;
      const fence = step.fence ?? lastFence;
      return { holders: [...holders, step], granted: new Set([...granted, step.claimId]), lastFence: fence };
    }
    case "end": {
      const left = holders.filter(({ claimId }) => claimId !== step.claimId);
      return left.length === holders.length ? undefined : { ...state, holders: left };
    }
    case "look": {
      const shown = holders.map(({ claimId }) => claimId).sort();
      return shown.join() === [...step.holders].sort().join() ? state : undefined;
    }
    case "see": {
      if (step.isHeld) return holders.some(({ claimId }) => claimId === step.claimId) ? state : undefined;
      const isOver = all.some(
        (one) => one.kind === "end" && one.claimId === step.claimId && one.to < step.from,
      );
      return granted.has(step.claimId) || isOver ? undefined : state;
    }
    default: {
      const isNamed = step.holders.every((named) => holders.some(({ claimId }) => claimId === named));
      const isFree = isRoom(holders, step.want.mode, step.want.permits);
      return isNamed && !isFree ? state : undefined;
    }
  }
}

function isRoom(holders: readonly Grant[], mode: Mode, permits: number): boolean {
  if (mode === "permits") return holders.reduce((sum, { want }) => sum + want.permits, permits) <= capacity;
  return holders.every(({ want }) => mode === "shared" && want.mode === "shared");
}

// ---- random cases --------------------------------------------------------------------------------------------------

/** Steps of a run that was possible, with times as wide as chance wills; and then perhaps something changed. */
function createCase(seed: number): readonly Step[] {
  const random = createRandom(seed);
  const int = (below: number): number => Math.floor(random() * below);
  const modes: readonly Mode[] = int(2) === 0 ? ["exclusive", "shared", "shared"] : ["permits"];
  let state: State = { holders: [], granted: new Set(), lastFence: 0 };
  const steps: Step[] = [];
  const width = 1 + int(12);
  const size = 4 + int(4);
  const times = (at: number): { readonly from: number; readonly to: number } => ({
    from: at - int(width),
    to: at + int(width),
  });
  for (let at = 10; steps.length < size && at < 200; at += 2 + int(5)) {
    const step = createStep({ state, at, int, times, mode: modes[int(modes.length)] ?? "exclusive", steps });
    const after = step === undefined ? undefined : applied(state, step, steps);
    if (step === undefined || after === undefined) continue;
    state = after;
    steps.push(step);
  }
  return disturbed(disturbed(consistent(steps), int), int);
}

interface Making {
  readonly state: State;
  readonly at: number;
  readonly int: (below: number) => number;
  readonly times: (at: number) => { readonly from: number; readonly to: number };
  readonly mode: Mode;
  readonly steps: readonly Step[];
}

function createStep({ state, at, int, times, mode, steps }: Making): Step | undefined {
  const { holders, lastFence } = state;
  const permits = mode === "permits" ? 1 + int(capacity) : 1;
  const want = { mode, permits, least: permits };
  const claimId = `c${steps.length}`;
  const held = holders[int(holders.length)];
  // Nobody was told of an uncertain one, so nobody names it.
  const named = holders.filter(({ isCertain }) => isCertain).map((one) => one.claimId);
  switch (int(7)) {
    case 0:
    case 1: {
      const kind = int(5);
      const fence = kind < 3 ? lastFence + 1 + int(2) : undefined;
      const isCertain = kind < 4;
      return { kind: "grant", claimId, want, fence, isCertain, ...times(at) };
    }
    case 2:
    case 3:
      return held === undefined ? undefined : { kind: "end", claimId: held.claimId, ...times(at) };
    case 4:
      return named.length < holders.length ? undefined : { kind: "look", holders: named, ...times(at) };
    case 5:
      if (held?.isCertain === true) return { kind: "see", claimId: held.claimId, isHeld: true, ...times(at) };
      return undefined;
    default:
      return { kind: "refused", claimId, want, holders: int(2) === 0 ? named : [], ...times(at) };
  }
}

/** What was never seen may go on for ever; an uncertain grant is over when its end is told. */
function consistent(steps: readonly Step[]): readonly Step[] {
  return steps.map((step) => {
    if (step.kind !== "grant" || step.isCertain) return step;
    const end = steps.find((one) => one.kind === "end" && one.claimId === step.claimId);
    return { ...step, to: end?.to ?? Infinity };
  });
}

/** Some of the cases are left as they are. */
function disturbed(steps: readonly Step[], int: (below: number) => number): readonly Step[] {
  const at = int(steps.length);
  const changed = steps.map((step, i): Step => {
    if (i !== at) return step;
    switch (int(8)) {
      case 0: {
        const by = int(30) - 15;
        return { ...step, from: step.from + by, to: step.to + by };
      }
      case 1:
        return step.kind === "look" ? { ...step, holders: step.holders.slice(1) } : step;
      case 2:
        return step.kind === "grant" && step.fence !== undefined ? { ...step, fence: 1 + int(4) } : step;
      case 3:
        return step.kind === "end" ? { ...step, to: Infinity } : step;
      case 4:
        return step.kind === "see" ? { ...step, isHeld: false } : step;
      default:
        return step;
    }
  });
  return consistent(changed);
}

// ---- a hard case ---------------------------------------------------------------------------------------------------

/**
 * Holders of one permit each, all with an end under way, as after an outage; grants that nobody was told of; refusals
 * that name nobody; and then grants of which each needs many of the holders gone, and which are one too many.
 */
function hardCase(holders: number, unheard: number): readonly Step[] {
  const want = (permits: number): Grant["want"] => ({ mode: "permits", permits, least: permits });
  const steps: Step[] = [];
  let fence = 0;
  for (let i = 0; i < holders; i++) {
    const claimId = `held${i}`;
    steps.push({
      kind: "grant",
      claimId,
      from: i,
      to: i + 1,
      want: want(1),
      fence: ++fence,
      isCertain: true,
    });
    steps.push({ kind: "end", claimId, from: 100, to: 1_000 + i });
  }
  for (let i = 0; i < unheard; i++) {
    const claimId = `unheard${i}`;
    const asked = want(1 + (i % 3));
    steps.push({
      kind: "grant",
      claimId,
      from: 100 + i,
      to: 2_000,
      want: asked,
      fence: undefined,
      isCertain: false,
    });
    steps.push({ kind: "end", claimId, from: 150 + i, to: 2_000 });
  }
  for (let i = 0; i < 6; i++) {
    steps.push({
      kind: "refused",
      claimId: `refused${i}`,
      from: 300 + i,
      to: 400 + i,
      want: want(4),
      holders: [],
    });
  }
  for (let i = 0; i < 6; i++) {
    const claimId = `late${i}`;
    const [from, to] = [350 + i, 420 + i * 3];
    steps.push({ kind: "grant", claimId, from, to, want: want(6), fence: ++fence, isCertain: true });
    steps.push({ kind: "end", claimId, from: 430, to: 3_000 });
  }
  return steps;
}

describe("the search", () => {
  it("agrees with trying every order, of 30 000 small cases", () => {
    const counts = { yes: 0, no: 0 };
    for (let seed = 1; seed <= 30_000; seed++) {
      const steps = createCase(seed);

      const isFound = search(steps, budget).kind === "linearizable";

      const expected = isPossible(steps);
      counts[expected ? "yes" : "no"]++;
      expect(isFound, `seed ${seed}\n${steps.map((step) => JSON.stringify(step)).join("\n")}`).toBe(expected);
    }
    expect(Math.min(counts.yes, counts.no)).toBeGreaterThan(1_500);
  });

  it("gives up at its bound and says so", () => {
    const steps = createCase(5);

    const searched = search(steps, { capacity, workMax: 0 });

    expect(searched.kind).toBe("out-of-budget");
  });

  it("tries a set of ends once, not in every order", () => {
    expect(search(hardCase(12, 20), { capacity: 12, workMax: 1_000_000 }).kind).toBe("refuted");
  });

  it("counts all that it does: what is too hard is given up, not worked at for minutes", () => {
    expect(search(hardCase(16, 10), { capacity: 16, workMax: 1_000_000 }).kind).toBe("out-of-budget");
  });
});
