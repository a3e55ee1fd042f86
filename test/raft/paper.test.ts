/** One test for each claim of the papers. Sections: Ongaro's dissertation unless another is named. */
import { describe, expect, it } from "vitest";
import { Group, logOf, type Packet } from "./group.ts";

const kindsTo = (group: Group, to: string): readonly string[] =>
  group.wire.filter((packet) => packet.to === to).map((packet) => packet.message.kind);

describe("terms (§3.3)", () => {
  it("a server that sees a higher term adopts it and becomes a follower", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const other = leader === "n1" ? "n2" : "n1";

    group
      .raft(leader)
      .message(other, { kind: "heartbeat", term: 9, leaderCommit: 0, echo: { round: 0, sentTick: 0 } });

    expect(group.raft(leader).status()).toMatchObject({ role: "follower", currentTerm: 9, leader: other });
  });

  it("a request with an older term is refused with the newer one", () => {
    const group = new Group({ size: 3, start: { n1: { term: 5 } } });

    group.raft("n1").message("n2", {
      kind: "append",
      term: 3,
      prevLogIndex: 0,
      prevLogTerm: 0,
      prevLogChain: 0,
      entries: [],
      leaderCommit: 0,
      echo: { round: 0, sentTick: 0 },
    });
    group.drain("n1");

    expect(group.wire).toEqual([
      {
        from: "n1",
        to: "n2",
        message: { kind: "term-over", term: 5 },
      },
    ]);
    expect(group.raft("n1").status().leader).toBeUndefined();
  });

  it("everybody starts as a follower, also who led before the restart (E6)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();

    group.at(leader).restart();

    expect(group.raft(leader).status()).toMatchObject({ role: "follower", leader: undefined });
  });
});

