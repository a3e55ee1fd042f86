import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { createFrameDecoder, encodeFrame } from "../../src/codec/frame.ts";
import { founderDigest, type MemberAddress } from "../../src/transport/founding.ts";
import { encodeHello, type Hello } from "../../src/transport/hello.ts";
import { createLink } from "../../src/transport/link.ts";
import { createTcpTransport, ListenError } from "../../src/transport/tcp-transport.ts";
import {
  closeAll,
  clusterIdA,
  foundedIdentity,
  freeAddresses,
  heartbeat,
  incarnationOf,
  isConnected,
  listenOn,
  newIdentity,
  rosterOf,
  settle,
  startMember,
  until,
} from "./net.ts";

afterEach(closeAll);

const names = ["n1", "n2"];
const founded = (name: string) => foundedIdentity(name, names);

describe("messages", () => {
  it("arrive from the member that proved its id, in the order they were sent", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));

    for (let round = 0; round < 500; round++) n1.transport.send(n2.id, heartbeat(round));
    n2.transport.send(n1.id, heartbeat(7));
    await until(() => n2.received.length === 500 && n1.received.length === 1);

    expect(n2.received.map(({ message }) => message)).toEqual(
      Array.from({ length: 500 }, (_, round) => heartbeat(round)),
    );
    expect(new Set(n2.received.map(({ from }) => from))).toEqual(new Set([n1.id]));
    expect(n1.received).toEqual([{ from: n2.id, message: heartbeat(7) }]);
  });

  it("may be far larger than what a stranger may send", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2"));
    const entry = {
      index: 1,
      term: 1,
      time: 0,
      kind: "command",
      chain: 0,
      data: new Uint8Array(300_000),
    } as const;

    n1.transport.send(n2.id, {
      kind: "append",
      term: 1,
      prevLogIndex: 0,
      prevLogTerm: 0,
      prevLogChain: 0,
      entries: [entry],
      leaderCommit: 0,
      echo: { round: 0, sentTick: 0 },
    });
    await until(() => n2.received.length > 0);

    const [received] = n2.received;
    expect(received?.message.kind === "append" && received.message.entries[0]?.data.length).toBe(300_000);
  });

  it("to another incarnation, to a stranger and to oneself are dropped", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2"));

    n1.transport.send(`n2@${incarnationOf("n2", "b")}`, heartbeat(1));
    n1.transport.send("n9@0", heartbeat(2));
    n1.transport.send(n1.id, heartbeat(3));
    n1.transport.send(n2.id, heartbeat(4));
    await until(() => n2.received.length > 0);

    expect(n2.received).toEqual([{ from: n1.id, message: heartbeat(4) }]);
    expect(n1.received).toEqual([]);
  });

  it("flow again after a member was stopped and started", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const before = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2"));
    await before.transport.close();
    await until(() => !isConnected(n1, "n2"));

    const n2 = await startMember(founded("n2"), members, { bootId: "second", step: () => 2 });
    await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));
    n1.transport.send(n2.id, heartbeat(1));
    n2.transport.send(n1.id, heartbeat(2));
    await until(() => n2.received.length === 1 && n1.received.length === 1);

    expect(n1.refusals).toEqual([]);
    expect(n2.refusals).toEqual([]);
  });

  it("of one loop turn leave in one write; what a slow reader leaves waiting is bounded, the newest dropped", async () => {
    const writes: Buffer[] = [];
    let goOn: (() => void) | undefined;
    const socket = new Duplex({
      writableHighWaterMark: 1,
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        writes.push(chunk);
        goOn = done;
      },
    });
    const limits = { frameBytesMax: 1000, queueBytesMax: 1000, queueFramesMax: 5 };
    const link = createLink(socket, limits, { frame: () => undefined, closed: () => undefined });
    const body = (value: number): Uint8Array => new Uint8Array(10).fill(value);

    const first = [1, 2, 3].map((value) => link.send("raft", body(value)));
    await until(() => writes.length === 1);
    const second = [4, 5, 6, 7, 8, 9, 10].map((value) => link.send("raft", body(value)));
    const tooLarge = [link.send("raft", new Uint8Array(1000))];
    await settle(20);
    const whileBlocked = writes.length;
    goOn?.();
    await until(() => writes.length === 2);

    expect(first).toEqual([true, true, true]);
    expect(second).toEqual([true, true, true, true, true, false, false]);
    expect(tooLarge).toEqual([false]);
    expect(whileBlocked).toBe(1);
    const sent = writes.map((bytes) => createFrameDecoder(1000).push(bytes));
    expect(sent.map((frames) => frames.map((frame) => frame[1]))).toEqual([
      [1, 2, 3],
      [4, 5, 6, 7, 8],
    ]);
  });

  it("to a member that does not read stop at the byte bound", () => {
    const socket = new Duplex({ read: () => undefined, write: () => undefined });
    const limits = { frameBytesMax: 1000, queueBytesMax: 100, queueFramesMax: 1000 };
    const link = createLink(socket, limits, { frame: () => undefined, closed: () => undefined });

    const sent = Array.from({ length: 20 }, () => link.send("raft", new Uint8Array(10)));

    expect(sent.filter((accepted) => accepted).length).toBeLessThanOrEqual(10);
    expect(sent[0]).toBe(true);
  });
});

