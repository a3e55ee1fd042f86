/** SEMANTICS §2–§4: ends that the holder did not ask for, hand-back, max-hold, kill, owners. One test for each rule. */
import { describe, expect, it } from "vitest";
import { stateHash } from "../../src/locks/canonical.ts";
import { Bench } from "./bench.ts";

const wait = { waitMs: 60_000 } as const;

function bench(settings: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const made = new Bench(settings);
  for (const id of ["s", "t", "u"]) made.open(id, { ttlMs: 20_000, lockDelayMs: 1_000 });
  return made;
}

/** What a renewal tells of ended holds. */
function told(b: Bench, session: string, seen = 0): unknown {
  const outcome = b.keep(session, seen);
  return outcome.kind === "keep-alive" && outcome.items[0]?.kind === "renewed"
    ? outcome.items[0].unseenEnds.map(({ claimId, reason }) => [claimId, reason])
    : outcome;
}

describe("max-hold", () => {
  it("ends the hold at its time, whatever is renewed", () => {
    const b = bench();
    b.acquire("s", "c", { maxHoldMs: 3_000 });
    b.pass(2_999);
    b.keep("s");
    expect(b.how("c")).toBe("held");
    b.pass(1);

    expect(b.how("c")).toBe("ended: max-hold");
    expect(b.claim("c").end?.at).toBe(3_000);
  });

  it("counts from the grant, not from the beginning of the wait", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", { ...wait, maxHoldMs: 3_000 });
    b.pass(5_000);
    b.release("s", "c");
    b.pass(2_999);
    expect(b.how("d")).toBe("held");
    b.pass(1);

    expect(b.how("d")).toBe("ended: max-hold");
  });

  it("that was released in time leaves nothing behind", () => {
    const b = bench();
    b.acquire("s", "c", { maxHoldMs: 3_000 });
    b.release("s", "c");

    expect(b.acquire("t", "d")).toMatchObject({ claim: { state: "held" } });
    b.pass(3_000);
    expect(b.how("d")).toBe("held");
  });

  it("released too late says that it was lost, and why", () => {
    const b = bench();
    b.acquire("s", "c", { maxHoldMs: 3_000 });
    b.time += 3_000;

    expect(b.release("s", "c")).toMatchObject({ kind: "claim-lost", reason: "max-hold" });
    expect(b.acquire("s", "c", { maxHoldMs: 3_000 })).toMatchObject({ kind: "claim-lost" });
  });

  it("is told with every renewal until it was seen, and the answer is complete however far the sweep has come", () => {
    const b = bench({ sweepBudget: 1 });
    for (let i = 0; i < 5; i++) b.acquire("s", `c${i}`, { lock: `l${i}`, maxHoldMs: 3_000 });
    b.time += 3_000;

    const all = Array.from({ length: 5 }, (_, i) => [`c${i}`, "max-hold"]);
    expect(told(b, "s")).toEqual(all);
    const seen = b.state.revision;
    expect(told(b, "s")).toEqual(all);
    expect(told(b, "s", seen)).toEqual([]);
  });

  it("counts among the claims of its session until it was seen", () => {
    const b = bench({ claimsPerSession: 2 });
    b.acquire("s", "c1", { lock: "l1", maxHoldMs: 1_000 });
    b.acquire("s", "c2", { lock: "l2", maxHoldMs: 1_000 });
    b.pass(1_000);
    expect(b.acquire("s", "c3", { lock: "l3" })).toMatchObject({ kind: "quota", limit: "claimsPerSession" });
    b.keep("s");
    b.keep("s", b.state.revision);

    expect(b.acquire("s", "c3", { lock: "l3" })).toMatchObject({ claim: { state: "held" } });
  });

  it("before its session's deadline in the same entry ends by its own, after it by the session's", () => {
    const b = bench();
    b.open("dead", { ttlMs: 6_000, lockDelayMs: 0 });
    b.acquire("dead", "first", { lock: "l1", maxHoldMs: 5_000 });
    b.acquire("dead", "later", { lock: "l2", maxHoldMs: 7_000 });
    b.acquire("dead", "same", { lock: "l3", maxHoldMs: 6_000 });
    b.pass(60_000);

    expect(b.how("first")).toBe("ended: max-hold");
    expect(b.how("later")).toBe("ended: session-expired");
    // Of equal deadlines the session's is handled first.
    expect(b.how("same")).toBe("ended: session-expired");
  });
});

