import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPrng } from "../../src/base/prng.ts";
import { encodeFrame } from "../../src/codec/frame.ts";
import { founderDigest, type MemberAddress } from "../../src/transport/founding.ts";
import { encodeHello } from "../../src/transport/hello.ts";
import {
  closeAll,
  foundedIdentity,
  freeAddresses,
  heartbeat,
  incarnationOf,
  isConnected,
  settle,
  startMember,
  type TestMember,
  until,
} from "./net.ts";

const three = ["n1", "n2", "n3"];
let members: MemberAddress[];
let n1: TestMember;
let n2: TestMember;
let rounds = 0;
const attackers: Socket[] = [];

beforeEach(async () => {
  members = await freeAddresses(three);
  const timing = { handshakeTimeoutMs: 400, aliveWithinMs: 300 };
  n1 = await startMember(foundedIdentity("n1", three), members, { timing });
  n2 = await startMember(foundedIdentity("n2", three), members, { timing });
  await until(() => isConnected(n1, "n2") && isConnected(n2, "n1"));
});

afterEach(async () => {
  for (const socket of attackers.splice(0)) socket.destroy();
  await closeAll();
});

/** The connection between the members still works, and it is the one from before. */
async function expectServing(): Promise<void> {
  rounds += 1;
  n2.transport.send(n1.id, heartbeat(rounds));
  await until(() => n1.received.length > 0);
  expect(n1.received.splice(0)).toEqual([{ from: n2.id, message: heartbeat(rounds) }]);
  expect(n1.lost).toEqual([]);
  expect(n1.refusals).toEqual([]);
}

interface Attacker {
  readonly socket: Socket;
  readonly got: Buffer[];
  isClosed: boolean;
}

async function attack(bytes?: Uint8Array): Promise<Attacker> {
  const { host, port } = members[0] as MemberAddress;
  const socket = connect({ host, port, allowHalfOpen: true });
  attackers.push(socket);
  const attacker: Attacker = { socket, got: [], isClosed: false };
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => attacker.got.push(chunk));
  socket.on("end", () => {
    attacker.isClosed = true;
  });
  socket.on("close", () => {
    attacker.isClosed = true;
  });
  await new Promise((resolve) => socket.once("connect", resolve));
  if (bytes !== undefined) socket.write(bytes);
  return attacker;
}

const header = (length: number, crc = 0): Uint8Array => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint32(4, crc);
  return bytes;
};
const frame = (kind: number, body: Uint8Array): Uint8Array => encodeFrame([Uint8Array.of(kind), body]);

/** A HELLO as n3 would say it: the attacker knows the cluster. */
const helloOfN3 = (): Uint8Array => {
  const { clusterName, name, incarnation, state, clusterId, founders } = foundedIdentity("n3", three);
  const digest = founderDigest({ clusterName, clusterKey: undefined, members });
  const range = { protocolMin: 1, protocolMax: 1 };
  const own = { clusterName, digest, name, incarnation, state, clusterId, founders };
  return frame(1, encodeHello({ ...range, ...own, bootId: "boot-n3", step: 1, target: "n1" }));
};

