/**
 * /v1/locks and /v1/semaphores: what they are doing, which are in use, and what operators set. A lock that nobody uses
 * is free, never absent; a semaphore that nobody made is unknown.
 */
import type { SetSemaphoreBody } from "../api/schemas.ts";
import type { Lock, Semaphore } from "../locks/records.ts";
import type { Proposal } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { answerPage } from "./lists.ts";
import { kindMismatch, refusedOutcome, semaphoreUnknown } from "./outcomes.ts";
import { nameParam, read } from "./reads.ts";
import {
  freeLockView,
  lockStateOf,
  lockSummary,
  lockView,
  semaphoreSummary,
  semaphoreView,
} from "./render-resources.ts";

export function getLock(exchange: Exchange): void {
  const name = nameParam(exchange);
  read(
    exchange,
    (view) => {
      const found = view.state.resources.get(name);
      if (found === undefined) exchange.answer(200, freeLockView(name, view.revision));
      else if (found.kind === "lock") exchange.answer(200, lockView(found, view));
      else exchange.problem(kindMismatch(name, found.kind));
    },
    (view) => view.state.resources.get(name)?.kind !== "semaphore",
  );
}

export function getSemaphore(exchange: Exchange): void {
  const name = nameParam(exchange);
  read(
    exchange,
    (view) => {
      const found = view.state.resources.get(name);
      if (found === undefined) exchange.problem(semaphoreUnknown(name));
      else if (found.kind === "semaphore") exchange.answer(200, semaphoreView(found, view));
      else exchange.problem(kindMismatch(name, found.kind));
    },
    (view) => view.state.resources.get(name)?.kind === "semaphore",
  );
}

export function listLocks(exchange: Exchange): void {
  const { prefix = "", state } = exchange.request.query as {
    readonly prefix?: string;
    readonly state?: string;
  };
  answerPage<Lock>(exchange, {
    *items({ state: { resources }, clusterTimeMs }) {
      for (const found of resources.values()) {
        if (found.kind !== "lock" || !found.name.startsWith(prefix)) continue;
        if (state === undefined || lockStateOf(found, clusterTimeMs) === state) yield found;
      }
    },
    keyOf: ({ name }) => name,
    show: lockSummary,
  });
}

export function listSemaphores(exchange: Exchange): void {
  const { prefix = "" } = exchange.request.query as { readonly prefix?: string };
  answerPage<Semaphore>(exchange, {
    *items({ state: { resources } }) {
      for (const found of resources.values()) {
        if (found.kind === "semaphore" && found.name.startsWith(prefix)) yield found;
      }
    },
    keyOf: ({ name }) => name,
    show: semaphoreSummary,
  });
}

export function setSemaphore(exchange: Exchange): void {
  const name = nameParam(exchange);
  const capacity = (exchange.request.body as SetSemaphoreBody).capacity + 0;
  write(exchange, { kind: "set-semaphore", name, capacity });
}

export function deleteSemaphore(exchange: Exchange): void {
  write(exchange, { kind: "delete-semaphore", name: nameParam(exchange) });
}

function write(exchange: Exchange, proposal: Proposal): void {
  exchange.write(proposal, ({ outcome, revision, view }) => {
    switch (outcome.kind) {
      case "semaphore":
        return exchange.answer(outcome.created ? 201 : 200, semaphoreView(outcome.semaphore, view));
      case "semaphore-deleted":
        return exchange.answer(200, { semaphore: outcome.name, state: "deleted", revision });
      case "semaphore-unknown":
      case "kind-mismatch":
      case "in-use":
      case "quota":
      case "not-founded":
        return exchange.problem(refusedOutcome(outcome, view));
      default:
        throw new Error(`${proposal.kind} cannot end as ${outcome.kind}`);
    }
  });
}
