/** SEMANTICS §5: semaphores. One named test for each rule. */
import { describe, expect, it } from "vitest";
import type { Semaphore } from "../../src/locks/records.ts";
import { Bench } from "./bench.ts";

function bench(settings: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const made = new Bench(settings);
  for (const id of ["s", "t", "u"]) made.open(id, { ttlMs: 60_000 });
  return made;
}

const pool = { semaphore: "p", waitMs: 60_000 } as const;

function used({ state }: Bench): {
  readonly capacity: number;
  readonly held: number;
  readonly cooling: number;
} {
  const { capacity, held, cooling } = state.resources.get("p") as Semaphore;
  return { capacity, held, cooling };
}

describe("the capacity", () => {
  it("is the cluster's: set once, no acquire needs to know it", () => {
    const b = bench();

    expect(b.semaphore("p", 3)).toMatchObject({ kind: "semaphore", created: true });
    expect(b.acquire("s", "c", pool)).toMatchObject({ claim: { state: "held" } });
    expect(used(b)).toEqual({ capacity: 3, held: 1, cooling: 0 });
  });

  it("named by the first acquire makes a semaphore that lives while it is used", () => {
    const b = bench();
    b.acquire("s", "c", { ...pool, capacity: 2 });
    expect(used(b)).toEqual({ capacity: 2, held: 1, cooling: 0 });
    b.release("s", "c");

    expect(b.state.resources.size).toBe(0);
    expect(b.acquire("s", "d", pool)).toEqual({ kind: "semaphore-unknown", name: "p" });
  });

  it("cannot be disagreed about: another one in an acquire is a conflict, the same one is none", () => {
    const b = bench();
    b.semaphore("p", 3);

    expect(b.acquire("s", "c", { ...pool, capacity: 4 })).toMatchObject({
      kind: "capacity-conflict",
      capacity: 3,
    });
    expect(b.acquire("s", "d", { ...pool, capacity: 3 })).toMatchObject({ claim: { state: "held" } });
  });

  it("stays until it is deleted, also when nobody uses it", () => {
    const b = bench();
    b.semaphore("p", 1);
    b.pass(86_400_000);
    expect(b.state.resources.has("p")).toBe(true);

    expect(b.semaphore("p", undefined)).toEqual({ kind: "semaphore-deleted", name: "p" });
    expect(b.semaphore("p", undefined)).toEqual({ kind: "semaphore-unknown", name: "p" });
  });

  it("is not deleted under those who hold or wait", () => {
    const b = bench();
    b.semaphore("p", 1);
    b.acquire("s", "c", pool);
    b.acquire("t", "d", pool);
    expect(b.semaphore("p", undefined)).toMatchObject({ kind: "in-use" });
    b.release("s", "c");
    b.release("t", "d");

    expect(b.semaphore("p", undefined)).toMatchObject({ kind: "semaphore-deleted" });
  });

  it("of a semaphore that an acquire made becomes lasting when it is set", () => {
    const b = bench();
    b.acquire("s", "c", { ...pool, capacity: 2 });
    expect(b.semaphore("p", 2)).toMatchObject({ created: false });
    b.release("s", "c");

    expect(b.state.resources.has("p")).toBe(true);
  });

  it("is bounded in number: set semaphores are a setting", () => {
    const b = bench({ semaphores: 2 });
    b.semaphore("p", 1);
    b.semaphore("q", 1);

    expect(b.semaphore("r", 1)).toEqual({ kind: "quota", limit: "semaphores", max: 2 });
    expect(b.semaphore("q", 5)).toMatchObject({ kind: "semaphore" });
    b.semaphore("p", undefined);
    expect(b.semaphore("r", 1)).toMatchObject({ kind: "semaphore" });
  });
});

