/**
 * Who counts, and what a majority of them is. Every question about membership is asked here and nowhere else, so that
 * joint consensus (Raft §4.3) changes this file alone.
 */
import { assert } from "../base/assert.ts";
import { compareText } from "../base/order.ts";
import type { Configuration, MemberId } from "./types.ts";

/** Sorted by member id, which begins with the name; without duplicates. */
export function createConfiguration(voters: readonly MemberId[]): Configuration {
  const sorted = [...voters].sort(compareText);
  assert(sorted.length > 0, "a configuration needs a voter");
  assert(new Set(sorted).size === sorted.length, "a voter is named twice", { sorted });
  return { voters: sorted };
}

export function isVoter(configuration: Configuration, member: MemberId): boolean {
  return configuration.voters.includes(member);
}

export function majority(configuration: Configuration): number {
  return Math.floor(configuration.voters.length / 2) + 1;
}

/** True when the members for which `has` holds are a majority of the voters. */
export function isQuorum(configuration: Configuration, has: (member: MemberId) => boolean): boolean {
  let count = 0;
  for (const voter of configuration.voters) if (has(voter)) count++;
  return count >= majority(configuration);
}

/**
 * The greatest number that a majority of voters has reached, each voter's being `reached(voter)` (Raft §3.5). Asked
 * with every message: voters are few, so counting for each is cheaper than a sorted copy, and leaves no garbage.
 */
export function quorumReached({ voters }: Configuration, reached: (member: MemberId) => number): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const candidate of voters) {
    const number = reached(candidate);
    if (number <= best) continue;
    let count = 0;
    for (const voter of voters) if (reached(voter) >= number) count++;
    if (2 * count > voters.length) best = number;
  }
  return best;
}

/** The voters other than `member`, by name: the order in which they try to replace a lost leader. */
export function votersWithout(configuration: Configuration, member: MemberId): readonly MemberId[] {
  return configuration.voters.filter((voter) => voter !== member);
}
