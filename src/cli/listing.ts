/**
 * Lists of the API, page by page. As JSON one page, its body unchanged, with the cursor of the next; otherwise all of
 * it, unless a page was asked for.
 */
import type { ListView } from "../api/types.ts";
import { mustSucceed } from "./api-failure.ts";
import type { HttpClient } from "./http-client.ts";
import { type Output, table } from "./output.ts";

export interface ListOptions {
  readonly limit?: number;
  readonly cursor?: string;
}

export interface Listing {
  readonly client: HttpClient;
  readonly output: Output;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly page: ListOptions;
}

const pageItems = 1000;

export async function listAll<Item>(
  { client, output, path, query, page }: Listing,
  head: readonly string[],
  row: (item: Item) => readonly string[],
): Promise<void> {
  const rows: (readonly string[])[] = [];
  const isOnePage = page.limit !== undefined || output.format === "json";
  let { cursor } = page;
  do {
    const limit = String(page.limit ?? pageItems);
    const search = new URLSearchParams({ ...query, limit, ...(cursor === undefined ? {} : { cursor }) });
    const answer = mustSucceed(await client.request({ method: "GET", path: `${path}?${search.toString()}` }));
    const list = answer.body as unknown as ListView<Item>;
    if (output.format === "json") output.data(answer, "");
    else if (output.format === "text") rows.push(...list.items.map(row));
    else for (const item of list.items) output.line(item as Readonly<Record<string, unknown>>, "");
    cursor = list.cursor;
  } while (cursor !== undefined && !isOnePage);
  if (output.format === "text" && rows.length > 0) output.line({}, table(head, rows));
  if (cursor !== undefined && output.format !== "json") {
    output.note("more", `there is more: go on with --cursor ${cursor}`, { cursor });
  }
}
