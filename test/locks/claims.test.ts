/** SEMANTICS §3 and §4 as far as they exist: claims, queues, lock-delay, idempotent ids. One named test for each rule. */
import { describe, expect, it } from "vitest";
import { Bench, firstFence } from "./bench.ts";

function bench(settings: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const made = new Bench(settings);
  for (const id of ["s", "t", "u"]) made.open(id, { ttlMs: 60_000 });
  return made;
}

describe("acquire", () => {
  it("a free lock is held at once, with the next fence", () => {
    const b = bench();

    expect(b.acquire("s", "c")).toMatchObject({ kind: "claim", claim: { state: "held" } });
    expect(b.claim("c").grant?.fence).toBe(firstFence + 1);
  });

  it("a try-lock of a held one is refused, and says who holds it (P-demand 4)", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d");

    expect(b.how("d")).toBe("ended: refused");
    expect(b.claim("d").end?.refusal).toMatchObject({
      reason: "held",
      blockedBy: [{ claimId: "c", label: "s" }],
      queueLength: 0,
    });
  });

  it("waits in the order of arrival and is granted in that order", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });
    b.acquire("u", "e", { waitMs: 1_000 });

    b.release("s", "c");
    expect([b.how("d"), b.how("e")]).toEqual(["held", "waiting"]);
    b.release("t", "d");
    expect(b.how("e")).toBe("held");
  });

  it("release and the next grant are one step: exactly one waiter is woken", () => {
    const b = bench();
    b.acquire("s", "c");
    for (let i = 0; i < 1_000; i++) b.acquire("t", `w${i}`, { waitMs: 1_000 });

    b.release("s", "c");

    expect(b.changes.filter(({ state }) => state === "held").map(({ claim }) => claim.id)).toEqual(["w0"]);
  });

  it("a newcomer never passes the queue, not even when the lock is free this instant (no barging)", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 1_000 });
    b.acquire("dead", "c");
    b.acquire("t", "d", { waitMs: 60_000 });
    b.pass(6_500);
    // Free but delayed: d has its place.
    b.acquire("u", "e");
    expect(b.claim("e").end?.refusal).toMatchObject({ reason: "lock-delay" });
    b.pass(500);

    expect(b.how("d")).toBe("held");
  });

  it("a wait ends at its deadline, with one definite outcome", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });
    b.pass(1_000);

    expect(b.how("d")).toBe("ended: wait-timeout");
    expect(b.claim("d").end).toMatchObject({ at: 1_000, refusal: { reason: "held" } });
    b.release("s", "c");
    expect(b.how("d")).toBe("ended: wait-timeout");
  });

  it("a wait that is due is not granted, although the release comes in the same entry", () => {
    const b = bench({ sweepBudget: 1 });
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });
    b.acquire("u", "e", { waitMs: 5_000 });
    b.time += 1_000;

    b.release("s", "c");

    expect([b.how("d"), b.how("e")]).toEqual(["ended: wait-timeout", "held"]);
  });

  it("a dead waiter in the middle of the queue does not promote the one behind it", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000 });
    b.acquire("s", "c");
    b.acquire("dead", "d", { waitMs: 60_000 });
    b.acquire("t", "e", { waitMs: 60_000 });
    b.pass(6_000);

    expect([b.how("c"), b.how("d"), b.how("e")]).toEqual(["held", "ended: session-expired", "waiting"]);
    b.release("s", "c");
    expect(b.how("e")).toBe("held");
  });

  it("for a session that is ended, due or unknown grants nothing (I5, etcd #11456)", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000 });
    b.time += 6_000;

    expect(b.acquire("dead", "c")).toMatchObject({ kind: "session-ended" });
    expect(b.acquire("never", "d")).toEqual({ kind: "session-unknown" });
    expect(b.state.resources.size).toBe(0);
  });

  it("several freed in one step: the oldest waiting is granted first, its fence is lower", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 0 });
    b.acquire("dead", "x", { lock: "x" });
    b.acquire("dead", "y", { lock: "y" });
    b.acquire("t", "second", { lock: "y", waitMs: 60_000 });
    b.acquire("u", "third", { lock: "x", waitMs: 60_000 });
    b.pass(6_000);

    expect(b.claim("second").grant?.fence).toBeLessThan(b.claim("third").grant?.fence ?? 0);
  });
});

