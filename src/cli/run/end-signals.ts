/**
 * Names of the signals that may ask a command to end. Apart from the plan, since the help is made with it.
 */
import { constants } from "node:os";

/** Signals that ask a process to end. */
export const endSignals = ["TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "ABRT", "KILL"] as const;
export type EndSignal = (typeof endSignals)[number];

/** `TERM`, `SIGTERM`, `term`, `15`. Throws an Error that says what would be right. */
export function parseEndSignal(text: string): EndSignal {
  const word = text.toUpperCase().replace(/^SIG/, "");
  const found = endSignals.find((name) => name === word || String(constants.signals[`SIG${name}`]) === word);
  if (found === undefined) throw new Error(`Write one of ${endSignals.join(", ")}.`);
  return found;
}