describe("elections (§3.4)", () => {
  it("a follower that hears nothing starts an election in the next term, with a vote for itself", () => {
    const group = new Group({ size: 3 });

    group.campaign("n1");
    group.settle();

    expect(group.raft("n1").status()).toMatchObject({ role: "leader", currentTerm: 1, votedFor: "n1" });
  });

  it("heartbeats keep followers from campaigning", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const { currentTerm } = group.raft(leader).status();

    group.run(500);

    expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm });
  });

  it("the timeout is drawn anew, from [B, 2B), at every campaign (E14)", () => {
    const group = new Group({ size: 3 });
    group.isolate("n1");
    const gaps: number[] = [];
    let since = 0;
    for (let i = 0; i < 2_000; i++) {
      group.tick("n1");
      group.drain("n1");
      group.wire = [];
      since++;
      if (group.at("n1").trace.some((event) => event.kind === "campaign")) {
        gaps.push(since);
        since = 0;
        group.at("n1").trace = [];
      }
    }

    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...gaps)).toBeLessThan(20);
    expect(new Set(gaps).size).toBeGreaterThan(3);
  });

  it("a vote goes to one candidate a term, first come, first served", () => {
    const group = new Group({ size: 3 });
    const vote = {
      kind: "vote",
      term: 1,
      lastLogIndex: 0,
      lastLogTerm: 0,
      transfer: false,
      hint: undefined,
    } as const;

    group.raft("n1").message("n2", vote);
    group.raft("n1").message("n3", vote);
    group.raft("n1").message("n2", vote);
    group.drain("n1");
    group.finishWrite("n1");
    group.drain("n1");

    const answers = group.wire.map(({ to, message }) => [
      to,
      message.kind === "vote-response" && message.granted,
    ]);
    expect(answers).toEqual([
      ["n3", false],
      ["n2", true],
    ]);
  });

  it("the vote survives a restart (§3.8, E1)", () => {
    const group = new Group({ size: 3 });
    const vote = {
      kind: "vote",
      term: 1,
      lastLogIndex: 0,
      lastLogTerm: 0,
      transfer: false,
      hint: undefined,
    } as const;
    group.raft("n1").message("n2", vote);
    group.drain("n1");
    group.finishWrite("n1");

    group.at("n1").restart();
    group.wire = [];
    group.raft("n1").message("n3", vote);
    group.drain("n1");

    expect(group.wire).toMatchObject([{ to: "n3", message: { kind: "vote-response", granted: false } }]);
  });

  it("no vote leaves before it is on disk", () => {
    const group = new Group({ size: 3 });
    const vote = {
      kind: "vote",
      term: 1,
      lastLogIndex: 0,
      lastLogTerm: 0,
      transfer: false,
      hint: undefined,
    } as const;

    group.raft("n1").message("n2", vote);
    const output = group.drain("n1");

    expect(output.send).toEqual([]);
    expect(output.write?.hardState).toEqual({ currentTerm: 1, votedFor: "n2" });
    expect(output.write?.thenSend).toMatchObject([
      { to: "n2", message: { kind: "vote-response", granted: true } },
    ]);
  });

  it("a candidate wins with the votes of a majority of all servers, and no vote counts twice (E3)", () => {
    const group = new Group({ size: 5 });
    group.campaign("n1");
    for (const { to, message } of group.take(({ message }) => message.kind === "pre-vote")) {
      if (to !== "n2" && to !== "n3") continue;
      group.raft(to).message("n1", message);
      group.drain(to);
    }
    for (const packet of group.take(() => true)) group.deliver(packet);
    group.drain("n1");
    group.finishWrite("n1");
    expect(group.raft("n1").status()).toMatchObject({ role: "candidate", currentTerm: 1 });

    const granted = { kind: "vote-response", term: 1, granted: true } as const;
    group.raft("n1").message("n2", granted);
    group.raft("n1").message("n2", granted);
    expect(group.raft("n1").status().role).toBe("candidate");

    group.raft("n1").message("n3", granted);
    expect(group.raft("n1").status().role).toBe("leader");
  });

  it("a single server elects itself only after its vote is durable (R7)", () => {
    const group = new Group({ size: 1 });
    group.campaign("n1");
    expect(group.raft("n1").status().role).toBe("candidate");

    group.finishWrite("n1");

    expect(group.raft("n1").status().role).toBe("leader");
  });

  it("a candidate that hears a leader of its term becomes its follower", () => {
    const group = new Group({ size: 3 });
    group.isolate("n1");
    group.campaign("n1");
    group.settle();
    group.heal();
    group
      .raft("n1")
      .message("n2", { kind: "heartbeat", term: 1, leaderCommit: 0, echo: { round: 0, sentTick: 0 } });

    expect(group.raft("n1").status()).toMatchObject({ role: "follower", leader: "n2", currentTerm: 1 });
  });
});

describe("the election restriction (§3.6.1)", () => {
  const cases = [
    { own: [1, 1], candidate: { index: 2, term: 1 }, granted: true },
    { own: [1, 1], candidate: { index: 3, term: 1 }, granted: true },
    { own: [1, 1], candidate: { index: 1, term: 2 }, granted: true },
    { own: [1, 1], candidate: { index: 1, term: 1 }, granted: false },
    { own: [1, 2], candidate: { index: 9, term: 1 }, granted: false },
    { own: [], candidate: { index: 0, term: 0 }, granted: true },
    { own: [1], candidate: { index: 0, term: 0 }, granted: false },
  ];
  for (const { own, candidate, granted } of cases) {
    it(`a log [${own}] ${granted ? "grants" : "refuses"} one that ends in (${candidate.term}, ${candidate.index}) (E4)`, () => {
      for (const kind of ["vote", "pre-vote"] as const) {
        const group = new Group({ size: 3, start: { n1: { log: own, term: 2 } } });
        const shared = { lastLogIndex: candidate.index, lastLogTerm: candidate.term, hint: undefined };
        group
          .raft("n1")
          .message(
            "n2",
            kind === "vote"
              ? { kind, term: 3, transfer: false, ...shared }
              : { kind, term: 2, nextTerm: 3, ...shared },
          );
        group.settle();
        const answers = group.at("n1").trace.filter((event) => event.kind === "vote");

        expect(answers).toMatchObject([{ phase: kind, granted }]);
      }
    });
  }
});

