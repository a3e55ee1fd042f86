/**
 * Compaction and installs of the core: the cases of the bug list (S1, S4, S5, S8, S10, S11), and random schedules in
 * which every member cuts its log, falls behind, is offered snapshots, loses them, crashes and starts anew.
 */
import { describe, expect, it } from "vitest";
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { chainOf } from "../../src/raft/chain.ts";
import type { LogBoundary, LogIndex } from "../../src/raft/types.ts";
import { Group, type Packet } from "./group.ts";

/** n1 leads, n3 has heard nothing since entry 3; n1's log begins behind entry 4, its newest snapshot is of entry 6. */
function farBehind(): Group {
  const group = new Group({
    size: 3,
    start: { n1: { log: [1, 1] }, n2: { log: [1, 1] }, n3: { log: [1, 1] } },
  });
  group.campaign("n1");
  group.settle();
  group.isolate("n3");
  for (const text of ["a", "b", "c"]) {
    group.propose("n1", text);
    group.settle();
  }
  group.takeSnapshot("n1", 4);
  group.settle();
  group.takeSnapshot("n1", 6);
  group.settle();
  return group;
}

/** The leader hears n3 again, which is offered what it lacks. */
function offered(): Group {
  const group = farBehind();
  group.heal();
  group.tick("n1", 2);
  group.settle();
  expect(group.at("n3").fetch?.last.index).toBe(6);
  return group;
}

function leaderTime(group: Group, ticks: number): void {
  for (let i = 0; i < ticks; i++) {
    group.tick("n1");
    group.settle();
  }
}

