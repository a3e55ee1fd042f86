/**
 * The numbers that the core runs by. Time is in ticks: the host decides how long one lasts.
 */
import { assert, assertInteger } from "../base/assert.ts";
import type { MemberId } from "./types.ts";

export interface RaftConfig {
  readonly self: MemberId;
  /** B: no election starts sooner after the leader's last message; timeouts are drawn from [B, 2B). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Entry bytes in one append; one entry always fits, however large. */
  readonly appendBytesMax: number;
  /** Appends under way to one follower. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Entries and bytes that may wait for a majority before proposals are refused. */
  readonly uncommittedEntriesMax: number;
  readonly uncommittedBytesMax: number;
  /** Trace every append and commit too. For the simulator and transcripts; the rest is always traced. */
  readonly traceReplication: boolean;
}

export const defaultRaftConfig: Omit<RaftConfig, "self"> = {
  electionTicks: 15,
  heartbeatTicks: 2,
  appendBytesMax: 1024 * 1024,
  inflightMessagesMax: 64,
  inflightBytesMax: 8 * 1024 * 1024,
  uncommittedEntriesMax: 100_000,
  uncommittedBytesMax: 64 * 1024 * 1024,
  traceReplication: false,
};

/** Throws when the numbers contradict each other. */
export function checkRaftConfig(config: RaftConfig): void {
  assert(config.self.length > 0, "self must be named");
  assertInteger(config.heartbeatTicks, "heartbeatTicks", 1);
  assertInteger(config.electionTicks, "electionTicks", 1);
  // Two lost heartbeats must not look like a dead leader.
  assert(config.electionTicks > 2 * config.heartbeatTicks, "electionTicks must exceed two heartbeats");
  assertInteger(config.appendBytesMax, "appendBytesMax", 1);
  assertInteger(config.inflightMessagesMax, "inflightMessagesMax", 1);
  assertInteger(config.inflightBytesMax, "inflightBytesMax", 1);
  assertInteger(config.uncommittedEntriesMax, "uncommittedEntriesMax", 1);
  assertInteger(config.uncommittedBytesMax, "uncommittedBytesMax", 1);
}