describe("pre-vote and stickiness (§9.6, §4.2.3)", () => {
  it("granting a pre-vote changes nothing (E12)", () => {
    const group = new Group({ size: 3 });
    const before = group.raft("n1").status();

    group.raft("n1").message("n2", {
      kind: "pre-vote",
      term: 0,
      nextTerm: 1,
      lastLogIndex: 0,
      lastLogTerm: 0,
      hint: undefined,
    });
    const output = group.drain("n1");

    expect(output.send).toMatchObject([{ message: { kind: "pre-vote-response", granted: true } }]);
    expect(output.write).toBeUndefined();
    expect(group.raft("n1").status()).toEqual(before);
  });

  it("a server cut off for long neither raises the term nor disturbs the leader when it comes back (E9)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const { currentTerm } = group.raft(leader).status();
    const away = leader === "n1" ? "n2" : "n1";

    group.isolate(away);
    group.run(1_000);
    group.heal();
    group.run(50);

    expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm });
    expect(group.raft(away).status()).toMatchObject({ role: "follower", currentTerm, leader });
  });

  it("a server that hears its leader refuses to help replace it", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const [asker, voter] = ["n1", "n2", "n3"].filter((id) => id !== leader) as [string, string];
    const { currentTerm } = group.raft(voter).status();

    group.raft(voter).message(asker, {
      kind: "vote",
      term: currentTerm + 1,
      lastLogIndex: 100,
      lastLogTerm: currentTerm,
      transfer: false,
      hint: undefined,
    });

    expect(group.raft(voter).status()).toMatchObject({ currentTerm, leader });
  });

  it("the leader itself does not count as the leader one still hears (E11)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const voter = leader === "n1" ? "n2" : "n1";
    const { currentTerm, lastIndex } = group.raft(leader).status();

    group.raft(voter).message(leader, {
      kind: "pre-vote",
      term: currentTerm,
      nextTerm: currentTerm + 1,
      lastLogIndex: lastIndex,
      lastLogTerm: currentTerm,
      hint: undefined,
    });
    const output = group.drain(voter);

    expect(output.send).toMatchObject([{ message: { kind: "pre-vote-response", granted: true } }]);
  });

  it("a longer log in an older term and a shorter log in a newer term find a leader (E10)", () => {
    // n1 and n2 hold more, n3 and n4 are terms ahead: pre-votes must carry the newer term back.
    const group = new Group({
      size: 4,
      start: {
        n1: { log: [1, 2, 2, 2], term: 2 },
        n2: { log: [1, 2, 2, 2], term: 2 },
        n3: { log: [1], term: 7 },
        n4: { log: [1], term: 7 },
      },
    });

    group.run(200);

    expect(group.leader()).toMatch(/n1|n2/);
  });

  it("a leader that no majority answers steps down within B (check-quorum)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.run(5);

    group.isolate(leader);
    group.run(12);

    expect(group.raft(leader).status().role).not.toBe("leader");
  });
});

