/**
 * The tail of the log in memory: every entry after the boundary, contiguous. The core reads only from here and never
 * waits for a disk. Pure bookkeeping: who may append or truncate, and when, is decided by the callers and asserted
 * in `invariants.ts`.
 */
import { assert, present } from "../base/assert.ts";
import { chainOf, heldAt } from "./chain.ts";
import type { Entry, EntryKind, LogBoundary, LogIndex, Term } from "./types.ts";

export interface RaftLog {
  /** Stands for all entries that are gone; a snapshot covers them. Index 0 before the first. */
  boundary: LogBoundary;
  /** Invariant: `entries[i].index === boundary.index + 1 + i`; terms and times never decrease. */
  readonly entries: Entry[];
}

/** Throws when the entries do not follow the boundary, or are no whole log: the storage promised that they are. */
export function createLog(boundary: LogBoundary, entries: readonly Entry[]): RaftLog {
  const log: RaftLog = { boundary, entries: [] };
  for (const entry of entries) appendVerified(log, entry);
  return log;
}

export function lastIndex(log: RaftLog): LogIndex {
  return log.boundary.index + log.entries.length;
}

function lastOf(log: RaftLog): LogBoundary {
  return log.entries[log.entries.length - 1] ?? log.boundary;
}

export function lastTerm(log: RaftLog): Term {
  return lastOf(log).term;
}

/** The cluster time stamp of the last entry: no later entry may carry less. */
export function lastTime(log: RaftLog): number {
  return lastOf(log).time;
}

export function termAt(log: RaftLog, index: LogIndex): Term | undefined {
  return heldAt(log, index)?.term;
}

export function chainAt(log: RaftLog, index: LogIndex): number {
  return present(heldAt(log, index), `chain at ${index}`).chain;
}

export function entryAt(log: RaftLog, index: LogIndex): Entry {
  return present(log.entries[index - log.boundary.index - 1], `entry ${index}`);
}

/** Makes the entry that follows the last one and appends it. */
export function appendNew(
  log: RaftLog,
  made: { readonly term: Term; readonly time: number; readonly kind: EntryKind; readonly data: Uint8Array },
): Entry {
  const last = lastOf(log);
  const body = { index: last.index + 1, ...made };
  const entry: Entry = { ...body, chain: chainOf(last.chain, body) };
  appendVerified(log, entry);
  return entry;
}

/** Appends an entry made elsewhere, after checking that it continues this log exactly (invariants 4 and 12). */
export function appendVerified(log: RaftLog, entry: Entry): void {
  const last = lastOf(log);
  assert(entry.index === last.index + 1, "entries must be contiguous", {
    last: last.index,
    index: entry.index,
  });
  assert(entry.term >= last.term, "terms must not decrease", { index: entry.index });
  assert(entry.time >= last.time, "cluster times must not decrease", { index: entry.index });
  assert(entry.chain === chainOf(last.chain, entry), "the chain is broken", { index: entry.index });
  log.entries.push(entry);
}

/** Deletes the entries at and above `from`. */
export function truncateFrom(log: RaftLog, from: LogIndex): void {
  assert(from > log.boundary.index, "truncation below the boundary", { from });
  log.entries.length = Math.min(log.entries.length, from - log.boundary.index - 1);
}

/** What is known of the entry at `index`; throws when it is outside of what is held. */
export function boundaryAt(log: RaftLog, index: LogIndex): LogBoundary {
  const { term, time, chain } = present(heldAt(log, index), `entry ${index}`);
  return { index, term, time, chain };
}

/** Gives up the entries up to `boundary`, which is held. */
export function compactTo(log: RaftLog, boundary: LogBoundary): void {
  assert(chainAt(log, boundary.index) === boundary.chain, "a log is cut at an entry that it holds", {
    boundary,
  });
  log.entries.splice(0, boundary.index - log.boundary.index);
  log.boundary = boundary;
}

/** Gives up all entries; the log goes on behind `boundary`, which stands for what another member held. */
export function resetTo(log: RaftLog, boundary: LogBoundary): void {
  log.entries.length = 0;
  log.boundary = boundary;
}

/** Entries from `from` on: at least one if there is one, then as many as fit into `bytesMax`, up to `to`. */
export function slice(log: RaftLog, from: LogIndex, to: LogIndex, bytesMax: number): readonly Entry[] {
  const taken: Entry[] = [];
  let bytes = 0;
  for (let index = from; index <= to; index++) {
    const entry = entryAt(log, index);
    bytes += entry.data.length;
    if (taken.length > 0 && bytes > bytesMax) break;
    taken.push(entry);
  }
  return taken;
}

/** The largest held index at or below `index` whose term is at most `term`: where two logs may still agree. */
export function lastIndexWithin(log: RaftLog, index: LogIndex, term: Term): LogIndex {
  let probe = Math.min(index, lastIndex(log));
  while (probe > log.boundary.index && (termAt(log, probe) as Term) > term) probe--;
  return probe;
}

/** True when a log that ends in (lastLogTerm, lastLogIndex) is at least as up to date as this one (Raft §3.6.1). */
export function isUpToDate(log: RaftLog, lastLogIndex: LogIndex, lastLogTerm: Term): boolean {
  const ownTerm = lastTerm(log);
  return lastLogTerm > ownTerm || (lastLogTerm === ownTerm && lastLogIndex >= lastIndex(log));
}
