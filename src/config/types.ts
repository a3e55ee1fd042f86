/**
 * The cluster file as typed data, every default filled in. Types only; `cluster-file.ts` reads and checks it.
 */
import type { Settings } from "../locks/settings.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface MemberConfig {
  readonly id: string;
  /** Where the other members dial it, and where clients do. */
  readonly peer: HostPort;
  readonly http: HostPort;
}

export interface ClusterConfig {
  readonly clusterName: string;
  /** The founding members, the same file on every node; at least one, ids distinct. */
  readonly members: readonly MemberConfig[];
  readonly timing: TimingConfig;
  /** Proposed once by the first leader; afterwards the replicated ones count. */
  readonly settings: Settings;
  readonly node: NodeConfig;
  /** What this node binds, where it differs from its own `members` entry. */
  readonly listen: { readonly http: HostPort | undefined; readonly peer: HostPort | undefined };
  readonly security: { readonly open: boolean };
}

/** Milliseconds. Invariant: electionTimeoutMs > 2 × heartbeatMs, both multiples of tickMs. */
export interface TimingConfig {
  readonly tickMs: number;
  readonly heartbeatMs: number;
  /** B of docs/PAPERS.md: timeouts are drawn from [B, 2B). */
  readonly electionTimeoutMs: number;
}

/** This node's own limits. */
export interface NodeConfig {
  readonly bodyBytes: number;
  readonly batchBytes: number;
  readonly connections: number;
  readonly logBytes: number;
  readonly snapshotEveryBytes: number;
}

export const defaultTiming: TimingConfig = { tickMs: 50, heartbeatMs: 100, electionTimeoutMs: 750 };

export const defaultNode: NodeConfig = {
  bodyBytes: 65_536,
  batchBytes: 1_048_576,
  connections: 10_000,
  logBytes: 1_073_741_824,
  snapshotEveryBytes: 33_554_432,
};