describe("listening", () => {
  it("on a port in use is an error that names it", async () => {
    const members = await freeAddresses(names);
    const squatter = await listenOn((members[0] as MemberAddress).port);

    const starting = startMember(founded("n1"), members);

    await expect(starting).rejects.toThrow(ListenError);
    await expect(starting).rejects.toThrow(
      `127.0.0.1:${members[0]?.port}: the port is in use by another process`,
    );
    squatter.close();
  });

  it("on port 0 takes any and says which", async () => {
    const [n1] = await freeAddresses(["n1"]);
    const transport = await createTcpTransport({
      clusterName: "test",
      name: "n1",
      members: [n1 as MemberAddress],
      listen: { host: "127.0.0.1", port: 0 },
      identity: newIdentity("n1"),
      bootId: "b",
      step: () => 0,
      knowsLeader: () => false,
      random: () => 0,
      events: {
        message: () => undefined,
        leaderLost: () => undefined,
        refused: () => undefined,
        notice: () => undefined,
      },
    });

    expect(transport.port).toBeGreaterThan(0);
    await Promise.all([transport.close(), transport.close()]);
  });
});

describe("a leader counts as lost", () => {
  it("when its connections close and the next connect is refused", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const dead = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2") && dead.answered);

    dead.kill();
    await until(() => n1.lost.length > 0);

    expect(n1.lost[0]).toBe(dead.member);
  });

  it("when it says goodbye, though it still listens", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const polite = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2"));

    polite.sockets[0]?.write(encodeFrame([Uint8Array.of(5)]));
    await until(() => n1.lost.length > 0);

    expect(n1.lost).toEqual([polite.member]);
    polite.kill();
  });

  it("when close() was called on it", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));

    await n2.transport.close();
    await until(() => n1.lost.length > 0);

    expect(n1.lost[0]).toBe(n2.id);
    expect(n2.lost).toEqual([]);
  });

  it("when its incarnation comes back under another boot id", async () => {
    const members = await freeAddresses(names);
    const timing = { aliveWithinMs: 50, silentTicksMax: 1_000_000 };
    const n1 = await startMember(founded("n1"), members, { timing });
    const silent = await puppet(members, "n2", { answersPings: false });
    await until(() => isConnected(n1, "n2"));

    const [address] = members;
    const second = await dialAs(members, "n2", "n1", { bootId: "second" }, address as MemberAddress);
    await until(() => n1.lost.length > 0);
    await until(() => silent.sockets[0]?.readableEnded === true);

    expect(n1.lost[0]).toBe(silent.member);
    expect(n1.notices.join()).not.toContain("duplicate");
    second.destroy();
    silent.kill();
  });

  it("when a probe finds its port refused, again and again", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members, { timing: { backoffMsMax: 1_000_000 } });
    const dead = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2") && dead.answered);
    dead.kill();
    await until(() => n1.lost.length > 0);
    const before = n1.lost.length;

    n1.transport.probe(dead.member);
    await until(() => n1.lost.length > before);

    expect(n1.lost.at(-1)).toBe(dead.member);
  });
});

