/**
 * What the transport tests share: identities, free ports, a member under test that records its events, and waiting
 * for a state instead of for a time.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Identity, Roster } from "../../src/base/identity.ts";
import type { PeerMessage } from "../../src/codec/message.ts";
import type { MemberId, Message } from "../../src/raft/types.ts";
import type { TransportRefusal } from "../../src/transport/contract.ts";
import type { MemberAddress } from "../../src/transport/founding.ts";
import type { TcpTransportOptions } from "../../src/transport/options.ts";
import { createTcpTransport, type TcpTransport } from "../../src/transport/tcp-transport.ts";

export const incarnationOf = (name: string, digit = "a"): string =>
  Buffer.from(name).toString("hex").padEnd(32, digit).slice(0, 32);

export const rosterOf = (names: readonly string[], digit = "a"): Roster =>
  Object.fromEntries(names.map((name) => [name, incarnationOf(name, digit)]));

export const newIdentity = (name: string, digit = "a"): Identity => ({
  format: 1,
  clusterName: "test",
  name,
  incarnation: incarnationOf(name, digit),
  state: "new",
  clusterId: undefined,
  founders: undefined,
});

export const clusterIdA = "c".repeat(32);

export const foundedIdentity = (name: string, names: readonly string[], digit = "a"): Identity => ({
  ...newIdentity(name, digit),
  state: "founded",
  clusterId: clusterIdA,
  founders: rosterOf(names),
});

/** Ports that were free a moment ago: bound all at once, so that they differ, then let go. */
export async function freeAddresses(names: readonly string[]): Promise<MemberAddress[]> {
  const servers = await Promise.all(names.map(() => listenOn(0)));
  const addresses = names.map((id, i) => ({ id, host: "127.0.0.1", port: portOf(servers[i] as Server) }));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return addresses;
}

export function listenOn(port: number, onSocket?: (socket: Socket) => void): Promise<Server> {
  const server = createServer(onSocket);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

export function portOf(server: Server): number {
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("not bound");
  return address.port;
}

/** Returns once `holds`; the test's own time-out is the only limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Lets the event loop and the kernel do what they would do anyway, for claims that something does not happen. */
export const settle = (ms = 150): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export interface Received {
  readonly from: MemberId;
  readonly message: PeerMessage;
}

export interface TestMember {
  readonly transport: TcpTransport;
  readonly id: MemberId;
  readonly received: Received[];
  readonly lost: MemberId[];
  readonly refusals: TransportRefusal[];
  readonly notices: string[];
}

const open: TcpTransport[] = [];

export async function startMember(
  identity: Identity,
  members: readonly MemberAddress[],
  more: Partial<TcpTransportOptions> = {},
): Promise<TestMember> {
  const received: Received[] = [];
  const lost: MemberId[] = [];
  const refusals: TransportRefusal[] = [];
  const notices: string[] = [];
  const listen = members.find(({ id }) => id === identity.name);
  if (listen === undefined) throw new Error("not a member");
  const transport = await createTcpTransport({
    clusterName: identity.clusterName,
    name: identity.name,
    members,
    listen,
    identity,
    bootId: `boot-${identity.name}`,
    step: () => 1,
    knowsLeader: () => false,
    random: () => 0.5,
    events: {
      message: (from, message) => void received.push({ from, message }),
      leaderLost: (member) => void lost.push(member),
      refused: (refusal) => void refusals.push(refusal),
      notice: (_level, text) => void notices.push(text),
    },
    ...more,
    timing: { backoffMsMax: 40, ...more.timing },
  });
  open.push(transport);
  const id = `${identity.name}@${identity.incarnation}`;
  return { transport, id, received, lost, refusals, notices };
}

/** For afterEach. */
export async function closeAll(): Promise<void> {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
}

export const isConnected = (member: TestMember, name: string): boolean =>
  member.transport.peers().some((peer) => peer.name === name && peer.connected);

export const heartbeat = (round: number): Message => ({
  kind: "heartbeat",
  term: 1,
  leaderCommit: 0,
  echo: { round, sentTick: 0 },
});
