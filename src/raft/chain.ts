/**
 * The chain hash: one number that stands for a whole log prefix.
 * Two logs with the same chain at an index hold the same entries up to it, so one comparison finds a divergence, a
 * lost entry or a flipped bit anywhere before (invariant 12; research: LevelDB loses synced entries without an error).
 */
import { createHasher } from "../base/hash.ts";
import type { Entry, LogBoundary, LogIndex } from "./types.ts";

/** The chain before the first entry. */
export const chainStart = 0;

/** Where a log begins that has given up nothing. */
export const emptyBoundary: LogBoundary = { index: 0, term: 0, time: 0, chain: chainStart };

/** The entry, or the boundary, at `index`; undefined outside of what is held. */
export function heldAt(
  log: { readonly boundary: LogBoundary; readonly entries: readonly Entry[] },
  index: LogIndex,
): LogBoundary | undefined {
  return index === log.boundary.index ? log.boundary : log.entries[index - log.boundary.index - 1];
}

/** Both stand for the same prefix of the same log. */
export function isSamePlace(a: LogBoundary | undefined, b: LogBoundary): boolean {
  return a?.index === b.index && a.term === b.term && a.time === b.time && a.chain === b.chain;
}

/** The chain at `entry`, given the chain at the entry before it. 0 … 2^53 − 1. */
export function chainOf(previousChain: number, entry: Omit<Entry, "chain">): number {
  return createHasher(previousChain)
    .uint(entry.index)
    .uint(entry.term)
    .uint(entry.time)
    .uint(entry.kind === "noop" ? 0 : 1)
    .bytes(entry.data)
    .digest();
}
