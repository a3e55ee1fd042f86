/**
 * Pages of a collection, in the order of its keys. The cursor is the last key of the page before, so that pages stay
 * right while things come and go between them.
 */
import { compareText } from "../base/order.ts";
import type { View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { invalid } from "./problems.ts";
import { read } from "./reads.ts";

export interface Page {
  /** Keys greater than this; undefined is from the start. */
  readonly after: string | undefined;
  readonly limit: number;
}

const limitDefault = 100;
const limitMax = 1_000;

function pageAsked(exchange: Exchange): Page {
  const { cursor, limit } = exchange.request.query as { readonly cursor?: string; readonly limit?: string };
  const count = limit === undefined ? limitDefault : Number(limit);
  if (count < 1 || count > limitMax) throw invalid("limit", `must be 1 … ${limitMax}`);
  return { after: cursor === undefined ? undefined : keyOfCursor(cursor), limit: count };
}

/** Answers the page that was asked for, of what `items` finds in a view. */
export function answerPage<T>(
  exchange: Exchange,
  list: {
    readonly items: (view: View) => Iterable<T>;
    readonly keyOf: (item: T) => string;
    readonly show: (item: T, view: View) => object;
  },
): void {
  const page = pageAsked(exchange);
  read(
    exchange,
    (view) => {
      const { items, cursor } = pageOf(list.items(view), list.keyOf, page);
      const shown = items.map((item) => list.show(item, view));
      exchange.answer(200, { items: shown, ...(cursor === undefined ? undefined : { cursor }) });
    },
    () => true,
  );
}

/** The `limit` first items after the cursor, and the cursor of the next page. Linear in what there is. */
export function pageOf<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  { after, limit }: Page,
): { readonly items: readonly T[]; readonly cursor: string | undefined } {
  const order = (a: T, b: T): number => compareText(keyOf(a), keyOf(b));
  let first: T[] = [];
  // One more than asked for tells whether there is a next page; sorting now and then keeps the candidates few.
  const keep = limit + 1;
  let bound: string | undefined;
  for (const item of items) {
    const key = keyOf(item);
    if (after !== undefined && compareText(key, after) <= 0) continue;
    if (bound !== undefined && compareText(key, bound) > 0) continue;
    first.push(item);
    if (first.length < 2 * keep) continue;
    first = first.sort(order).slice(0, keep);
    bound = keyOf(first[keep - 1] as T);
  }
  first.sort(order);
  const shown = first.slice(0, limit);
  const last = shown[shown.length - 1];
  return {
    items: shown,
    cursor: first.length > limit && last !== undefined ? cursorOf(keyOf(last)) : undefined,
  };
}

function cursorOf(key: string): string {
  return Buffer.from(key, "utf8").toString("base64url");
}

function keyOfCursor(cursor: string): string {
  const key = Buffer.from(cursor, "base64url").toString("utf8");
  if (key === "" || cursorOf(key) !== cursor)
    throw invalid("cursor", "must be the cursor of an answer before");
  return key;
}