describe("a leader does not count as lost", () => {
  it("when its connections are reset while it still listens", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const alive = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2") && alive.answered);

    for (let times = 0; times < 5; times++) {
      const count = alive.sockets.length;
      for (const socket of alive.sockets) socket.resetAndDestroy();
      await until(() => alive.sockets.length > count && isConnected(n1, "n2"));
    }

    expect(n1.lost).toEqual([]);
    alive.kill();
  });

  it("when it accepts and ends at once, as a process without file descriptors does", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const starved = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2") && starved.answered);

    starved.mode = "end";
    for (const socket of starved.sockets) socket.destroy();
    await until(() => starved.ended > 5);
    n1.transport.probe(starved.member);
    await until(() => starved.ended > 8);

    expect(n1.lost).toEqual([]);
    starved.kill();
  });

  it("when a connect is refused while its own connection stands", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const deaf = await puppet(members, "n2");
    await until(() => isConnected(n1, "n2"));
    const standing = await dialAs(members, "n2", "n1", {}, members[0] as MemberAddress);
    await until(() => deaf.answered);

    deaf.kill();
    await until(() => !isConnected(n1, "n2"));
    await settle();
    const whileStanding = [...n1.lost];
    standing.destroy();
    await until(() => n1.lost.length > 0);

    expect(whileStanding).toEqual([]);
    expect(n1.lost[0]).toBe(deaf.member);
  });

  it("when a probe is answered, or nobody was ever there", async () => {
    const members = await freeAddresses(["n1", "n2", "n3"]);
    const identity = (name: string) => foundedIdentity(name, ["n1", "n2", "n3"]);
    const n1 = await startMember(identity("n1"), members);
    const n2 = await startMember(identity("n2"), members);
    await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));

    n1.transport.probe(n2.id);
    n1.transport.probe(`n3@${incarnationOf("n3")}`);
    n1.transport.probe("n9@0");
    await settle();

    expect(n1.lost).toEqual([]);
    expect(isConnected(n1, "n2")).toBe(true);
  });
});

