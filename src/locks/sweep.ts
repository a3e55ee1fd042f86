/**
 * Due deadlines: each in its turn, with what follows from it. SEMANTICS rule 4.
 * A work budget bounds what one entry sweeps. It changes when an end is noticed, never what anybody is told: whoever
 * counts or describes what may be due sweeps the rest first.
 */
import { unreachable } from "../base/assert.ts";
import type { Mark } from "./deadlines.ts";
import { settleSession } from "./endings.ts";
import { grantWhatIsFree, settleWaiter } from "./grants.ts";
import type { Lock, LockState } from "./records.ts";

/** Handles the deadlines that are due, in order, while the budget lasts. What is left is settled when touched. */
export function sweep(state: LockState): void {
  for (;;) {
    const mark = state.deadlines.first();
    if (mark === undefined || mark.at > state.now || state.budgetLeft <= 0) return;
    state.deadlines.takeFirst();
    const touched = new Set<Lock>();
    handleDue(state, mark, touched);
    grantWhatIsFree(state, touched);
  }
}

function handleDue(state: LockState, mark: Mark, touched: Set<Lock>): void {
  switch (mark.kind) {
    case "session": {
      const session = state.sessions.get(mark.id);
      if (session === undefined) return;
      if (session.expiresAt > mark.at) state.deadlines.add({ ...mark, at: session.expiresAt });
      else settleSession(state, session, touched);
      return;
    }
    case "lock-delay": {
      const lock = state.locks.get(mark.id);
      if (lock !== undefined) touched.add(lock);
      return;
    }
    case "wait": {
      const claim = state.claims.get(mark.id);
      if (claim?.state === "waiting" && claim.waitDeadline === mark.at) settleWaiter(state, claim, touched);
      return;
    }
    default:
      return unreachable(mark.kind);
  }
}

/** Sweeps what the budget left over. Nothing, in the common case. */
export function sweepAll(state: LockState): void {
  while ((state.deadlines.first()?.at ?? Infinity) <= state.now) {
    state.budgetLeft = Number.MAX_SAFE_INTEGER;
    sweep(state);
  }
}
