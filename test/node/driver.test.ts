/** The driver's own rules: batches, time, answers, bounds. Consensus and locks have their own tests. */
import { describe, expect, it } from "vitest";
import { makeSnapshot } from "../../src/node/snapshot-maker.ts";
import type { Entry } from "../../src/raft/types.ts";
import { MemoryFolder } from "../sim/memory-snapshots.ts";
import { Lone, tickMs } from "./harness.ts";

const three = { voters: ["n1@1", "n2@1", "n3@1"] };

describe("founding", () => {
  it("the first leader proposes the settings once, after the empty entry of its term", () => {
    const lone = new Lone().lead();

    expect(lone.kinds()).toEqual(["noop", "found"]);
    expect(lone.node.staleView().state.fence).toBe(1_700_000_000 * 2 ** 20);
  });

  it("commands that came before it wait for it", () => {
    const lone = new Lone();
    while (lone.node.status().role !== "leader") {
      lone.pass(tickMs);
      lone.isDiskSlow = lone.node.status().role === "leader";
    }
    const opened = lone.open("s");
    lone.quicken();

    expect(lone.kinds()).toEqual(["noop", "found", "open-session"]);
    expect(opened.reply).toMatchObject({ kind: "applied", outcome: { kind: "session" } });
  });
});

describe("batches", () => {
  it("what came while a write ran goes into the next one, under one stamp taken when it closes", () => {
    const lone = new Lone().lead();
    lone.isDiskSlow = true;
    lone.open("s");
    lone.settle();
    for (const id of ["t", "u", "v"]) lone.open(id);
    lone.pass(200);
    lone.quicken();

    const times = lone.applied.filter(({ kind }) => kind === "open-session").map(({ entry }) => entry.time);
    const [first = 0, second = 0] = times;
    expect(times).toEqual([first, second, second, second]);
    expect(second - first).toBeGreaterThanOrEqual(200);
  });

  it("keepalives wait for company, at most until the next tick, and share an entry", () => {
    const lone = new Lone().lead();
    lone.open("s");
    lone.open("t");
    lone.settle();
    const before = lone.applied.length;
    const renewals = [lone.keepAlive("s"), lone.keepAlive("t")];
    // A turn for another reason, between two ticks, does not hurry them.
    lone.node.read(() => undefined);
    lone.settle();
    expect(lone.applied.length).toBe(before);

    lone.pass(tickMs);

    expect(lone.kinds().slice(before)).toEqual(["keep-alive"]);
    for (const { reply } of renewals) expect(reply).toMatchObject({ outcome: { kind: "renewed" } });
  });

  it("a keepalive goes in front of the entry that it travels with", () => {
    const lone = new Lone().lead();
    lone.open("s");
    lone.settle();
    const before = lone.applied.length;
    lone.keepAlive("s");
    lone.acquire("s", "c");
    lone.settle();

    expect(lone.kinds().slice(before)).toEqual(["keep-alive", "acquire"]);
  });
});

describe("time", () => {
  it("an idle cluster writes nothing", () => {
    const lone = new Lone().lead();

    lone.pass(120_000);

    expect(lone.kinds()).toEqual(["noop", "found"]);
  });

  it("while a session lives it is logged every quarter of its ttl, and the session ends when it is due", () => {
    const lone = new Lone().lead();
    lone.open("s", 8_000);
    lone.settle();
    lone.pass(8_100);

    expect(lone.sessions()).toBe(0);
    const logged = lone.kinds().filter((kind) => kind === "advance-time").length;
    expect(logged).toBeGreaterThanOrEqual(4);
    expect(logged).toBeLessThanOrEqual(6);
  });

  it("a long stall of the process counts as two ticks: nobody expires by it", () => {
    const lone = new Lone().lead();
    lone.open("s");
    lone.settle();
    lone.monotonicMs += 3_600_000;
    lone.pass(1_000);

    expect(lone.sessions()).toBe(1);
    expect(lone.node.staleView().clusterTimeMs).toBeLessThan(3_000);
  });
});

