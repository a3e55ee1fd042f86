/**
 * Claims over HTTP: acquire, look (and wait), release, shrink. What a request means for its claim ends with the request: a
 * client that hangs up before it was answered gives the claim up, unless it asked to keep it (SEMANTICS §3).
 *
 *   acquire ─▶ propose ─▶ held 200 · refused 423 · waiting ─▶ watch ─▶ 200 · 423 · 410
 *                                                              └ pollMs over ─▶ confirmed read ─▶ 202 + Location
 */
import { pollMsMax } from "../api/names.ts";
import type {
  AcquireBody,
  AcquireLockBody,
  AcquireSemaphoreBody,
  ClaimBody,
  SessionBody,
  ShrinkBody,
} from "../api/schemas.ts";
import type { ResourceRequest } from "../locks/commands.ts";
import type { Claim } from "../locks/records.ts";
import type { View } from "../node/contract.ts";
import { acquireProposal, resourceOf } from "./acquiring.ts";
import { presentedSession, settingsFor } from "./bounds.ts";
import type { Exchange } from "./exchange.ts";
import { claimUnknown, endedClaim, refusedOutcome } from "./outcomes.ts";
import { claimIdParam, nameParam, pollMsAsked, type ReadQuery, read, readConfirmed } from "./reads.ts";
import { claimView } from "./render.ts";

export function acquireLock(exchange: Exchange): void {
  const body = exchange.request.body as AcquireLockBody;
  acquire(exchange, body, { kind: "lock", name: nameParam(exchange), mode: body.mode ?? "exclusive" });
}

export function acquireSemaphore(exchange: Exchange): void {
  const body = exchange.request.body as AcquireSemaphoreBody;
  const { permits = 1, capacity } = body;
  acquire(exchange, body, { kind: "semaphore", name: nameParam(exchange), permits, capacity });
}

export function claim(exchange: Exchange): void {
  const body = exchange.request.body as ClaimBody;
  acquire(exchange, body, resourceOf(body));
}

function acquire(exchange: Exchange, body: AcquireBody, resource: ResourceRequest): void {
  const settings = settingsFor(exchange);
  if (settings === undefined) return;
  const sessionId = presentedSession(exchange, body.sessionId);
  const claimId = body.claimId ?? madeClaimId(exchange);
  const proposal = acquireProposal(body, { sessionId, claimId, resource, settings, isKept: false });
  const { node } = exchange;
  const made = body.claimId === undefined ? { claimId } : undefined;
  attach(exchange, sessionId, claimId);
  exchange.beginWrite(made);
  node.propose(proposal, (reply) =>
    exchange.guard(() => {
      if (!exchange.endWrite()) {
        // It hung up while this was on its way. Only now is there something to give back, and only now is it known
        // that the claim is its own and not somebody else's of the same id.
        const isOwn = reply.kind === "applied" && reply.outcome.kind === "claim";
        if (isOwn && exchange.hasHungUp) node.abandon(claimId);
        return;
      }
      if (reply.kind !== "applied") return exchange.sendUnapplied(reply, made);
      const { outcome } = reply;
      const view = node.staleView();
      switch (outcome.kind) {
        case "claim":
          if (outcome.claim.state !== "waiting" || body.pollMs === 0) {
            return answerAcquire(exchange, outcome.claim, view);
          }
          exchange.onHangUp(() => node.abandon(claimId));
          return hold(exchange, outcome.claim, {
            pollMs: body.pollMs ?? pollMsMax,
            show: (changed, then) => answerAcquire(exchange, changed, then),
            // Nobody else knows an id that this node made: sent on, the same request would make a second claim.
            movedKeepsId: made !== undefined,
          });
        case "session-ended":
        case "session-unknown":
        case "claim-conflict":
        case "claim-ended":
        case "claim-lost":
        case "already-held":
        case "already-waiting":
        case "kind-mismatch":
        case "semaphore-unknown":
        case "capacity-conflict":
        case "exceeds-capacity":
        case "quota":
        case "not-founded":
          return exchange.problem(refusedOutcome(outcome, view));
        default:
          throw new Error(`acquire cannot end as ${outcome.kind}`);
      }
    }),
  );
}

/** 96 random bits: nobody guesses it, nobody else makes it. */
export function madeClaimId({ context }: Exchange): string {
  return `c_${context.host.randomHex(12)}`;
}

function answerAcquire(exchange: Exchange, claim: Claim, view: View): void {
  if (claim.state === "ended") exchange.problem(endedClaim(claim, view));
  else answerClaim(exchange, claim, view);
}

