/**
 * Leadership transfer (Raft §3.10): stop proposals, bring the target up to date, tell it to campaign at once.
 * Given up after one election timeout; proposals go on then.
 */
import { isVoter, votersWithout } from "./configuration.ts";
import { lastIndex } from "./log.ts";
import { progressOf } from "./replication.ts";
import { type RaftState, send, trace } from "./state.ts";
import type { MemberId } from "./types.ts";

export type TransferResult =
  | { readonly kind: "started"; readonly target: MemberId }
  | { readonly kind: "not-leader" }
  /** Already running, no such voter, the leader itself, or nobody else was heard lately. */
  | { readonly kind: "refused"; readonly reason: string };

/** Without a target, the voter that is furthest along among those heard within an election timeout. */
export function startTransfer(state: RaftState, target: MemberId | undefined): TransferResult {
  if (state.role !== "leader") return { kind: "not-leader" };
  if (state.transfer !== undefined) return { kind: "refused", reason: "a transfer is running" };
  if (target === state.config.self) return { kind: "refused", reason: "it leads already" };
  if (target !== undefined && !isVoter(state.configuration, target)) {
    return { kind: "refused", reason: "no such voter" };
  }
  const chosen = target ?? bestTarget(state);
  if (chosen === undefined || !isHeardLately(state, chosen)) {
    return { kind: "refused", reason: "no reachable voter to hand over to" };
  }
  state.transfer = { target: chosen, startedTick: state.ticks, sent: false };
  trace(state, { kind: "transfer", target: chosen, result: "started" });
  return { kind: "started", target: chosen };
}

function isHeardLately(state: RaftState, member: MemberId): boolean {
  const { heardTick } = progressOf(state, member);
  return heardTick >= 0 && state.ticks - heardTick <= state.config.electionTicks;
}

function bestTarget(state: RaftState): MemberId | undefined {
  let best: MemberId | undefined;
  for (const voter of votersWithout(state.configuration, state.config.self)) {
    if (!isHeardLately(state, voter)) continue;
    if (best === undefined || progressOf(state, voter).matchIndex > progressOf(state, best).matchIndex)
      best = voter;
  }
  return best;
}

/** Sends the word once the target holds everything; called before each output. */
export function maybeFinishTransfer(state: RaftState): void {
  const { transfer } = state;
  if (transfer === undefined || transfer.sent) return;
  if (progressOf(state, transfer.target).matchIndex < lastIndex(state.log)) return;
  transfer.sent = true;
  send(state, transfer.target, { kind: "timeout-now", term: state.currentTerm });
  trace(state, { kind: "transfer", target: transfer.target, result: "sent" });
}

export function maybeAbortTransfer(state: RaftState): void {
  const { transfer } = state;
  if (transfer === undefined || state.ticks - transfer.startedTick < state.config.electionTicks) return;
  state.transfer = undefined;
  trace(state, { kind: "transfer", target: transfer.target, result: "aborted" });
}