describe("permits", () => {
  it("are granted together or not at all", () => {
    const b = bench();
    b.semaphore("p", 3);
    b.acquire("s", "c", { ...pool, permits: 2 });
    b.acquire("t", "d", { semaphore: "p", permits: 2 });

    expect(b.claim("d").end?.refusal).toMatchObject({ reason: "capacity", blockedBy: [{ claimId: "c" }] });
    expect(used(b).held).toBe(2);
  });

  it("more than there are can never be granted, and are refused at once", () => {
    const b = bench();
    b.semaphore("p", 3);

    expect(b.acquire("s", "c", { ...pool, permits: 4 })).toEqual({
      kind: "exceeds-capacity",
      permits: 4,
      capacity: 3,
    });
    expect(b.acquire("s", "d", { semaphore: "new", capacity: 1, permits: 2 })).toMatchObject({
      kind: "exceeds-capacity",
    });
    expect(b.state.resources.has("new")).toBe(false);
  });

  it("are handed out first come, first served: a small request never passes a big one", () => {
    const b = bench();
    b.semaphore("p", 3);
    b.acquire("s", "c", { ...pool, permits: 2 });
    b.acquire("t", "big", { ...pool, permits: 3 });
    b.acquire("u", "small", pool);
    b.acquire("u", "try", { semaphore: "p" });

    expect([b.how("big"), b.how("small")]).toEqual(["waiting", "waiting"]);
    expect(b.claim("try").end?.refusal).toMatchObject({ reason: "queue-ahead" });
    b.release("s", "c");
    expect([b.how("big"), b.how("small")]).toEqual(["held", "waiting"]);
  });

  it("that are freed go to as many as fit, in one step", () => {
    const b = bench();
    b.semaphore("p", 4);
    b.acquire("s", "c", { ...pool, permits: 4 });
    for (const [i, permits] of [2, 1, 2, 1].entries()) b.acquire("t", `w${i}`, { ...pool, permits });
    b.release("s", "c");

    expect(["w0", "w1", "w2", "w3"].map((id) => b.how(id))).toEqual(["held", "held", "waiting", "waiting"]);
  });

  it("die with their session: a crash leaks none", () => {
    const b = bench();
    b.semaphore("p", 2);
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 0 });
    b.acquire("dead", "c", { ...pool, permits: 2 });
    b.acquire("s", "d", { ...pool, permits: 2 });
    b.pass(6_000);

    expect(b.how("d")).toBe("held");
    expect(used(b)).toEqual({ capacity: 2, held: 2, cooling: 0 });
  });

  it("cannot be released twice, nor by somebody else", () => {
    const b = bench();
    b.semaphore("p", 2);
    b.acquire("s", "c", pool);
    b.acquire("t", "d", pool);
    expect(b.release("t", "c")).toEqual({ kind: "not-holder" });
    b.release("s", "c");
    b.release("s", "c");

    expect(used(b)).toEqual({ capacity: 2, held: 1, cooling: 0 });
  });

  it("of one claim have one fence, and each grant its own", () => {
    const b = bench();
    b.semaphore("p", 5);
    b.acquire("s", "c", { ...pool, permits: 3 });
    b.acquire("s", "d", pool);

    expect(b.claim("d").grant?.fence).toBe((b.claim("c").grant?.fence ?? 0) + 1);
  });

  it("asked for again in another number under the same id are another request", () => {
    const b = bench();
    b.semaphore("p", 5);
    b.acquire("s", "c", { ...pool, permits: 3 });

    expect(b.acquire("s", "c", { ...pool, permits: 2 })).toEqual({
      kind: "claim-conflict",
      forgotten: false,
    });
  });
});

describe("shrinking a claim", () => {
  function held(): Bench {
    const b = bench();
    b.semaphore("p", 3);
    b.acquire("s", "c", { ...pool, permits: 3 });
    b.acquire("t", "d", { ...pool, permits: 2 });
    return b;
  }

  it("says what the claim keeps, and hands the rest on in the same step", () => {
    const b = held();

    expect(b.shrink("s", "c", 1)).toMatchObject({ kind: "shrunk" });
    expect(b.how("d")).toBe("held");
    expect(used(b)).toEqual({ capacity: 3, held: 3, cooling: 0 });
  });

  it("again changes nothing, and never grows", () => {
    const b = held();
    b.shrink("s", "c", 2);

    expect(b.shrink("s", "c", 2)).toMatchObject({ kind: "shrunk" });
    expect(b.shrink("s", "c", 3)).toMatchObject({ kind: "not-shrinkable" });
    expect(used(b).held).toBe(2);
  });

  it("leaves the claim's identity alone: the acquire can still be repeated", () => {
    const b = held();
    b.shrink("s", "c", 1);

    expect(b.acquire("s", "c", { ...pool, permits: 3 })).toMatchObject({
      kind: "claim",
      claim: { state: "held" },
    });
  });

  it("is for the holder of permits: not for locks, waiters, others, or the unknown", () => {
    const b = held();
    b.acquire("s", "lock");

    expect(b.shrink("s", "lock", 1)).toMatchObject({ kind: "not-shrinkable" });
    expect(b.shrink("t", "d", 1)).toMatchObject({ kind: "not-shrinkable" });
    expect(b.shrink("t", "c", 1)).toEqual({ kind: "not-holder" });
    expect(b.shrink("s", "nobody", 1)).toEqual({ kind: "claim-unknown" });
    b.release("s", "c");
    expect(b.shrink("s", "c", 1)).toMatchObject({ kind: "claim-ended" });
  });
});

