/**
 * What the rest of the process may ask of a running node: propose a command, read, watch a claim, look at its state.
 * The HTTP layer is written against this file alone. Every callback runs synchronously inside the node's own turn:
 * records it is shown are valid only until it returns, and it must not throw.
 */
import type { Command, KeepAliveItem } from "../locks/commands.ts";
import type { KeepAliveOutcome, Outcome } from "../locks/outcomes.ts";
import type { Claim, LockState } from "../locks/records.ts";

/** A command without its wall-clock stamp, which the node adds. */
export type Proposal = Command extends infer C
  ? C extends { readonly wallMs: number }
    ? Omit<C, "wallMs">
    : never
  : never;

/** How a proposal ended. */
export type Reply<T> =
  /** Applied at `revision` in this leader's own term: the truth. */
  | { readonly kind: "applied"; readonly outcome: T; readonly revision: number }
  | NotLeading
  /** It may or may not have happened, or still happen: leadership was lost. Retry with the same ids. */
  | { readonly kind: "indeterminate" }
  /** It did not happen and never will: the node is full, or the log is. */
  | { readonly kind: "overloaded"; readonly reason: "queue" | "log-full" }
  /** It did not happen: written to the log, no replica could read it. Whoever checks requests let it through. */
  | { readonly kind: "unwritable" };

/** Nothing was proposed or read here. `leader` is the name of the member that leads, if one is known. */
export interface NotLeading {
  readonly kind: "not-leader";
  readonly leader: string | undefined;
}

/** A confirmed read: nothing that was acknowledged before it began is missing from `view`. */
export type ReadReply = { readonly kind: "confirmed"; readonly view: View } | NotLeading;

/** The applied state and the clock to measure remaining times by. Look, do not touch. */
export interface View {
  readonly state: Readonly<LockState>;
  /** Cluster time now: the leader's running clock; on other nodes the stamp of the last applied entry. */
  readonly clusterTimeMs: number;
  readonly revision: number;
}

/** Called when the watched claim was granted or ended, or (`undefined`) when this node stopped leading. */
export type ClaimListener = (claim: Claim | undefined, view: View) => void;

/** Called when a claim of the watched session was granted or ended, or (`undefined`) when this node stopped leading. */
export type SessionListener = (view: View | undefined) => void;

export interface NodeStatus {
  /** `name` of this node and of the leader it knows. */
  readonly name: string;
  readonly leader: string | undefined;
  readonly role: "leader" | "follower" | "candidate";
  readonly term: number;
  readonly clusterId: string | undefined;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly logBytes: number;
  /** True once the cluster's settings are in force: before, no command is accepted. */
  readonly isFounded: boolean;
  /** True when this node leads, has committed in its term, and the cluster is founded. */
  readonly isServing: boolean;
  /** Milliseconds since this node last heard from a leader or, leading, from a majority; undefined when never. */
  readonly quietMs: number | undefined;
  readonly members: readonly MemberStatus[];
}

export interface MemberStatus {
  readonly name: string;
  readonly role: "leader" | "follower";
  readonly state: "up" | "down";
  /** Known to the leader only. */
  readonly matchIndex: number | undefined;
  readonly lastContactMs: number | undefined;
}

export interface HoldfastNode {
  /** The newest term that this node knows of; on every answer, so it costs nothing. */
  readonly term: number;
  /** Undefined while this node leads, as far as it knows. */
  notLeading(): NotLeading | undefined;
  /** Calls `reply` exactly once. */
  propose(proposal: Proposal, reply: (reply: Reply<Outcome>) => void): void;
  /** Renews one session; travels with others in one entry, and is never refused for load. */
  keepAlive(item: KeepAliveItem, reply: (reply: Reply<KeepAliveOutcome>) => void): void;
  /** A linearizable read. Calls `reply` exactly once. */
  read(reply: (reply: ReadReply) => void): void;
  /** What this node has applied, possibly old. */
  staleView(): View;
  /**
   * Watches a claim, which counts as "its client is attached". Returns how to stop; that may be called twice.
   * Register it in the callback that showed the claim waiting, so that no change is missed.
   */
  watchClaim(claimId: string, listener: ClaimListener): () => void;
  /**
   * A request for this claim that presents this session is under way, and may come to watch it: until what it returns is
   * called, once, the claim's client is not gone, if the session is the claim's own.
   */
  attend(sessionId: string, claimId: string): () => void;
  /** Watches all claims of a live session at once; it counts as attached to each of them. */
  watchSession(sessionId: string, listener: SessionListener): () => void;
  /** An answer that names this claim is being written: its client knows of it and may come back for it. */
  noteAnswered(claimId: string): void;
  /**
   * A request for this claim was closed before its answer was written. If no other one is under way, and its client asked
   * for that, a waiting claim is cancelled, and a grant that no answer has named is given back.
   */
  abandon(claimId: string): void;
  status(): NodeStatus;
  /** Asks the leader's core to hand over; `to` is a member's name. */
  transferLeadership(
    to: string | undefined,
  ):
    | { readonly kind: "started"; readonly target: string }
    | NotLeading
    | { readonly kind: "refused"; readonly reason: string };
}
