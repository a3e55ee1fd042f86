/**
 * POST /v1/batch: up to 256 independent operations in one request, each its own command with its own status and body.
 * Not atomic; answered when the last one is decided. Nothing in it is held: a claim that waits answers 202 at once.
 */
import { type BatchBody, batchMax, batchOperations, type ClaimBody } from "../api/schemas.ts";
import type { Outcome } from "../locks/outcomes.ts";
import type { Settings } from "../locks/settings.ts";
import type { NotLeading, Reply, View } from "../node/contract.ts";
import { acquireProposal, resourceOf } from "./acquiring.ts";
import { presentedSession, settingsFor } from "./bounds.ts";
import { attach, madeClaimId } from "./claims.ts";
import { type Exchange, type Unapplied, unappliedProblem } from "./exchange.ts";
import { claimUnknown, endedClaim, isRefused, refusedOutcome } from "./outcomes.ts";
import {
  badRequest,
  invalid,
  type OperationResult,
  type Problem,
  ProblemError,
  problemBody,
} from "./problems.ts";
import { claimView } from "./render.ts";
import { keepAliveResult } from "./sessions.ts";

type Operation = Readonly<Record<string, unknown>> & { readonly op?: unknown };
type Done = (result: OperationResult) => void;

export function batch(exchange: Exchange): void {
  const { operations } = exchange.request.body as BatchBody;
  if (operations.length > batchMax) {
    const detail = `A batch has at most ${batchMax} operations, not ${operations.length}.`;
    throw new ProblemError({ code: "too-large", detail });
  }
  const settings = settingsFor(exchange);
  if (settings === undefined) return;
  new RunningBatch(exchange, operations as readonly Operation[], settings).start();
}

/** Ended holds that the renewals of one batch may tell of; a session alone may have as many (`claimsPerSession`). */
const endsToldMax = 10_000;

const tooManyEnds: Problem = {
  code: "indeterminate",
  detail:
    "The sessions of this batch have more ended holds to be told of than one answer carries; renew this one by itself.",
};

class RunningBatch {
  readonly #exchange: Exchange;
  readonly #operations: readonly Operation[];
  readonly #settings: Settings;
  readonly #results: (OperationResult | undefined)[];
  #missing: number;
  /** Claims that were acquired here: given up with the request, if they asked for that. */
  readonly #acquired: string[] = [];
  readonly #renewed = new Set<string>();
  #endsTold = 0;
  /** By operation, the ids that this node made: whoever is left in doubt needs them to ask again. */
  readonly #made = new Map<number, { readonly claimId: string }>();
  /** Set when no operation was decided because this node does not lead: then the whole request is sent on. */
  #notLeading: NotLeading | undefined;

  constructor(exchange: Exchange, operations: readonly Operation[], settings: Settings) {
    this.#exchange = exchange;
    this.#operations = operations;
    this.#settings = settings;
    this.#results = operations.map(() => undefined);
    this.#missing = operations.length;
  }

