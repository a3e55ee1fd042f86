/** SEMANTICS §1 and §2: time, sessions, keepalives, grace, ends. One named test for each rule. */
import { describe, expect, it } from "vitest";
import { stateHash } from "../../src/locks/canonical.ts";
import { apply, createLockState, nextDeadline, timeLogIntervalMs } from "../../src/locks/machine.ts";
import { defaultSettings, marginMs } from "../../src/locks/settings.ts";
import { Bench } from "./bench.ts";

describe("founding", () => {
  it("no command is accepted before it", () => {
    const bench = new Bench({}, false);

    expect(bench.open("s")).toEqual({ kind: "not-founded" });
  });

  it("takes effect once: a second Found changes nothing", () => {
    const bench = new Bench();

    bench.do({
      kind: "found",
      clusterId: "other",
      firstFence: 5,
      settings: { ...defaultSettings, sessions: 1 },
    });

    expect(bench.state.clusterId).toBe("test");
    expect(bench.state.settings?.sessions).toBe(defaultSettings.sessions);
  });
});

describe("opening a session", () => {
  it("raises a ttl below eight election timeouts B, and caps one above a day", () => {
    const bench = new Bench();
    bench.open("short", { ttlMs: 1 });
    bench.open("long", { ttlMs: 10 ** 12 });

    expect(bench.session("short").ttlMs).toBe(4 * defaultSettings.electionTimeoutMaxMs);
    expect(bench.session("long").ttlMs).toBe(86_400_000);
  });

  it("again with the same body renews it, like a keepalive", () => {
    const bench = new Bench();
    bench.open("s");
    bench.time += 9_000;

    expect(bench.open("s")).toMatchObject({ kind: "session", created: false });
    expect(bench.session("s").expiresAt).toBe(19_000);
    expect(bench.session("s").lastRenewal).toBe(bench.state.revision);
  });

  it("again with another body is a conflict and renews nothing", () => {
    const bench = new Bench();
    bench.open("s");
    bench.time += 5_000;

    expect(bench.open("s", { label: "another" })).toEqual({ kind: "session-conflict" });
    expect(bench.session("s").expiresAt).toBe(10_000);
  });

  it("of an ended id says that it ended: an expired session never silently becomes a new one (P5)", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(10_000);

    expect(bench.open("s")).toMatchObject({ kind: "session-ended", session: { end: { reason: "expired" } } });
  });

  it("beyond the limit is refused", () => {
    const bench = new Bench({ sessions: 1 });
    bench.open("s");

    expect(bench.open("t")).toEqual({ kind: "quota", limit: "sessions", max: 1 });
  });
});

describe("keepalives", () => {
  it("extend by a whole ttl from the entry's stamp, and never shorten", () => {
    const bench = new Bench();
    bench.open("s");
    bench.time += 4_000;
    bench.keep("s");

    expect(bench.session("s").expiresAt).toBe(14_000);
  });

  it("of an ended session say when and why, of an unknown one that it is unknown", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(10_000);

    expect(bench.keep("s")).toMatchObject({
      items: [{ kind: "session-ended", session: { end: { reason: "expired", at: 10_000 } } }],
    });
    expect(bench.keep("never")).toEqual({ kind: "keep-alive", items: [{ kind: "session-unknown" }] });
  });

  it("many in one entry are answered one by one", () => {
    const bench = new Bench();
    bench.open("s");

    const outcome = bench.do({
      kind: "keep-alive",
      items: [
        { sessionId: "s", seen: 0 },
        { sessionId: "t", seen: 0 },
        { sessionId: "s", seen: 10 ** 6 },
      ],
    });

    expect(outcome).toMatchObject({
      items: [{ kind: "renewed" }, { kind: "session-unknown" }, { kind: "seen-ahead" }],
    });
  });

  it("cannot bring back a session that is due in the same entry", () => {
    const bench = new Bench();
    bench.open("s");
    bench.time = 10_000;

    expect(bench.keep("s")).toMatchObject({ items: [{ kind: "session-ended" }] });
  });

  it("repeat an end that was not the session's own until it was seen", () => {
    const bench = new Bench();
    bench.open("s");
    bench.acquire("s", "c");
    bench.cancel("c", bench.claim("c").grant?.fence);

    expect(bench.keep("s")).toMatchObject({
      items: [{ unseenEnds: [{ claimId: "c", reason: "cancelled" }] }],
    });
    expect(bench.keep("s")).toMatchObject({ items: [{ unseenEnds: [{ claimId: "c" }] }] });
    const answered = bench.session("s").lastRenewal;
    expect(bench.keep("s", answered)).toMatchObject({ items: [{ unseenEnds: [] }] });
  });

  it("with a `seen` above the last answer are refused and renew nothing", () => {
    const bench = new Bench();
    bench.open("s");
    const { lastRenewal, expiresAt } = bench.session("s");
    bench.time += 1_000;

    expect(bench.keep("s", lastRenewal + 1)).toMatchObject({ items: [{ kind: "seen-ahead", lastRenewal }] });
    expect(bench.session("s").expiresAt).toBe(expiresAt);
  });
});

