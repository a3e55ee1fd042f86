/** SEMANTICS §4: shared mode, and lock-delay in it. One named test for each rule. */
import { describe, expect, it } from "vitest";
import { Bench } from "./bench.ts";

const reader = { mode: "shared", waitMs: 60_000 } as const;
const writer = { mode: "exclusive", waitMs: 60_000 } as const;

function bench(): Bench {
  const made = new Bench();
  for (const id of ["s", "t", "u"]) made.open(id, { ttlMs: 60_000 });
  return made;
}

describe("shared mode", () => {
  it("is held by many at once, each with its own fence", () => {
    const b = bench();
    for (const [i, session] of ["s", "t", "u"].entries()) b.acquire(session, `r${i}`, reader);

    expect([b.how("r0"), b.how("r1"), b.how("r2")]).toEqual(["held", "held", "held"]);
    expect(new Set(["r0", "r1", "r2"].map((id) => b.claim(id).grant?.fence)).size).toBe(3);
  });

  it("and exclusive mode exclude each other, both ways, and the refusal says who", () => {
    const b = bench();
    b.acquire("s", "r", reader);
    b.acquire("t", "w");
    expect(b.claim("w").end?.refusal).toMatchObject({ reason: "held", blockedBy: [{ claimId: "r" }] });

    b.release("s", "r");
    b.acquire("t", "w2");
    b.acquire("u", "r2", { mode: "shared" });
    expect(b.claim("r2").end?.refusal).toMatchObject({ reason: "held", blockedBy: [{ claimId: "w2" }] });
  });

  it("does not starve writers: a reader that comes after a waiting writer waits behind it", () => {
    const b = bench();
    b.acquire("s", "r1", reader);
    b.acquire("t", "w", writer);
    b.acquire("u", "r2", reader);
    b.acquire("u", "try", { mode: "shared" });

    expect([b.how("w"), b.how("r2")]).toEqual(["waiting", "waiting"]);
    expect(b.claim("try").end?.refusal).toMatchObject({
      reason: "queue-ahead",
      blockedBy: [{ claimId: "w" }],
    });
    b.release("s", "r1");
    expect([b.how("w"), b.how("r2")]).toEqual(["held", "waiting"]);
  });

  it("does not starve readers: those before the next writer are granted together, as one batch", () => {
    const b = bench();
    b.acquire("s", "w1", writer);
    for (let i = 0; i < 50; i++) b.acquire("t", `r${i}`, reader);
    b.acquire("u", "w2", writer);
    for (let i = 50; i < 60; i++) b.acquire("t", `r${i}`, reader);

    b.release("s", "w1");

    const granted = b.changes.filter(({ state }) => state === "held").map(({ claim }) => claim.id);
    expect(granted).toEqual(Array.from({ length: 50 }, (_, i) => `r${i}`));
    expect([b.how("w2"), b.how("r50")]).toEqual(["waiting", "waiting"]);
  });

  it("a writer that gives up lets the readers behind it join at once", () => {
    const b = bench();
    b.acquire("s", "r1", reader);
    b.acquire("t", "w", { mode: "exclusive", waitMs: 1_000 });
    b.acquire("u", "r2", reader);
    b.pass(1_000);

    expect([b.how("w"), b.how("r2")]).toEqual(["ended: wait-timeout", "held"]);
  });

  it("the writer behind readers is granted when the last of them is gone, and not before", () => {
    const b = bench();
    b.acquire("s", "r1", reader);
    b.acquire("u", "r2", reader);
    b.acquire("t", "w", writer);

    b.release("s", "r1");
    expect(b.how("w")).toBe("waiting");
    b.release("u", "r2");
    expect(b.how("w")).toBe("held");
  });

  it("asked for again in another mode under the same id is another request", () => {
    const b = bench();
    b.acquire("s", "c", { mode: "shared" });

    expect(b.acquire("s", "c", { mode: "exclusive" })).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("s", "c", { mode: "shared" })).toMatchObject({
      kind: "claim",
      claim: { state: "held" },
    });
  });

  it("counts towards the waiters of a name", () => {
    const b = new Bench({ waitersPerName: 1 });
    b.open("s", { ttlMs: 60_000 });
    b.acquire("s", "w", writer);
    b.acquire("s", "r1", reader);

    expect(b.acquire("s", "r2", reader)).toMatchObject({ kind: "quota", limit: "waitersPerName" });
  });
});

describe("lock-delay in shared mode", () => {
  function lostReader(): Bench {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 2_000 });
    b.acquire("dead", "r", reader);
    b.pass(6_000);
    expect(b.how("r")).toBe("ended: session-expired");
    return b;
  }

  it("keeps exclusive claims out, and says for how long", () => {
    const b = lostReader();
    b.acquire("s", "w");

    expect(b.claim("w").end?.refusal).toMatchObject({ reason: "lock-delay", availableAt: 8_000 });
  });

  it("lets shared claims in", () => {
    const b = lostReader();

    expect(b.acquire("s", "r2", reader)).toMatchObject({ claim: { state: "held" } });
  });

  it("a writer that waits for it to pass keeps its place before later readers", () => {
    const b = lostReader();
    b.acquire("s", "w", writer);
    b.acquire("t", "r2", reader);
    expect([b.how("w"), b.how("r2")]).toEqual(["waiting", "waiting"]);
    b.pass(2_000);

    expect([b.how("w"), b.how("r2")]).toEqual(["held", "waiting"]);
  });

  it("after several readers lasts until the last of their delays is over", () => {
    const b = bench();
    for (const [id, lockDelayMs] of [
      ["d1", 3_000],
      ["d2", 1_000],
    ] as const) {
      b.open(id, { ttlMs: 6_000, lockDelayMs });
      b.acquire(id, `r-${id}`, reader);
    }
    b.acquire("s", "w", writer);
    b.pass(6_000);
    expect(b.barriers("a")).toEqual([
      { until: 9_000, reason: "lock-delay" },
      { until: 7_000, reason: "lock-delay" },
    ]);
    b.pass(2_900);
    expect(b.how("w")).toBe("waiting");
    b.pass(100);
    expect(b.how("w")).toBe("held");
  });
});