describe("answers", () => {
  it("a proposal is answered when it applied, not when it was appended", () => {
    const lone = new Lone().lead();
    lone.isDiskSlow = true;
    const opened = lone.open("s");
    lone.settle();
    expect(opened.reply).toBeUndefined();

    lone.finishWrite();

    expect(opened.reply).toMatchObject({ kind: "applied" });
  });

  it("while nobody leads nothing is proposed or read, and the answer says so", () => {
    const lone = new Lone(three);
    lone.pass(500);
    const replies: unknown[] = [];
    lone.node.read((reply) => replies.push(reply));

    expect([lone.open("s").reply, lone.keepAlive("s").reply, ...replies]).toEqual(
      Array(3).fill({ kind: "not-leader", leader: undefined }),
    );
  });

  it("leadership lost: what was appended is unknown, what was only queued never happened", () => {
    const lone = new Lone(three).winAlone();
    lone.isDiskSlow = true;
    const appended = lone.open("s");
    lone.settle();
    const queued = lone.open("t");
    const renewal = lone.keepAlive("s");
    const reads: unknown[] = [];
    lone.node.read((reply) => reads.push(reply));

    lone.depose();

    expect(appended.reply).toEqual({ kind: "indeterminate" });
    for (const reply of [queued.reply, renewal.reply, ...reads]) {
      expect(reply).toEqual({ kind: "not-leader", leader: "n2" });
    }
  });

  it("a read shows what was applied before it", () => {
    const lone = new Lone().lead();
    lone.open("s");
    lone.settle();
    const seen: number[] = [];
    lone.node.read((reply) => seen.push(reply.kind === "confirmed" ? reply.view.state.sessions.size : -1));
    lone.settle();

    expect(seen).toEqual([1]);
  });

  it("a disk error ends everything: the host is told, nothing is answered", () => {
    const lone = new Lone().lead();
    lone.isDiskSlow = true;
    const opened = lone.open("s");
    lone.settle();
    lone.finishWrite(new Error("EIO"));
    lone.pass(1_000);

    expect(lone.failure?.message).toBe("EIO");
    expect(opened.reply).toBeUndefined();
  });
});

/** `s` waits with `waits` for what it holds; whoever is gone for a second is cancelled. */
function queueing(): Lone {
  const lone = new Lone({ settings: { disconnectGraceMs: 1_000 } }).lead();
  lone.open("s", 600_000);
  lone.acquire("s", "holder");
  lone.acquire("s", "waits", 600_000);
  lone.settle();
  return lone;
}

