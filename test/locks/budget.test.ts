/**
 * SEMANTICS §1 rule 4: the work budget changes when something is noticed, never an outcome. Cases that a hostile review
 * found: whoever decides about a claim must first see what had happened around it.
 */
import { describe, expect, it } from "vitest";
import { Bench } from "./bench.ts";

/** `s0` holds `a` and is due, together with others that are swept before it; `w` waits for `a` as owner x. */
function arrange(sweepBudget: number): Bench {
  const bench = new Bench({ sweepBudget, electionTimeoutMaxMs: 500 });
  for (const id of ["e1", "e2", "s0"]) bench.open(id, { ttlMs: 6_000, lockDelayMs: 0 });
  bench.open("w", { ttlMs: 20_000, lockDelayMs: 0 });
  bench.acquire("s0", "h");
  bench.acquire("w", "c", { waitMs: 19_000, owner: "x" });
  bench.time += 7_000;
  return bench;
}

const both = (act: (bench: Bench) => string): readonly string[] =>
  [1, 1_000_000].map((sweepBudget) => act(arrange(sweepBudget)));

describe("the same log with another budget says the same", () => {
  it("to an owner that asks for something else", () => {
    const [slow, fast] = both((bench) => bench.acquire("w", "d", { lock: "b", owner: "x" }).kind);
    expect(slow).toBe(fast);
  });

  it("to an owner that asks for the same name again", () => {
    const [slow, fast] = both((bench) => bench.acquire("w", "d", { lock: "a", owner: "x" }).kind);
    expect(slow).toBe(fast);
  });

  it("to who releases what it waits for", () => {
    const [slow, fast] = both((bench) => {
      const outcome = bench.release("w", "c");
      return `${outcome.kind} ${bench.how("c")} ${bench.claim("c").grant !== undefined}`;
    });
    expect(slow).toBe(fast);
  });

  it("to who repeats its acquire", () => {
    const [slow, fast] = both((bench) => {
      bench.acquire("w", "c", { waitMs: 19_000, owner: "x" });
      return bench.how("c");
    });
    expect(slow).toBe(fast);
  });

  it("when its client goes away", () => {
    const [slow, fast] = both((bench) => {
      bench.cancel("c");
      for (let i = 0; i < 5; i++) bench.do({ kind: "advance-time" });
      return bench.how("c");
    });
    expect(slow).toBe(fast);
  });

  it("to who is killed while it waits: with or without a hand-back", () => {
    const [slow, fast] = both((bench) => {
      bench.kill("w");
      for (let i = 0; i < 5; i++) bench.do({ kind: "advance-time" });
      return `${bench.how("c")} ${JSON.stringify(bench.barriers("a"))} ${bench.claim("c").grant !== undefined}`;
    });
    expect(slow).toBe(fast);
  });

  it("to who kept a place in a semaphore of which permits cooled", () => {
    const [slow, fast] = [1, 1_000_000].map((sweepBudget) => {
      const bench = new Bench({ sweepBudget, electionTimeoutMaxMs: 500 });
      bench.semaphore("p", 2);
      for (const id of ["e1", "e2", "s0"]) bench.open(id, { ttlMs: 6_000, lockDelayMs: 0 });
      bench.open("w", { ttlMs: 20_000, lockDelayMs: 0 });
      bench.acquire("s0", "h", { semaphore: "p", permits: 2 });
      bench.acquire("w", "c", { semaphore: "p", permits: 2, waitMs: 19_000 });
      bench.time += 7_000;
      const said = bench.shrink("w", "c", 1).kind;
      return said;
    });
    expect(slow).toBe(fast);
  });

  it("to a session that lost a hold before grace extended it", () => {
    const [slow, fast] = [1, 1_000_000].map((sweepBudget) => {
      const bench = new Bench({ sweepBudget, electionTimeoutMaxMs: 1_000 });
      bench.open("s", { ttlMs: 6_000, lockDelayMs: 0 });
      bench.time = 4_500;
      bench.acquire("s", "first", { lock: "a", maxHoldMs: 500 });
      bench.acquire("s", "second", { lock: "b", maxHoldMs: 500 });
      bench.term();
      // Its hold of b is handed back by now, the end of the lease under which it ended.
      bench.time = 6_000;
      bench.acquire("s", "again", { lock: "b" });
      return bench.how("again");
    });
    expect(slow).toBe(fast);
  });
});

it("a wait that runs out while the sweep is behind times out: time never stands still for it", () => {
  const [slow, fast] = [1, 1_000_000].map((sweepBudget) => {
    const bench = new Bench({ sweepBudget, electionTimeoutMaxMs: 500 });
    for (const id of ["e1", "s0"]) bench.open(id, { ttlMs: 6_000, lockDelayMs: 0 });
    bench.open("w", { ttlMs: 20_000, lockDelayMs: 0 });
    bench.acquire("s0", "h");
    bench.acquire("w", "c", { waitMs: 7_000 });
    bench.pass(6_500);
    bench.pass(1_000);
    return bench.how("c");
  });
  expect([slow, fast]).toEqual(["ended: wait-timeout", "held"]);
});