describe("ends that cause ends", () => {
  it("sessions that wait for each other's locks and are due together end, and the one behind them too", () => {
    const b = new Bench();
    for (const id of ["a", "s", "w"]) b.open(id, { lockDelayMs: 0 });
    b.acquire("s", "s1", { lock: "1" });
    b.acquire("a", "x1", { lock: "1", waitMs: 60_000 });
    b.acquire("a", "x2", { lock: "2" });
    b.acquire("s", "s2", { lock: "2", waitMs: 60_000 });
    b.acquire("w", "w1", { lock: "1", waitMs: 60_000 });

    b.pass(10_000);

    expect(b.state).toMatchObject({ heldCount: 0, waitingCount: 0 });
    expect(b.state.sessions.size).toBe(0);
  });
});

describe("whoever is due is settled before anybody is told of it, however far the sweep has come", () => {
  for (const sweepBudget of [1, 1_000]) {
    const settings = { sweepBudget };

    it(`a grant given back after its session's deadline ends by the deadline, with its lock-delay (budget ${sweepBudget})`, () => {
      const b = new Bench(settings);
      b.open("a", { ttlMs: 6_000 });
      b.open("z", { ttlMs: 6_000, lockDelayMs: 5_000 });
      b.acquire("z", "c");
      b.time += 6_000;
      b.cancel("c", b.claim("c").grant?.fence);

      expect(b.how("c")).toBe("ended: session-expired");
      expect(b.barriers("a")).toEqual([{ until: 11_000, reason: "lock-delay" }]);
    });

    it(`releasing a wait that is due ends it as timed out (budget ${sweepBudget})`, () => {
      const b = new Bench(settings);
      b.open("a", { ttlMs: 6_000 });
      for (const id of ["h", "w"]) b.open(id, { ttlMs: 60_000 });
      b.acquire("h", "hold");
      b.acquire("w", "w1", { waitMs: 6_000 });
      b.time += 6_000;
      b.release("w", "w1");

      expect(b.how("w1")).toBe("ended: wait-timeout");
      expect(b.acquire("w", "w1", { waitMs: 6_000 })).toMatchObject({ kind: "claim" });
    });

    it(`waiters and sessions that are due fill no limit and no queue (budget ${sweepBudget})`, () => {
      const b = new Bench({ ...settings, waitersPerName: 3, sessions: 6 });
      for (const id of ["h", "n", "s0", "s1", "s2"]) b.open(id, { ttlMs: 60_000 });
      b.open("x", { ttlMs: 6_000 });
      b.acquire("h", "hold");
      for (const i of [0, 1, 2]) b.acquire(`s${i}`, `w${i}`, { waitMs: 6_000 });
      b.time += 6_000;

      expect(b.acquire("n", "tried")).toMatchObject({ claim: { end: { refusal: { queueLength: 0 } } } });
      expect(b.acquire("n", "new", { waitMs: 5_000 })).toMatchObject({
        kind: "claim",
        claim: { state: "waiting" },
      });
      expect(b.open("another")).toMatchObject({ kind: "session" });
    });

    it(`what was due in one term is not revived by the grace of the next (budget ${sweepBudget})`, () => {
      const b = new Bench(settings);
      for (const id of ["a", "b", "z"]) b.open(id, { ttlMs: 6_000 });
      b.pass(6_000);
      b.term();
      b.pass(0);

      expect(b.state.sessions.size).toBe(0);
    });
  }
});

describe("ids of the safe form", () => {
  it("releasing a forgotten one says that it is forgotten, and remembers nothing", () => {
    const b = bench({ rememberedClaimsPerSession: 2 });
    const { ref } = b.session("s");
    for (let n = 1; n <= 5; n++) {
      b.acquire("s", `${ref}_${n}`);
      b.release("s", `${ref}_${n}`);
    }

    expect(b.release("s", `${ref}_1`)).toEqual({ kind: "claim-conflict", forgotten: true });
    expect(b.state.claims.has(`${ref}_1`)).toBe(false);
  });

  it("belong to the session that they name: nobody else can occupy them", () => {
    const b = bench();
    const { ref } = b.session("s");

    expect(b.release("t", `${ref}_1`)).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("t", `${ref}_1`)).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("s", `${ref}_1`)).toMatchObject({ kind: "claim", claim: { state: "held" } });
  });
});

