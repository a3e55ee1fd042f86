/**
 * Reading the applied state for an answer: confirmed by a majority, or stale when the caller asked for that.
 * A stale view never denies anything: what it does not show is asked of the leader (SEMANTICS rule 1).
 */
import { decodePathPart, isClaimId, isSessionId, lockNameFault, pollMsMax } from "../api/names.ts";
import type { View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { badRequest, invalid } from "./problems.ts";

export interface ReadQuery {
  readonly consistency?: "linearizable" | "stale";
}

/** Calls `show` with a view to answer from. A stale one only when `isEnough` finds in it what was asked for. */
export function read(
  exchange: Exchange,
  show: (view: View) => void,
  isEnough: (view: View) => boolean,
): void {
  const { node, request } = exchange;
  if ((request.query as ReadQuery).consistency === "stale") {
    const { quietMs } = node.status();
    const view = node.staleView();
    // A node that never heard of a leader cannot say how old its state is.
    if (quietMs !== undefined && isEnough(view)) {
      exchange.setHeader("holdfast-staleness-ms", String(Math.round(quietMs)));
      show(view);
      return;
    }
  }
  readConfirmed(exchange, show);
}

/** The same without the choice: always confirmed by a majority. Nothing is shown to who hung up. */
export function readConfirmed(exchange: Exchange, show: (view: View) => void): void {
  exchange.node.read((reply) =>
    exchange.guard(() => {
      if (exchange.isOver) return;
      if (reply.kind === "not-leader") exchange.sendToLeader(reply);
      else show(reply.view);
    }),
  );
}

/** The `pollMs` of the query: how long this request may be held. */
export function pollMsAsked(exchange: Exchange): number {
  const { pollMs: asked } = exchange.request.query as { readonly pollMs?: string };
  const pollMs = asked === undefined ? pollMsMax : Number(asked);
  if (pollMs > pollMsMax) throw invalid("pollMs", `must be at most ${pollMsMax}`);
  return pollMs;
}

/** The `{name}` of the path, decoded and checked. */
export function nameParam(exchange: Exchange): string {
  const name = decodedParam(exchange);
  const fault = lockNameFault(name);
  if (fault !== undefined) throw invalid("name", fault);
  return name;
}

export function sessionIdParam(exchange: Exchange): string {
  const id = decodedParam(exchange);
  if (!isSessionId(id)) throw invalid("id", "must have 16–64 characters of A-Z a-z 0-9 . _ ~ -");
  return id;
}

export function claimIdParam(exchange: Exchange): string {
  const id = decodedParam(exchange);
  if (!isClaimId(id)) throw invalid("id", "must have 1–64 characters of A-Z a-z 0-9 . _ ~ -");
  return id;
}

function decodedParam(exchange: Exchange): string {
  const text = decodePathPart(exchange.param);
  if (text === undefined) throw badRequest("The path is not percent-encoded UTF-8.");
  return text;
}