describe("resizing", () => {
  it("up grants the heads that fit now, in the same step", () => {
    const b = bench();
    b.semaphore("p", 1);
    b.acquire("s", "c", pool);
    for (let i = 0; i < 3; i++) b.acquire("t", `w${i}`, pool);
    b.semaphore("p", 3);

    expect(["w0", "w1", "w2"].map((id) => b.how(id))).toEqual(["held", "held", "waiting"]);
  });

  it("below use takes nothing away: the rest is negative until enough is released", () => {
    const b = bench();
    b.semaphore("p", 3);
    for (let i = 0; i < 3; i++) b.acquire("s", `c${i}`, pool);
    b.acquire("t", "d", pool);
    b.semaphore("p", 1);
    expect(used(b)).toEqual({ capacity: 1, held: 3, cooling: 0 });

    b.release("s", "c0");
    b.release("s", "c1");
    expect(b.how("d")).toBe("waiting");
    b.release("s", "c2");
    expect(b.how("d")).toBe("held");
  });

  it("down tells those who wait for more than there are, and lets the ones behind them go", () => {
    const b = bench();
    b.semaphore("p", 4);
    b.acquire("s", "c", pool);
    b.acquire("t", "big", { ...pool, permits: 4 });
    b.acquire("u", "small", pool);
    b.semaphore("p", 2);

    expect([b.how("big"), b.how("small")]).toEqual(["ended: exceeds-capacity", "held"]);
    // The same acquire has the same answer for ever.
    expect(b.acquire("t", "big", { ...pool, permits: 4 })).toMatchObject({
      kind: "claim",
      claim: { end: { reason: "exceeds-capacity" } },
    });
  });

  it("to nothing lets nobody in, and is no deletion", () => {
    const b = bench();
    b.semaphore("p", 0);

    expect(b.acquire("s", "c", pool)).toMatchObject({ kind: "exceeds-capacity", capacity: 0 });
    expect(b.state.resources.has("p")).toBe(true);
  });
});

describe("cooling", () => {
  function lost(lockDelayMs: number): Bench {
    const b = bench();
    b.semaphore("p", 3);
    b.open("dead", { ttlMs: 6_000, lockDelayMs });
    b.acquire("dead", "c", { ...pool, permits: 2 });
    b.pass(6_000);
    return b;
  }

  it("keeps the permits of an unclean end back, and no others", () => {
    const b = lost(2_000);
    expect(used(b)).toEqual({ capacity: 3, held: 0, cooling: 2 });

    expect(b.acquire("s", "d", { semaphore: "p" })).toMatchObject({ claim: { state: "held" } });
    b.acquire("s", "e", { semaphore: "p" });
    expect(b.claim("e").end?.refusal).toMatchObject({ reason: "lock-delay", availableAt: 8_000 });
  });

  it("ends by itself, and then who waits is granted", () => {
    const b = lost(2_000);
    b.acquire("s", "d", { ...pool, permits: 3 });
    b.pass(1_999);
    expect(b.how("d")).toBe("waiting");
    b.pass(1);

    expect(b.how("d")).toBe("held");
  });

  it("counts only what a shrunk claim had kept", () => {
    const b = bench();
    b.semaphore("p", 3);
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 2_000 });
    b.acquire("dead", "c", { ...pool, permits: 3 });
    b.shrink("dead", "c", 1);
    b.pass(6_000);

    expect(used(b)).toEqual({ capacity: 3, held: 0, cooling: 1 });
  });

  it("outlives a deletion: a semaphore made anew under the name does not give these permits out", () => {
    const b = lost(2_000);
    expect(b.semaphore("p", undefined)).toMatchObject({ kind: "semaphore-deleted" });
    b.semaphore("p", 3);

    expect(used(b)).toEqual({ capacity: 3, held: 0, cooling: 2 });
    b.semaphore("p", undefined);
    b.pass(2_000);
    expect(b.state.resources.has("p")).toBe(false);
  });

  it("never follows a clean end", () => {
    const b = bench();
    b.acquire("s", "c", { ...pool, capacity: 1 });
    b.close("s");

    expect(b.acquire("t", "d", { ...pool, capacity: 1 })).toMatchObject({ claim: { state: "held" } });
  });
});

describe("a name", () => {
  it("is bound to its kind while it has state, and free for the other afterwards", () => {
    const b = bench();
    b.acquire("s", "lock", { lock: "p" });
    expect(b.acquire("s", "c", { ...pool, capacity: 1 })).toEqual({
      kind: "kind-mismatch",
      name: "p",
      is: "lock",
    });
    expect(b.semaphore("p", 1)).toEqual({ kind: "kind-mismatch", name: "p", is: "lock" });
    expect(b.semaphore("p", undefined)).toEqual({ kind: "kind-mismatch", name: "p", is: "lock" });
    b.release("s", "lock");
    b.semaphore("p", 1);

    expect(b.acquire("s", "lock2", { lock: "p" })).toEqual({
      kind: "kind-mismatch",
      name: "p",
      is: "semaphore",
    });
  });

  it("is free again when whoever used it is due, although nobody swept it yet", () => {
    const b = bench({ sweepBudget: 1 });
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 0 });
    for (let i = 0; i < 5; i++) b.acquire("dead", `other${i}`, { lock: `other${i}` });
    b.acquire("dead", "lock", { lock: "p" });
    b.time += 6_000;

    expect(b.acquire("s", "c", { ...pool, capacity: 1 })).toMatchObject({ claim: { state: "held" } });
  });

  it("is not in use by who is due, although nobody swept it yet", () => {
    const b = bench({ sweepBudget: 1 });
    b.semaphore("p", 1);
    // The deadlines of the first two use the budget up.
    for (const id of ["a", "b", "z"]) b.open(id, { ttlMs: 6_000, lockDelayMs: 0 });
    for (const id of ["a", "b"]) b.acquire(id, `c-${id}`, { lock: id });
    b.acquire("z", "c-z", pool);
    b.time += 6_000;

    expect(b.semaphore("p", undefined)).toMatchObject({ kind: "semaphore-deleted" });
  });
});
