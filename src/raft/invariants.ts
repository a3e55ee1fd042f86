/**
 * The invariants of one member, checked in production after every input: of a state, and between two states.
 * They cost a few comparisons for each voter. A broken one ends the process (see docs/PAPERS.md for the numbering).
 */
import { assert } from "../base/assert.ts";
import { quorumReached } from "./configuration.ts";
import { lastIndex, lastTerm, termAt } from "./log.ts";
import type { RaftState } from "./state.ts";
import type { LogIndex, MemberId, Role, Term } from "./types.ts";

/** What must be remembered of a state to judge the next one. */
export interface Before {
  currentTerm: Term;
  votedFor: MemberId | undefined;
  termLeader: MemberId | undefined;
  role: Role;
  commitIndex: LogIndex;
  handedIndex: LogIndex;
  lastIndex: LogIndex;
  boundaryIndex: LogIndex;
}

export function remember(state: RaftState): Before {
  return {
    currentTerm: state.currentTerm,
    votedFor: state.votedFor,
    termLeader: state.termLeader,
    role: state.role,
    commitIndex: state.commitIndex,
    handedIndex: state.handedIndex,
    lastIndex: lastIndex(state.log),
    boundaryIndex: state.log.boundary.index,
  };
}

/** Invariants 1, 2, 3, 5, 6: nothing that must only grow has shrunk, nothing set once was set again. */
export function checkDelta(before: Before, state: RaftState): void {
  assert(state.currentTerm >= before.currentTerm, "currentTerm decreased");
  assert(state.commitIndex >= before.commitIndex, "commitIndex decreased");
  assert(state.handedIndex >= before.handedIndex, "lastApplied decreased");
  assert(state.log.boundary.index >= before.boundaryIndex, "the log's beginning decreased");
  if (state.currentTerm === before.currentTerm) {
    assert(
      before.votedFor === undefined || state.votedFor === before.votedFor,
      "the vote changed within a term",
    );
    assert(
      before.termLeader === undefined || state.termLeader === before.termLeader,
      "the leader changed within a term",
    );
    if (before.role === "leader") {
      assert(
        state.role === "leader" || state.role === "follower",
        "a leader became a candidate in its own term",
      );
      assert(lastIndex(state.log) >= before.lastIndex, "a leader truncated its log");
    }
    if (state.role === "leader" && state.commitIndex > before.commitIndex) {
      const committedTerm = termAt(state.log, state.commitIndex);
      assert(committedTerm === state.currentTerm, "a leader committed an older term by counting (L1)", {
        commitIndex: state.commitIndex,
        committedTerm,
        currentTerm: state.currentTerm,
      });
    }
  }
}

/** Invariants 1, 4, 6, 8: what must hold of any one state. Entry order and chain are checked on append (`log.ts`). */
export function checkState(state: RaftState): void {
  const last = lastIndex(state.log);
  assert(
    state.handedIndex <= state.commitIndex && state.commitIndex <= last,
    "applied <= commit <= last is broken",
    {
      applied: state.handedIndex,
      commit: state.commitIndex,
      last,
    },
  );
  const { boundary } = state.log;
  const snapshotIndex = (state.snapshot ?? boundary).index;
  assert(
    boundary.index <= snapshotIndex && snapshotIndex <= state.handedIndex,
    "boundary <= snapshot <= applied is broken (S5)",
    { boundary: boundary.index, snapshot: snapshotIndex, applied: state.handedIndex },
  );
  assert(lastTerm(state.log) <= state.currentTerm, "an entry is newer than the current term");
  assert(state.durableIndex <= last, "more is durable than the log holds");
  if (state.role === "leader") checkLeader(state, last);
  else
    assert(state.progress.size === 0 && state.reads.length === 0, "only a leader tracks progress and reads");
}

function checkLeader(state: RaftState, last: LogIndex): void {
  assert(
    state.leader === state.config.self && state.votedFor === state.config.self,
    "a leader voted for itself",
  );
  assert(state.durableHardState.currentTerm === state.currentTerm, "a leader's term is durable");
  for (const [member, progress] of state.progress) {
    assert(
      progress.matchIndex <= last && progress.nextIndex > progress.matchIndex,
      "match <= last, next > match",
      {
        member,
        match: progress.matchIndex,
        next: progress.nextIndex,
        last,
      },
    );
    assert(progress.inflight.length <= state.config.inflightMessagesMax, "the window is exceeded", {
      member,
    });
  }
  // Nothing is left to commit that a majority already holds in this term; nothing was committed without one.
  const reached = quorumReached(state.configuration, (voter) => state.progress.get(voter)?.matchIndex ?? 0);
  assert(
    reached <= state.commitIndex || termAt(state.log, reached) !== state.currentTerm,
    "a majority holds an entry that is not committed",
    { reached, commitIndex: state.commitIndex },
  );
  assert(
    state.commitIndex < state.termStartIndex || reached >= state.commitIndex,
    "committed without a durable majority",
    { reached, commitIndex: state.commitIndex },
  );
}
