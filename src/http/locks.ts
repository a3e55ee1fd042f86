/**
 * GET /v1/locks: what a lock is doing, and which locks are in use. A lock that nobody uses is free, never absent.
 */
import type { Lock } from "../locks/records.ts";
import type { View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { pageAsked, pageOf } from "./lists.ts";
import { lockNameParam, read } from "./reads.ts";
import { freeLockView, lockStateOf, lockSummary, lockView } from "./render.ts";

export function getLock(exchange: Exchange): void {
  const name = lockNameParam(exchange);
  read(
    exchange,
    (view) => {
      const lock = view.state.locks.get(name);
      exchange.answer(200, lock === undefined ? freeLockView(name, view.revision) : lockView(lock, view));
    },
    () => true,
  );
}

export function listLocks(exchange: Exchange): void {
  const page = pageAsked(exchange);
  const { prefix = "", state } = exchange.request.query as {
    readonly prefix?: string;
    readonly state?: string;
  };
  read(
    exchange,
    (view) => {
      const { items, cursor } = pageOf(locksLike(view, prefix, state), ({ name }) => name, page);
      const shown = items.map((lock) => lockSummary(lock, view));
      exchange.answer(200, { items: shown, ...(cursor === undefined ? undefined : { cursor }) });
    },
    () => true,
  );
}

function* locksLike(
  { state, clusterTimeMs }: View,
  prefix: string,
  asked: string | undefined,
): Generator<Lock> {
  for (const lock of state.locks.values()) {
    if (!lock.name.startsWith(prefix)) continue;
    if (asked === undefined || lockStateOf(lock, clusterTimeMs) === asked) yield lock;
  }
}