describe("a follower whose entries are gone", () => {
  it("installs the snapshot and goes on behind it", () => {
    const group = offered();
    group.propose("n1", "d");
    group.settle();

    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 4);

    expect(group.at("n3").installs.map(({ index }) => index)).toStrictEqual([6]);
    expect(group.at("n3").committed.map(({ index }) => index)).toStrictEqual([1, 2, 3, 7]);
    expect(group.at("n3").entries.map(({ index }) => index)).toStrictEqual([7]);
    expect(group.raft("n1").followers()).toContainEqual(
      expect.objectContaining({ member: "n3", matchIndex: 7 }),
    );
  });

  it("is offered it again and again, as long as it has not got it", () => {
    const group = offered();
    for (let round = 0; round < 5; round++) {
      group.at("n3").fetch = undefined;
      leaderTime(group, 2);
      expect(group.at("n3").fetch?.last.index).toBe(6);
    }
  });

  it("answers the offers meanwhile, so that the leader knows that it lives", () => {
    const group = offered();
    leaderTime(group, 30);
    expect(group.raft("n1").role).toBe("leader");
    group.isolate("n2");
    leaderTime(group, 30);
    expect(group.raft("n1").role).toBe("leader");
  });

  it("says nothing of it before it is on its disk", () => {
    const group = offered();
    group.slowDisks.add("n3");
    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 6);
    expect(group.raft("n1").followers()).toContainEqual(
      expect.objectContaining({ member: "n3", matchIndex: 3 }),
    );

    group.slowDisks.delete("n3");
    group.settle();
    leaderTime(group, 4);
    expect(group.raft("n1").followers()).toContainEqual(
      expect.objectContaining({ member: "n3", matchIndex: 6 }),
    );
  });

  it("starts from the old log when it crashed before that, from the snapshot afterwards (S8)", () => {
    const group = offered();
    group.slowDisks.add("n3");
    group.finishFetch("n3");
    group.drain("n3");
    group.at("n3").restart();
    expect(group.raft("n3").status()).toMatchObject({ boundaryIndex: 0, snapshotIndex: 0, lastIndex: 3 });

    group.slowDisks.delete("n3");
    leaderTime(group, 4);
    group.finishFetch("n3");
    group.settle();
    group.at("n3").restart();
    expect(group.raft("n3").status()).toMatchObject({ boundaryIndex: 6, snapshotIndex: 6, commitIndex: 6 });
  });

  it("gives up all that it held when that is of another term where the snapshot ends (S1)", () => {
    const group = new Group({
      size: 3,
      start: {
        n1: { log: [1, 2, 2, 2, 2], term: 3 },
        n2: { log: [1, 2, 2, 2, 2], term: 3 },
        n3: { log: [1, 1, 1, 1, 1, 1, 1, 1], term: 3 },
      },
    });
    group.isolate("n3");
    group.campaign("n1");
    group.settle();
    for (const index of [3, 5]) {
      group.takeSnapshot("n1", index);
      group.settle();
    }
    group.heal();
    leaderTime(group, 2);
    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 4);

    expect(group.at("n3").boundary.index).toBe(5);
    expect(group.terms("n3")).toStrictEqual([4]);
  });

  it("keeps its log when that holds all of the snapshot, and only commits it", () => {
    const group = new Group({
      size: 3,
      start: {
        n1: { log: [1, 1, 1], term: 1 },
        n2: { log: [1, 1, 1], term: 1 },
        n3: { log: [1, 1, 1], term: 1 },
      },
    });
    group.campaign("n1");
    group.settle();
    group.isolate("n3");
    leaderTime(group, 2);
    const last = group.raft("n1").boundaryAt(3);
    group.raft("n3").message("n1", {
      kind: "snapshot-offer",
      term: group.raft("n1").currentTerm,
      last,
      echo: { round: 0, sentTick: 0 },
    });
    group.drain("n3");

    expect(group.at("n3").fetch).toBeUndefined();
    expect(group.at("n3").committed.at(-1)?.index).toBeGreaterThanOrEqual(3);
    expect(group.at("n3").installs).toStrictEqual([]);
  });

  it("becomes a follower by an offer, also while it campaigns (S11)", () => {
    const group = farBehind();
    group.campaign("n3");
    group.heal();
    leaderTime(group, 3);
    expect(group.raft("n3").role).toBe("follower");
    expect(group.at("n3").fetch?.last.index).toBe(6);
  });

  it("that was elected while it fetched needs nothing of it", () => {
    const group = offered();
    const { fetch } = group.at("n3");
    if (fetch === undefined) throw new Error("it fetches");
    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 4);
    group.raft("n1").transferLeadership("n3");
    group.settle();
    expect(group.leader()).toBe("n3");

    group.raft("n3").snapshotFetched(fetch.last);
    group.settle();
    expect(group.at("n3").installs.length).toBe(1);
  });
});

