/**
 * One request and its one answer. Whoever handles it may answer at any time, from any callback; the second answer, or
 * one after the client hung up, goes nowhere. Also the road to the leader: 307, or 503 when nobody leads.
 * It never decides what an answer says.
 */
import { InvariantError } from "../base/assert.ts";
import type { Outcome } from "../locks/outcomes.ts";
import type { HoldfastNode, NotLeading, Proposal, Reply, View } from "../node/contract.ts";
import type { HttpServerOptions } from "./contract.ts";
import type { HttpLimits } from "./limits.ts";
import {
  bugFound,
  commonHeaders,
  type Facts,
  jsonType,
  type Problem,
  ProblemError,
  problemBody,
  problemType,
  retryHeaders,
} from "./problems.ts";

/** What handlers need of the world beside the node. The simulator has another one. */
export interface HttpHost {
  /** Runs `run` after so many milliseconds; returns how to call it off. */
  after(ms: number, run: () => void): () => void;
  /** Random bytes that nobody guesses, two digits each. */
  randomHex(bytes: number): string;
}

/** A request as its handler sees it: parsed, and held to the schema of its route. */
export interface HttpRequest {
  readonly id: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly query: unknown;
  readonly body: unknown;
  /** What is wrong with a part of the body that has a schema of its own; undefined when nothing is. */
  faultsOf(part: unknown, schema: object): Problem | undefined;
}

/** Writes the one answer. */
export type Respond = (status: number, headers: Readonly<Record<string, string>>, text: string) => void;

/** What all requests of one server share. */
export interface HttpContext {
  readonly options: HttpServerOptions;
  readonly limits: HttpLimits;
  readonly host: HttpHost;
  readonly underWay: Set<Exchange>;
  /** The same by connection: when it closes, all of them lost their client. */
  readonly connections: WeakMap<object, Set<Exchange>>;
  isClosing: boolean;
}

/** What a proposal came to, and the state right after it. */
export interface Applied {
  readonly outcome: Outcome;
  readonly revision: number;
  readonly view: View;
}

export class Exchange {
  readonly context: HttpContext;
  readonly request: HttpRequest;
  readonly node: HoldfastNode;
  /** Path and query as they came, and the undecoded `{name}` or `{id}`. */
  readonly target: string;
  readonly param: string;
  #isOver = false;
  #hasHungUp = false;
  /** Present while a write of this request is on its way and nobody knows its fate; the ids that this node made for it. */
  #writing: Facts | undefined;
  #headers: Record<string, string> = {};
  readonly #cleanUps: (() => void)[] = [];
  #hungUp: (() => void) | undefined;
  #shutDown: (() => void) | undefined;
  readonly #respond: Respond;
  readonly #connection: Set<Exchange>;

  /** `connection`: the requests under way on the same one. */
  constructor(
    context: HttpContext,
    from: {
      readonly request: HttpRequest;
      readonly respond: Respond;
      readonly connection: Set<Exchange>;
    },
    asked: { readonly node: HoldfastNode; readonly target: string; readonly param: string },
  ) {
    this.context = context;
    this.request = from.request;
    this.#respond = from.respond;
    this.#connection = from.connection;
    this.node = asked.node;
    this.target = asked.target;
    this.param = asked.param;
    context.underWay.add(this);
    this.#connection.add(this);
  }

  /** Answered, or the client is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get hasHungUp(): boolean {
    return this.#hasHungUp;
  }

  get isWriting(): boolean {
    return this.#writing !== undefined;
  }

  get requestId(): string {
    return this.request.id;
  }

  /** From here on the fate of a write is unknown. `made` are ids that the caller did not choose and needs to repeat it. */
  beginWrite(made: Facts = {}): void {
    this.#writing = made;
  }

  /** True when somebody still waits for the answer. */
  endWrite(): boolean {
    this.#writing = undefined;
    return !this.#isOver;
  }

  /**
   * Proposes, and hands what came of it to `answer` if somebody still waits. What did not apply is answered here. `made`
   * as in `beginWrite`.
   */
  write(proposal: Proposal, answer: (applied: Applied) => void, made?: Facts): void {
    const { node } = this;
    this.beginWrite(made);
    node.propose(proposal, (reply) =>
      this.guard(() => {
        if (!this.endWrite()) return;
        if (reply.kind !== "applied") return this.sendUnapplied(reply, made);
        const { outcome, revision } = reply;
        answer({ outcome, revision, view: node.staleView() });
      }),
    );
  }

