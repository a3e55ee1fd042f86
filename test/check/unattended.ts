/**
 * Waiting for nobody: a claim that nobody polls any more is cancelled, although its session lives on. Whatever it would be
 * granted later nobody would give back: that is how permits leak. Concludes nothing of claims that were granted (a leader
 * of a later term cannot know who heard of it) nor of times in which the cluster was not well throughout.
 */
import type { Checker, History, Operation } from "./history.ts";

export const unattendedRule = "L11-never-unattended";

/**
 * How long an unattended claim may be shown in a well cluster, in milliseconds: its grace, on a clock that is slow by
 * `drift`, and two seconds for the request under way when it was left, for batches and for a busy machine.
 */
export function latestCancelMs(graceMs: number, drift: number): number {
  return graceMs / (1 - drift) + 2_000;
}

export const checkUnattended: Checker = (history) => {
  const bounds = boundsOf(history);
  if (bounds.size === 0) return [];
  return history.operations.flatMap((operation) =>
    shownWaiting(operation).flatMap((claimId) => {
      const bound = bounds.get(claimId) ?? Infinity;
      if (operation.sentAt <= bound) return [];
      const detail = `${claimId} is shown waiting to who asked at ${operation.sentAt}; nobody attends it, it was over by ${bound}`;
      return [{ rule: unattendedRule, detail, operations: [operation.id] }];
    }),
  );
};

/** When each claim must be over: in the first well time that lasts long enough. */
function boundsOf({ unattended, healthy, drift }: History): ReadonlyMap<string, number> {
  return new Map(
    unattended.map(({ claimId, at, graceMs }) => {
      const ends = healthy.flatMap(({ from, to }) => {
        const end = Math.max(from, at) + latestCancelMs(graceMs, drift);
        return end <= to ? [end] : [];
      });
      return [claimId, Math.min(...ends)];
    }),
  );
}

function shownWaiting({ kind, answer, ...operation }: Operation): readonly string[] {
  if (answer?.kind === "shown") return answer.queue;
  return kind === "look-claim" && answer?.kind === "waiting" && "claimId" in operation
    ? [operation.claimId]
    : [];
}
