/** Properties of the machine over random histories: what must hold whatever happens. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { stateHash } from "../../src/locks/canonical.ts";
import { apply, createLockState } from "../../src/locks/machine.ts";
import { check } from "../prop.ts";
import { history, play } from "./histories.ts";

it("every invariant holds after every entry of any history, and replaying it gives the same state (I1–I6, I12)", () => {
  check(
    fc.property(history, (steps) => {
      const { bench } = play(steps, {});
      const copy = createLockState();
      for (const entry of bench.log) apply(copy, entry);
      expect(stateHash(copy)).toBe(stateHash(bench.state));
    }),
    400,
  );
});

it("the work budget changes when a deadline is handled, never what anybody is told", () => {
  check(
    fc.property(history, (steps) => {
      const limits = { waitersPerName: 2, sessions: 4 };
      const slow = play(steps, { ...limits, sweepBudget: 1 }).said;
      expect(slow).toEqual(play(steps, { ...limits, sweepBudget: 1_000_000 }).said);
    }),
    400,
  );
});

it("grants of one lock follow the order of arrival, and fences the order of grants (I3, I6)", () => {
  check(
    fc.property(history, (steps) => {
      const { bench } = play(steps, {});
      const granted = [...bench.state.claims.values()].filter((c) => c.grant !== undefined);
      for (const name of ["l0", "l1", "p"]) {
        const ofLock = granted
          .filter((c) => c.asked[0]?.name === name)
          .sort((a, b) => (a.grant?.fence ?? 0) - (b.grant?.fence ?? 0));
        const arrivals = ofLock.map((c) => c.enqueuedRevision);
        expect(arrivals).toEqual([...arrivals].sort((a, b) => a - b));
      }
    }),
    200,
  );
});

it("everything ends: when all sessions are gone no claim lives and no lock is left", () => {
  check(
    fc.property(history, (steps) => {
      const { bench } = play(steps, { tombstoneMs: 1 });
      bench.semaphore("p", undefined);
      for (let i = 0; i < 100; i++) bench.pass(1_000);
      bench.semaphore("p", undefined);

      expect(bench.state.sessions.size).toBe(0);
      expect(bench.state.heldCount + bench.state.waitingCount).toBe(0);
      expect(bench.state.resources.size).toBe(0);
      expect(bench.state.claims.size).toBe(0);
    }),
    200,
  );
});
