/** The leader-lost hint: fast when the leader's process is gone, powerless while it lives. */
import { expect, it } from "vitest";
import { Group } from "./group.ts";

function led(size = 3): { group: Group; leader: string; others: string[]; term: number } {
  const group = new Group({ size });
  const leader = group.elect();
  group.run(12);
  const others = [...group.members.keys()].filter((id) => id !== leader);
  return { group, leader, others, term: group.raft(leader).status().currentTerm };
}

function kill(group: Group, id: string): void {
  group.isolate(id);
}

it("two followers that both lost the leader replace it without waiting for a timeout", () => {
  const { group, leader, others, term } = led();
  kill(group, leader);

  for (const id of others) group.raft(id).leaderLost(leader);
  group.settle();

  expect(group.raft(others[0] as string).status()).toMatchObject({ role: "leader", currentTerm: term + 1 });
});

it("a voter that has not lost it yet makes its host look first, and grants when the host found the same", () => {
  const { group, leader, others } = led();
  const [first, second] = others as [string, string];
  kill(group, leader);

  group.raft(first).leaderLost(leader);
  group.settle();
  expect(group.raft(first).status().role).toBe("pre-candidate");
  expect(group.at(second).probes).toEqual([leader]);

  group.raft(second).leaderLost(leader);
  group.settle();
  expect(group.raft(first).status().role).toBe("leader");
});

it("a voter whose host finds the leader alive refuses after one tick, and nothing has changed", () => {
  const { group, leader, others, term } = led();
  const [first, second] = others as [string, string];

  group.raft(first).leaderLost(leader);
  group.settle();
  group.tick(second);
  group.settle();
  group.run(30);

  expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm: term });
  expect(group.raft(second).status()).toMatchObject({ leader, currentTerm: term });
});

it("the leader itself refuses", () => {
  const { group, leader, others, term } = led();

  group.raft(leader).message(others[0] as string, {
    kind: "vote",
    term: term + 1,
    lastLogIndex: 100,
    lastLogTerm: term,
    transfer: false,
    hint: { leader, term },
  });

  expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm: term });
});

it("the hint must name the same leader in the same term, in pre-vote and in vote", () => {
  for (const kind of ["pre-vote", "vote"] as const) {
    const { group, leader, others, term } = led();
    const [asker, voter] = others as [string, string];
    group.raft(voter).leaderLost(leader);
    group.drain(voter);
    group.wire = [];
    group.at(voter).trace = [];
    const hint = { leader, term: term - 1 };
    const shared = { lastLogIndex: 100, lastLogTerm: term, hint };

    expect(group.raft(voter).status()).toMatchObject({ role: "follower", currentTerm: term });
    group
      .raft(voter)
      .message(
        asker,
        kind === "vote"
          ? { kind, term: term + 1, transfer: false, ...shared }
          : { kind, term, nextTerm: term + 1, ...shared },
      );
    const probed = group.drain(voter).probe;
    group.tick(voter);

    // Its host may look again; but unless the very leader of this term was lost, the answer is no.
    expect(probed === undefined || probed === leader).toBe(true);
    expect(group.raft(voter).status().currentTerm).toBe(term);
    expect(group.at(voter).trace).not.toContainEqual(
      expect.objectContaining({ kind: "vote", granted: true }),
    );
  }
});

it("a voter that has just started and knows no leader refuses a hinted request", () => {
  const { group, leader, others, term } = led();
  const [asker, voter] = others as [string, string];
  group.at(voter).restart();
  group.at(voter).trace = [];

  group.raft(voter).message(asker, {
    kind: "pre-vote",
    term,
    nextTerm: term + 1,
    lastLogIndex: 100,
    lastLogTerm: term,
    hint: { leader, term },
  });
  group.drain(voter);

  expect(group.at(voter).trace).toMatchObject([{ kind: "vote", phase: "pre-vote", granted: false }]);
});

it("a word from the leader takes the evidence back", () => {
  const { group, leader, others, term } = led();
  const [, second] = others as [string, string];
  group.raft(second).leaderLost(leader);
  group
    .raft(second)
    .message(leader, { kind: "heartbeat", term, leaderCommit: 0, echo: { round: 0, sentTick: 0 } });

  group.run(40);

  expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm: term });
});

it("followers campaign in turn, by name, two ticks apart, until one succeeds", () => {
  const { group, leader, others } = led(5);
  kill(group, leader);
  const campaigns: string[] = [];
  // Nobody gets an answer, so every slot is used.
  for (const id of others) for (const other of others) group.cuts.add(`${id}>${other}`);
  for (const id of others) group.raft(id).leaderLost(leader);
  for (let tick = 0; tick < 9; tick++) {
    for (const id of others) {
      if (tick > 0) group.tick(id);
      group.drain(id);
      for (const event of group.at(id).trace) if (event.kind === "campaign") campaigns.push(`${id}@${tick}`);
      group.at(id).trace = [];
    }
  }

  const [a, b, c, d] = others as [string, string, string, string];
  expect(campaigns).toEqual([`${a}@0`, `${b}@2`, `${c}@4`, `${d}@6`, `${a}@8`]);
});

it("evidence about anybody but the current leader means nothing", () => {
  const { group, leader, others, term } = led();
  const [first, second] = others as [string, string];

  group.raft(first).leaderLost(second);
  group.run(30);

  expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm: term });
});