describe("the peer port closes the connection, says why, and serves on, after", () => {
  it.each<[string, () => Uint8Array]>([
    ["an HTTP request", () => Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["zeros", () => new Uint8Array(64)],
    ["an oversized length", () => header(0xffffffff)],
    ["one byte above the strangers' cap", () => header(16 * 1024 + 1)],
    ["a wrong CRC", () => Uint8Array.from([...header(1, 1), 7])],
    ["an unknown frame type", () => frame(99, Uint8Array.of(1))],
    ["a HELLO that is none", () => frame(1, Uint8Array.of(0x90))],
    ["a Raft message before HELLO", () => frame(6, Uint8Array.of(0x92, 10, 1))],
    ["a ping before HELLO", () => frame(3, new Uint8Array(4))],
  ])("%s", async (_name, bytes) => {
    const attacker = await attack(bytes());

    await until(() => attacker.isClosed);

    expect(attacker.got).toEqual([]);
    expect(n1.notices.some((text) => text.startsWith("closed the connection with 127.0.0.1"))).toBe(true);
    await expectServing();
  });

  it.each<[string, () => Uint8Array]>([
    ["a second HELLO", helloOfN3],
    ["a Raft message that is none", () => frame(6, Uint8Array.of(0x92, 10, 0xc0))],
    ["a ping of the wrong size", () => frame(3, new Uint8Array(5))],
    ["a pong of the wrong size", () => frame(4, new Uint8Array(0))],
    ["a refusal that is none", () => frame(2, new Uint8Array(3))],
    ["a frame above the members' cap", () => header(16 * 1024 * 1024 + 1)],
  ])("a good HELLO and then %s", async (_name, bytes) => {
    const attacker = await attack(helloOfN3());
    await until(() => attacker.got.length > 0);

    attacker.socket.write(bytes());
    await until(() => attacker.isClosed);

    expect(n1.notices.some((text) => text.includes("closed the connection with n3"))).toBe(true);
    await expectServing();
  });

  it("three thousand random bytes, fifty times", async () => {
    const prng = createPrng(7);
    const garbage = Array.from({ length: 50 }, () => Uint8Array.from({ length: 3000 }, () => prng.uint32()));

    const all = await Promise.all(garbage.map((bytes) => attack(bytes)));
    await until(() => all.every(({ isClosed }) => isClosed));

    await expectServing();
  });
});

describe("the peer port serves on beside", () => {
  it("a frame that is never finished and a HELLO that never comes: both are closed", async () => {
    const truncated = await attack(helloOfN3().subarray(0, 40));
    const silent = await attack();
    const slow = await attack();
    const bytes = helloOfN3();
    let sent = 0;
    const dripping = setInterval(() => slow.socket.write(bytes.subarray(sent, ++sent)), 20);

    await expectServing();
    await until(() => truncated.isClosed && silent.isClosed && slow.isClosed);
    clearInterval(dripping);

    expect(sent).toBeLessThan(bytes.length);
    await expectServing();
  });

  it("a connection whose other side has ended and does not close", async () => {
    const attacker = await attack(helloOfN3());
    await until(() => attacker.got.length > 0);

    attacker.socket.end();
    await until(() => attacker.isClosed);

    await expectServing();
  });

  it("200 connections that say nothing: a member that comes late gets in, in the end all are closed", async () => {
    const crowd: Attacker[] = [];
    for (let i = 0; i < 200; i++) crowd.push(await attack());

    const n3 = await startMember(foundedIdentity("n3", three), members);
    await until(() => isConnected(n3, "n1") && isConnected(n1, "n3"));

    await expectServing();
    await until(() => crowd.every(({ isClosed }) => isClosed));
  });

  it("a crowd that says nothing: however long it may wait, only the newest 64 are kept", async () => {
    await n1.transport.close();
    n2.lost.length = 0;
    n1 = await startMember(foundedIdentity("n1", three), members, {
      bootId: "second",
      timing: { handshakeTimeoutMs: 1_000_000 },
    });
    const crowd: Attacker[] = [];
    for (let i = 0; i < 100; i++) crowd.push(await attack());

    await until(() => crowd.filter(({ isClosed }) => isClosed).length >= 36);
    await until(() => isConnected(n2, "n1"));

    expect(crowd.at(-1)?.isClosed).toBe(false);
    await expectServing();
  });

  it("members that are refused over and over: the same words are said once", async () => {
    const wrong = (): Uint8Array => {
      const { name, incarnation } = { name: "n3", incarnation: incarnationOf("n3", "e") };
      const range = { protocolMin: 1, protocolMax: 1 };
      const none = { state: "new" as const, clusterId: undefined, founders: undefined };
      const own = { clusterName: "test", digest: "0".repeat(64), name, incarnation, ...none };
      return frame(1, encodeHello({ ...range, ...own, bootId: "x", step: 0, target: "n1" }));
    };

    for (let i = 0; i < 20; i++) {
      const attacker = await attack(wrong());
      await until(() => attacker.isClosed);
      expect(Buffer.concat(attacker.got).includes("reinitialised")).toBe(true);
    }

    expect(n1.notices.filter((text) => text.startsWith("refused n3"))).toHaveLength(1);
    await expectServing();
  });

  it("one that floods it with pings and never reads", async () => {
    const attacker = await attack(helloOfN3());
    await until(() => attacker.got.length > 0);
    attacker.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 20_000 }, () => frame(3, new Uint8Array(4))));

    for (let i = 0; i < 20; i++) attacker.socket.write(pings);
    await settle();

    await expectServing();
  });
});