  start(): void {
    this.#exchange.beginWrite();
    this.#exchange.onHangUp(() => {
      for (const claimId of this.#acquired) this.#exchange.node.abandon(claimId);
    });
    this.#exchange.onShutDown(() => this.#leaveInDoubt());
    for (const [i, operation] of this.#operations.entries()) {
      const done: Done = (result) => this.#finish(i, result);
      try {
        this.#run(operation, i, done);
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error;
        done({ problem: error.problem });
      }
    }
  }

  #finish(i: number, result: OperationResult): void {
    if (this.#results[i] !== undefined) return;
    this.#results[i] = result;
    if (--this.#missing > 0 || !this.#exchange.endWrite()) return;
    const isAllSentOn = this.#results.every(
      (each) => each !== undefined && "problem" in each && each.problem.code === "not-leader",
    );
    if (isAllSentOn && this.#notLeading !== undefined) return this.#exchange.sendToLeader(this.#notLeading);
    this.#answer();
  }

  /** This node stops, and what has no result may or may not have happened. */
  #leaveInDoubt(): void {
    for (const [i, each] of this.#results.entries()) {
      if (each !== undefined) continue;
      const { context } = this.#exchange;
      const problem = unappliedProblem(context, { kind: "indeterminate" }, this.#made.get(i));
      this.#results[i] = { problem };
    }
    this.#answer();
  }

  #answer(): void {
    const { requestId, node } = this.#exchange;
    const results = this.#results.map((each) => {
      if (each === undefined) throw new Error("an operation of a batch has no result");
      if (!("problem" in each)) return { status: each.status, body: each.body };
      const body = problemBody(each.problem, requestId);
      return { status: body.status, body };
    });
    this.#exchange.answer(200, { results }, () => {
      for (const each of this.#results) {
        if (each !== undefined && "claimId" in each && each.claimId !== undefined)
          node.noteAnswered(each.claimId);
      }
    });
  }

  #run(operation: Operation, i: number, done: Done): void {
    const { op } = operation;
    // Own names only: every object has a "constructor".
    const isKnown = typeof op === "string" && Object.hasOwn(batchOperations, op);
    const schema = isKnown ? batchOperations[op] : undefined;
    if (schema === undefined) {
      throw invalid("/op", `must be one of ${Object.keys(batchOperations).join(", ")}`);
    }
    const fault = this.#exchange.request.faultsOf(operation, schema);
    if (fault !== undefined) throw new ProblemError(fault);
    switch (operation.op) {
      case "acquire":
        return this.#acquire(operation as ClaimBody, i, done);
      case "release":
        return this.#release(operation as { claimId: string; sessionId: string }, done);
      case "keepalive":
        return this.#keepAlive(operation as { sessionId: string; seen?: number }, done);
      default:
        return this.#get(operation as unknown as { claimId: string }, done);
    }
  }

  #acquire(body: ClaimBody, i: number, done: Done): void {
    if (body.pollMs !== undefined && body.pollMs !== 0) throw badRequest("In a batch pollMs is 0.");
    const claimId = body.claimId ?? madeClaimId(this.#exchange);
    const sessionId = presentedSession(this.#exchange, body.sessionId);
    const proposal = acquireProposal(body, {
      sessionId,
      claimId,
      resource: resourceOf(body),
      settings: this.#settings,
      isKept: true,
    });
    const made = body.claimId === undefined ? { claimId } : undefined;
    if (made !== undefined) this.#made.set(i, made);
    attach(this.#exchange, sessionId, claimId);
    this.#exchange.node.propose(proposal, (reply) =>
      this.#settle(done, reply, made, (outcome, view) => {
        if (outcome.kind !== "claim") return undefined;
        const { claim } = outcome;
        if (claim.state === "ended") return { problem: endedClaim(claim, view) };
        this.#acquired.push(claim.id);
        // It hung up before this applied: only now is there something to give back.
        if (this.#exchange.hasHungUp) this.#exchange.node.abandon(claim.id);
        return {
          status: claim.state === "waiting" ? 202 : 200,
          body: claimView(claim, view),
          claimId: claim.id,
        };
      }),
    );
  }

  #release(
    { claimId, sessionId }: { readonly claimId: string; readonly sessionId: string },
    done: Done,
  ): void {
    this.#exchange.node.propose({ kind: "release", sessionId, claimId }, (reply) =>
      this.#settle(done, reply, undefined, (outcome, view) =>
        outcome.kind === "released" ? { status: 200, body: claimView(outcome.claim, view) } : undefined,
      ),
    );
  }

  #keepAlive(
    { sessionId, seen = 0 }: { readonly sessionId: string; readonly seen?: number },
    done: Done,
  ): void {
    const { node } = this.#exchange;
    if (this.#renewed.has(sessionId)) throw invalid("/sessionId", "is renewed once in a batch, not twice");
    this.#renewed.add(sessionId);
    node.keepAlive({ sessionId, seen: seen + 0 }, (reply) =>
      this.#exchange.guard(() => {
        if (reply.kind === "not-leader") return this.#refuse(done, reply);
        // Each list of ends is complete or not told at all; all of them together must not fill this node's memory.
        if (reply.kind === "applied" && reply.outcome.kind === "renewed") {
          this.#endsTold += reply.outcome.unseenEnds.length;
          if (this.#endsTold > endsToldMax) return done({ problem: tooManyEnds });
        }
        done(keepAliveResult(this.#exchange, reply));
      }),
    );
  }

  #get({ claimId }: { readonly claimId: string }, done: Done): void {
    this.#exchange.node.read((reply) =>
      this.#exchange.guard(() => {
        if (reply.kind === "not-leader") return this.#refuse(done, reply);
        const claim = reply.view.state.claims.get(claimId);
        if (claim === undefined) return done({ problem: claimUnknown });
        const status = claim.state === "waiting" ? 202 : 200;
        const live = claim.state === "ended" ? undefined : { claimId };
        done({ status, body: claimView(claim, reply.view), ...live });
      }),
    );
  }

  #refuse(done: Done, reply: Unapplied, made?: { readonly claimId: string }): void {
    if (reply.kind === "not-leader") this.#notLeading = reply;
    done({ problem: unappliedProblem(this.#exchange.context, reply, made) });
  }

  /** A proposal's reply as a result: `accepted` says what it means when it is no refusal. */
  #settle(
    done: Done,
    reply: Reply<Outcome>,
    made: { readonly claimId: string } | undefined,
    accepted: (outcome: Outcome, view: View) => OperationResult | undefined,
  ): void {
    this.#exchange.guard(() => {
      if (reply.kind !== "applied") return this.#refuse(done, reply, made);
      const { outcome } = reply;
      const view = this.#exchange.node.staleView();
      const result = accepted(outcome, view);
      if (result !== undefined) return done(result);
      if (!isRefused(outcome)) throw new Error(`an operation cannot end as ${outcome.kind}`);
      done({ problem: refusedOutcome(outcome, view) });
    });
  }
}