describe("replication (§3.5)", () => {
  it("a leader opens its term with an empty entry that repeats the stamp before it", () => {
    const group = new Group({
      size: 3,
      start: { n1: { log: [1, 1] }, n2: { log: [1, 1] }, n3: { log: [1, 1] } },
    });

    const leader = group.elect();

    expect(group.at(leader).entries[2]).toMatchObject({ index: 3, kind: "noop", time: 0 });
  });

  it("entries reach every log and commit once a majority holds them", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();

    group.propose(leader, "a");
    group.settle();
    group.run(3);

    for (const id of ["n1", "n2", "n3"]) {
      expect(group.at(id).committed.map((entry) => entry.kind)).toEqual(["noop", "command"]);
    }
  });

  it("nothing commits while only the leader holds it, also when its own disk is the last (§10.2.1)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    const [near, far] = ["n1", "n2", "n3"].filter((id) => id !== leader) as [string, string];
    const before = group.commitIndex(leader);
    group.cuts.add(`${leader}>${far}`);
    group.slowDisks.add(leader);

    group.propose(leader, "a");
    group.settle();
    expect(group.at(near).entries.length).toBe(before + 1);
    expect(group.commitIndex(leader)).toBe(before);

    group.finishWrite(leader);
    expect(group.commitIndex(leader)).toBe(before + 1);
  });

  it("a leader's followers alone may commit before its own disk is done", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    group.slowDisks.add(leader);

    group.propose(leader, "a");
    group.settle();

    expect(group.commitIndex(leader)).toBe(2);
    expect(group.raft(leader).status().durableIndex).toBe(1);
  });

  /** The seven logs of RaftPaper Fig. 7, and the leader's of term 8. */
  const figure7: Readonly<Record<string, readonly number[]>> = {
    a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
    b: [1, 1, 1, 4],
    c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    e: [1, 1, 1, 4, 4, 4, 4],
    f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  };
  for (const [name, log] of Object.entries(figure7)) {
    it(`a leader brings the log of RaftPaper Fig. 7 (${name}) in line with its own`, () => {
      const leaders = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
      const group = new Group({
        size: 3,
        start: { n1: { log: leaders, term: 8 }, n2: { log, term: 8 }, n3: { log: leaders, term: 8 } },
      });
      group.isolate("n2");
      group.campaign("n1");
      group.settle();
      group.heal();

      group.run(6);

      expect(group.raft("n1").status()).toMatchObject({ role: "leader", currentTerm: 9 });
      expect(group.terms("n2")).toEqual([...leaders, 9]);
      // Both sides skip whole terms: at most one probe for each term that differs.
      const probes = group
        .at("n1")
        .trace.filter((event) => event.kind === "mismatch" && event.member === "n2");
      expect(probes.length).toBeLessThanOrEqual(new Set(log).size);
    });
  }

  it("an entry in the log with another term is replaced with all that follows; an equal one is kept (L2)", () => {
    const group = new Group({ size: 3, start: { n1: { log: [1, 1, 1, 1], term: 1 } } });
    const [first, second] = logOf([1, 1]) as [ReturnType<typeof logOf>[0], ReturnType<typeof logOf>[0]];

    group.raft("n1").message("n2", {
      kind: "append",
      term: 1,
      prevLogIndex: 0,
      prevLogTerm: 0,
      prevLogChain: 0,
      entries: [first, second] as never,
      leaderCommit: 0,
      echo: { round: 0, sentTick: 0 },
    });
    group.settle();

    expect(group.terms("n1")).toEqual([1, 1, 1, 1]);
  });

  it("a follower's commit index follows the leader's, never beyond what the message proved (L3)", () => {
    const group = new Group({ size: 3, start: { n1: { log: [1, 1, 1, 1], term: 2 } } });
    const prefix = logOf([1, 1]);

    group.raft("n1").message("n2", {
      kind: "append",
      term: 2,
      prevLogIndex: 2,
      prevLogTerm: 1,
      prevLogChain: prefix[1]?.chain ?? -1,
      entries: [],
      leaderCommit: 4,
      echo: { round: 0, sentTick: 0 },
    });

    expect(group.commitIndex("n1")).toBe(2);
  });

  it("the window bounds what is under way, and a lost window is found out (L11)", () => {
    const group = new Group({ size: 3, config: { inflightMessagesMax: 1, appendBytesMax: 1 } });
    const leader = group.elect();
    group.run(3);
    const other = leader === "n1" ? "n2" : "n1";
    for (const text of ["a", "b", "c"]) group.propose(leader, text);
    group.drain(leader);
    expect(kindsTo(group, other).filter((kind) => kind === "append")).toHaveLength(1);

    group.take(({ message }) => message.kind === "append");
    group.run(30);

    expect(group.at(other).entries.length).toBe(group.at(leader).entries.length);
  });
});