describe("what happens while it fetches", () => {
  /** n1 is gone; n2 leads and gives n3 the entries themselves. */
  function otherwise(): Group {
    const group = farBehind();
    group.heal();
    group.tick("n1", 2);
    group.settle();
    group.isolate("n1");
    for (let i = 0; i < 100 && group.leader() !== "n2"; i++) {
      group.tick("n2");
      group.tick("n3");
      group.settle();
    }
    expect(group.leader()).toBe("n2");
    expect(group.raft("n3").status().lastIndex).toBe(7);
    return group;
  }

  it("the entries come another way: then they stay, also those behind it", () => {
    const group = otherwise();
    expect(group.at("n3").fetch?.last.index).toBe(6);
    group.finishFetch("n3");
    group.settle();
    expect(group.at("n3").installs).toStrictEqual([]);
    expect(group.raft("n3").status()).toMatchObject({ boundaryIndex: 0, lastIndex: 7, durableIndex: 7 });
  });

  it("it may come to lead, with a commit index that is still behind it", () => {
    const group = new Group({
      size: 3,
      start: { n1: { log: [1, 1, 1, 1] }, n2: { log: [1, 1, 1, 1] }, n3: { log: [1, 1, 1, 1] } },
    });
    const last = group.raft("n1").boundaryAt(3);
    group.campaign("n3");
    for (let i = 0; i < 20 && group.raft("n3").role !== "leader"; i++) {
      for (const id of ["n1", "n2", "n3"]) group.drain(id);
      for (const id of ["n1", "n2", "n3"]) if (group.at(id).job !== undefined) group.finishWrite(id);
      const packets = group.wire;
      group.wire = [];
      for (const packet of packets) group.deliver(packet);
    }
    expect(group.raft("n3").status()).toMatchObject({ role: "leader", commitIndex: 0 });

    group.raft("n3").snapshotFetched(last);

    expect(group.raft("n3").status()).toMatchObject({ role: "leader", commitIndex: 0, lastIndex: 5 });
  });

  /** n3 is asked for its vote in the next term, which it has to write down; returns the term before. */
  function campaignOfN2(group: Group): number {
    const { currentTerm } = group.raft("n3").status();
    group.raft("n3").message("n2", {
      kind: "vote",
      term: currentTerm + 1,
      lastLogIndex: 9,
      lastLogTerm: currentTerm,
      transfer: true,
      hint: undefined,
    });
    return currentTerm;
  }

  it("a write is under way when it is installed: its end says nothing of the new log (L7)", () => {
    const group = offered();
    group.slowDisks.add("n3");
    const currentTerm = campaignOfN2(group);
    group.drain("n3");
    expect(group.at("n3").job?.hardState?.currentTerm).toBe(currentTerm + 1);

    group.finishFetch("n3");
    group.drain("n3");
    group.finishWrite("n3");

    expect(group.raft("n3").status().durableIndex).toBe(0);
    group.drain("n3");
    group.finishWrite("n3");
    expect(group.raft("n3").status().durableIndex).toBe(6);
  });

  it("its own next snapshot may be ready before the installed one is on its disk", () => {
    const group = offered();
    group.slowDisks.add("n3");
    group.raft("n3").message("n1", {
      kind: "heartbeat",
      term: group.raft("n1").currentTerm,
      leaderCommit: 3,
      echo: { round: 0, sentTick: 0 },
    });
    group.drain("n3");
    const currentTerm = campaignOfN2(group);
    group.drain("n3");
    group.finishFetch("n3");
    const leader = group.raft("n1");
    const at7 = { ...leader.boundaryAt(6) };
    const body = {
      index: 7,
      term: currentTerm,
      time: at7.time,
      kind: "noop" as const,
      data: new Uint8Array(0),
    };
    const entry = { ...body, chain: chainOf(at7.chain, body) };
    group.raft("n3").message("n2", {
      kind: "append",
      term: currentTerm + 1,
      prevLogIndex: 6,
      prevLogTerm: at7.term,
      prevLogChain: at7.chain,
      entries: [entry],
      leaderCommit: 7,
      echo: { round: 0, sentTick: 0 },
    });
    group.drain("n3");
    expect(group.at("n3").committed.at(-1)?.index).toBe(7);
    group.takeSnapshot("n3", 7);
    group.finishWrite("n3");
    group.drain("n3");

    expect(group.at("n3").job?.snapshot).toMatchObject({
      isInstalled: true,
      boundary: { index: 6 },
      last: { index: 7 },
    });
  });

  it("a heartbeat's answer finds the log cut behind what was to be sent", () => {
    const group = new Group({
      size: 3,
      config: { inflightMessagesMax: 1 },
      start: { n1: { log: [1] }, n2: { log: [1] }, n3: { log: [1] } },
    });
    group.campaign("n1");
    group.settle();
    leaderTime(group, 2);
    // One append is on its way to n3 for ever.
    group.cuts.add("n1>n3");
    for (const text of ["a", "b", "c", "d"]) {
      group.propose("n1", text);
      group.settle();
    }
    group.takeSnapshot("n1", 5);
    group.settle();
    const raft = group.raft("n1");
    raft.snapshotTaken(raft.boundaryAt(6), true);
    raft.message("n3", {
      kind: "heartbeat-response",
      term: raft.currentTerm,
      echo: { round: 0, sentTick: 0 },
    });
    group.cuts.clear();
    group.settle();
    leaderTime(group, 4);
    expect(group.at("n3").fetch?.last.index).toBe(6);
  });
});

