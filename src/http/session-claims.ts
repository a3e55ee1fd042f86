/**
 * GET /v1/sessions/{id}/claims: one long-poll for all claims of a session. It says what changed since the revision of
 * the answer before, and waits when nothing did. Whoever polls by the session's id counts as attached to its claims.
 */
import type { Claim, Session } from "../locks/records.ts";
import type { View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { sessionEnded, sessionUnknown } from "./outcomes.ts";
import { pollMsAsked, readConfirmed, sessionIdParam } from "./reads.ts";
import { claimView } from "./render.ts";

/** Claims of one answer, and those of the last one's revision beyond them. */
const claimsShown = 256;

export function getSessionClaims(exchange: Exchange): void {
  const asked = sessionIdParam(exchange);
  const { since: sinceText = "0" } = exchange.request.query as { readonly since?: string };
  const since = Number(sinceText);
  const pollMs = pollMsAsked(exchange);
  const { node } = exchange;

  /** Answers if there is something to say, or nothing to wait for. */
  const answer = (view: View, isLast: boolean): boolean => {
    const session = ownSession(view, asked);
    if (session === undefined) exchange.problem(sessionUnknown);
    else if (session.end !== undefined) exchange.problem(sessionEnded(session));
    else return answerChanges(exchange, session, { view, since, isLast });
    return true;
  };
  readConfirmed(exchange, (first) => {
    if (answer(first, pollMs === 0)) return;
    const stop = node.watchSession(asked, (view) =>
      exchange.guard(() => {
        if (view === undefined) exchange.sendToLeader({ kind: "not-leader", leader: node.status().leader });
        else answer(view, true);
      }),
    );
    // A majority confirms "nothing new" too.
    const callOff = exchange.context.host.after(pollMs, () =>
      readConfirmed(exchange, (view) => answer(view, true)),
    );
    exchange.onEnd(() => {
      callOff();
      stop();
    });
  });
}

/** By its id alone: a poll counts as its client's own, and the ref is known to others. */
function ownSession({ state }: View, sessionId: string): Session | undefined {
  return state.sessions.get(sessionId) ?? state.tombstones.get(sessionId);
}

/** False when nothing changed and the request may wait. */
function answerChanges(
  exchange: Exchange,
  session: Session,
  { view, since, isLast }: { readonly view: View; readonly since: number; readonly isLast: boolean },
): boolean {
  const changed: Claim[] = [];
  for (const claim of session.remembered.values()) if (claim.revision > since) changed.push(claim);
  for (const { claim } of session.unseenEnds) if (claim.revision > since) changed.push(claim);
  for (const claim of session.claims.values()) if (claim.revision > since) changed.push(claim);
  if (changed.length === 0 && !isLast) return false;
  changed.sort((a, b) => a.revision - b.revision || a.enqueuedRevision - b.enqueuedRevision);
  // The next page begins behind a revision, so all of one revision stand on one page.
  const last = changed[claimsShown - 1]?.revision;
  const shown = last === undefined ? changed : changed.filter(({ revision }) => revision <= last);
  const hasMore = shown.length < changed.length;
  const body = {
    sessionRef: session.ref,
    revision: hasMore && last !== undefined ? last : view.revision,
    claims: shown.map((claim) => claimView(claim, view)),
    ...(hasMore ? { more: true } : undefined),
    // Some that ended since are not remembered any more: what is not shown and not live has ended.
    ...(session.forgottenRevision > since ? { forgotten: true } : undefined),
  };
  exchange.answer(200, body, () => {
    for (const { id } of shown) exchange.node.noteAnswered(id);
  });
  return true;
}
