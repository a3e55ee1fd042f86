/**
 * What a request's fields must keep to beyond their schema: the replicated settings, Unicode, and whose request it is.
 * Throws a ProblemError; decides nothing that the cluster has to decide.
 */
import { isSessionId, isWellFormed, utf8Length } from "../api/names.ts";
import { compareText } from "../base/order.ts";
import type { Metadata } from "../locks/commands.ts";
import type { Settings } from "../locks/settings.ts";
import type { Exchange } from "./exchange.ts";
import { badRequest, invalid, ProblemError } from "./problems.ts";

/**
 * The settings in force; undefined when the request was sent on to the leader: a node that follows may lag behind a
 * change of them, and must refuse nothing by what was in force before.
 */
export function settingsFor(exchange: Exchange): Settings | undefined {
  const notLeading = exchange.node.notLeading();
  if (notLeading !== undefined) {
    exchange.sendToLeader(notLeading);
    return undefined;
  }
  const { settings } = exchange.node.staleView().state;
  if (settings !== undefined) return settings;
  throw new ProblemError({ code: "no-leader", detail: "The cluster is being founded; try again shortly." });
}

/** A duration that a setting bounds. −0 becomes 0, so that equal requests are equal bytes. */
export function atMost(path: string, value: number, max: number): number {
  if (value > max) throw invalid(path, `must be at most ${max}`);
  return value + 0;
}

export function metadataOf(
  path: string,
  value: Readonly<Record<string, string>> | undefined,
  settings: Settings,
): Metadata {
  if (value === undefined) return [];
  const pairs = Object.entries(value).sort(([a], [b]) => compareText(a, b));
  let bytes = 0;
  for (const pair of pairs) {
    for (const text of pair) {
      if (!isWellFormed(text)) throw invalid(path, "must be well-formed Unicode");
      bytes += utf8Length(text);
    }
  }
  if (bytes > settings.metadataBytes)
    throw invalid(path, `must have at most ${settings.metadataBytes} bytes`);
  return pairs;
}

/** The session that asks: header `Holdfast-Session`, or the body. Naming two different ones is a mistake. */
export function presentedSession(exchange: Exchange, inBody: string | undefined): string {
  const inHeader = exchange.request.headers["holdfast-session"];
  const sessionId = inBody ?? inHeader;
  if (sessionId === undefined)
    throw badRequest("Say which session asks: header Holdfast-Session, or sessionId in the body.");
  if (typeof sessionId !== "string" || !isSessionId(sessionId))
    throw badRequest("Holdfast-Session is not a session id (16–64 characters of A-Z a-z 0-9 . _ ~ -).");
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader)
    throw badRequest("The header Holdfast-Session and sessionId in the body name different sessions.");
  return sessionId;
}

/** Text that others are shown, in logs and on terminals too. What is wrong with it, as the end of a sentence. */
export function plainTextFault(text: string): string | undefined {
  const isPlain = isWellFormed(text) && !/\p{Cc}/u.test(text);
  return isPlain ? undefined : "must be well-formed Unicode without control characters";
}
