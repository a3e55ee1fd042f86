/**
 * POST /v1/batch: up to 256 independent operations in one request, each its own command with its own status and body.
 * Not atomic; answered when the last one is decided. Nothing in it is held: a claim that waits answers 202 at once.
 */
import { type BatchBody, batchMax, batchOperations, type ClaimBody } from "../api/schemas.ts";
import type { Outcome } from "../locks/outcomes.ts";
import type { Settings } from "../locks/settings.ts";
import type { Reply, View } from "../node/contract.ts";
import { acquireProposal, resourceOf } from "./acquiring.ts";
import { presentedSession, settingsFor } from "./bounds.ts";
import { madeClaimId } from "./claims.ts";
import { type Exchange, unappliedProblem } from "./exchange.ts";
import { claimUnknown, endedClaim, isRefused, refusedOutcome } from "./outcomes.ts";
import { badRequest, invalid, type OperationResult, ProblemError, problemBody } from "./problems.ts";
import { claimView } from "./render.ts";
import { invalidFields } from "./request-errors.ts";
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
  const { leader, role } = exchange.node.status();
  if (role !== "leader") return exchange.sendToLeader({ kind: "not-leader", leader });
  new RunningBatch(exchange, operations as readonly Operation[], settings).start();
}

class RunningBatch {
  readonly #exchange: Exchange;
  readonly #operations: readonly Operation[];
  readonly #settings: Settings;
  readonly #results: (OperationResult | undefined)[];
  #missing: number;
  /** Claims that were acquired here: given up with the request, if they asked for that. */
  readonly #acquired: string[] = [];

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
    for (const [i, operation] of this.#operations.entries()) {
      const done: Done = (result) => this.#finish(i, result);
      try {
        this.#run(operation, done);
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error;
        done({ problem: error.problem });
      }
    }
  }

  #finish(i: number, result: OperationResult): void {
    this.#results[i] = result;
    if ("claimId" in result && result.claimId !== undefined && this.#exchange.hasHungUp) {
      this.#exchange.node.abandon(result.claimId);
    }
    if (--this.#missing > 0 || !this.#exchange.endWrite()) return;
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

  #run(operation: Operation, done: Done): void {
    const schema = typeof operation.op === "string" ? batchOperations[operation.op] : undefined;
    if (schema === undefined) {
      throw invalid("/op", `must be one of ${Object.keys(batchOperations).join(", ")}`);
    }
    const validate = this.#exchange.request.compileValidationSchema(schema);
    if (validate(operation) !== true) {
      throw new ProblemError(invalidFields(validate.errors ?? [], "body"));
    }
    switch (operation.op) {
      case "acquire":
        return this.#acquire(operation as ClaimBody, done);
      case "release":
        return this.#release(operation as { claimId: string; sessionId: string }, done);
      case "keepalive":
        return this.#keepAlive(operation as { sessionId: string; seen?: number }, done);
      default:
        return this.#get(operation as unknown as { claimId: string }, done);
    }
  }

  #acquire(body: ClaimBody, done: Done): void {
    if (body.pollMs !== undefined && body.pollMs !== 0) throw badRequest("In a batch pollMs is 0.");
    const claimId = body.claimId ?? madeClaimId();
    const proposal = acquireProposal(body, {
      sessionId: presentedSession(this.#exchange, body.sessionId),
      claimId,
      resource: resourceOf(body),
      settings: this.#settings,
      isKept: true,
    });
    const made = body.claimId === undefined ? { claimId } : undefined;
    this.#exchange.node.propose(proposal, (reply) =>
      this.#settle(done, reply, made, (outcome, view) => {
        if (outcome.kind !== "claim") return undefined;
        const { claim } = outcome;
        if (claim.state === "ended") return { problem: endedClaim(claim, view) };
        this.#acquired.push(claim.id);
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
    node.keepAlive({ sessionId, seen: seen + 0 }, (reply) =>
      this.#exchange.guard(() => done(keepAliveResult(this.#exchange, reply))),
    );
  }

  #get({ claimId }: { readonly claimId: string }, done: Done): void {
    this.#exchange.node.read((reply) =>
      this.#exchange.guard(() => {
        if (reply.kind === "not-leader")
          return done({ problem: unappliedProblem(this.#exchange.context, reply) });
        const claim = reply.view.state.claims.get(claimId);
        if (claim === undefined) return done({ problem: claimUnknown });
        const status = claim.state === "waiting" ? 202 : 200;
        const live = claim.state === "ended" ? undefined : { claimId };
        done({ status, body: claimView(claim, reply.view), ...live });
      }),
    );
  }

  /** A proposal's reply as a result: `accepted` says what it means when it is no refusal. */
  #settle(
    done: Done,
    reply: Reply<Outcome>,
    made: { readonly claimId: string } | undefined,
    accepted: (outcome: Outcome, view: View) => OperationResult | undefined,
  ): void {
    this.#exchange.guard(() => {
      if (reply.kind !== "applied") {
        return done({ problem: unappliedProblem(this.#exchange.context, reply, made) });
      }
      const { outcome } = reply;
      const view = this.#exchange.node.staleView();
      const result = accepted(outcome, view);
      if (result !== undefined) return done(result);
      if (!isRefused(outcome)) throw new Error(`an operation cannot end as ${outcome.kind}`);
      done({ problem: refusedOutcome(outcome, view) });
    });
  }
}
