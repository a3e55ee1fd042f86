/**
 * Linearizable reads by ReadIndex (Raft §6.4): the leader notes its commit index, proves by a round of messages sent
 * afterwards that it still leads, and lets the read go once that index is applied.
 * Never by a lease: a process can be paused between the check and the answer (R5). One round serves every read that
 * was registered before it was sent.
 */
import { assert } from "../base/assert.ts";
import { quorumReached } from "./configuration.ts";
import { progressOf, sendHeartbeats } from "./replication.ts";
import type { RaftState } from "./state.ts";
import type { ReadReady } from "./types.ts";

/** Registers a read; `readId` is only a name for the answer. False when this member does not lead. */
export function registerRead(state: RaftState, readId: number): boolean {
  if (state.role !== "leader") return false;
  state.reads.push({ readId, round: undefined, index: undefined });
  return true;
}

/** Starts a round for reads that have none, once an entry of this term is committed (R1). */
export function sendReadRound(state: RaftState): void {
  if (state.commitIndex < state.termStartIndex) return;
  let isStarted = false;
  for (const read of state.reads) {
    if (read.round !== undefined) continue;
    if (!isStarted) state.round++;
    isStarted = true;
    read.round = state.round;
    read.index = state.commitIndex;
  }
  if (isStarted) sendHeartbeats(state);
}

/** Reads whose round a majority has answered, in the order of registration. */
export function takeConfirmedReads(state: RaftState): readonly ReadReady[] {
  if (state.reads.length === 0) return [];
  const confirmed = quorumReached(state.configuration, (voter) =>
    voter === state.config.self ? state.round : progressOf(state, voter).ackedRound,
  );
  const ready: ReadReady[] = [];
  state.reads = state.reads.filter((read) => {
    if (read.round === undefined || read.round > confirmed) return true;
    assert(
      read.index !== undefined && read.index >= state.termStartIndex,
      "a read before the term's first commit",
    );
    ready.push({ readId: read.readId, index: read.index });
    return false;
  });
  return ready;
}