describe("founding over sockets", () => {
  it("gives all the same cluster, sends nothing before and everything after", async () => {
    const three = ["n1", "n2", "n3"];
    const members = await freeAddresses(three);
    const nodes = await Promise.all(three.slice(0, 2).map((name) => startMember(newIdentity(name), members)));
    await until(() => nodes.every(({ notices }) => notices.some((text) => text.includes("waiting for"))));
    const [n1, n2] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    await until(() => isConnected(n1, "n2"));
    n1.transport.send(n2.id, heartbeat(0));
    nodes.push(await startMember(newIdentity("n3"), members));

    const foundations = await Promise.all(nodes.map(({ transport }) => transport.foundation()));
    for (const [i, node] of nodes.entries()) {
      const { clusterId, roster } = foundations[i] as (typeof foundations)[0];
      node.transport.enterCluster({
        ...newIdentity(three[i] as string),
        state: "founded",
        clusterId,
        founders: roster,
      });
    }
    await until(() => {
      for (const from of nodes) for (const to of nodes) from.transport.send(to.id, heartbeat(1));
      return nodes.every(({ received }) => new Set(received.map(({ from }) => from)).size === 2);
    });

    expect(foundations[0]?.roster).toEqual(rosterOf(three));
    expect(foundations[1]).toEqual(foundations[0]);
    expect(foundations[2]).toEqual(foundations[0]);
    expect(
      nodes.flatMap(({ received }) => received).every(({ message }) => message.kind === "heartbeat"),
    ).toBe(true);
    expect(n2.received.some(({ message }) => "echo" in message && message.echo.round === 0)).toBe(false);
    expect(nodes.flatMap(({ refusals }) => refusals)).toEqual([]);
    expect(nodes.flatMap(({ lost }) => lost)).toEqual([]);
  });

  it("is immediate for a single member", async () => {
    const members = await freeAddresses(["n1"]);
    const n1 = await startMember(newIdentity("n1"), members);

    const { roster, clusterId } = await n1.transport.foundation();

    expect(roster).toEqual(rosterOf(["n1"]));
    expect(clusterId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("is adopted by one that crashed before it knew", async () => {
    const members = await freeAddresses(names);
    await startMember(founded("n1"), members);
    const n2 = await startMember(newIdentity("n2"), members);

    expect(await n2.transport.foundation()).toEqual({ clusterId: clusterIdA, roster: rosterOf(names) });
    expect(n2.refusals).toEqual([]);
  });

  it("refuses a wiped member with exit code 78", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(newIdentity("n2", "f"), members);

    await until(() => n2.refusals.length > 0);

    expect(n2.refusals[0]).toMatchObject({ code: "reinitialised", exitCode: 78 });
    expect(n2.refusals[0]?.text).toContain("holdfast server --config FILE --id n2 --data DIR");
    expect(n1.refusals).toEqual([]);
  });
});

describe("refusals", () => {
  it("stop an older copy of a directory with exit code 70", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members, { step: () => 50 });
    await until(() => isConnected(n1, "n2"));
    await n2.transport.close();

    const older = await startMember(founded("n2"), members, { step: () => 49, bootId: "older" });
    await until(() => older.refusals.length > 0);

    expect(older.refusals).toHaveLength(1);
    expect(older.refusals[0]).toMatchObject({ code: "rolled-back", exitCode: 70 });
    expect(n1.refusals).toEqual([]);
  });

  it("stop a second process on a copy of a directory while the first one answers", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members);
    const n2 = await startMember(founded("n2"), members);
    await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));
    const elsewhere = await freeAddresses(["n2"]);

    const copy = await startMember(founded("n2"), members, {
      bootId: "copy",
      listen: elsewhere[0] as MemberAddress,
    });
    await until(() => copy.refusals.length > 0);

    expect(copy.refusals[0]).toMatchObject({ code: "duplicate-member", exitCode: 78 });
    expect(isConnected(n1, "n2")).toBe(true);
    expect(n1.lost).toEqual([]);
  });

  it("of another cluster stop a founded member only when a majority says so and it knows no leader", async () => {
    const three = ["n1", "n2", "n3"];
    const members = await freeAddresses(three);
    const other = { clusterId: "d".repeat(32) };
    const foreign = await startMember({ ...foundedIdentity("n1", three), ...other }, members);
    await startMember(foundedIdentity("n2", three), members);
    await until(() => foreign.notices.some((text) => text.includes("wrong-cluster")));
    await settle();
    const afterOne = [...foreign.refusals];

    await startMember(foundedIdentity("n3", three), members);
    await until(() => foreign.refusals.length > 0);

    expect(afterOne).toEqual([]);
    expect(foreign.refusals[0]).toMatchObject({ code: "wrong-cluster", exitCode: 78 });
  });

  it("do not stop a member that knows a leader", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember({ ...founded("n1"), clusterId: "d".repeat(32) }, members, {
      knowsLeader: () => true,
    });
    await startMember(founded("n2"), members);

    await until(() => n1.notices.some((text) => text.includes("refused this node (wrong-cluster)")));

    expect(n1.refusals).toEqual([]);
  });
});

