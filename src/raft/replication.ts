/**
 * Replication: from proposal to commit. The leader sends, followers append and answer, the leader counts.
 * Never truncates without a real conflict, never commits an old term by counting.
 * Raft §3.5, §3.6.2 (commit rule), §10.2.1 (leader writes in parallel), §10.2.2 (pipelining).
 */
import { assert, present } from "../base/assert.ts";
import { quorumReached, votersWithout } from "./configuration.ts";
import { noteTruncated, noteUnwritten } from "./durability.ts";
import {
  appendNew,
  appendVerified,
  chainAt,
  entryAt,
  lastIndex,
  lastIndexWithin,
  lastTime,
  slice,
  termAt,
  truncateFrom,
} from "./log.ts";
import { type Progress, type RaftState, send, trace } from "./state.ts";
import type {
  AppendRequest,
  AppendResponse,
  Echo,
  Entry,
  EntryKind,
  Heartbeat,
  HeartbeatResponse,
  LogBoundary,
  LogIndex,
  MemberId,
  ProposeResult,
  Term,
} from "./types.ts";

// ---- leader: coming and going --------------------------------------------------------------------------------

/** The vote is won: forget what earlier terms knew of the others and open the term with an empty entry (R1, L1). */
export function startLeading(state: RaftState): void {
  const last = lastIndex(state.log);
  state.progress = new Map();
  for (const voter of state.configuration.voters) state.progress.set(voter, createProgress(last + 1));
  state.leaderSinceTick = state.ticks;
  state.majorityIndex = 0;
  state.majorityProgressTick = state.ticks;
  state.heartbeatElapsed = 0;
  state.round = 0;
  state.reads = [];
  state.transfer = undefined;
  state.uncommittedBytes = 0;
  for (let index = state.commitIndex + 1; index <= last; index++) {
    state.uncommittedBytes += entryAt(state.log, index).data.length;
  }
  state.termStartIndex = last + 1;
  // It repeats the stamp before it: a leader's clock starts where the log's ended (SEMANTICS rule 2).
  appendOwn(state, { time: lastTime(state.log), kind: "noop", data: new Uint8Array(0) });
}

function createProgress(nextIndex: LogIndex): Progress {
  return {
    matchIndex: 0,
    nextIndex,
    mode: "probe",
    offered: undefined,
    probeSent: false,
    inflight: [],
    inflightBytes: 0,
    ackedRound: 0,
    ackedSentTick: -1,
    heardTick: -1,
  };
}

/** Leadership ended: reads that were not confirmed never will be (R3). */
export function stopLeading(state: RaftState): void {
  for (const read of state.reads) state.outReadsDropped.push(read.readId);
  state.reads = [];
  state.progress = new Map();
  state.transfer = undefined;
}

// ---- leader: proposing ---------------------------------------------------------------------------------------

/**
 * Appends commands that all carry the same stamp. All or none; the answer names the first one's place.
 * `time` is cluster milliseconds and not below the last entry's.
 */
export function propose(state: RaftState, commands: readonly Uint8Array[], time: number): ProposeResult {
  assert(commands.length > 0, "nothing to propose");
  if (state.role !== "leader") return { kind: "not-leader", leader: state.leader };
  if (state.transfer !== undefined) return { kind: "transferring" };
  const { uncommittedEntriesMax, uncommittedBytesMax } = state.config;
  const waiting = lastIndex(state.log) - state.commitIndex;
  if (waiting + commands.length > uncommittedEntriesMax || state.uncommittedBytes > uncommittedBytesMax) {
    return { kind: "overloaded" };
  }
  const first = lastIndex(state.log) + 1;
  for (const data of commands) appendOwn(state, { time, kind: "command", data });
  return { kind: "accepted", index: first, term: state.currentTerm };
}

function appendOwn(
  state: RaftState,
  made: { readonly time: number; readonly kind: EntryKind; readonly data: Uint8Array },
): void {
  if (lastIndex(state.log) === state.commitIndex) state.majorityProgressTick = state.ticks;
  const entry = appendNew(state.log, { term: state.currentTerm, ...made });
  state.uncommittedBytes += entry.data.length;
  noteUnwritten(state, entry.index);
  if (state.config.traceReplication) {
    trace(state, { kind: "append", from: entry.index, to: entry.index, term: entry.term });
  }
}

// ---- leader: sending -----------------------------------------------------------------------------------------

function nextEcho(state: RaftState): Echo {
  return { round: state.round, sentTick: state.ticks };
}