describe("clients that go away", () => {
  it("a waiting claim is cancelled, but not while another request is attached to it", () => {
    const lone = new Lone().lead();
    lone.contend();
    const detach = lone.node.watchClaim("d", () => undefined);
    lone.node.abandon("d");
    lone.settle();
    expect(lone.claimState("d")).toBe("waiting");

    detach();
    lone.node.abandon("d");
    lone.settle();

    expect(lone.claimState("d")).toBe("ended");
  });

  it("a grant that is given back is named by no other answer either: not as held already, not as shrunk", () => {
    const lone = new Lone().lead();
    lone.open("s", 60_000);
    lone.settle();
    const claim = (claimId: string, semaphore: boolean) => ({
      kind: "acquire" as const,
      sessionId: "s",
      claimId,
      resources: [
        semaphore
          ? { kind: "semaphore" as const, name: "p", permits: 3, capacity: 3 }
          : { kind: "lock" as const, name: "a", mode: "exclusive" as const },
      ],
      waitMs: 0,
      lockDelayMs: 0,
      maxHoldMs: undefined,
      owner: semaphore ? undefined : "job",
      metadata: [],
      cancelOnDisconnect: true,
    });
    // The client asks, its connection breaks, it asks again by another one: all before the first was applied.
    lone.node.propose(claim("c1", false), () => lone.node.abandon("c1"));
    const again = lone.propose(claim("c2", false));
    lone.settle();
    lone.node.propose(claim("p1", true), () => lone.node.abandon("p1"));
    const shrunk = lone.propose({ kind: "shrink", sessionId: "s", claimId: "p1", permits: 1 });
    lone.settle();

    expect(again.reply).toEqual({ kind: "indeterminate" });
    expect(shrunk.reply).toMatchObject({ kind: "applied", outcome: { kind: "claim-ended" } });
    expect(lone.propose(claim("c3", false))).toBeDefined();
    lone.settle();
    expect(lone.node.staleView().state.claims.get("c3")?.state).toBe("held");
  });

  it("a grant that nobody heard of is given back, and named in no answer before", () => {
    const lone = new Lone().lead();
    lone.contend();
    // The release is on its way to disk when d's client goes; a retry of d comes while the cancels are under way.
    lone.isDiskSlow = true;
    lone.release("s", "c");
    lone.settle();
    lone.node.abandon("d");
    const retry = lone.acquire("s", "d", 6_000);
    lone.quicken();

    expect(lone.claimState("d")).toBe("ended");
    expect(retry.reply).toMatchObject({ kind: "applied", outcome: { kind: "claim-ended" } });
  });

  it("a grant that an answer has named stays", () => {
    const lone = new Lone().lead();
    lone.contend();
    lone.node.noteAnswered("c");

    lone.node.abandon("c");
    lone.settle();

    expect(lone.claimState("c")).toBe("held");
  });

  it("a grant of an older term stays: another leader may have answered it", () => {
    const lone = new Lone(three).winAlone();
    lone.open("s", 60_000);
    lone.acquire("s", "c");
    lone.commit();
    lone.node.noteAnswered("c");
    lone.depose();
    lone.winAlone();
    // A repetition reaches this leader and its connection is gone by then.
    lone.acquire("s", "c");
    lone.commit();
    lone.node.abandon("c");
    lone.commit();

    expect(lone.claimState("c")).toBe("held");
  });

  it("one claim that is polled all the time does not keep the others alive", () => {
    const lone = new Lone().lead();
    lone.open("s", 600_000);
    lone.acquire("s", "holder");
    for (const id of ["polled", "gone"]) lone.acquire("s", id, 600_000);
    lone.settle();
    for (const id of ["polled", "gone"]) lone.node.noteAnswered(id);
    for (let i = 0; i < 4; i++) {
      lone.pass(5_000);
      lone.node.noteAnswered("polled");
    }

    expect([lone.claimState("polled"), lone.claimState("gone")]).toEqual(["waiting", "ended"]);
  });

  it("a claim is not cancelled while a request for it is on its way, and its time begins when that one ends", () => {
    const lone = queueing();
    lone.node.noteAnswered("waits");
    lone.pass(900);
    const leave = lone.node.attend("s", "waits");
    lone.pass(5_000);
    leave();
    lone.pass(900);
    expect(lone.claimState("waits")).toBe("waiting");

    lone.pass(200);

    expect(lone.claimState("waits")).toBe("ended");
  });

  it("a claim that lost its request while another one was under way is given up when that one ends", () => {
    const lone = queueing();
    const leave = lone.node.attend("s", "waits");
    lone.node.abandon("waits");
    lone.pass(2_000);
    expect(lone.claimState("waits")).toBe("waiting");

    leave();
    lone.pass(1_200);

    expect(lone.claimState("waits")).toBe("ended");
  });

  it("nobody but its own session keeps a claim by asking for it", () => {
    const lone = queueing();
    lone.node.noteAnswered("waits");
    lone.node.attend("stranger", "waits");
    lone.pass(1_200);

    expect(lone.claimState("waits")).toBe("ended");
  });

  it("impatient clients keep nobody's read waiting", () => {
    const lone = new Lone({ queued: 10_000 }).lead();
    lone.open("s", 600_000);
    lone.settle();
    let answered = 0;
    const hangUp = (i: number): void => {
      const acquire = { kind: "acquire", sessionId: "s", claimId: `c${i}`, waitMs: 0 } as const;
      const resources = [{ kind: "lock", name: `l${i}`, mode: "exclusive" }] as const;
      const rest = {
        lockDelayMs: 0,
        maxHoldMs: undefined,
        owner: undefined,
        metadata: [],
        cancelOnDisconnect: true,
      };
      lone.node.propose({ ...acquire, resources, ...rest }, () => lone.node.abandon(`c${i}`));
    };
    lone.isDiskSlow = true;
    for (let i = 0; i < 50; i++) {
      hangUp(i);
      if (i === 5) lone.node.read(() => answered++);
      lone.finishWrite();
      lone.settle();
    }
    expect(answered).toBe(1);

    lone.quicken();
    lone.pass(200);
    expect(lone.node.staleView().state.heldCount).toBe(0);
  });

  it("a claim answered as waiting and polled no more is cancelled after its time", () => {
    const lone = new Lone({ settings: { disconnectGraceMs: 1_000 } }).lead();
    lone.contend(60_000);
    lone.node.noteAnswered("d");
    lone.pass(900);
    const detach = lone.node.watchClaim("d", () => undefined);
    lone.pass(2_000);
    detach();
    lone.node.noteAnswered("d");
    lone.pass(900);
    expect(lone.claimState("d")).toBe("waiting");
    lone.pass(200);

    expect(lone.claimState("d")).toBe("ended");
  });

  it("watchers hear of a grant once, and of the end of leadership", () => {
    const lone = new Lone().lead();
    lone.contend();
    const heard: (string | undefined)[] = [];
    lone.node.watchClaim("d", (claim) => heard.push(claim?.state));
    lone.release("s", "c");
    lone.settle();
    lone.pass(1_000);
    expect(heard).toEqual(["held"]);

    const deposed = new Lone(three).winAlone();
    deposed.node.watchClaim("x", (claim) => heard.push(claim?.state));
    deposed.depose();

    expect(heard).toEqual(["held", undefined]);
  });
});