  /** Runs once, just before the answer is written or when the client hung up; now, when it did already. */
  onEnd(cleanUp: () => void): void {
    if (this.#isOver) cleanUp();
    else this.#cleanUps.push(cleanUp);
  }

  /** Runs when the client hung up before it was answered, after the clean-up. */
  onHangUp(hungUp: () => void): void {
    this.#hungUp = hungUp;
  }

  /** Answers in place of the usual doubt when this node stops while a write is under way. */
  onShutDown(shutDown: () => void): void {
    this.#shutDown = shutDown;
  }

  /** The client is gone; nothing happens when it had its answer. */
  handleHangUp(): void {
    if (!this.#end()) return;
    this.#hasHungUp = true;
    this.#hungUp?.();
  }

  /** A header of the answer, whatever it will be. */
  setHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }

  /** `beforeWriting` runs when it is certain that this answer is the one, after the clean-up. */
  answer(status: number, body: object, beforeWriting?: () => void): void {
    if (!this.#end()) return;
    beforeWriting?.();
    this.#write(status, jsonType, body);
  }

  problem(problem: Problem): void {
    if (!this.#end()) return;
    const body = problemBody(problem, this.requestId);
    Object.assign(this.#headers, retryHeaders(problem.code));
    this.#write(body.status, problemType, body);
  }

  refuse(code: Problem["code"], detail: string, facts?: Facts): void {
    this.problem({ code, detail, ...(facts === undefined ? undefined : { facts }) });
  }

  /** Nothing was done here: to the leader with it, byte for byte, or 503 when nobody knows one. */
  sendToLeader(reply: NotLeading): void {
    const url = leaderUrl(this.context, reply);
    if (url !== undefined) {
      this.setHeader("location", url + this.target);
      this.setHeader("holdfast-leader", url);
    }
    this.problem(unappliedProblem(this.context, reply));
  }

  /** Of a proposal that did not apply. */
  sendUnapplied(reply: Unapplied, made?: Facts): void {
    if (reply.kind === "not-leader") this.sendToLeader(reply);
    else this.problem(unappliedProblem(this.context, reply, made));
  }

  /** This node stops: the honest answer depends on whether something may have happened. */
  sendShuttingDown(): void {
    this.setHeader("connection", "close");
    if (this.#writing !== undefined && this.#shutDown !== undefined) this.#shutDown();
    else if (this.#writing !== undefined) this.sendUnapplied({ kind: "indeterminate" }, this.#writing);
    else this.refuse("shutting-down", "This node is stopping; ask another one.");
  }

  /**
   * Runs a part of a handler inside a callback of the node, which must not throw: a bug here answers 500 and the node
   * goes on. A broken invariant is not ours to swallow.
   */
  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      if (error instanceof ProblemError) return this.problem(error.problem);
      this.problem(bugFound(this.context.options, error, this.requestId));
    }
  }

  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.context.underWay.delete(this);
    this.#connection.delete(this);
    for (const cleanUp of this.#cleanUps) cleanUp();
    return true;
  }

  #write(status: number, type: string, body: object): void {
    const headers = commonHeaders(this.context.options, this.requestId);
    Object.assign(headers, this.#headers);
    headers["content-type"] = type;
    this.#respond(status, headers, JSON.stringify(body));
  }
}

export type Unapplied = Exclude<Reply<unknown>, { kind: "applied" }>;

function leaderUrl({ options }: HttpContext, { leader }: NotLeading): string | undefined {
  return options.members.find(({ id }) => id === leader)?.url.replace(/\/+$/, "");
}

/** Why something was not decided here. `made`: ids that this node made, and that its caller needs to ask again. */
export function unappliedProblem(context: HttpContext, reply: Unapplied, made?: Facts): Problem {
  switch (reply.kind) {
    case "not-leader": {
      const url = leaderUrl(context, reply);
      const { leader } = reply;
      return url === undefined
        ? {
            code: "no-leader",
            detail: "No leader is known at the moment; try again shortly, here or at another node.",
          }
        : {
            code: "not-leader",
            detail: `${leader} leads: repeat the request at ${url}.`,
            facts: { leader, leaderUrl: url },
          };
    }
    case "indeterminate":
      return {
        code: "indeterminate",
        detail:
          "Leadership was lost while this was under way; repeat it with the same ids to learn what happened.",
        ...(made === undefined ? undefined : { facts: made }),
      };
    case "unwritable":
      return bugFound(context.options, new Error("a request was let in that the log cannot carry"), "");
    default:
      return { code: "overloaded", detail: overloadText[reply.reason], facts: { reason: reply.reason } };
  }
}

const overloadText = {
  queue: "Too many requests wait in this node; slow down and try again.",
  "log-full": "The log of this node has reached its limit; releases still work. Its operator must make room.",
} as const;