/** Sends every follower what it lacks, as far as its window allows. Called once for each output. */
export function sendAppends(state: RaftState): void {
  for (const follower of votersWithout(state.configuration, state.config.self)) {
    while (maybeSendEntries(state, follower));
  }
}

/** True when entries left, so that another append may follow. */
function maybeSendEntries(state: RaftState, follower: MemberId): boolean {
  const progress = progressOf(state, follower);
  const last = lastIndex(state.log);
  if (progress.mode === "snapshot") return false;
  if (isGone(state, progress)) {
    startOffering(state, follower);
    return false;
  }
  if (progress.nextIndex > last || isWindowFull(state, progress)) return false;
  if (progress.mode === "probe" && progress.probeSent) return false;
  sendAppend(state, follower, slice(state.log, progress.nextIndex, last, state.config.appendBytesMax));
  return progress.mode === "replicate";
}

/** The entry before the next one to send is not held any more. */
function isGone({ log }: RaftState, { nextIndex }: Progress): boolean {
  return nextIndex <= log.boundary.index;
}

function isWindowFull(state: RaftState, progress: Progress): boolean {
  return (
    progress.inflight.length >= state.config.inflightMessagesMax ||
    progress.inflightBytes >= state.config.inflightBytesMax
  );
}

function sendAppend(state: RaftState, follower: MemberId, entries: readonly Entry[]): void {
  const progress = progressOf(state, follower);
  const prevLogIndex = progress.nextIndex - 1;
  send(state, follower, {
    kind: "append",
    term: state.currentTerm,
    prevLogIndex,
    prevLogTerm: termAt(state.log, prevLogIndex) as Term,
    prevLogChain: chainAt(state.log, prevLogIndex),
    entries,
    leaderCommit: state.commitIndex,
    echo: nextEcho(state),
  });
  if (progress.mode === "probe") {
    progress.probeSent = true;
  } else if (entries.length > 0) {
    const bytes = entries.reduce((sum, entry) => sum + entry.data.length, 0);
    progress.nextIndex += entries.length;
    progress.inflight.push({ lastIndex: progress.nextIndex - 1, bytes });
    progress.inflightBytes += bytes;
  }
}

/** What this follower needs next is gone: from now on it is offered the newest snapshot instead (Raft §5). */
function startOffering(state: RaftState, follower: MemberId): void {
  const progress = progressOf(state, follower);
  leavePipeline(progress, "snapshot");
  progress.offered = newestSnapshot(state);
  trace(state, { kind: "offer", member: follower, snapshot: progress.offered.index });
  sendOffer(state, follower);
}

/** Whatever was under way is not waited for any more. */
function leavePipeline(progress: Progress, mode: "probe" | "snapshot"): void {
  progress.mode = mode;
  progress.probeSent = false;
  progress.inflight = [];
  progress.inflightBytes = 0;
}

/** Sent again at every heartbeat: the follower may have lost the one before, or have started anew. */
function sendOffer(state: RaftState, follower: MemberId): void {
  const progress = progressOf(state, follower);
  const { offered } = progress;
  // While it was silent, what it had been offered may have been given up.
  const isHeld = offered !== undefined && offered.index >= state.log.boundary.index;
  const last = isHeld ? offered : newestSnapshot(state);
  progress.offered = last;
  send(state, follower, { kind: "snapshot-offer", term: state.currentTerm, last, echo: nextEcho(state) });
}

function newestSnapshot({ snapshot }: RaftState): LogBoundary {
  return present(snapshot, "a log whose beginning is gone has a snapshot");
}

/** Tells every follower that the leader lives and what is committed, never beyond what that follower holds (L13). */
export function sendHeartbeats(state: RaftState): void {
  state.heartbeatElapsed = 0;
  for (const follower of votersWithout(state.configuration, state.config.self)) {
    const { matchIndex, mode } = progressOf(state, follower);
    if (mode === "snapshot") {
      sendOffer(state, follower);
      continue;
    }
    send(state, follower, {
      kind: "heartbeat",
      term: state.currentTerm,
      leaderCommit: Math.min(matchIndex, state.commitIndex),
      echo: nextEcho(state),
    });
  }
}

// ---- follower ------------------------------------------------------------------------------------------------

