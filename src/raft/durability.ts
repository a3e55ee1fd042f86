/**
 * What is on disk, what is on its way, and which messages wait for it.
 * One write job at a time: everything that changes while it runs goes into the next one (group commit). A job carries
 * the messages that it makes true, so the host cannot send them early (Raft §3.8; E1, L7, L8, R7).
 */
import { assert } from "../base/assert.ts";
import { lastIndex, slice } from "./log.ts";
import { isHardStateDurable, isTrueNow, type RaftState } from "./state.ts";
import type { Envelope, LogIndex, WriteJob } from "./types.ts";

/** An entry was appended at `index` and must be written. */
export function noteUnwritten(state: RaftState, index: LogIndex): void {
  state.unwrittenFrom = Math.min(state.unwrittenFrom, index);
}

/** The entries at and above `from` are gone from the log; whatever is known of their durability no longer counts. */
export function noteTruncated(state: RaftState, from: LogIndex): void {
  if (from < state.unwrittenFrom) state.truncateOnDisk = Math.min(state.truncateOnDisk ?? from, from);
  state.unwrittenFrom = Math.min(state.unwrittenFrom, from);
  state.durableIndex = Math.min(state.durableIndex, from - 1);
  // The job under way writes them still; that it did must not be taken for their successors (L7, the ABA race).
  if (state.job !== undefined) state.job.durableIndexAfter = Math.min(state.job.durableIndexAfter, from - 1);
}

/** Nothing of the log is what the disk holds or is being given any more: it begins behind `last`. */
export function noteInstalled(state: RaftState, last: LogIndex): void {
  state.truncateOnDisk = undefined;
  state.unwrittenFrom = last + 1;
  state.durableIndex = 0;
  const { job } = state;
  // It writes a log that is no more.
  if (job !== undefined) job.durableIndexAfter = 0;
}

/** The next job, when there is something to write and none is under way. */
export function takeJob(state: RaftState): WriteJob | undefined {
  if (state.job !== undefined) return undefined;
  const last = lastIndex(state.log);
  const hardState = isHardStateDurable(state)
    ? undefined
    : { currentTerm: state.currentTerm, votedFor: state.votedFor };
  const entries = slice(state.log, state.unwrittenFrom, last, Number.MAX_SAFE_INTEGER);
  const truncate = state.truncateOnDisk;
  const snapshot = state.snapshotOnDisk;
  if (hardState === undefined && truncate === undefined && entries.length === 0 && snapshot === undefined) {
    assert(state.held.length === 0, "messages wait for a write that nobody needs", {
      held: state.held.length,
    });
    return undefined;
  }
  const jobId = state.nextJobId++;
  state.job = { jobId, hardState, durableIndexAfter: last, startedTick: state.ticks };
  state.unwrittenFrom = last + 1;
  state.truncateOnDisk = undefined;
  state.snapshotOnDisk = undefined;
  const thenSend = state.held;
  state.held = [];
  return { jobId, hardState, truncateFrom: truncate, entries, snapshot, thenSend };
}

/** The job is durable. Messages held since that rest on nothing newer may go. */
export function finishJob(state: RaftState, jobId: number): void {
  const { job } = state;
  assert(job !== undefined && job.jobId === jobId, "a completion for no job under way", { jobId });
  state.job = undefined;
  if (job.hardState !== undefined) state.durableHardState = job.hardState;
  state.durableIndex = Math.max(state.durableIndex, job.durableIndexAfter);
  assert(state.durableIndex <= lastIndex(state.log), "more is durable than there is");
  releaseHeld(state);
}

function releaseHeld(state: RaftState): void {
  const waiting: Envelope[] = [];
  for (const envelope of state.held) {
    (isTrueNow(state, envelope.message) ? state.outSend : waiting).push(envelope);
  }
  state.held = waiting;
}
