/** The machine of belief, as examples and as properties over random histories. SEMANTICS §1 rule 9. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { advanceElapsed, beginElapsed } from "../../src/client/elapsed.ts";
import {
  beginLease,
  isDue,
  isOver,
  type Lease,
  type LeaseGrant,
  type LeaseInput,
  standingOf,
  stepLease,
  wakeAtMs,
} from "../../src/client/lease.ts";
import { check } from "../prop.ts";

function grant(parts: Partial<LeaseGrant> = {}): LeaseGrant {
  return { leaseMs: 900, ttlMs: 1000, renewAfterMs: 300, revision: 7, ended: [], ...parts };
}

function begun(parts: Partial<LeaseGrant> = {}, sentAtMs = 0, nowMs = sentAtMs): Lease {
  return beginLease({ grant: grant(parts), sentAtMs, nowMs });
}

function after(lease: Lease, ...inputs: readonly LeaseInput[]): Lease {
  return inputs.reduce(stepLease, lease);
}

const asked = (nowMs: number): LeaseInput => ({ kind: "asked", nowMs });
const unanswered = (nowMs: number): LeaseInput => ({ kind: "unanswered", nowMs });
const checked = (nowMs: number): LeaseInput => ({ kind: "checked", nowMs });
const answered = (nowMs: number, parts: Partial<LeaseGrant> = {}): LeaseInput => ({
  kind: "answered",
  nowMs,
  grant: grant(parts),
});
const gone = (nowMs: number): LeaseInput => ({ kind: "gone", nowMs, detail: "Gone." });

describe("elapsed time", () => {
  test("is never shorter than what either clock says, and never runs back", () => {
    const start = beginElapsed({ monotonicMs: 1000, wallMs: 50_000 });

    const ran = advanceElapsed(start, { monotonicMs: 1100, wallMs: 50_090 });
    const suspended = advanceElapsed(ran, { monotonicMs: 1100, wallMs: 110_090 });
    const setBack = advanceElapsed(suspended, { monotonicMs: 1105, wallMs: 10_090 });
    const again = advanceElapsed(setBack, { monotonicMs: 1105, wallMs: 10_080 });

    expect([ran, suspended, setBack, again].map(({ elapsedMs }) => elapsedMs)).toEqual([
      100, 60_100, 60_105, 60_105,
    ]);
  });

  test("runs no faster because the clocks are read often: the wall clock only knows whole milliseconds", () => {
    let elapsed = beginElapsed({ monotonicMs: 0.4, wallMs: 7_000 });
    for (let read = 1; read <= 100_000; read++) {
      const trueMs = 0.4 + read / 20;
      elapsed = advanceElapsed(elapsed, { monotonicMs: trueMs, wallMs: 7_000 + Math.floor(trueMs) });
    }

    expect(elapsed.elapsedMs).toBeGreaterThanOrEqual(5_000);
    expect(elapsed.elapsedMs).toBeLessThan(5_050);
  });

  test("loses no suspend, however short and however many", () => {
    for (const [runMs, suspendMs, everyMs] of [
      [100, 1, 10],
      [20, 3, 5],
      [10, 2, 5],
      [5, 2, 5],
      [1, 2, 1],
      [1, 1, 1],
    ] as const) {
      let monotonicMs = 0;
      let wallMs = 0;
      let elapsed = beginElapsed({ monotonicMs, wallMs });
      for (let round = 0; round < 2_000; round++) {
        for (let ran = 0; ran < runMs; ran += everyMs) {
          monotonicMs += everyMs;
          wallMs += everyMs;
          elapsed = advanceElapsed(elapsed, { monotonicMs, wallMs });
        }
        wallMs += suspendMs;
        elapsed = advanceElapsed(elapsed, { monotonicMs, wallMs });
      }
      // Of the step under way a millisecond may be missing still.
      expect(elapsed.elapsedMs, `${runMs}/${suspendMs}`).toBeGreaterThanOrEqual(wallMs - 1);
    }
  });

  test("counts a suspend after a short reading, and after a clock set back", () => {
    let elapsed = beginElapsed({ monotonicMs: 0, wallMs: 0 });
    elapsed = advanceElapsed(elapsed, { monotonicMs: 3, wallMs: 3 });
    elapsed = advanceElapsed(elapsed, { monotonicMs: 3, wallMs: 2_003 });
    elapsed = advanceElapsed(elapsed, { monotonicMs: 4, wallMs: -58_000 });
    elapsed = advanceElapsed(elapsed, { monotonicMs: 4, wallMs: -55_000 });

    expect(elapsed.elapsedMs).toBeGreaterThanOrEqual(5_004);
  });
});

describe("a lease", () => {
  test("counts from the sending of what was answered", () => {
    expect(begun({}, 100, 400).validUntilMs).toBe(1000);
    expect(after(begun(), asked(300), answered(500)).validUntilMs).toBe(1200);
  });

  test("counts a repeated attempt from its first sending", () => {
    const lease = after(begun(), asked(300), unanswered(400), asked(600), answered(700));

    expect(lease).toMatchObject({ validUntilMs: 1200, renewAtMs: 600, attemptSinceMs: undefined });
  });

  test("is due when its time has come, not while a request is out, and soon again when that failed", () => {
    const early = after(begun(), checked(299));
    const due = after(begun(), checked(300));
    const out = after(due, asked(300), checked(500));
    const failed = after(out, unanswered(500));

    expect([early, due, out, failed].map(isDue)).toEqual([false, true, false, false]);
    expect(isDue(after(failed, checked(700)))).toBe(true);
    expect(wakeAtMs(early)).toBe(300);
    expect(wakeAtMs(failed)).toBe(700);
  });

  test("is in jeopardy while a renewal stays unanswered, and healthy again after an answer", () => {
    const waiting = after(begun(), asked(300), checked(449));
    const worried = after(waiting, checked(450));

    expect(waiting.phase).toBe("healthy");
    expect(wakeAtMs(waiting)).toBe(450);
    expect(worried.phase).toBe("jeopardy");
    expect(standingOf(worried, "c")).toEqual({ kind: "held", phase: "jeopardy", untilMs: 900 });
    expect(after(worried, answered(800)).phase).toBe("healthy");
  });

  test("is unknown from its own deadline on, to the millisecond", () => {
    expect(after(begun(), checked(899)).phase).toBe("healthy");
    expect(after(begun(), checked(900)).phase).toBe("unknown");
    expect(standingOf(after(begun(), checked(900)), "c")).toEqual({
      kind: "over",
      over: { kind: "lapsed" },
      knownUntilMs: 900,
    });
  });

  test("that lapsed is not revived by an answer that comes too late", () => {
    const lease = after(begun(), asked(300), answered(900, { leaseMs: 100_000 }));

    expect(lease.phase).toBe("unknown");
    expect(after(lease, asked(901), answered(902)).validUntilMs).toBe(900);
    expect(isDue(lease)).toBe(false);
    expect(wakeAtMs(lease)).toBeUndefined();
  });

  test("is not dated by an answer to nothing that was asked", () => {
    expect(after(begun(), answered(500, { leaseMs: 100_000 })).validUntilMs).toBe(900);
  });

  test("is lost when the cluster says that the session is gone, with the deadline that was known", () => {
    const lease = after(begun(), asked(300), gone(350));

    expect(lease.phase).toBe("lost");
    expect(standingOf(lease, undefined)).toEqual({
      kind: "over",
      over: { kind: "session-ended", detail: "Gone." },
      knownUntilMs: 900,
    });
    expect(after(lease, asked(400), answered(401)).phase).toBe("lost");
  });

  test("tells of a claim that ended, with the deadline known before the notice; other claims go on", () => {
    const told = { ended: [{ claimId: "c", reason: "forced", revision: 8 }], revision: 9 };
    const lease = after(begun(), asked(300), answered(400, told), asked(600), answered(650, told));

    expect(standingOf(lease, "c")).toEqual({
      kind: "over",
      over: { kind: "claim-ended", reason: "forced" },
      knownUntilMs: 900,
    });
    expect(standingOf(lease, "d")).toEqual({ kind: "held", phase: "healthy", untilMs: 1500 });
    expect(lease).toMatchObject({ revision: 9, validUntilMs: 1500 });
  });

  test("is never shortened by a shorter grant", () => {
    expect(after(begun(), asked(100), answered(150, { leaseMs: 10 })).validUntilMs).toBe(900);
  });

  test("of no length at all is over from the beginning", () => {
    expect(begun({ leaseMs: 0 }).phase).toBe("unknown");
    expect(begun({}, 0, 900).phase).toBe("unknown");
  });
});

/** What a random history does: time passes, clocks jump, requests are sent, answered, lost. */
const event = fc.oneof(
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 600 }) }),
  fc.record({ kind: fc.constant("suspend" as const), ms: fc.integer({ min: 0, max: 3000 }) }),
  fc.record({ kind: fc.constant("set-back" as const), ms: fc.integer({ min: 0, max: 100_000 }) }),
  fc.record({ kind: fc.constant("ask" as const) }),
  fc.record({
    kind: fc.constant("answer" as const),
    leaseMs: fc.integer({ min: 0, max: 2000 }),
    ends: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("fail" as const) }),
  fc.record({ kind: fc.constant("gone" as const) }),
);

