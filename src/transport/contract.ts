/**
 * What the driver needs from the network between members, as promises. The TCP implementation keeps them for real
 * sockets; the simulated network (test/sim) replaces it.
 *
 * 1. `send` never blocks and never throws. A message may be lost, never altered: frames carry a CRC. Messages that
 *    were sent in one loop turn to one member leave in one socket write. The queue to a member is bounded; what does
 *    not fit is dropped (Raft retries), oldest first never, newest first.
 * 2. Messages are delivered only from members of the cluster that passed the handshake, tagged with the id they proved
 *    there, in the order they were sent on one connection.
 * 3. `leaderLost(member)` is called only on the evidence of docs/PAPERS.md "leader-lost hint": every established connection
 *    with that member closed and a connect begun after that was refused; or a handshake with the same member showed
 *    another boot id; or it said goodbye. A reset, a close or a time-out alone is none.
 * 4. `probe(member)` looks for that evidence at once. When there is any, or by the end of the next connect attempt,
 *    `leaderLost` is called; when the member answers, nothing is called.
 */
import type { PeerMessage } from "../codec/message.ts";
import type { MemberId } from "../raft/types.ts";

export interface TransportEvents {
  /** A message from a member that passed the handshake. */
  message(from: MemberId, message: PeerMessage): void;
  /** Evidence that this member's process has ended (promise 3). May be called again for the same death. */
  leaderLost(member: MemberId): void;
  /**
   * This node may not take part: another node refused it in the handshake, on grounds that the design counts as final.
   * The host prints the text and exits with the code (78, or 70 for `rolled-back`).
   */
  refused(refusal: TransportRefusal): void;
  /** Something an operator should read: a stranger on a member's address, who is missing, a frame that was refused. */
  notice(level: "info" | "warn", text: string): void;
}

export interface TransportRefusal {
  readonly code: RefusalCode;
  /** What happened and the exact commands that help. */
  readonly text: string;
  readonly exitCode: number;
}

export type RefusalCode =
  | "protocol"
  | "wrong-name"
  | "wrong-target"
  | "wrong-cluster"
  | "wrong-founders"
  | "reinitialised"
  | "not-a-member"
  | "duplicate-member"
  | "rolled-back";

/** What is known about the connection to one other member. */
export interface PeerStatus {
  readonly name: string;
  readonly connected: boolean;
  /** Milliseconds since the last frame from it; undefined when there was none. */
  readonly lastContactMs: number | undefined;
}

export interface Transport {
  send(to: MemberId, message: PeerMessage): void;
  probe(member: MemberId): void;
  peers(): readonly PeerStatus[];
  /** Tells every connected member that this process ends on purpose, then closes everything. May be called twice. */
  close(): Promise<void>;
}
