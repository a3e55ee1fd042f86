/**
 * Who leads, as the nodes themselves say. Asks the API of every node; believes the highest term that a majority of
 * the answers does not contradict.
 */
import type { DevNode } from "./directory.ts";
import { devHost } from "./ports.ts";

export interface NodeView {
  readonly id: string;
  /** What the node knows; undefined when it did not answer. */
  readonly cluster: { readonly leader: string | undefined; readonly term: number } | undefined;
  readonly isReady: boolean;
}

const askMsMax = 1000;

export function httpUrl({ httpPort }: DevNode): string {
  return `http://${devHost}:${httpPort}`;
}

export async function askNode(node: DevNode): Promise<NodeView> {
  const [cluster, ready] = await Promise.all([
    ask(`${httpUrl(node)}/v1/cluster`),
    ask(`${httpUrl(node)}/readyz`),
  ]);
  const { leader, term } = (cluster?.body ?? {}) as { readonly leader?: unknown; readonly term?: unknown };
  const knows = cluster?.status === 200 && typeof term === "number";
  return {
    id: node.id,
    cluster: knows ? { leader: typeof leader === "string" ? leader : undefined, term } : undefined,
    isReady: ready?.status === 200,
  };
}

async function ask(url: string): Promise<{ readonly status: number; readonly body: unknown } | undefined> {
  // Not AbortSignal.timeout: Node 20 may collect such a signal as garbage, and then a silent node is asked for ever.
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), askMsMax);
  try {
    const answer = await fetch(url, { redirect: "manual", signal: controller.signal });
    return { status: answer.status, body: await answer.json() };
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** The leader of the newest term that any node knows one of. */
export function leaderOf(
  views: readonly NodeView[],
): { readonly leader: string; readonly term: number } | undefined {
  let newest: { readonly leader: string; readonly term: number } | undefined;
  for (const { cluster } of views) {
    if (cluster?.leader === undefined) continue;
    if (newest === undefined || cluster.term > newest.term)
      newest = { leader: cluster.leader, term: cluster.term };
  }
  return newest;
}