/** `trueMs`: less the millisecond that a suspend, and the two that a clock set back may hide. */
interface Seen {
  readonly lease: Lease;
  /** True time, which no clock of the client need show. */
  readonly trueMs: number;
}

/** Runs the machine by clocks as the client reads them, and notes what is really granted: last answered send + lease. */
function history(events: readonly (typeof event extends fc.Arbitrary<infer T> ? T : never)[]) {
  let monotonicMs = 5000;
  let wallMs = 1_000_000;
  let elapsed = beginElapsed({ monotonicMs, wallMs });
  let lease = begun();
  let trueMs = 0;
  let hiddenMs = 0;
  let grantedUntilMs = 900;
  let sentTrueMs: number | undefined;
  const seen: Seen[] = [{ lease, trueMs }];
  const step = (kind: LeaseInput["kind"], more: object = {}) => {
    lease = stepLease(lease, { kind, nowMs: elapsed.elapsedMs, ...more } as LeaseInput);
  };
  const grants: { readonly trueMs: number; readonly untilMs: number }[] = [{ trueMs: 0, untilMs: 900 }];
  for (const one of events) {
    switch (one.kind) {
      case "pass":
        trueMs += one.ms;
        monotonicMs += one.ms;
        wallMs += one.ms;
        elapsed = advanceElapsed(elapsed, { monotonicMs, wallMs });
        step("checked");
        break;
      case "suspend":
        trueMs += one.ms;
        wallMs += one.ms;
        hiddenMs += 1;
        elapsed = advanceElapsed(elapsed, { monotonicMs, wallMs });
        step("checked");
        break;
      case "set-back":
        wallMs -= one.ms;
        hiddenMs += 2;
        elapsed = advanceElapsed(elapsed, { monotonicMs, wallMs });
        step("checked");
        break;
      case "ask":
        if (isOver(lease)) break;
        sentTrueMs ??= trueMs;
        step("asked");
        break;
      case "answer": {
        if (sentTrueMs !== undefined) {
          grantedUntilMs = Math.max(grantedUntilMs, sentTrueMs + one.leaseMs);
          grants.push({ trueMs, untilMs: grantedUntilMs });
        }
        sentTrueMs = undefined;
        const ended = one.ends ? [{ claimId: "c", reason: "forced", revision: 1 }] : [];
        step("answered", { grant: grant({ leaseMs: one.leaseMs, ended }) });
        break;
      }
      case "fail":
        step("unanswered");
        break;
      case "gone":
        step("gone", { detail: "Gone." });
        break;
      default:
    }
    seen.push({ lease, trueMs: trueMs - hiddenMs });
  }
  return { seen, grants };
}