describe("idempotent ids", () => {
  it("the same claim again is the same claim, with no second place in the queue (zk-ruby#54)", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 5_000 });
    for (let i = 0; i < 50; i++)
      expect(b.acquire("t", "d", { waitMs: 5_000 })).toMatchObject({ claim: { id: "d" } });

    expect(b.state.resources.get("a")?.queue.size).toBe(1);
    expect(b.acquire("s", "c")).toMatchObject({ claim: { id: "c", state: "held" } });
  });

  it("an id of another session, or for another lock, is a conflict", () => {
    const b = bench();
    b.acquire("s", "c");

    expect(b.acquire("t", "c")).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("s", "c", { lock: "b" })).toEqual({ kind: "claim-conflict", forgotten: false });
  });

  it("a refused or timed-out id gives the same refusal again, also when the lock is free now", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d");
    b.acquire("u", "e", { waitMs: 100 });
    b.pass(100);
    b.release("s", "c");

    expect(b.acquire("t", "d")).toMatchObject({
      claim: { end: { reason: "refused", refusal: { reason: "held" } } },
    });
    expect(b.acquire("u", "e", { waitMs: 100 })).toMatchObject({
      claim: { end: { reason: "wait-timeout" } },
    });
  });

  it("an id that its caller released or cancelled is over", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 100 });
    b.release("t", "d");
    b.release("s", "c");

    expect(b.acquire("s", "c")).toMatchObject({ kind: "claim-ended" });
    expect(b.acquire("t", "d", { waitMs: 100 })).toMatchObject({ kind: "claim-ended" });
  });

  it("releasing an id never heard of makes a late acquire under it end at once: no ghost grant", () => {
    const b = bench();

    expect(b.release("s", "c")).toMatchObject({ kind: "released", claim: { end: { reason: "cancelled" } } });
    expect(b.acquire("s", "c")).toMatchObject({ kind: "claim-ended" });
    expect(b.state.heldCount).toBe(0);
  });

  it("of ids <ref>_<n> even a forgotten one is never executed again", () => {
    const b = bench({ rememberedClaimsPerSession: 2 });
    const { ref } = b.session("s");
    for (let n = 1; n <= 5; n++) {
      b.acquire("s", `${ref}_${n}`);
      b.release("s", `${ref}_${n}`);
    }

    expect(b.acquire("s", `${ref}_1`)).toEqual({ kind: "claim-conflict", forgotten: true });
    expect(b.acquire("s", `${ref}_3`)).toEqual({ kind: "claim-conflict", forgotten: true });
    expect(b.acquire("s", `${ref}_5`)).toMatchObject({ kind: "claim-ended" });
    expect(b.acquire("s", `${ref}_6`)).toMatchObject({ kind: "claim", claim: { state: "held" } });
  });

  it("what is remembered is bounded, over all sessions too", () => {
    const b = bench({ rememberedClaims: 10, rememberedClaimsPerSession: 100 });
    for (let i = 0; i < 50; i++) {
      b.acquire("s", `c${i}`);
      b.release("s", `c${i}`);
    }

    expect(b.state.remembered.size).toBe(10);
    expect(b.state.claims.size).toBe(10);
  });
});

describe("release", () => {
  it("names a claim: a late repetition cannot free a newer hold of the same lock (etcd #22082)", () => {
    const b = bench();
    b.acquire("s", "c");
    b.release("s", "c");
    b.acquire("s", "d");

    expect(b.release("s", "c")).toMatchObject({ kind: "released", claim: { id: "c" } });
    expect(b.how("d")).toBe("held");
  });

  it("by another session is refused and changes nothing", () => {
    const b = bench();
    b.acquire("s", "c");

    expect(b.release("t", "c")).toEqual({ kind: "not-holder" });
    expect(b.how("c")).toBe("held");
  });

  it("of a lost hold says that it was lost, and why, also after the session's end", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000 });
    b.acquire("dead", "c");
    b.pass(6_000);

    expect(b.release("dead", "c")).toMatchObject({ kind: "claim-lost", reason: "session-expired" });
    expect(b.release("dead", "unheard")).toMatchObject({ kind: "session-ended" });
  });

  it("of what the closed session let go is no loss", () => {
    const b = bench();
    b.acquire("s", "c");
    b.close("s");

    expect(b.release("s", "c")).toMatchObject({
      kind: "released",
      claim: { end: { reason: "session-closed" } },
    });
  });

  it("leaves nothing behind: idle locks vanish", () => {
    const b = bench();
    for (let i = 0; i < 100; i++) {
      b.acquire("s", `c${i}`, { lock: `lock-${i}` });
      b.release("s", `c${i}`);
    }

    expect(b.state.resources.size).toBe(0);
  });

  it("fences rise over the life of a name, whatever happened to it between", () => {
    const b = bench();
    const fences: number[] = [];
    for (let i = 0; i < 5; i++) {
      b.acquire("s", `c${i}`);
      fences.push(b.claim(`c${i}`).grant?.fence ?? 0);
      b.release("s", `c${i}`);
    }

    expect(fences).toEqual([...fences].sort((x, y) => x - y));
    expect(new Set(fences).size).toBe(5);
  });
});