describe("a long log", () => {
  it("is applied in shares, with ticks and messages in between", () => {
    const first = new Lone().lead();
    first.open("s", 60_000);
    for (let i = 0; i < 5_000; i++) {
      first.release("s", `c${i}`);
      if (i % 50 === 0) first.settle();
    }
    first.settle();
    const again = new Lone({ entries: first.applied.map(({ entry }) => entry) });
    const shares: number[] = [];
    again.eachTurn = () => shares.push(again.applied.length);
    again.lead();

    expect(again.node.staleView().revision).toBeGreaterThan(5_000);
    const steps = shares.map((count, i) => count - (shares[i - 1] ?? 0));
    // A finished write and a tick may each do a share between two deferred turns.
    expect(Math.max(...steps)).toBeLessThanOrEqual(1_500);
  });

  it("is left where it stands when a snapshot of more than the rest of it is installed", () => {
    const log = logOf(4_100);
    const { term, time, chain } = log[4_099] as Entry;
    const last = { index: 4_100, term, time, chain };
    const now = (step: () => void): void => step();
    const folder = new MemoryFolder();
    const take = (from: number, give: (some: readonly Entry[]) => void): void => give(log.slice(from - 1));
    makeSnapshot(
      folder.open({ later: now }),
      { base: 0, header: { clusterId: "lone", ...three, last } },
      take,
      () => undefined,
    );
    const follower = new Lone({ ...three, snapshotFiles: new MemoryFolder().open({ later: now }) });
    const said = { term, echo: { round: 0, sentTick: 0 } };
    const previous = { prevLogIndex: 0, prevLogTerm: 0, prevLogChain: 0, leaderCommit: 4_000 };
    const entries = log.slice(0, 4_000);
    follower.node.message("n2@1", { kind: "append", ...said, ...previous, entries });
    follower.node.message("n2@1", { kind: "snapshot-offer", ...said, last });

    // A tick is a turn of the log, and so is the end of a write; those that are deferred do not come before the last part.
    follower.node.tick();
    follower.finishWrite();
    const bytes = folder.whole(4_100) as Uint8Array;
    const part = { index: 4_100, offset: 0, total: bytes.length, bytes };
    follower.node.message("n2@1", { kind: "snapshot-part", ...part });
    follower.settle();

    expect(follower.applied.length).toBeGreaterThan(0);
    expect(follower.applied.length).toBeLessThan(4_000);
    expect(follower.node.staleView().revision).toBe(4_100);
    expect(follower.failure).toBeUndefined();
  });
});

