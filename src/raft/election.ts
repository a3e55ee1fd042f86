/**
 * Elections: pre-vote, asking for votes, granting them, becoming what the answers say.
 * Never persists and never waits: a granted vote leaves with the write that records it.
 * Raft §3.4, §3.6.1 (election restriction), §9.6 (pre-vote), §4.2.3 (stickiness), §3.10 (transfer).
 */
import { assert } from "../base/assert.ts";
import { isQuorum, isVoter, votersWithout } from "./configuration.ts";
import { isUpToDate, lastIndex, lastTerm } from "./log.ts";
import { startLeading, stopLeading } from "./replication.ts";
import { adoptTerm, isOwnWriteOlderThan, type RaftState, resetElectionTimer, send, trace } from "./state.ts";
import type {
  LeaderLostHint,
  MemberId,
  PreVoteRequest,
  PreVoteResponse,
  Term,
  VoteRequest,
  VoteResponse,
} from "./types.ts";

/** Follower of `leader` (or of nobody yet) in `term`, which is the current one or a higher one. */
export function becomeFollower(
  state: RaftState,
  term: Term,
  leader: MemberId | undefined,
  reason: string,
): void {
  const changes = state.role !== "follower" || term > state.currentTerm || leader !== state.leader;
  if (state.role === "leader") stopLeading(state);
  if (term > state.currentTerm) adoptTerm(state, term);
  if (leader !== undefined) {
    assert(state.termLeader === undefined || state.termLeader === leader, "two leaders in one term", {
      term,
      known: state.termLeader,
      leader,
    });
    state.termLeader = leader;
    state.lost = undefined;
    state.heardLeaderTick = state.ticks;
  }
  state.role = "follower";
  state.leader = leader;
  state.votes.clear();
  state.campaignHint = undefined;
  if (changes) trace(state, { kind: "role", role: "follower", term, leader, reason });
}

/** The election timer ran out. A member that is no voter, or whose own disk hangs, waits. */
export function handleElectionTimeout(state: RaftState): void {
  resetElectionTimer(state);
  if (!isVoter(state.configuration, state.config.self)) return;
  state.lost = undefined;
  if (isOwnWriteOlderThan(state, state.config.electionTicks)) {
    state.leader = undefined;
    return;
  }
  becomePreCandidate(state, undefined, "election timeout");
}

/** Asks whether a campaign could succeed, before it disturbs anybody (Raft §9.6). */
export function becomePreCandidate(state: RaftState, hint: LeaderLostHint | undefined, reason: string): void {
  assert(state.role !== "leader", "a leader does not campaign");
  state.role = "pre-candidate";
  state.leader = undefined;
  state.campaignHint = hint;
  state.votes = new Map([[state.config.self, true]]);
  trace(state, { kind: "campaign", phase: "pre-vote", term: state.currentTerm + 1, reason });
  for (const voter of votersWithout(state.configuration, state.config.self)) {
    send(state, voter, {
      kind: "pre-vote",
      term: state.currentTerm,
      nextTerm: state.currentTerm + 1,
      lastLogIndex: lastIndex(state.log),
      lastLogTerm: lastTerm(state.log),
      hint,
    });
  }
  maybeWinPreVote(state);
}

function maybeWinPreVote(state: RaftState): void {
  if (!isQuorum(state.configuration, (voter) => state.votes.get(voter) === true)) return;
  becomeCandidate(state, { transfer: false, reason: "pre-vote won" });
}

/** A new term, a vote for oneself; the requests are held until both are durable. */
export function becomeCandidate(
  state: RaftState,
  how: { readonly transfer: boolean; readonly reason: string },
): void {
  const hint = state.campaignHint;
  adoptTerm(state, state.currentTerm + 1);
  state.votedFor = state.config.self;
  state.role = "candidate";
  state.leader = undefined;
  // The own vote is counted by `handleVoteDurable`, not before (R7: the same path for one member as for five).
  state.votes = new Map();
  resetElectionTimer(state);
  trace(state, { kind: "campaign", phase: "vote", term: state.currentTerm, reason: how.reason });
  for (const voter of votersWithout(state.configuration, state.config.self)) {
    send(state, voter, {
      kind: "vote",
      term: state.currentTerm,
      lastLogIndex: lastIndex(state.log),
      lastLogTerm: lastTerm(state.log),
      transfer: how.transfer,
      hint,
    });
  }
}

/** Term and vote reached the disk. A candidate's own vote counts from now; a voter's timer starts over (E15). */
export function handleVoteDurable(state: RaftState, votedFor: MemberId | undefined): void {
  if (votedFor === undefined) return;
  if (state.role === "candidate" && votedFor === state.config.self) {
    state.votes.set(state.config.self, true);
    maybeWinVote(state);
  } else if (state.role === "follower" && state.leader === undefined) {
    state.electionElapsed = 0;
  }
}

function maybeWinVote(state: RaftState): void {
  if (!isQuorum(state.configuration, (voter) => state.votes.get(voter) === true)) return;
  state.role = "leader";
  state.leader = state.config.self;
  state.termLeader = state.config.self;
  state.lost = undefined;
  trace(state, {
    kind: "role",
    role: "leader",
    term: state.currentTerm,
    leader: state.config.self,
    reason: "won the vote",
  });
  startLeading(state);
}

/**
 * True when this member still trusts a leader and so refuses to help replace it (Raft §4.2.3).
 * The asker itself does not count as that leader (E11). A hint lifts it for a member that lost the same leader in the
 * same term. One predicate for pre-vote and vote.
 */