describe("hand-back", () => {
  function taken(): Bench {
    const b = bench();
    b.acquire("s", "c", { maxHoldMs: 3_000 });
    b.acquire("t", "d", wait);
    b.pass(3_000);
    return b;
  }

  it("keeps others out after the end, longer than the lock-delay, and says why", () => {
    const b = taken();
    b.pass(5_000);
    expect(b.how("d")).toBe("waiting");
    expect(b.barriers("a")).toEqual([{ until: 20_000, reason: "hand-back" }]);
    b.acquire("u", "e");

    expect(b.claim("e").end?.refusal).toMatchObject({ reason: "hand-back", availableAt: 20_000 });
  });

  it("is over as soon as the session says that it knows", () => {
    const b = taken();
    b.pass(2_000);
    b.keep("s");
    const seen = b.state.revision;
    expect(b.how("d")).toBe("waiting");
    b.keep("s", seen);

    expect(b.how("d")).toBe("held");
  });

  it("ends with the lease as it stood at the end, although the session was renewed since", () => {
    const b = taken();
    b.pass(10_000);
    b.keep("s");
    b.keep("t");
    b.pass(6_999);
    expect(b.how("d")).toBe("waiting");
    b.pass(1);

    expect(b.how("d")).toBe("held");
  });

  it("acknowledged before the lock-delay is over leaves the lock-delay: the later counts", () => {
    const b = taken();
    b.keep("s");
    b.keep("s", b.state.revision);
    expect(b.barriers("a")).toEqual([{ until: 4_000, reason: "lock-delay" }]);
    expect(b.how("d")).toBe("waiting");
    b.pass(1_000);

    expect(b.how("d")).toBe("held");
  });

  it("is not shortened by a `seen` of before the end", () => {
    const b = bench();
    b.keep("s");
    const before = b.state.revision;
    b.acquire("s", "c", { maxHoldMs: 3_000 });
    b.acquire("t", "d", wait);
    b.pass(3_000);
    b.keep("s", before);

    expect(b.how("d")).toBe("waiting");
  });

  it("of permits keeps those permits back, and no others", () => {
    const b = bench();
    b.semaphore("p", 3);
    b.acquire("s", "c", { semaphore: "p", permits: 2, maxHoldMs: 3_000 });
    b.pass(3_000);

    expect(b.acquire("t", "d", { semaphore: "p" })).toMatchObject({ claim: { state: "held" } });
    b.acquire("t", "e", { semaphore: "p" });
    expect(b.claim("e").end?.refusal).toMatchObject({ reason: "hand-back", availableAt: 20_000 });
  });

  it("of a shared hold lets shared claims in", () => {
    const b = bench();
    b.acquire("s", "c", { mode: "shared", maxHoldMs: 3_000 });
    b.pass(3_000);

    expect(b.acquire("t", "r", { mode: "shared" })).toMatchObject({ claim: { state: "held" } });
    b.release("t", "r");
    b.acquire("t", "w");
    expect(b.claim("w").end?.refusal).toMatchObject({ reason: "hand-back" });
  });

  it("outlives the end of its session, clean or not", () => {
    const b = taken();
    b.close("s");
    b.pass(15_000);
    expect(b.how("d")).toBe("waiting");
    b.keep("t");
    b.pass(2_000);

    expect(b.how("d")).toBe("held");
  });
});

describe("killing a session", () => {
  it("ends it for good, uncleanly, with the reason for whoever finds it gone", () => {
    const b = bench();
    b.acquire("s", "c");

    expect(b.kill("s")).toMatchObject({ kind: "session-killed" });
    expect(b.keep("s")).toMatchObject({
      items: [{ kind: "session-ended", session: { end: { reason: "killed", note: "a test" } } }],
    });
    expect(b.how("c")).toBe("ended: session-killed");
    expect(b.release("s", "c")).toMatchObject({ kind: "claim-lost", reason: "session-killed" });
  });

  it("grants nothing of it before its lease is over: its holder may not know yet", () => {
    const b = bench();
    b.acquire("s", "c");
    b.acquire("t", "d", wait);
    b.kill("s");
    b.pass(19_000);
    b.keep("t");
    expect(b.how("d")).toBe("waiting");
    b.pass(1_000);

    expect(b.how("d")).toBe("held");
  });

  it("frees the places of its waiters at once", () => {
    const b = bench();
    b.acquire("s", "c", { mode: "shared" });
    b.acquire("t", "w", wait);
    b.acquire("u", "r", { mode: "shared", ...wait });
    b.kill("t");

    expect([b.how("w"), b.how("r")]).toEqual(["ended: session-killed", "held"]);
  });

  it("again says the same; one that had ended otherwise says that", () => {
    const b = bench();
    b.kill("s");
    b.close("t");

    expect(b.kill("s")).toMatchObject({ kind: "session-killed" });
    expect(b.kill("t")).toMatchObject({ kind: "session-ended", session: { end: { reason: "closed" } } });
    expect(b.do({ kind: "kill-session", sessionRef: "nobody", note: "" })).toEqual({
      kind: "session-unknown",
    });
  });

  it("that was due expired, with its lock-delay and no hand-back", () => {
    const b = bench({ sweepBudget: 1 });
    b.acquire("s", "c");
    b.time += 20_000;

    expect(b.kill("s")).toMatchObject({ kind: "session-ended", session: { end: { reason: "expired" } } });
    expect(b.barriers("a")).toEqual([{ until: 21_000, reason: "lock-delay" }]);
  });
});

