/**
 * What the HTTP server is given and what it gives back. It knows the node through `node/contract.ts` alone.
 */
import type { HoldfastNode } from "../node/contract.ts";

export interface HttpServerOptions {
  /** This node's name; one of `members`. */
  readonly name: string;
  /** The node, once it takes part in a cluster; before, only /livez and /readyz and a 503 are answered. */
  node(): HoldfastNode | undefined;
  /** Why `node()` is undefined, for a person: "waiting for n2, n3". */
  starting(): string;
  /** Public URLs, for redirects. */
  readonly members: readonly { readonly id: string; readonly url: string }[];
  readonly listen: { readonly host: string; readonly port: number };
  readonly bodyBytes: number;
  /** Of a batch. */
  readonly batchBytes: number;
  readonly connections: number;
  /** The cluster's name, for `GET /v1/cluster`. */
  readonly clusterName?: string;
  /**
   * A bug showed itself: `error` was thrown where nothing may be. An InvariantError means that this node's state cannot
   * be trusted any more: end the process. Without this, an InvariantError is thrown outside of every handler, and any
   * other error is a warning of the process.
   */
  internalError?(error: unknown, requestId: string): void;
}

export interface HttpServer {
  readonly port: number;
  /** Answers what is under way with 503 `shutting-down`, closes every connection. May be called twice. */
  close(): Promise<void>;
}