describe("the commit rule (§3.6.2)", () => {
  it("an entry of an older term is not committed by counting; the first of the own term commits it (L1)", () => {
    // RaftPaper Fig. 8 (c): n1 leads again and has copied its old entry to a majority.
    const group = new Group({
      size: 5,
      start: {
        n1: { log: [1, 2], term: 3 },
        n2: { log: [1, 2], term: 3 },
        n3: { log: [1], term: 3 },
        n4: { log: [1], term: 3 },
        n5: { log: [1], term: 3 },
      },
    });
    // Nothing of the new term arrives anywhere: only what precedes it.
    group.campaign("n1");
    for (let i = 0; i < 200 && group.raft("n1").status().role !== "leader"; i++) {
      for (const id of group.members.keys()) group.drain(id);
      for (const [id, member] of group.members) if (member.job !== undefined) group.finishWrite(id);
      for (const packet of group.take(() => true)) group.deliver(packet);
    }
    expect(group.raft("n1").status().role).toBe("leader");
    const { currentTerm: term } = group.raft("n1").status();
    for (const id of ["n2", "n3", "n4"]) {
      group.raft("n1").message(id, {
        kind: "append-response",
        term,
        result: { kind: "matched", matchIndex: 2 },
        echo: { round: 0, sentTick: 0 },
      });
    }
    expect(group.commitIndex("n1")).toBe(0);

    group.settle();

    expect(group.commitIndex("n1")).toBe(3);
  });
});

describe("linearizable reads (§6.4)", () => {
  it("a read waits for the first commit of the term (R1)", () => {
    const group = new Group({ size: 3 });
    group.campaign("n1");
    for (let i = 0; i < 200 && group.raft("n1").status().role !== "leader"; i++) {
      for (const id of group.members.keys()) group.drain(id);
      for (const [id, member] of group.members) if (member.job !== undefined) group.finishWrite(id);
      for (const packet of group.take(() => true)) group.deliver(packet);
    }
    expect(group.raft("n1").readIndex(1)).toBe(true);
    group.drain("n1");
    expect(group.at("n1").reads).toEqual([]);

    group.settle();

    expect(group.at("n1").reads).toEqual([{ readId: 1, index: 1 }]);
  });

  it("answers to what was sent before the read confirm nothing (R2)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    group.tick(leader, 2);
    group.drain(leader);
    const early = group.take(({ message }) => message.kind === "heartbeat");

    group.raft(leader).readIndex(1);
    group.drain(leader);
    group.take(() => true);
    for (const packet of early) group.deliver(packet);
    for (const id of group.members.keys()) group.drain(id);
    for (const packet of group.take(() => true)) group.deliver(packet);
    group.drain(leader);

    expect(group.at(leader).reads).toEqual([]);
  });

  it("one round serves all reads registered before it", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    for (const readId of [1, 2, 3]) group.raft(leader).readIndex(readId);

    const output = group.drain(leader);
    group.settle();

    expect(output.send.filter(({ message }) => message.kind === "heartbeat")).toHaveLength(2);
    expect(group.at(leader).reads.map(({ readId }) => readId)).toEqual([1, 2, 3]);
  });

  it("a deposed leader drops its reads (R3)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    group.isolate(leader);
    group.raft(leader).readIndex(1);
    group.drain(leader);

    group.run(15);

    expect(group.at(leader).reads).toEqual([]);
    expect(group.at(leader).readsDropped).toEqual([1]);
  });

  /** A leader of term 1 whose heartbeat to one follower is on a slow link, and who leads term 2 with the other's vote. */
  function leaderAgain(): {
    group: Group;
    leader: string;
    slow: string;
    other: string;
    late: readonly Packet[];
  } {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    const [slow, other] = ["n1", "n2", "n3"].filter((id) => id !== leader) as [string, string];
    for (let readId = 1; readId <= 5; readId++) {
      group.raft(leader).readIndex(readId);
      group.settle();
    }
    group.tick(leader, 2);
    group.drain(leader);
    const late = group.take(({ to }) => to === slow);
    group.take(() => true);
    group.isolate(leader);
    for (let i = 0; i < 40; i++) {
      group.tick(leader);
      group.drain(leader);
    }
    group.take(() => true);
    group.heal();
    group.cuts.add(`${leader}>${slow}`);
    group.tick(other, 20);
    group.drain(other);
    group.take(() => true);
    for (let i = 0; i < 100 && group.raft(slow).status().currentTerm < 2; i++) {
      group.tick(group.raft(leader).status().role === "leader" ? slow : leader);
      group.settle();
    }
    expect(group.raft(leader).status()).toMatchObject({ role: "leader", currentTerm: 2 });
    expect(group.raft(slow).status().currentTerm).toBe(2);
    return { group, leader, slow, other, late };
  }

  it("the answer to a message of an older term is no answer to this one: it neither counts nor harms (R2)", () => {
    const { group, leader, slow, late } = leaderAgain();

    for (const { from, message } of late) group.raft(slow).message(from, message);
    group.settle();

    expect(group.raft(leader).status().role).toBe("leader");
  });

  it("such an answer confirms no read of a leader that was deposed since (R2)", () => {
    const { group, leader, slow, other, late } = leaderAgain();
    for (const { from, message } of late) group.raft(slow).message(from, message);
    group.drain(slow);
    const answers = group.take(({ from, to }) => from === slow && to === leader);
    group.raft(leader).readIndex(10);
    group.settle();
    group.heal();
    group.isolate(leader);
    for (
      let i = 0;
      i < 100 && group.raft(slow).status().role !== "leader" && group.raft(other).status().role !== "leader";
      i++
    ) {
      group.tick(slow);
      group.tick(other);
      group.settle();
    }
    const released = group.at(leader).reads.length;
    group.raft(leader).readIndex(99);
    group.drain(leader);

    for (const { from, message } of answers) group.raft(leader).message(from, message);
    group.drain(leader);

    expect(answers.length).toBeGreaterThan(0);
    expect(group.at(leader).reads.length).toBe(released);
  });

  it("a follower takes no reads", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();

    expect(group.raft(leader === "n1" ? "n2" : "n1").readIndex(1)).toBe(false);
  });
});

