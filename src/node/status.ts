/**
 * What a node says of itself and its members: put together when somebody looks, from the core and the transport.
 */
import { memberName } from "../base/identity.ts";
import type { FollowerStatus, RaftStatus } from "../raft/raft.ts";
import type { MemberId } from "../raft/types.ts";
import type { PeerStatus } from "../transport/contract.ts";
import type { MemberStatus } from "./contract.ts";

export function memberStatuses(known: {
  readonly voters: readonly MemberId[];
  readonly self: MemberId;
  readonly raft: RaftStatus;
  readonly followers: readonly FollowerStatus[];
  readonly peers: readonly PeerStatus[];
  readonly tickMs: number;
}): readonly MemberStatus[] {
  const peers = new Map(known.peers.map((peer) => [peer.name, peer]));
  const followers = new Map(known.followers.map((follower) => [follower.member, follower]));
  const { leader, durableIndex } = known.raft;
  return known.voters.map((voter) => {
    const name = memberName(voter);
    const isSelf = voter === known.self;
    const follower = followers.get(voter);
    const silentTicks = follower?.silentTicks;
    return {
      name,
      role: voter === leader ? "leader" : "follower",
      state: isSelf || peers.get(name)?.connected === true ? "up" : "down",
      matchIndex: isSelf ? durableIndex : follower?.matchIndex,
      lastContactMs: isSelf
        ? 0
        : silentTicks === undefined
          ? peers.get(name)?.lastContactMs
          : silentTicks * known.tickMs,
    };
  });
}
