/**
 * /v1/sessions: open, renew, close, look. The id is its client's secret: only answers to whoever named it show it.
 */
import { createHash } from "node:crypto";
import { isWellFormed } from "../api/names.ts";
import type { KeepAliveBody, KillSessionBody, OpenSessionBody, SessionBody } from "../api/schemas.ts";
import { unreachable } from "../base/assert.ts";
import type { KeepAliveOutcome } from "../locks/outcomes.ts";
import type { LockState, Session } from "../locks/records.ts";
import type { Proposal, Reply } from "../node/contract.ts";
import { atMost, metadataOf, plainTextFault, settingsFor } from "./bounds.ts";
import { type Applied, type Exchange, unappliedProblem } from "./exchange.ts";
import { answerPage } from "./lists.ts";
import { refusedOutcome, sessionEnded, sessionUnknown } from "./outcomes.ts";
import { badRequest, invalid, type OperationResult } from "./problems.ts";
import { read, sessionIdParam } from "./reads.ts";
import {
  endedHolds,
  endedSessionView,
  keepAliveView,
  ownSessionView,
  sessionClaims,
  sessionView,
} from "./render.ts";

/** How others see a session: 64 bits of its id's hash tell nothing about the id. */
export function refOf(sessionId: string): string {
  return createHash("sha256").update(sessionId, "utf8").digest("hex").slice(0, 16);
}

export function openSession(exchange: Exchange): void {
  const body = exchange.request.body as OpenSessionBody;
  const settings = settingsFor(exchange);
  if (settings === undefined) return;
  const label = body.label ?? "";
  if (!isWellFormed(label)) throw invalid("/label", "must be well-formed Unicode");
  const sessionId = body.sessionId ?? exchange.context.host.randomHex(16);
  const proposal: Proposal = {
    kind: "open-session",
    sessionId,
    sessionRef: refOf(sessionId),
    ttlMs: atMost("/ttlMs", body.ttlMs ?? settings.defaultTtlMs, settings.ttlMsMax),
    lockDelayMs:
      body.lockDelayMs === undefined
        ? undefined
        : atMost("/lockDelayMs", body.lockDelayMs, settings.lockDelayMsMax),
    label,
    metadata: metadataOf("/metadata", body.metadata, settings),
  };
  const answer = ({ outcome, revision, view }: Applied): void => {
    switch (outcome.kind) {
      case "session": {
        const { session, created } = outcome;
        const own = ownSessionView(session, view, revision);
        // A create that found its session is a renewal, and tells what a renewal tells.
        const renewal = created ? undefined : { ended: endedHolds(session.unseenEnds), revokes: [] };
        return exchange.answer(created ? 201 : 200, { ...own, ...renewal });
      }
      case "session-conflict":
      case "session-ended":
      case "quota":
      case "not-founded":
        return exchange.problem(refusedOutcome(outcome, view));
      default:
        throw new Error(`open-session cannot end as ${outcome.kind}`);
    }
  };
  exchange.write(proposal, answer, { sessionId });
}

export function keepAlive(exchange: Exchange): void {
  const sessionId = sessionIdParam(exchange);
  const seen = ((exchange.request.body as KeepAliveBody).seen ?? 0) + 0;
  const { node } = exchange;
  exchange.beginWrite();
  node.keepAlive({ sessionId, seen }, (reply) =>
    exchange.guard(() => {
      if (!exchange.endWrite()) return;
      if (reply.kind !== "applied") return exchange.sendUnapplied(reply);
      const result = keepAliveResult(exchange, reply);
      if ("problem" in result) exchange.problem(result.problem);
      else exchange.answer(result.status, result.body);
    }),
  );
}

/** What a renewal says, alone or in a batch. */
export function keepAliveResult(exchange: Exchange, reply: Reply<KeepAliveOutcome>): OperationResult {
  if (reply.kind !== "applied") return { problem: unappliedProblem(exchange.context, reply) };
  const { outcome, revision } = reply;
  switch (outcome.kind) {
    case "renewed": {
      const { clusterTimeMs } = exchange.node.staleView();
      const answer = { ends: outcome.unseenEnds, clusterTimeMs, revision };
      return { status: 200, body: keepAliveView(outcome.session, answer) };
    }
    case "seen-ahead": {
      const message = `must be the revision of an answer to this session, at most ${outcome.lastRenewal}`;
      return { problem: invalid("/seen", message).problem };
    }
    case "session-ended":
      return { problem: sessionEnded(outcome.session) };
    case "session-unknown":
      return { problem: sessionUnknown };
    default:
      return unreachable(outcome);
  }
}

export function closeSession(exchange: Exchange): void {
  const sessionId = sessionIdParam(exchange);
  const presented =
    (exchange.request.body as SessionBody).sessionId ?? exchange.request.headers["holdfast-session"];
  if (presented !== undefined && presented !== sessionId)
    throw badRequest("The path and Holdfast-Session or the body name different sessions.");
  exchange.write({ kind: "close-session", sessionId }, (applied) =>
    answerEnd(exchange, "session-closed", applied),
  );
}

/** An operator ends a session by its ref: nobody needs its id for that, and nobody learns it. */
export function killSession(exchange: Exchange): void {
  const sessionRef = sessionIdParam(exchange);
  const { reason } = exchange.request.body as KillSessionBody;
  const fault = plainTextFault(reason);
  if (fault !== undefined) throw invalid("/reason", fault);
  exchange.write({ kind: "kill-session", sessionRef, note: reason }, (applied) =>
    answerEnd(exchange, "session-killed", applied),
  );
}

/** `end` is what was asked for, now or before; a session that ended otherwise says that. */
function answerEnd(
  exchange: Exchange,
  end: "session-closed" | "session-killed",
  { outcome, view }: Applied,
): void {
  switch (outcome.kind) {
    case end:
      return exchange.answer(200, endedSessionView(outcome.session) ?? {});
    case "session-ended":
    case "session-unknown":
    case "not-founded":
      return exchange.problem(refusedOutcome(outcome, view));
    default:
      throw new Error(`an end asked for as ${end} cannot end as ${outcome.kind}`);
  }
}

/** By id or by ref; a live one by its id shows that id, for whoever asks knows it. */
export function getSession(exchange: Exchange): void {
  const asked = sessionIdParam(exchange);
  read(
    exchange,
    (view) => {
      const session = findSession(view.state, asked);
      if (session === undefined) return exchange.problem(sessionUnknown);
      if (session.end !== undefined) return exchange.problem(sessionEnded(session));
      const shown = session.id === asked ? ownSessionView : sessionView;
      exchange.answer(200, { ...shown(session, view, view.revision), ...sessionClaims(session, view) });
    },
    (view) => {
      const session = findSession(view.state, asked);
      return session !== undefined && session.end === undefined;
    },
  );
}

/** Refs first: a client may choose the ref of another session as its id, and must not stand before that one. */
function findSession(state: Readonly<LockState>, idOrRef: string): Session | undefined {
  return state.sessionsByRef.get(idOrRef) ?? state.sessions.get(idOrRef) ?? state.tombstones.get(idOrRef);
}

export function listSessions(exchange: Exchange): void {
  answerPage(exchange, {
    items: ({ state }) => state.sessions.values(),
    keyOf: ({ ref }) => ref,
    show: (session, view) => sessionView(session, view, view.revision),
  });
}