describe("in every history", () => {
  const histories = fc.array(event, { maxLength: 60, size: "max" });

  test("nothing is believed past the last answered sending plus its lease", () => {
    check(
      fc.property(histories, (events) => {
        const { seen, grants } = history(events);
        for (const { lease, trueMs } of seen) {
          if (isOver(lease)) continue;
          const known = grants.filter((one) => one.trueMs <= trueMs).at(-1);
          expect(trueMs).toBeLessThan(known?.untilMs ?? 0);
        }
      }),
    );
  });

  test("over is over: no phase follows, no deadline moves, nothing is due", () => {
    check(
      fc.property(histories, (events) => {
        const { seen } = history(events);
        const first = seen.findIndex(({ lease }) => isOver(lease));
        if (first < 0) return;
        const end = seen[first]?.lease;
        for (const { lease } of seen.slice(first)) {
          expect(lease).toMatchObject({ phase: end?.phase, validUntilMs: end?.validUntilMs });
          expect(isDue(lease)).toBe(false);
        }
      }),
    );
  });

  test("a deadline never moves back, and a wall clock set back never extends one", () => {
    check(
      fc.property(histories, (events) => {
        const { seen } = history(events);
        seen.reduce((before, now) => {
          expect(now.lease.validUntilMs).toBeGreaterThanOrEqual(before.lease.validUntilMs);
          expect(now.lease.nowMs).toBeGreaterThanOrEqual(before.lease.nowMs);
          return now;
        });
      }),
    );
  });

  test("a suspend that is longer than the lease ends it", () => {
    check(
      fc.property(histories, (events) => {
        const { seen } = history([...events, { kind: "suspend", ms: 10_000 }]);

        expect(seen.at(-1)?.lease !== undefined && isOver(seen.at(-1)?.lease as Lease)).toBe(true);
      }),
    );
  });

  test("a claim that was said to have ended is never believed in again", () => {
    check(
      fc.property(histories, (events) => {
        const { seen } = history(events);
        const first = seen.findIndex(({ lease }) => lease.ended.length > 0);
        if (first < 0) return;
        const knownUntilMs = seen[first]?.lease.ended[0]?.knownUntilMs;
        for (const { lease } of seen.slice(first)) {
          expect(standingOf(lease, "c")).toMatchObject({ kind: "over", knownUntilMs });
        }
      }),
    );
  });
});
