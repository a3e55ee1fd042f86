/**
 * What is wrong with a history, if anything, and the history as a file. The one place that names the checkers.
 */
import { checkHistory } from "../check/all.ts";
import { fencedRule } from "../check/fenced.ts";
import { decodeHistory, encodeHistory, formatFindings } from "../check/format.ts";
import type { Finding, History } from "../check/history.ts";

export { checkers } from "../check/all.ts";

export function judge(history: History): readonly Finding[] {
  return checkHistory(history);
}

/** Somebody was let in behind a later grant: what the positive control must be found out by. */
export function isStaleWrite({ rule }: Finding): boolean {
  return rule === fencedRule;
}

/** One JSON text a line. */
export const historyLines = encodeHistory;
export const historyOfLines = decodeHistory;

/** Each finding with the operations around those that it names. */
export const findingsText = formatFindings;
