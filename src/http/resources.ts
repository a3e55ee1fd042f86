/**
 * /v1/locks and /v1/semaphores: what they are doing, which are in use, and what operators set. A lock that nobody uses
 * is free, never absent; a semaphore that nobody made is unknown.
 */
import type { SetSemaphoreBody } from "../api/schemas.ts";
import type { Lock, Resource, Semaphore } from "../locks/records.ts";
import type { Proposal, View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { pageAsked, pageOf } from "./lists.ts";
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
  listResources<Lock>(exchange, lockSummary, function* ({ state: { resources }, clusterTimeMs }) {
    for (const found of resources.values()) {
      if (found.kind !== "lock" || !found.name.startsWith(prefix)) continue;
      if (state === undefined || lockStateOf(found, clusterTimeMs) === state) yield found;
    }
  });
}

export function listSemaphores(exchange: Exchange): void {
  const { prefix = "" } = exchange.request.query as { readonly prefix?: string };
  listResources<Semaphore>(exchange, semaphoreSummary, function* ({ state: { resources } }) {
    for (const found of resources.values()) {
      if (found.kind === "semaphore" && found.name.startsWith(prefix)) yield found;
    }
  });
}

function listResources<T extends Resource>(
  exchange: Exchange,
  show: (resource: T, view: View) => object,
  like: (view: View) => Iterable<T>,
): void {
  const page = pageAsked(exchange);
  read(
    exchange,
    (view) => {
      const { items, cursor } = pageOf(like(view), ({ name }) => name, page);
      const shown = items.map((item) => show(item, view));
      exchange.answer(200, { items: shown, ...(cursor === undefined ? undefined : { cursor }) });
    },
    () => true,
  );
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
  const { node } = exchange;
  exchange.beginWrite();
  node.propose(proposal, (reply) =>
    exchange.guard(() => {
      if (!exchange.endWrite()) return;
      if (reply.kind !== "applied") return exchange.sendUnapplied(reply);
      const { outcome, revision } = reply;
      const view = node.staleView();
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
    }),
  );
}
