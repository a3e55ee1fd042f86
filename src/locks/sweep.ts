/**
 * Due deadlines: each in its turn, with what follows from it. SEMANTICS rule 4.
 * A work budget bounds what one entry sweeps. It changes when an end is noticed, never what is decided: whoever counts
 * or describes what may be due sweeps the rest first. Cluster time does not stand still for the rest: in the moments
 * until the leader's next entry a wait may run out that would have been granted.
 */
import { unreachable } from "../base/assert.ts";
import { barrierEnd, lowerBarrier } from "./barriers.ts";
import { isBehind, type Mark } from "./deadlines.ts";
import { ownDeadline, settleClaim, settleSession } from "./endings.ts";
import { grantWhatIsFree } from "./grants.ts";
import type { LockState, Resource } from "./records.ts";

/** Handles the deadlines that are due, in order, while the budget lasts. What is left is settled when touched. */
export function sweep(state: LockState): void {
  for (;;) {
    const mark = state.deadlines.first();
    if (mark === undefined || mark.at > state.now || state.budgetLeft <= 0) return;
    state.deadlines.takeFirst();
    const touched = new Set<Resource>();
    handleDue(state, mark, touched);
    grantWhatIsFree(state, touched);
  }
}

function handleDue(state: LockState, mark: Mark, touched: Set<Resource>): void {
  switch (mark.kind) {
    case "session": {
      const session = state.sessions.get(mark.id);
      if (session === undefined) return;
      if (session.expiresAt > mark.at) state.deadlines.add({ ...mark, at: session.expiresAt });
      else settleSession(state, session, touched);
      return;
    }
    case "barrier": {
      const barrier = state.barriers.get(Number(mark.id));
      if (barrier !== undefined && barrierEnd(barrier) === mark.at) lowerBarrier(state, barrier, touched);
      return;
    }
    case "max-hold":
    case "wait": {
      const claim = state.claims.get(mark.id);
      if (claim !== undefined && ownDeadline(claim) === mark.at) settleClaim(state, claim, touched);
      return;
    }
    default:
      return unreachable(mark.kind);
  }
}

/** Sweeps what the budget left over. Nothing, in the common case. */
export function sweepAll(state: LockState): void {
  while (isBehind(state)) {
    state.budgetLeft = Number.MAX_SAFE_INTEGER;
    sweep(state);
  }
}