describe("an owner", () => {
  it("that asks for what it holds is told so, instead of waiting for itself", () => {
    const b = bench();
    b.acquire("s", "c", { owner: "me" });

    for (const mode of ["exclusive", "shared"] as const) {
      expect(b.acquire("s", `again-${mode}`, { owner: "me", mode, ...wait })).toMatchObject({
        kind: "already-held",
        claim: { id: "c" },
      });
    }
    expect(b.state.heldCount + b.state.waitingCount).toBe(1);
  });

  it("holds shared and asks for exclusive: that is more than it has", () => {
    const b = bench();
    b.acquire("s", "c", { owner: "me", mode: "shared" });

    expect(b.acquire("s", "w", { owner: "me" })).toMatchObject({ kind: "claim", claim: { state: "ended" } });
    expect(b.acquire("s", "r", { owner: "me", mode: "shared" })).toMatchObject({ kind: "already-held" });
  });

  it("waits for one thing at a time", () => {
    const b = bench();
    b.acquire("t", "c");
    b.acquire("s", "d", { owner: "me", ...wait });

    expect(b.acquire("s", "e", { owner: "me", lock: "b" })).toMatchObject({
      kind: "already-waiting",
      claim: { id: "d" },
    });
    b.release("s", "d");
    expect(b.acquire("s", "f", { owner: "me", lock: "b" })).toMatchObject({ claim: { state: "held" } });
  });

  it("is one of its session only, and without one every claim is its own", () => {
    const b = bench();
    b.acquire("s", "c", { owner: "me" });
    b.acquire("t", "d", { owner: "me", ...wait });
    b.acquire("s", "e", { owner: "other", ...wait });
    b.acquire("s", "f", wait);

    expect([b.how("d"), b.how("e"), b.how("f")]).toEqual(["waiting", "waiting", "waiting"]);
  });

  it("whose hold is due does not hold it any more", () => {
    const b = bench({ sweepBudget: 1 });
    b.acquire("s", "c", { owner: "me", maxHoldMs: 3_000 });
    b.time += 3_000;

    expect(b.acquire("s", "d", { owner: "me", ...wait })).toMatchObject({
      kind: "claim",
      claim: { state: "waiting" },
    });
  });

  it("is part of the request: another one under the same id is a conflict", () => {
    const b = bench();
    b.acquire("s", "c", { owner: "me" });

    expect(b.acquire("s", "c", { owner: "you" })).toEqual({ kind: "claim-conflict", forgotten: false });
    expect(b.acquire("s", "c", { owner: "me" })).toMatchObject({ kind: "claim" });
  });

  it("may hold permits of a semaphore many times", () => {
    const b = bench();
    b.semaphore("p", 2);
    b.acquire("s", "c", { owner: "me", semaphore: "p" });

    expect(b.acquire("s", "d", { owner: "me", semaphore: "p" })).toMatchObject({ claim: { state: "held" } });
  });
});

describe("settings", () => {
  it("change by an entry, all or none, and what was granted stays granted", () => {
    const b = bench();
    b.acquire("s", "c");
    const before = stateHash(b.state);

    expect(
      b.do({
        kind: "set-settings",
        changes: [
          ["lockDelayMs", 60_000],
          ["defaultTtlMs", 86_400_001],
        ],
      }),
    ).toEqual({
      kind: "settings-refused",
      faults: [
        { name: "defaultTtlMs", what: "must be from 1 to 86400000, is 86400001" },
        { name: "defaultTtlMs", what: "is 86400001 and must not exceed ttlMsMax, which is 86400000" },
      ],
    });
    expect(b.state.settings?.lockDelayMs).toBe(5_000);
    expect(b.do({ kind: "set-settings", changes: [["lockDelayMs", 60_000]] })).toMatchObject({
      kind: "settings",
      settings: { lockDelayMs: 60_000 },
    });
    expect(b.how("c")).toBe("held");
    expect(stateHash(b.state)).not.toBe(before);
  });

  it("lowered below what there is refuse newcomers, end nobody, and are reached step by step", () => {
    const b = bench();
    for (let i = 0; i < 40; i++) {
      b.acquire("s", `c${i}`);
      b.release("s", `c${i}`);
    }
    b.do({
      kind: "set-settings",
      changes: [
        ["sessions", 1],
        ["rememberedClaims", 5],
      ],
    });
    expect(b.open("v")).toMatchObject({ kind: "quota", limit: "sessions" });
    expect(b.state.remembered.size).toBe(40);
    for (let i = 40; i < 46; i++) {
      b.acquire("s", `c${i}`);
      b.release("s", `c${i}`);
    }

    expect(b.state.sessions.size).toBe(3);
    expect(b.state.remembered.size).toBe(5);
  });
});
