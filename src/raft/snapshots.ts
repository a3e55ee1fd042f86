/**
 * The log's beginning: compaction behind an own snapshot, and a snapshot in place of a log that is gone (Raft §5). How a
 * leader offers one stands with the rest of what it sends (`replication.ts`).
 * The core decides what may be given up, who is offered what, and when a fetched snapshot takes the log's place. It never
 * sees the bytes: the hosts write, fetch and verify them, and tell when they are durable.
 *
 *   leader    snapshotTaken ─▶ cut the log behind the snapshot before it; whoever needs more is offered the newest
 *   follower  offer ─▶ fetch ─▶ snapshotFetched ─▶ install, or nothing when the log has all of it by now
 */
import { assert } from "../base/assert.ts";
import { noteInstalled } from "./durability.ts";
import { boundaryAt, chainAt, compactTo, lastIndex, resetTo, termAt } from "./log.ts";
import { advanceCommit, sendMatched } from "./replication.ts";
import { type RaftState, send, trace } from "./state.ts";
import type { LogBoundary, MemberId, SnapshotOffer } from "./types.ts";

/**
 * A snapshot of all that was applied up to `last` is durable. The log is cut behind the one before it: two are kept, and
 * from either the log goes on without a gap (S10). What a live follower was offered stays reachable as well (S4), while
 * there is room (`mayPin`); then it is offered the newest, for one that cannot keep up must not stop everybody. What is not
 * on this disk is not given up: it is still to be written, though a majority has it.
 */
export function handleSnapshotTaken(state: RaftState, last: LogBoundary, mayPin: boolean): void {
  assert(last.index <= state.handedIndex, "a snapshot of what was not applied", { last });
  const { snapshot, log } = state;
  // An install has overtaken it.
  if (last.index <= (snapshot ?? log.boundary).index) return;
  assert(chainAt(log, last.index) === last.chain, "the snapshot is not of this log", { last });
  const written = boundaryAt(log, Math.max(log.boundary.index, state.durableIndex));
  const boundary = lowest([snapshot ?? log.boundary, written, ...(mayPin ? pinned(state) : [])]);
  if (boundary.index > log.boundary.index) compactTo(log, boundary);
  state.snapshot = last;
  // The place where an install is not on disk yet is said together with this one.
  const isInstalled = state.snapshotOnDisk?.isInstalled ?? false;
  state.snapshotOnDisk = { boundary: log.boundary, last, isInstalled };
  trace(state, { kind: "compact", boundary: log.boundary.index, snapshot: last.index });
}

function lowest(boundaries: readonly LogBoundary[]): LogBoundary {
  return boundaries.reduce((low, one) => (one.index < low.index ? one : low));
}

/** What followers that live are fetching: the log behind it must be there when they have it. */
function pinned(state: RaftState): readonly LogBoundary[] {
  const { ticks, config } = state;
  return [...state.progress.values()].flatMap(({ offered, heardTick }) =>
    offered !== undefined && ticks - heardTick <= config.electionTicks ? [offered] : [],
  );
}

// ---- follower ------------------------------------------------------------------------------------------------------

/** The caller has made this member a follower of `from` in this term, whatever it was before (S11). */
export function handleSnapshotOffer(state: RaftState, from: MemberId, { last, echo }: SnapshotOffer): void {
  if (fastForward(state, last)) return sendMatched(state, from, state.commitIndex, echo);
  state.outFetch = { from, last };
  send(state, from, { kind: "heartbeat-response", term: state.currentTerm, echo });
}

/** A fetched snapshot is durable, verified, and stands for committed entries, whoever leads now. */
export function handleSnapshotFetched(state: RaftState, last: LogBoundary): void {
  // It was elected meanwhile, so its log holds all that is committed.
  if (state.role === "leader") return;
  if (fastForward(state, last)) return;
  const lost = lastIndex(state.log);
  // Of the entries held none is known to belong behind it, and what conflicts must not stay (S1, S5).
  resetTo(state.log, last);
  noteInstalled(state, last.index);
  state.snapshot = last;
  state.snapshotOnDisk = { boundary: last, last, isInstalled: true };
  state.commitIndex = last.index;
  state.handedIndex = last.index;
  state.outInstall = last;
  trace(state, { kind: "install", snapshot: last.index, lost });
}

/** True when the log holds all that the snapshot stands for: then it is committed, and nothing is replaced. */
function fastForward(state: RaftState, last: LogBoundary): boolean {
  if (last.index <= state.commitIndex) return true;
  if (termAt(state.log, last.index) !== last.term) return false;
  assert(chainAt(state.log, last.index) === last.chain, "the logs differ below an agreed entry", {
    last,
  });
  advanceCommit(state, last.index);
  return true;
}