/** The caller has made this member a follower of `from` in this term. Raft Fig. 3.1, AppendEntries receiver. */
export function handleAppend(state: RaftState, from: MemberId, request: AppendRequest): void {
  const { prevLogIndex, entries, echo } = request;
  const term = state.currentTerm;
  if (prevLogIndex < state.log.boundary.index) {
    // A late one: all of that is committed, and what is committed matches whoever leads.
    return sendMatched(state, from, state.commitIndex, echo);
  }
  if (termAt(state.log, prevLogIndex) !== request.prevLogTerm) {
    // Not held, or held in another term: name the last place where the two logs may still agree.
    const hintIndex = lastIndexWithin(state.log, prevLogIndex, request.prevLogTerm);
    const hintTerm = termAt(state.log, hintIndex) as Term;
    send(state, from, {
      kind: "append-response",
      term,
      result: { kind: "mismatch", prevLogIndex, hintIndex, hintTerm },
      echo,
    });
    return;
  }
  assert(chainAt(state.log, prevLogIndex) === request.prevLogChain, "the logs differ below an agreed entry", {
    prevLogIndex,
    from,
  });
  for (const entry of entries) acceptEntry(state, entry);
  const matchIndex = prevLogIndex + entries.length;
  // What follows the matched prefix may be another leader's and is not covered by leaderCommit (L3).
  advanceCommit(state, Math.min(request.leaderCommit, matchIndex));
  sendMatched(state, from, matchIndex, echo);
}

/** Tells the leader of this term that the log up to `matchIndex` is its own; leaves when that is durable. */
export function sendMatched(state: RaftState, to: MemberId, matchIndex: LogIndex, echo: Echo): void {
  const result = { kind: "matched", matchIndex } as const;
  send(state, to, { kind: "append-response", term: state.currentTerm, result, echo });
}

/** Keeps an entry that is there already, replaces a conflicting suffix, appends what is new (L2). */
function acceptEntry(state: RaftState, entry: Entry): void {
  const heldTerm = termAt(state.log, entry.index);
  if (heldTerm === entry.term) return;
  if (heldTerm !== undefined) {
    assert(entry.index > state.commitIndex, "a committed entry would be truncated", {
      index: entry.index,
      commitIndex: state.commitIndex,
    });
    trace(state, { kind: "truncate", from: entry.index, to: lastIndex(state.log) });
    truncateFrom(state.log, entry.index);
    noteTruncated(state, entry.index);
  }
  appendVerified(state.log, entry);
  noteUnwritten(state, entry.index);
  if (state.config.traceReplication) {
    trace(state, { kind: "append", from: entry.index, to: entry.index, term: entry.term });
  }
}

export function handleHeartbeat(state: RaftState, from: MemberId, heartbeat: Heartbeat): void {
  // The leader saw this member acknowledge that much; less here would mean that the disk forgot (L12).
  assert(heartbeat.leaderCommit <= lastIndex(state.log), "the leader counts entries that are not here", {
    leaderCommit: heartbeat.leaderCommit,
    lastIndex: lastIndex(state.log),
  });
  advanceCommit(state, heartbeat.leaderCommit);
  send(state, from, { kind: "heartbeat-response", term: state.currentTerm, echo: heartbeat.echo });
}

// ---- leader: counting ----------------------------------------------------------------------------------------

export function handleAppendResponse(state: RaftState, from: MemberId, response: AppendResponse): void {
  const progress = state.progress.get(from);
  if (progress === undefined) return;
  noteEcho(state, progress, response.echo);
  if (response.result.kind === "matched") handleMatched(state, progress, response.result.matchIndex);
  else handleMismatch(state, from, progress, response.result);
}

function handleMatched(state: RaftState, progress: Progress, matchIndex: LogIndex): void {
  assert(matchIndex <= lastIndex(state.log), "a follower matched more than was sent", { matchIndex });
  progress.probeSent = false;
  while ((progress.inflight[0]?.lastIndex ?? Infinity) <= matchIndex) {
    progress.inflightBytes -= (progress.inflight.shift() as { bytes: number }).bytes;
  }
  // An old answer may come late; what is known to match never shrinks (L4).
  if (matchIndex > progress.matchIndex) progress.matchIndex = matchIndex;
  // A late answer may end an offer too early; then what is gone is noticed again when it is to be sent.
  if (progress.mode !== "replicate") {
    progress.mode = "replicate";
    progress.offered = undefined;
    progress.nextIndex = progress.matchIndex + 1;
  }
  progress.nextIndex = Math.max(progress.nextIndex, progress.matchIndex + 1);
  maybeCommit(state);
}