describe("an append that comes late", () => {
  it("from before the log's beginning is answered with what is committed", () => {
    const group = new Group({ size: 3, start: { n1: { log: [1] }, n2: { log: [1] }, n3: { log: [1] } } });
    group.campaign("n1");
    group.settle();
    group.propose("n1", "a");
    group.drain("n1");
    const isAppend = ({ to, message }: Packet): boolean => to === "n3" && message.kind === "append";
    const late = group.wire.filter(isAppend);
    expect(late.length).toBe(1);
    group.settle();
    for (const text of ["b", "c"]) {
      group.propose("n1", text);
      group.settle();
      leaderTime(group, 2);
    }
    group.takeSnapshot("n3", 3);
    group.takeSnapshot("n3", 4);
    group.settle();
    expect(group.at("n3").boundary.index).toBe(3);
    group.takeSnapshot("n3", 5);
    group.settle();

    for (const packet of late) group.deliver(packet);
    group.drain("n3");

    const [answer] = group.take(({ from }) => from === "n3");
    expect(answer?.message).toMatchObject({
      kind: "append-response",
      result: { kind: "matched", matchIndex: 5 },
    });
  });
});

describe("compaction", () => {
  it("keeps the log back to the snapshot before the newest (S10)", () => {
    const group = farBehind();
    expect(group.raft("n1").status()).toMatchObject({ boundaryIndex: 4, snapshotIndex: 6 });
    group.at("n1").restart();
    expect(group.raft("n1").status()).toMatchObject({ boundaryIndex: 4, snapshotIndex: 6, commitIndex: 6 });
  });

  it("does not give up the log behind what a live follower is fetching (S4)", () => {
    const group = offered();
    for (const text of ["d", "e"]) {
      group.propose("n1", text);
      group.settle();
      group.takeSnapshot("n1", group.commitIndex("n1"));
      group.settle();
    }
    expect(group.raft("n1").status()).toMatchObject({ boundaryIndex: 6, snapshotIndex: 8 });

    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 4);
    expect(group.at("n3").installs.length).toBe(1);
    expect(group.commitIndex("n3")).toBe(8);
  });

  it("a leader waits for a majority that is fetching, and not for one that has stopped", () => {
    const group = offered();
    group.isolate("n2");
    group.propose("n1", "d");
    // Longer than 3 B; the one that fetches answers, and takes nothing yet.
    const pass = (ticks: number): void => {
      for (let i = 0; i < ticks; i++) {
        group.tick("n1");
        group.tick("n3");
        group.settle();
      }
    };
    pass(80);
    expect(group.raft("n1").status()).toMatchObject({ role: "leader", commitIndex: 6 });

    group.finishFetch("n3");
    pass(4);
    expect(group.commitIndex("n3")).toBe(7);

    group.slowDisks.add("n3");
    group.propose("n1", "e");
    pass(80);
    expect(group.raft("n1").role).not.toBe("leader");
  });

  it("does give it up when there is no room, and offers the newest from then on", () => {
    const group = offered();
    for (const text of ["d", "e"]) {
      group.propose("n1", text);
      group.settle();
      const raft = group.raft("n1");
      raft.snapshotTaken(raft.boundaryAt(group.commitIndex("n1")), false);
      group.settle();
    }
    expect(group.raft("n1").status()).toMatchObject({ boundaryIndex: 7, snapshotIndex: 8 });

    leaderTime(group, 4);
    expect(group.at("n3").fetch?.last.index).toBe(8);
    group.finishFetch("n3");
    group.settle();
    leaderTime(group, 4);
    expect(group.commitIndex("n3")).toBe(8);
  });

  it("does so for a dead one, which is then offered the newest", () => {
    const group = offered();
    group.isolate("n3");
    leaderTime(group, 30);
    for (const text of ["d", "e", "f"]) {
      group.propose("n1", text);
      group.settle();
      group.takeSnapshot("n1", group.commitIndex("n1"));
      group.settle();
    }
    expect(group.raft("n1").status().boundaryIndex).toBe(8);
    group.heal();
    leaderTime(group, 4);
    expect(group.at("n3").fetch?.last.index).toBe(9);
  });

  it("gives up nothing that is not on its disk, however many snapshots are taken while one write runs", () => {
    const group = new Group({
      size: 3,
      start: { n1: { log: [1, 1] }, n2: { log: [1, 1] }, n3: { log: [1, 1] } },
    });
    group.campaign("n1");
    group.settle();
    group.slowDisks.add("n1");
    for (const text of ["a", "b", "c"]) {
      group.propose("n1", text);
      group.settle();
    }
    expect(group.commitIndex("n1")).toBe(6);
    group.takeSnapshot("n1", 4);
    group.takeSnapshot("n1", 5);
    group.takeSnapshot("n1", 6);

    group.slowDisks.clear();
    group.settle();

    expect(group.at("n1").boundary.index).toBe(3);
    expect(group.at("n1").snapshot?.index).toBe(6);
    expect(group.at("n1").entries.map(({ index }) => index)).toStrictEqual([4, 5, 6]);
    group.at("n1").restart();
    group.run(30);
    expect(group.commitIndex("n1")).toBeGreaterThanOrEqual(6);
  });

  it("refuses a snapshot of what was not applied, or of another log", () => {
    const group = farBehind();
    const { raft } = group.at("n1");
    const at = raft.boundaryAt(6);
    expect(() => raft.snapshotTaken({ ...at, index: 7 }, true)).toThrow("not applied");
    group.propose("n1", "d");
    group.settle();
    expect(() => raft.snapshotTaken({ ...at, index: 7 }, true)).toThrow("not of this log");
  });
});

