/** Placeholder until the checkers are merged. */
import type { Finding, History } from "./history.ts";

export function checkHistory(_history: History): readonly Finding[] {
  return [];
}