/** Goes back to probing, past every term that the two logs cannot share: at most one probe a term. */
function handleMismatch(
  state: RaftState,
  from: MemberId,
  progress: Progress,
  result: { readonly prevLogIndex: LogIndex; readonly hintIndex: LogIndex; readonly hintTerm: Term },
): void {
  // Before the offer it was asked for entries; the answer to that is old.
  if (progress.mode === "snapshot") return;
  const isStale =
    progress.mode === "replicate"
      ? result.prevLogIndex <= progress.matchIndex
      : result.prevLogIndex !== progress.nextIndex - 1;
  if (isStale) return;
  const agreed = lastIndexWithin(state.log, result.hintIndex, result.hintTerm);
  leavePipeline(progress, "probe");
  progress.nextIndex = Math.max(Math.min(result.prevLogIndex, agreed + 1), progress.matchIndex + 1);
  trace(state, { kind: "mismatch", member: from, next: progress.nextIndex });
}

export function handleHeartbeatResponse(state: RaftState, from: MemberId, response: HeartbeatResponse): void {
  const progress = state.progress.get(from);
  if (progress === undefined) return;
  noteEcho(state, progress, response.echo);
  // An offer is repeated by heartbeats, or is about to be made.
  if (progress.mode === "snapshot" || isGone(state, progress)) return;
  progress.probeSent = false;
  // Entries are missing there and nothing more can be sent: the window may have been lost. An empty append finds out.
  const nothingToSend = progress.nextIndex > lastIndex(state.log) || isWindowFull(state, progress);
  if (progress.matchIndex < lastIndex(state.log) && nothingToSend) sendAppend(state, from, []);
}

function noteEcho(state: RaftState, progress: Progress, echo: Echo): void {
  assert(echo.round <= state.round && echo.sentTick <= state.ticks, "an answer to what was never sent", {
    echo,
  });
  progress.ackedRound = Math.max(progress.ackedRound, echo.round);
  progress.ackedSentTick = Math.max(progress.ackedSentTick, echo.sentTick);
  progress.heardTick = state.ticks;
}

/** The leader's own disk reached `durableIndex`: only now does it count itself (R7). */
export function handleOwnDurable(state: RaftState): void {
  const own = progressOf(state, state.config.self);
  own.matchIndex = Math.max(own.matchIndex, state.durableIndex);
  own.nextIndex = Math.max(own.nextIndex, own.matchIndex + 1);
  maybeCommit(state);
}

/** Commits what a majority holds durably, if it is of this term; all before it follows (Raft §3.6.2). */
export function maybeCommit(state: RaftState): void {
  const reached = quorumReached(state.configuration, (voter) => progressOf(state, voter).matchIndex);
  // One that is far behind may have much to write before an entry of this term can be counted: that is progress too.
  if (reached > state.majorityIndex) {
    state.majorityIndex = reached;
    state.majorityProgressTick = state.ticks;
  }
  if (reached <= state.commitIndex || termAt(state.log, reached) !== state.currentTerm) return;
  advanceCommit(state, reached);
}

/** A majority would hold more, if those that live and are fetching a snapshot had it already. */
export function isMajorityFetching(state: RaftState): boolean {
  const { configuration, ticks, config } = state;
  const reachable = quorumReached(configuration, (voter) => {
    const { mode, heardTick, matchIndex } = progressOf(state, voter);
    return mode === "snapshot" && ticks - heardTick <= config.electionTicks
      ? lastIndex(state.log)
      : matchIndex;
  });
  return reachable > state.majorityIndex;
}

export function advanceCommit(state: RaftState, index: LogIndex): void {
  if (index <= state.commitIndex) return;
  assert(index <= lastIndex(state.log), "commit beyond the log", { index });
  if (state.role === "leader") {
    for (let i = state.commitIndex + 1; i <= index; i++)
      state.uncommittedBytes -= entryAt(state.log, i).data.length;
  }
  state.commitIndex = index;
  if (state.config.traceReplication) {
    trace(state, { kind: "commit", index, term: termAt(state.log, index) as Term });
  }
}

// ---- leader: what the majority says ----------------------------------------------------------------------------

/** When (own ticks) the newest message left that a majority has answered in this term; −1 when none did. */
export function quorumSentTick(state: RaftState): number {
  return quorumReached(state.configuration, (voter) =>
    voter === state.config.self ? state.ticks : progressOf(state, voter).ackedSentTick,
  );
}

export function progressOf(state: RaftState, member: MemberId): Progress {
  const progress = state.progress.get(member);
  assert(progress !== undefined, "a leader tracks every voter", { member });
  return progress;
}