// ---- random schedules ----------------------------------------------------------------------------------------------

/** Runs a group at random and compares everything that anybody applies, by index and chain. */
class Chaos {
  readonly #group: Group;
  readonly #random: Prng;
  /** Chain of every committed entry. */
  readonly #chains = new Map<LogIndex, number>();
  /** Up to where each member has applied; entries it was handed since its start. */
  readonly #applied = new Map<string, LogIndex>();
  readonly #handed = new Map<string, number>();
  readonly #installed = new Map<string, number>();
  readonly counts = { committed: 0, compactions: 0, offers: 0, installs: 0, restarts: 0, lostFetches: 0 };

  constructor(seed: number, size: number) {
    this.#group = new Group({ size });
    this.#random = createPrng(seed, "snapshots");
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      this.#act();
      for (const id of this.#group.members.keys()) {
        this.#group.drain(id);
        this.#note(id);
      }
    }
    // All is well again: everybody comes to have the same.
    this.#group.heal();
    this.#group.slowDisks.clear();
    for (let i = 0; i < 400; i++) {
      this.#group.run(1);
      for (const [id, member] of this.#group.members) {
        if (member.fetch !== undefined) this.#group.finishFetch(id);
        this.#note(id);
      }
    }
    const commits = [...this.#group.members.keys()].map((id) => this.#group.commitIndex(id));
    expect(new Set(commits).size, commits.join()).toBe(1);
    this.counts.committed = commits[0] ?? 0;
  }

