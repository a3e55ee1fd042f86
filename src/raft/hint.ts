/**
 * The leader-lost hint: a crashed leader is replaced in a few ticks instead of an election timeout.
 * The network proves that the leader's process is gone (its connections closed and a later connect was refused, another
 * boot id, a goodbye); then its followers campaign in turn, by name, and those who lost the same leader grant.
 * Safety rests on votes alone. Deviates: an addition of ours; docs/PAPERS.md says why it cannot disturb a leader that
 * reaches a quorum.
 */
import { isVoter, votersWithout } from "./configuration.ts";
import { answerDeferred, becomePreCandidate } from "./election.ts";
import { isOwnWriteOlderThan, type RaftState, trace } from "./state.ts";
import type { MemberId } from "./types.ts";

/** Each voter's turn lasts this long: enough for one vote round on a healthy network. */
const slotTicks = 2;

/** The host has evidence that `member`'s process ended after its last message. Only the current leader matters. */
export function handleLeaderLost(state: RaftState, member: MemberId): void {
  if (state.role !== "follower" || state.leader !== member || state.lost !== undefined) return;
  const hint = { leader: member, term: state.currentTerm };
  state.lost = { hint, sinceTick: state.ticks, skipSlot: false };
  trace(state, { kind: "leader-lost", ...hint });
  answerDeferred(state);
  maybeCampaignOnHint(state);
}

/** At its turn (rank × 2 ticks after the loss, then once a round) a voter that lost the leader campaigns. */
export function maybeCampaignOnHint(state: RaftState): void {
  const { lost, configuration, config } = state;
  if (lost === undefined || state.role === "candidate" || state.role === "leader") return;
  if (!isVoter(configuration, config.self)) return;
  const others = votersWithout(configuration, lost.hint.leader);
  const sinceOwnTurn = state.ticks - lost.sinceTick - others.indexOf(config.self) * slotTicks;
  if (sinceOwnTurn < 0 || sinceOwnTurn % (others.length * slotTicks) !== 0) return;
  if (lost.skipSlot) {
    lost.skipSlot = false;
    return;
  }
  if (isOwnWriteOlderThan(state, config.electionTicks)) return;
  becomePreCandidate(state, lost.hint, "the leader's process is gone");
}