describe("a HELLO in answer", () => {
  it("from another name is a fault, and one from this very process is none", async () => {
    const members = await freeAddresses(names);
    const answers = [helloAs(members, "n9", "n1", {}), helloAs(members, "n2", "n1", { bootId: "boot-n1" })];
    let dials = 0;
    const server = await listenOn((members[1] as MemberAddress).port, (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.write(answers[dials++ === 0 ? 0 : 1] as Uint8Array));
    });
    const n1 = await startMember(founded("n1"), members);

    await until(() => dials > 3);

    expect(n1.notices).toHaveLength(1);
    expect(n1.notices[0]).toContain("n9 answers for n2");
    expect(isConnected(n1, "n2")).toBe(false);
    expect(n1.transport.peers()).toMatchObject([{ name: "n2", connected: false, lastContactMs: undefined }]);
    server.close();
  });
});

describe("a half-open connection", () => {
  it("is closed after it was silent for long, and dialled anew", async () => {
    const members = await freeAddresses(names);
    const n1 = await startMember(founded("n1"), members, { timing: { tickMs: 5, silentTicksMax: 10 } });
    const silent = await puppet(members, "n2", { answersPings: false });

    await until(() => silent.sockets.length > 2);

    expect(n1.lost).toEqual([]);
    silent.kill();
  });
});

// ---- a member whose sockets the test holds in its hands

interface Puppet {
  readonly member: string;
  readonly sockets: Socket[];
  /** True once it answered a HELLO long enough ago for the first dial after a close to be immediate. */
  readonly answered: boolean;
  readonly ended: number;
  mode: "answer" | "end";
  /** Closes everything and listens no more: what the kernel does for a killed process. */
  kill(): void;
}

function helloAs(
  members: readonly MemberAddress[],
  name: string,
  target: string,
  more: Partial<Hello>,
): Uint8Array {
  const identity = foundedIdentity(
    name,
    members.map(({ id }) => id),
  );
  const digest = founderDigest({ clusterName: "test", clusterKey: undefined, members });
  const { clusterName, incarnation, clusterId, founders } = identity;
  const hello: Hello = {
    protocolMin: 1,
    protocolMax: 1,
    clusterName,
    digest,
    name,
    incarnation,
    state: "founded",
    clusterId,
    founders,
    bootId: "puppet",
    step: 1,
    target,
    ...more,
  };
  return encodeFrame([Uint8Array.of(1), encodeHello(hello)]);
}

async function puppet(
  members: readonly MemberAddress[],
  name: string,
  { answersPings = true } = {},
): Promise<Puppet> {
  const address = members.find(({ id }) => id === name) as MemberAddress;
  const sockets: Socket[] = [];
  const state = { answered: false, ended: 0 };
  const server = await listenOn(address.port, (socket) => {
    socket.on("error", () => undefined);
    if (self.mode === "end") {
      state.ended += 1;
      socket.end();
      return;
    }
    sockets.push(socket);
    const decoder = createFrameDecoder(1 << 20);
    socket.on("data", (chunk) => {
      for (const payload of decoder.push(chunk)) {
        if (payload[0] === 1) {
          socket.write(helloAs(members, name, "n1", {}));
          state.answered = true;
        }
        if (payload[0] === 3 && answersPings)
          socket.write(encodeFrame([Uint8Array.of(4), payload.subarray(1)]));
      }
    });
  });
  const self: Puppet = {
    member: `${name}@${incarnationOf(name)}`,
    sockets,
    get answered() {
      return state.answered;
    },
    get ended() {
      return state.ended;
    },
    mode: "answer",
    kill() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return self;
}

/** A connection that the puppet's side dials; resolves once it was accepted. */
async function dialAs(
  members: readonly MemberAddress[],
  name: string,
  target: string,
  more: Partial<Hello>,
  { host, port }: MemberAddress,
): Promise<Socket> {
  const socket = connect({ host, port });
  socket.on("error", () => undefined);
  socket.write(helloAs(members, name, target, more));
  await new Promise((resolve) => socket.once("data", resolve));
  return socket;
}