/** 202 while it waits, with the place where to wait on. */
function answerClaim(exchange: Exchange, claim: Claim, view: View): void {
  const isWaiting = claim.state === "waiting";
  if (isWaiting) exchange.setHeader("location", `/v1/claims/${claim.id}`);
  exchange.answer(isWaiting ? 202 : 200, claimView(claim, view), () => exchange.node.noteAnswered(claim.id));
}

export function getClaim(exchange: Exchange): void {
  const claimId = claimIdParam(exchange);
  const { consistency } = exchange.request.query as ReadQuery;
  const pollMs = pollMsAsked(exchange);
  const presented = exchange.request.headers["holdfast-session"];
  if (consistency !== "stale" && typeof presented === "string") attach(exchange, presented, claimId);
  read(
    exchange,
    (view) => {
      const found = view.state.claims.get(claimId);
      if (found === undefined) return exchange.problem(claimUnknown);
      // A stale answer is no word to act on, so it neither waits nor counts as told.
      if (consistency === "stale") return exchange.answer(200, claimView(found, view));
      if (found.state !== "waiting" || pollMs === 0) return answerClaim(exchange, found, view);
      exchange.onHangUp(() => leavePoll(exchange, found));
      hold(exchange, found, {
        pollMs,
        show: (changed, then) => answerClaim(exchange, changed, then),
        movedKeepsId: false,
      });
    },
    (view) => view.state.claims.has(claimId),
  );
}

export function releaseClaim(exchange: Exchange): void {
  const claimId = claimIdParam(exchange);
  const sessionId = presentedSession(exchange, (exchange.request.body as SessionBody).sessionId);
  exchange.write({ kind: "release", sessionId, claimId }, ({ outcome, view }) => {
    switch (outcome.kind) {
      case "released":
        return exchange.answer(200, claimView(outcome.claim, view));
      case "not-holder":
      case "claim-lost":
      case "claim-conflict":
      case "session-ended":
      case "session-unknown":
      case "not-founded":
        return exchange.problem(refusedOutcome(outcome, view));
      default:
        throw new Error(`release cannot end as ${outcome.kind}`);
    }
  });
}

export function shrinkClaim(exchange: Exchange): void {
  const claimId = claimIdParam(exchange);
  const body = exchange.request.body as ShrinkBody;
  const sessionId = presentedSession(exchange, body.sessionId);
  exchange.write({ kind: "shrink", sessionId, claimId, permits: body.permits }, ({ outcome, view }) => {
    switch (outcome.kind) {
      case "shrunk":
        return answerClaim(exchange, outcome.claim, view);
      case "claim-unknown":
      case "not-holder":
      case "not-shrinkable":
      case "claim-ended":
      case "claim-lost":
      case "session-ended":
      case "session-unknown":
      case "not-founded":
        return exchange.problem(refusedOutcome(outcome, view));
      default:
        throw new Error(`shrink cannot end as ${outcome.kind}`);
    }
  });
}

// ---- waiting -------------------------------------------------------------------------------------------------------

interface Waiting {
  readonly pollMs: number;
  /** Answers with the claim as it is: granted, over, or still waiting when the time is up. */
  readonly show: (claim: Claim, view: View) => void;
  /** When leadership ends: still waiting, as it was, or (false) the same request at the next leader. */
  readonly movedKeepsId: boolean;
}

/** Holds the request until the claim changes or `pollMs` is over. Called in the callback that showed it waiting. */
function hold(exchange: Exchange, { id }: Claim, { pollMs, show, movedKeepsId }: Waiting): void {
  const { node } = exchange;
  const stop = node.watchClaim(id, (changed, view) =>
    exchange.guard(() => {
      if (changed !== undefined) return show(changed, view);
      const known = view.state.claims.get(id);
      if (movedKeepsId && known?.state === "waiting") return show(known, view);
      exchange.sendToLeader({ kind: "not-leader", leader: node.status().leader });
    }),
  );
  // A majority confirms "still waiting" too; until it did, a grant is still an answer.
  const callOff = exchange.context.host.after(pollMs, () => {
    readConfirmed(exchange, (view) => {
      const still = view.state.claims.get(id);
      if (still === undefined) exchange.problem(claimUnknown);
      else show(still, view);
    });
  });
  exchange.onEnd(() => {
    callOff();
    stop();
  });
}

/** This request of that session asks for the claim, until it is answered or its client hangs up. */
export function attach(exchange: Exchange, sessionId: string, claimId: string): void {
  exchange.onEnd(exchange.node.attend(sessionId, claimId));
}

/**
 * Reading needs no session, so anybody may poll; only who presents the claim's own session gives it up by hanging up.
 * For anybody else the time begins after which nobody's claim is cancelled.
 */
function leavePoll({ request, node }: Exchange, { id, session }: Claim): void {
  if (request.headers["holdfast-session"] === session.id) node.abandon(id);
  else node.noteAnswered(id);
}