  #act(): void {
    const random = this.#random;
    const ids = [...this.#group.members.keys()];
    const id = random.pick(ids);
    const member = this.#group.at(id);
    switch (random.between(0, 11)) {
      case 0:
      case 1:
        return this.#group.tick(id, random.between(1, 12));
      case 2:
      case 3:
        for (const one of ids) if (this.#group.raft(one).role === "leader") this.#group.propose(one, "x");
        return;
      case 4:
      case 5:
        if (member.job !== undefined) this.#group.finishWrite(id);
        return;
      case 6:
      case 7: {
        // In any order, some twice, some never.
        const [packet] = this.#group.take(
          (
            (n) => () =>
              n-- === 0
          )(random.between(0, 5)),
        );
        if (packet === undefined) return;
        if (random.chance(0.9)) this.#group.deliver(packet);
        if (random.chance(0.1)) this.#group.wire.push(packet);
        return;
      }
      case 8: {
        const upTo = Math.min(this.#applied.get(id) ?? 0, this.#group.raft(id).status().lastIndex);
        const { boundaryIndex } = this.#group.raft(id).status();
        if (upTo <= boundaryIndex || random.chance(0.5)) return;
        this.counts.compactions++;
        return this.#group.takeSnapshot(id, upTo);
      }
      case 9:
        if (member.fetch === undefined) return;
        if (random.chance(0.3)) {
          this.counts.lostFetches++;
          member.fetch = undefined;
          return;
        }
        return this.#group.finishFetch(id);
      case 10:
        if (!random.chance(0.2)) return;
        this.counts.restarts++;
        this.#applied.set(id, member.snapshot?.index ?? 0);
        this.#handed.set(id, 0);
        this.#installed.set(id, 0);
        return member.restart();
      default:
        switch (random.between(0, 9)) {
          case 0:
            return this.#group.heal();
          case 1:
            return this.#group.isolate(id);
          default:
            for (let i = 0; i < 3; i++) this.#deliverAll();
        }
    }
  }

  #deliverAll(): void {
    const packets = this.#group.wire;
    this.#group.wire = [];
    for (const packet of packets) this.#group.deliver(packet);
    for (const [id, { job }] of this.#group.members) {
      this.#group.drain(id);
      if (job !== undefined && this.#group.at(id).job === job) this.#group.finishWrite(id);
      this.#group.drain(id);
    }
  }

  /** What it was handed continues what it had, and is what everybody else was handed there. */
  #note(id: string): void {
    const member = this.#group.at(id);
    const installs = member.installs.slice(this.#installed.get(id) ?? 0);
    this.#installed.set(id, member.installs.length);
    let applied = this.#applied.get(id) ?? 0;
    const entries: readonly LogBoundary[] = member.committed.slice(this.#handed.get(id) ?? 0);
    this.#handed.set(id, member.committed.length);
    const all = [...entries, ...installs].sort((a, b) => a.index - b.index);
    for (const one of all) {
      const isInstall = installs.includes(one);
      if (isInstall) expect(one.index).toBeGreaterThan(applied);
      else expect(one.index, id).toBe(applied + 1);
      if (isInstall) this.counts.installs++;
      applied = one.index;
      const known = this.#chains.get(one.index);
      if (known === undefined) this.#chains.set(one.index, one.chain);
      else expect(one.chain, `entry ${one.index} at ${id}`).toBe(known);
    }
    this.#applied.set(id, applied);
    this.counts.offers += member.trace.filter(({ kind }) => kind === "offer").length;
    member.trace = [];
  }
}

describe("at random", () => {
  it("nobody ever applies anything else, and all come together in the end", () => {
    const seeds = Number(process.env["SNAPSHOT_SEEDS"] ?? 100);
    const totals = { committed: 0, compactions: 0, offers: 0, installs: 0, restarts: 0, lostFetches: 0 };
    for (let seed = 1; seed <= seeds; seed++) {
      const chaos = new Chaos(seed, seed % 3 === 0 ? 5 : 3);
      try {
        chaos.run(1_500);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
      for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += chaos.counts[name];
    }
    // Else nothing was shown.
    expect(totals.compactions).toBeGreaterThan(seeds);
    expect(totals.installs).toBeGreaterThan(seeds / 3);
    expect(totals.lostFetches).toBeGreaterThan(seeds / 10);
    expect(totals.restarts).toBeGreaterThan(seeds);
  });
});