/** So many committed entries of a single member. */
function logOf(count: number): readonly Entry[] {
  const lone = new Lone().lead();
  lone.open("s", 60_000);
  while (lone.applied.length < count) {
    for (let i = 0; i < 50; i++) lone.release("s", `c${lone.applied.length}-${i}`);
    lone.settle();
  }
  return lone.applied.slice(0, count).map(({ entry }) => entry);
}

describe("what this node says of itself", () => {
  it("a word of a deposed leader does not make it fresh", () => {
    const lone = new Lone(three);
    lone.depose();
    lone.monotonicMs += 60_000;
    lone.node.message("n3@1", {
      kind: "heartbeat",
      term: 3,
      leaderCommit: 0,
      echo: { round: 0, sentTick: 0 },
    });

    expect(lone.node.status().quietMs).toBeGreaterThanOrEqual(60_000);
  });

  it("a leader whose process is gone is nobody to send anybody to", () => {
    const lone = new Lone(three);
    lone.depose();
    expect(lone.node.status().leader).toBe("n2");
    lone.node.leaderLost("n2@1");

    expect(lone.node.status().leader).toBeUndefined();
  });

  it("whoever is not a founder has no say", () => {
    const lone = new Lone(three);
    lone.node.message("evil@1", {
      kind: "heartbeat",
      term: 10 ** 6,
      leaderCommit: 10 ** 9,
      echo: { round: 0, sentTick: 0 },
    });
    lone.settle();

    expect(lone.node.status()).toMatchObject({ term: 0, leader: undefined });
  });
});

describe("bounds", () => {
  it("what no replica could read is never written, and the rest of its batch is", () => {
    const lone = new Lone().lead();
    lone.isDiskSlow = true;
    lone.open("first");
    lone.settle();
    const before = lone.open("s");
    const poison = lone.propose({
      kind: "acquire",
      sessionId: "s",
      claimId: "c",
      resources: [{ kind: "lock", name: "a", mode: "exclusive" }],
      waitMs: 0,
      lockDelayMs: undefined,
      maxHoldMs: undefined,
      owner: "o".repeat(300),
      metadata: [],
      cancelOnDisconnect: true,
    });
    const after = lone.open("t");
    lone.quicken();

    expect(poison.reply).toEqual({ kind: "unwritable" });
    expect([before.reply?.kind, after.reply?.kind]).toEqual(["applied", "applied"]);
    expect(lone.sessions()).toBe(3);
  });

  it("a full queue refuses, and what it refused never happened", () => {
    const lone = new Lone({ queued: 2 }).lead();
    lone.isDiskSlow = true;
    lone.open("s");
    lone.settle();
    lone.open("t");
    lone.open("u");

    expect(lone.open("v").reply).toEqual({ kind: "overloaded", reason: "queue" });
    lone.quicken();
    expect(lone.sessions()).toBe(3);
  });

  it("a full log refuses new claims and sessions; releases, keepalives and time pass", () => {
    const lone = new Lone({ logBytes: 1_000 }).lead();
    lone.contend();
    lone.logBytes = 1_000;

    expect(lone.open("t").reply).toEqual({ kind: "overloaded", reason: "log-full" });
    expect(lone.acquire("s", "e").reply).toEqual({ kind: "overloaded", reason: "log-full" });
    const released = lone.release("s", "c");
    const renewed = lone.keepAlive("s");
    lone.pass(100);
    for (const { reply } of [released, renewed]) expect(reply).toMatchObject({ kind: "applied" });
    lone.pass(7_000);
    expect(lone.sessions()).toBe(0);
  });

  it("an exhausted log takes nothing, and the cluster's time stands still: nobody expires for want of room", () => {
    const lone = new Lone({ logBytes: 1_000 }).lead();
    lone.contend();
    lone.logBytes = 1_100;
    const before = lone.applied.length;

    expect(lone.keepAlive("s").reply).toEqual({ kind: "overloaded", reason: "log-full" });
    expect(lone.release("s", "c").reply).toEqual({ kind: "overloaded", reason: "log-full" });
    lone.pass(60_000);

    expect(lone.applied.length).toBe(before);
    expect(lone.sessions()).toBe(1);
  });
});
