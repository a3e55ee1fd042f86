/** What is remembered of ended holds, for how long, and what it counts as. SEMANTICS §2 (`ended`), §3, §10. */
import { describe, expect, it } from "vitest";
import { Bench } from "./bench.ts";

/** `c` was held by `s` and ended by its max-hold; `s` has not said that it knows; then others made it old. */
function lostAndOld(): Bench {
  const b = new Bench({ rememberedClaimsPerSession: 4, rememberedClaims: 10 });
  for (const id of ["s", "t"]) b.open(id, { ttlMs: 60_000 });
  b.acquire("s", "c", { maxHoldMs: 100, lockDelayMs: 0 });
  b.pass(200);
  b.acquire("t", "busy", { lock: "b" });
  for (let i = 0; i < 20; i++) b.acquire("s", `refused${i}`, { lock: "b" });
  return b;
}

describe("a hold that was lost is remembered until its session says that it knows", () => {
  it("releasing it says that it was lost, however much ended since", () => {
    const b = lostAndOld();

    expect(b.release("s", "c")).toMatchObject({ kind: "claim-lost", reason: "max-hold" });
  });

  it("its id is not granted again while `ended` says that it ended", () => {
    const b = lostAndOld();

    expect(b.acquire("s", "c", { lock: "z" })).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("s", "c", { maxHoldMs: 100 })).toMatchObject({ kind: "claim-lost" });
  });

  it("from then on it is one of those that are forgotten in time, the newest of them", () => {
    const b = lostAndOld();
    b.keep("s");
    b.keep("s", b.state.revision);
    expect([...b.session("s").remembered.keys()]).toEqual(["refused17", "refused18", "refused19", "c"]);
    for (let i = 20; i < 24; i++) b.acquire("s", `refused${i}`, { lock: "b" });

    expect(b.state.claims.has("c")).toBe(false);
    expect(b.session("s").forgottenRevision).toBeGreaterThan(0);
  });

  it("with the session's end it is kept with what the tombstone keeps", () => {
    const b = lostAndOld();
    b.close("s");

    expect(b.release("s", "c")).toMatchObject({ kind: "claim-lost", reason: "max-hold" });
  });
});

it("what ended holds leave behind counts among the claims: no client can make it grow beyond them", () => {
  const b = new Bench({ claims: 20, claimsPerSession: 20, tombstones: 1, rememberedClaims: 20 });
  let refused = 0;
  for (let round = 0; round < 10; round++) {
    const id = `session-${round}`;
    b.open(id, { ttlMs: 86_400_000 });
    for (let i = 0; i < 20; i++) {
      const lock = `l${round}.${i}`;
      const outcome = b.acquire(id, `c${round}.${i}`, { lock, maxHoldMs: 1, lockDelayMs: 0 });
      if (outcome.kind === "quota") refused++;
    }
    b.pass(2);
    b.close(id);
  }

  expect(b.state.barriers.size).toBe(20);
  expect(refused).toBe(180);
  // When they are over there is room again.
  b.pass(86_400_000);
  b.open("later");
  expect(b.acquire("later", "c", { lock: "l" })).toMatchObject({ claim: { state: "held" } });
});

describe("how long a semaphore keeps somebody out", () => {
  it("is until enough permits have cooled, whatever the order in which they ended, also after one was acknowledged", () => {
    const b = new Bench();
    b.semaphore("p", 3);
    b.open("s", { ttlMs: 60_000 });
    b.open("t", { ttlMs: 600_000 });
    const hold = { semaphore: "p", maxHoldMs: 100 } as const;
    b.acquire("s", "c1", { ...hold, lockDelayMs: 9_000 });
    b.acquire("s", "c2", { ...hold, lockDelayMs: 3_000 });
    b.acquire("s", "c3", { ...hold, lockDelayMs: 6_000 });
    b.pass(100);
    const whenFree = (permits: number): unknown => {
      const id = `try${b.state.revision}`;
      b.acquire("t", id, { semaphore: "p", permits });
      const { reason, availableAt } = b.claim(id).end?.refusal ?? {};
      return [reason, availableAt];
    };
    // All of them wait for the lease as it stood at the end.
    expect(whenFree(1)).toEqual(["hand-back", 60_000]);
    b.keep("s");
    b.keep("s", b.state.revision);

    expect([1, 2, 3].map(whenFree)).toEqual([
      ["lock-delay", 3_100],
      ["lock-delay", 6_100],
      ["lock-delay", 9_100],
    ]);
    b.pass(3_000);
    b.acquire("t", "one", { semaphore: "p" });
    expect(b.how("one")).toBe("held");
    expect(whenFree(1)).toEqual(["lock-delay", 6_100]);
  });
});

describe("an acquire that was refused for good is remembered under its id, so that a copy that comes late grants nothing", () => {
  it("of an owner that had it, or waited: again while that is so, ended afterwards, never granted", () => {
    const b = new Bench();
    for (const id of ["s", "t"]) b.open(id);
    b.acquire("t", "theirs");
    b.acquire("s", "waits", { owner: "me", waitMs: 5_000 });
    const refused = { owner: "me", lock: "free" } as const;
    expect(b.acquire("s", "late", refused)).toMatchObject({
      kind: "already-waiting",
      claim: { id: "waits" },
    });
    expect(b.acquire("s", "late", refused)).toMatchObject({
      kind: "already-waiting",
      claim: { id: "waits" },
    });

    b.release("s", "waits");

    expect(b.acquire("s", "late", refused)).toMatchObject({ kind: "claim-ended", claim: { id: "late" } });
    expect(b.release("s", "late")).toMatchObject({ kind: "released" });
    expect(b.state.heldCount).toBe(1);
  });

  it("of a name of the other kind: the same refusal again, also when the name is free by then", () => {
    const b = new Bench();
    for (const id of ["s", "t"]) b.open(id);
    b.acquire("t", "theirs", { lock: "x" });
    const refused = { semaphore: "x", permits: 1, capacity: 3 } as const;
    expect(b.acquire("s", "late", refused)).toMatchObject({ kind: "kind-mismatch" });

    b.release("t", "theirs");

    expect(b.acquire("s", "late", refused)).toMatchObject({ kind: "kind-mismatch" });
    expect(b.acquire("s", "new", refused)).toMatchObject({ claim: { state: "held" } });
  });

  it("of more permits than there are, of another capacity, of a semaphore that is not there", () => {
    const b = new Bench();
    b.open("s");
    b.acquire("s", "first", { semaphore: "x", permits: 1, capacity: 2 });
    const asked = {
      unknown: { semaphore: "y" },
      other: { semaphore: "x", capacity: 9 },
      more: { semaphore: "x", permits: 5 },
    };
    for (const [id, what] of Object.entries(asked)) b.acquire("s", id, what);
    b.release("s", "first");
    b.acquire("s", "second", { semaphore: "y", permits: 1, capacity: 9 });

    expect(b.acquire("s", "unknown", asked.unknown)).toEqual({ kind: "semaphore-unknown", name: "y" });
    expect(b.acquire("s", "other", asked.other)).toMatchObject({ kind: "capacity-conflict" });
    expect(b.acquire("s", "more", asked.more)).toMatchObject({ kind: "exceeds-capacity" });
  });
});