describe("the end of a session", () => {
  it("by its deadline is dated at the deadline, however late the entry", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(60_000);

    expect(bench.session("s").end).toMatchObject({ reason: "expired", at: 10_000 });
  });

  it("by closing cancels what waits and releases what is held, without lock-delay", () => {
    const bench = new Bench();
    bench.open("s");
    bench.open("t");
    bench.acquire("s", "held");
    bench.acquire("t", "waiting", { waitMs: 5_000 });

    bench.close("s");

    expect(bench.how("held")).toBe("ended: session-closed");
    expect(bench.how("waiting")).toBe("held");
  });

  it("closing again says the same; closing an expired one says that it expired", () => {
    const bench = new Bench();
    bench.open("s");
    bench.open("t");
    bench.close("s");

    expect(bench.close("s")).toMatchObject({ kind: "session-closed" });
    bench.pass(10_000);
    expect(bench.close("t")).toMatchObject({ kind: "session-ended" });
  });

  it("is remembered for an hour, then forgotten", () => {
    const bench = new Bench();
    bench.open("s");
    bench.close("s");
    bench.pass(3_600_000);
    bench.pass(1);

    expect(bench.keep("s")).toMatchObject({ items: [{ kind: "session-unknown" }] });
    expect(bench.state.tombstones.size + bench.state.sessionsByRef.size + bench.state.claims.size).toBe(0);
  });

  it("only the newest ends are remembered beyond the limit", () => {
    const bench = new Bench({ tombstones: 2 });
    for (const id of ["s", "t", "u"]) {
      bench.open(id);
      bench.close(id);
    }
    bench.pass(1);

    expect([...bench.state.tombstones.keys()]).toEqual(["t", "u"]);
  });
});

describe("grace after a fail-over (rule 6)", () => {
  it("a session that was renewed before the fail-over gets up to three election timeouts from the new term on", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(9_900);
    bench.term();
    bench.pass(100);

    expect(bench.session("s").end).toBeUndefined();
    expect(bench.session("s").expiresAt).toBe(9_900 + 3 * defaultSettings.electionTimeoutMaxMs);
  });

  it("its budget is one ttl: leaders that flap cannot keep a dead session for ever (T4)", () => {
    const bench = new Bench();
    bench.open("s");
    for (let i = 0; i < 100 && bench.session("s").end === undefined; i++) {
      bench.pass(2_000);
      bench.term();
    }

    expect(bench.session("s").end?.at).toBe(20_000);
  });

  it("a keepalive makes the budget whole again", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(9_900);
    bench.term();
    bench.pass(100);
    expect(bench.session("s").graceLeftMs).toBeLessThan(10_000);

    bench.keep("s");

    expect(bench.session("s").graceLeftMs).toBe(10_000);
  });

  it("the first entry of a term ends nothing, it only notes when the term began", () => {
    const bench = new Bench();
    bench.open("s");
    bench.pass(5_000);
    bench.time += 100_000;

    bench.term();

    expect(bench.session("s").end).toBeUndefined();
    expect(bench.state).toMatchObject({ now: 5_000, termStart: 5_000 });
  });
});

describe("cluster time", () => {
  it("never runs back, and entries apply in order", () => {
    const bench = new Bench();
    bench.pass(10);

    expect(() =>
      apply(bench.state, { index: bench.state.revision + 1, time: 9, command: undefined }),
    ).toThrow(/never runs back/);
    expect(() =>
      apply(bench.state, { index: bench.state.revision + 2, time: 10, command: undefined }),
    ).toThrow(/in order/);
  });

  it("nobody depends on it while there is no session and no delay: an idle cluster writes nothing", () => {
    const bench = new Bench();
    expect(nextDeadline(bench.state)).toBeUndefined();
    bench.open("s");
    bench.acquire("s", "c");
    expect(nextDeadline(bench.state)).toBe(10_000);
    bench.close("s");

    expect(nextDeadline(bench.state)).toBeUndefined();
  });

  it("is logged at least every quarter of the shortest ttl, within 1 s and 60 s", () => {
    const bench = new Bench();
    bench.open("long", { ttlMs: 86_400_000 });
    expect(timeLogIntervalMs(bench.state)).toBe(60_000);
    bench.open("short", { ttlMs: 6_000 });
    expect(timeLogIntervalMs(bench.state)).toBe(1_500);
    bench.close("short");

    expect(timeLogIntervalMs(bench.state)).toBe(60_000);
  });

  it("deadlines of one entry happen in the order of their times", () => {
    const bench = new Bench();
    bench.open("holder", { ttlMs: 20_000 });
    bench.open("short", { ttlMs: 6_000 });
    bench.acquire("holder", "held");
    bench.acquire("short", "first", { waitMs: 60_000 });
    bench.open("late", { ttlMs: 60_000 });
    bench.acquire("late", "second", { waitMs: 60_000 });
    // Both the first waiter's session and the holder's are due; the waiter's was first and must not be granted.
    bench.pass(26_000);

    expect(bench.how("first")).toBe("ended: session-expired");
    expect(bench.how("held")).toBe("ended: session-expired");
    expect(bench.how("second")).toBe("held");
  });
});

describe("the client's margin (rule 9)", () => {
  it("is a tenth of the ttl, at least half a second", () => {
    expect(marginMs(6_000)).toBe(600);
    expect(marginMs(1_000)).toBe(500);
    expect(marginMs(15_001)).toBe(1_501);
  });
});

describe("determinism (rule 7, I12)", () => {
  it("the same log gives the same state hash, and every entry changes it", () => {
    const bench = new Bench();
    const hashes = new Set<string>();
    for (const id of ["s", "t"]) bench.open(id);
    for (const step of [
      () => bench.acquire("s", "c1", { waitMs: 100 }),
      () => bench.acquire("t", "c2", { waitMs: 100 }),
      () => bench.pass(50),
      () => bench.release("s", "c1"),
      () => bench.pass(10_000),
    ]) {
      step();
      hashes.add(stateHash(bench.state));
    }

    const copy = createLockState();
    for (const entry of bench.log) apply(copy, entry);

    expect(stateHash(copy)).toBe(stateHash(bench.state));
    expect(hashes.size).toBe(5);
  });
});