describe("lock-delay", () => {
  const cases = [
    { of: "the claim", session: 9_000, claim: 2_000, expected: 2_000 },
    { of: "the session", session: 3_000, claim: undefined, expected: 3_000 },
    { of: "the settings", session: undefined, claim: undefined, expected: 5_000 },
    { of: "zero, which means zero", session: 9_000, claim: 0, expected: 0 },
  ];
  for (const { of, session, claim, expected } of cases) {
    it(`after an unclean end is that of ${of}, counted from the end`, () => {
      const b = bench();
      b.open("dead", { ttlMs: 6_000, ...(session === undefined ? {} : { lockDelayMs: session }) });
      b.acquire("dead", "c", claim === undefined ? {} : { lockDelayMs: claim });
      b.acquire("t", "d", { waitMs: 60_000 });
      b.pass(6_000 + expected - 1);
      if (expected > 0) expect(b.how("d")).toBe("waiting");
      b.pass(1);

      expect(b.how("d")).toBe("held");
    });
  }

  it("counts from the deadline, not from the entry that noticed it", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 1_000 });
    b.acquire("dead", "c");
    b.pass(6_900);
    b.acquire("t", "d");
    expect(b.claim("d").end?.refusal).toMatchObject({ reason: "lock-delay", availableAt: 7_000 });
    b.pass(100);

    expect(b.acquire("t", "e")).toMatchObject({ claim: { state: "held" } });
  });

  it("never follows a clean release, a close, or the end of a waiter", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000 });
    b.acquire("s", "c");
    b.acquire("dead", "w", { waitMs: 60_000 });
    b.pass(6_000);
    b.release("s", "c");

    expect(b.acquire("t", "d")).toMatchObject({ claim: { state: "held" } });
  });

  it("passes by itself, and then the lock leaves nothing behind", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 1_000 });
    b.acquire("dead", "c");
    b.pass(6_000);
    expect(b.state.resources.size).toBe(1);
    b.pass(1_000);

    expect(b.state.resources.size).toBe(0);
  });
});

describe("the leader's cancel", () => {
  it("ends a waiting claim and leaves a held one alone", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });
    b.cancel("c");
    b.cancel("d");
    b.cancel("never");

    expect([b.how("c"), b.how("d")]).toEqual(["held", "ended: cancelled"]);
  });

  it("with a fence gives back that very grant, cleanly, and no other", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });
    b.cancel("c", firstFence);
    expect(b.how("c")).toBe("held");
    b.cancel("c", firstFence + 1);

    expect([b.how("c"), b.how("d")]).toEqual(["ended: cancelled", "held"]);
  });
});

describe("limits are refused loudly", () => {
  it("waiters of a name", () => {
    const b = bench({ waitersPerName: 1 });
    b.acquire("s", "c");
    b.acquire("t", "d", { waitMs: 1_000 });

    expect(b.acquire("u", "e", { waitMs: 1_000 })).toEqual({
      kind: "quota",
      limit: "waitersPerName",
      max: 1,
    });
    expect(b.acquire("u", "e", { waitMs: 0 })).toMatchObject({ kind: "claim" });
  });

  it("claims of a session, with its unacknowledged ends, and claims in all", () => {
    const b = bench({ claimsPerSession: 2, claims: 3 });
    b.acquire("s", "1", { lock: "1" });
    b.acquire("s", "2", { lock: "2" });
    expect(b.acquire("s", "3", { lock: "3" })).toMatchObject({ kind: "quota", limit: "claimsPerSession" });
    b.cancel("2", b.claim("2").grant?.fence);
    expect(b.acquire("s", "3", { lock: "3" })).toMatchObject({ kind: "quota", limit: "claimsPerSession" });
    b.keep("s");
    b.keep("s", b.session("s").lastRenewal);
    b.acquire("s", "3", { lock: "3" });
    b.acquire("t", "4", { lock: "4" });

    expect(b.acquire("t", "5", { lock: "5" })).toMatchObject({ kind: "quota", limit: "claims" });
  });
});