describe("leadership transfer (§3.10)", () => {
  it("the target is brought up to date, then leads the next term, although the others hear the old leader", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    const target = leader === "n1" ? "n2" : "n1";
    const { currentTerm } = group.raft(leader).status();
    group.propose(leader, "a");

    expect(group.raft(leader).transferLeadership(target)).toEqual({ kind: "started", target });
    expect(group.propose(leader, "b")).toEqual({ kind: "transferring" });
    group.settle();

    expect(group.raft(target).status()).toMatchObject({ role: "leader", currentTerm: currentTerm + 1 });
  });

  it("it is given up after one election timeout, and proposals go on", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    const target = leader === "n1" ? "n2" : "n1";
    group.cuts.add(`${leader}>${target}`);
    group.propose(leader, "a");
    group.raft(leader).transferLeadership(target);

    group.run(10);

    expect(group.propose(leader, "b")).toMatchObject({ kind: "accepted" });
  });

  it("nobody is handed to who is no voter, unreachable, or leads already (M10)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();

    expect(group.raft(leader).transferLeadership("n9")).toMatchObject({ kind: "refused" });
    expect(group.raft(leader).transferLeadership(leader)).toMatchObject({ kind: "refused" });
  });
});

describe("storage that fails or hangs", () => {
  it("a leader whose own disk hangs steps down, although its followers commit (D6)", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    group.slowDisks.add(leader);
    group.propose(leader, "a");

    group.run(35);

    expect(group.raft(leader).status().role).not.toBe("leader");
  });

  it("a leader stays while a majority that is far behind catches up, and goes when that stops", () => {
    const group = new Group({
      size: 3,
      config: { appendBytesMax: 1, inflightMessagesMax: 1 },
      start: {
        n1: { log: Array.from({ length: 100 }, () => 1), term: 1 },
        n2: { log: [1], term: 1 },
        n3: { log: [1], term: 1 },
      },
    });
    group.isolate("n3");
    group.slowDisks.add("n2");
    group.campaign("n1");
    // One entry a tick arrives: it takes more than three times 3 B.
    const pass = (ticks: number, isWriting: boolean): void => {
      for (let i = 0; i < ticks; i++) {
        group.tick("n1");
        group.tick("n2");
        if (isWriting && group.at("n2").job !== undefined) group.finishWrite("n2");
        group.settle();
      }
    };
    pass(3, true);
    expect(group.raft("n1").role).toBe("leader");
    pass(60, true);
    expect(group.raft("n1").status()).toMatchObject({ role: "leader", currentTerm: 2, commitIndex: 0 });

    pass(60, false);
    expect(group.raft("n1").role).not.toBe("leader");
  });

  it("a leader that cannot commit steps down while entries wait", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    for (const id of group.members.keys()) if (id !== leader) group.slowDisks.add(id);
    group.propose(leader, "a");

    group.run(35);

    expect(group.raft(leader).status().role).not.toBe("leader");
  });

  it("a follower whose disk hangs holds one answer of each kind, not one for each question", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();
    group.settle();
    const slow = leader === "n1" ? "n2" : "n1";
    group.slowDisks.add(slow);
    group.propose(leader, "a");
    group.settle();
    for (let i = 0; i < 50; i++) {
      group.propose(leader, "b");
      group.run(2);
    }

    group.finishWrite(slow);
    const output = group.drain(slow);

    expect(output.write?.thenSend.map(({ message }) => message.kind)).toEqual(["append-response"]);
    group.slowDisks.clear();
    group.settle();
    group.run(5);
    expect(group.terms(slow)).toEqual(group.terms(leader));
  });

  it("a member whose disk hangs holds one answer for each asker, however often it is asked", () => {
    const group = new Group({ size: 3 });
    group.slowDisks.add("n1");
    const ask = { lastLogIndex: 9, lastLogTerm: 5, hint: undefined } as const;
    group.raft("n1").message("n2", { kind: "vote", term: 5, transfer: true, ...ask });
    group.drain("n1");
    for (let i = 0; i < 1_000; i++)
      group.raft("n1").message("n2", { kind: "pre-vote", term: 5, nextTerm: 6, ...ask });

    group.finishWrite("n1");
    group.drain("n1");

    expect(group.wire.filter(({ from }) => from === "n1").map(({ message }) => message.kind)).toEqual([
      "vote-response",
      "pre-vote-response",
    ]);
  });

  it("a write that was overtaken by a truncation is not taken for its successor (L7, the ABA race)", () => {
    // n1 writes [1,1'] slowly; a new leader replaces 1' and another replaces that by a third of the same index.
    const group = new Group({ size: 3, start: { n1: { log: [1], term: 1 } } });
    const append = (term: number, terms: readonly number[]) => {
      const entries = logOf(terms);
      return {
        kind: "append",
        term,
        prevLogIndex: 1,
        prevLogTerm: 1,
        prevLogChain: entries[0]?.chain ?? -1,
        entries: entries.slice(1),
        leaderCommit: 0,
        echo: { round: 0, sentTick: 0 },
      } as const;
    };
    group.slowDisks.add("n1");
    group.raft("n1").message("n2", append(2, [1, 2]));
    group.drain("n1");
    group.raft("n1").message("n3", append(3, [1, 3]));

    group.finishWrite("n1");
    const sent = [...group.wire, ...group.drain("n1").send.map(({ message }) => ({ message }))];

    // The first write is done and truthfully acknowledged to the leader of term 2; nothing of term 3 is.
    expect(sent.filter(({ message }) => message.kind === "append-response" && message.term === 3)).toEqual(
      [],
    );
    expect(group.raft("n1").status().durableIndex).toBe(1);
    group.finishWrite("n1");
    expect(group.raft("n1").status().durableIndex).toBe(2);
    expect(group.terms("n1")).toEqual([1, 3]);
  });
});

describe("proposals", () => {
  it("are refused without a leader, with the leader's name when it is known", () => {
    const group = new Group({ size: 3 });
    const leader = group.elect();

    expect(group.propose(leader === "n1" ? "n2" : "n1", "a")).toEqual({ kind: "not-leader", leader });
  });

  it("are refused when too much waits for a majority, all or none", () => {
    const group = new Group({ size: 3, config: { uncommittedEntriesMax: 3 } });
    const leader = group.elect();
    group.settle();
    group.isolate(leader);
    expect(group.propose(leader, "a")).toMatchObject({ kind: "accepted" });

    const three = [1, 2, 3].map((byte) => Uint8Array.of(byte));

    expect(group.raft(leader).propose(three, 0)).toEqual({ kind: "overloaded" });
    expect(group.raft(leader).propose(three.slice(1), 0)).toMatchObject({ kind: "accepted" });
  });
});