function isSticky(state: RaftState, from: MemberId, hint: LeaderLostHint | undefined): boolean {
  if (state.role === "leader") return true;
  const isFresh = state.ticks < state.config.electionTicks;
  if (hint !== undefined && hasLost(state, hint)) return false;
  // A member that has just started may have restarted beside a living leader it has not heard yet.
  if (hint !== undefined && state.leader === undefined && isFresh) return true;
  if (state.leader === undefined || state.leader === from) return false;
  return state.ticks - state.heardLeaderTick < state.config.electionTicks;
}

function hasLost(state: RaftState, hint: LeaderLostHint): boolean {
  return state.lost?.hint.leader === hint.leader && state.lost.hint.term === hint.term;
}

/** True when the network's word about the leader could still change the answer to this request. */
function shouldProbeFirst(state: RaftState, hint: LeaderLostHint | undefined): boolean {
  return (
    hint !== undefined &&
    state.role === "follower" &&
    state.leader === hint.leader &&
    state.currentTerm === hint.term &&
    !hasLost(state, hint)
  );
}

export function handlePreVote(state: RaftState, from: MemberId, request: PreVoteRequest): void {
  if (isSticky(state, from, request.hint) && shouldProbeFirst(state, request.hint)) {
    deferRequest(state, from, request);
    return;
  }
  answerPreVote(state, from, request);
}

/** Changes nothing of the election's state (E12); a refusal carries the own term, for the asker to adopt (E10). */
function answerPreVote(state: RaftState, from: MemberId, request: PreVoteRequest): void {
  const reason =
    request.nextTerm <= state.currentTerm
      ? "its term is not newer"
      : !isUpToDate(state.log, request.lastLogIndex, request.lastLogTerm)
        ? "its log is older"
        : isSticky(state, from, request.hint)
          ? "a leader lives"
          : undefined;
  const granted = reason === undefined;
  if (granted && request.hint !== undefined && state.lost !== undefined) state.lost.skipSlot = true;
  traceVote(state, "pre-vote", request.nextTerm, from, granted, reason);
  send(state, from, {
    kind: "pre-vote-response",
    term: state.currentTerm,
    nextTerm: request.nextTerm,
    granted,
  });
}

export function handlePreVoteResponse(state: RaftState, from: MemberId, response: PreVoteResponse): void {
  if (response.term > state.currentTerm) {
    becomeFollower(state, response.term, undefined, "a pre-vote answer showed a higher term");
    return;
  }
  if (state.role !== "pre-candidate" || response.nextTerm !== state.currentTerm + 1) return;
  state.votes.set(from, response.granted);
  maybeWinPreVote(state);
}

export function handleVote(state: RaftState, from: MemberId, request: VoteRequest): void {
  if (request.term > state.currentTerm && !request.transfer && isSticky(state, from, request.hint)) {
    if (shouldProbeFirst(state, request.hint)) deferRequest(state, from, request);
    else traceVote(state, "vote", request.term, from, false, "a leader lives");
    return;
  }
  answerVote(state, from, request);
}

function answerVote(state: RaftState, from: MemberId, request: VoteRequest): void {
  if (request.term > state.currentTerm) {
    becomeFollower(state, request.term, undefined, "asked to vote in a higher term");
  }
  const reason =
    request.term < state.currentTerm
      ? "its term is older"
      : state.votedFor !== undefined && state.votedFor !== from
        ? "voted for another"
        : state.termLeader !== undefined && state.votedFor === undefined
          ? "the term has a leader"
          : !isUpToDate(state.log, request.lastLogIndex, request.lastLogTerm)
            ? "its log is older"
            : undefined;
  const granted = reason === undefined;
  if (granted) {
    state.votedFor = from;
    resetElectionTimer(state);
  }
  traceVote(state, "vote", request.term, from, granted, reason);
  send(state, from, { kind: "vote-response", term: state.currentTerm, granted });
}

export function handleVoteResponse(state: RaftState, from: MemberId, response: VoteResponse): void {
  if (state.role !== "candidate" || response.term !== state.currentTerm) return;
  state.votes.set(from, response.granted);
  maybeWinVote(state);
}

function deferRequest(state: RaftState, from: MemberId, request: PreVoteRequest | VoteRequest): void {
  state.deferred = state.deferred.filter((waiting) => waiting.from !== from);
  state.deferred.push({ from, request });
  state.outProbe = state.leader;
}

/** The network answered, or a tick passed without its word: each waiting request is judged as things stand. */
export function answerDeferred(state: RaftState): void {
  const waiting = state.deferred;
  state.deferred = [];
  for (const { from, request } of waiting) {
    if (request.kind === "pre-vote") answerPreVote(state, from, request);
    else if (request.term > state.currentTerm && isSticky(state, from, request.hint)) {
      traceVote(state, "vote", request.term, from, false, "a leader lives");
    } else answerVote(state, from, request);
  }
}

/** The leader itself asks for this campaign: no pre-vote, no stickiness (Raft §3.10, E13). */
export function handleTimeoutNow(state: RaftState): void {
  if (state.role === "leader" || !isVoter(state.configuration, state.config.self)) return;
  state.campaignHint = undefined;
  becomeCandidate(state, { transfer: true, reason: "the leader hands over" });
}

function traceVote(
  state: RaftState,
  phase: "pre-vote" | "vote",
  term: Term,
  candidate: MemberId,
  granted: boolean,
  reason: string | undefined,
): void {
  trace(state, { kind: "vote", phase, term, candidate, granted, reason: reason ?? "log is up to date" });
}
