/**
 * A real member behind a real HTTP server, in this process: the driver, the state machine and the core as they ship; a
 * disk in memory. Time passes by a real timer, so tests wait for what they expect and never for a while.
 */

import { connect, type Socket } from "node:net";
import type { FastifyInstance } from "fastify";
import { createPrng } from "../../src/base/prng.ts";
import { createApp } from "../../src/http/app.ts";
import type { HttpServer, HttpServerOptions } from "../../src/http/contract.ts";
import type { HttpContext } from "../../src/http/exchange.ts";
import { defaultLimits, type HttpLimits } from "../../src/http/limits.ts";
import { createContext, createHttpServer } from "../../src/http/server.ts";
import { createLockState } from "../../src/locks/machine.ts";
import { defaultSettings, type Settings } from "../../src/locks/settings.ts";
import type { HoldfastNode, NodeStatus } from "../../src/node/contract.ts";
import { createNode, type NodeDriver } from "../../src/node/driver.ts";
import { emptyBoundary } from "../../src/raft/chain.ts";
import { defaultRaftConfig } from "../../src/raft/config.ts";
import type { RaftStorage } from "../../src/storage/contract.ts";
import { noSnapshots } from "../node/no-snapshots.ts";
import { expectDocumented } from "./documented.ts";

const tickMs = 10;

export interface Member {
  readonly node: NodeDriver;
  stop(): void;
}

/** A disk that is always up to date and calls back in a later turn, as a real one does. */
function createMemoryStorage(): RaftStorage {
  let step = 0;
  return {
    restored: {
      hardState: { currentTerm: 0, votedFor: undefined },
      boundary: emptyBoundary,
      snapshot: undefined,
      entries: [],
      step: 0,
    },
    get step() {
      return step;
    },
    logBytes: 0,
    write(_step, done) {
      setImmediate(() => {
        step++;
        done(undefined);
      });
    },
    async close() {},
  };
}

/** One member that is its own majority. It leads after a few ticks. */
export function startMember(settings: Partial<Settings> = {}): Member {
  const storage = createMemoryStorage();
  const node = createNode({
    name: "n1",
    raft: { ...defaultRaftConfig, self: "n1@1", electionTicks: 5 },
    voters: ["n1@1"],
    prng: createPrng(1),
    storage,
    ...noSnapshots(),
    tickMs,
    clusterId: "test-cluster",
    settings: { ...defaultSettings, electionTimeoutMaxMs: 100, ...settings },
    limits: {
      logBytes: 1 << 30,
      snapshotEveryBytes: 1 << 28,
      snapshotPartBytes: 1_000,
      queuedProposals: 1_000,
    },
    host: {
      monotonicMs: () => performance.now(),
      wallMs: () => Date.now(),
      defer: (turn) => setImmediate(turn),
      send: () => undefined,
      probe: () => undefined,
      peers: () => [],
      trace: () => undefined,
      guard: (input) => input(),
      storageFailed: (error) => {
        throw error;
      },
    },
  });
  const ticker = setInterval(() => node.tick(), tickMs);
  return {
    node,
    stop() {
      clearInterval(ticker);
      node.stop();
    },
  };
}

/** The node's methods, of which some may be replaced. */
export function delegate(node: HoldfastNode, overrides: Partial<HoldfastNode>): HoldfastNode {
  return {
    get term() {
      return node.term;
    },
    notLeading: () => node.notLeading(),
    propose: (proposal, reply) => node.propose(proposal, reply),
    keepAlive: (item, reply) => node.keepAlive(item, reply),
    read: (reply) => node.read(reply),
    staleView: () => node.staleView(),
    attend: (sessionId, claimId) => node.attend(sessionId, claimId),
    watchClaim: (claimId, listener) => node.watchClaim(claimId, listener),
    watchSession: (sessionId, listener) => node.watchSession(sessionId, listener),
    noteAnswered: (claimId) => node.noteAnswered(claimId),
    abandon: (claimId) => node.abandon(claimId),
    status: () => node.status(),
    transferLeadership: (to) => node.transferLeadership(to),
    ...overrides,
  };
}

/** Resolves when `isTrue` holds; looked at once every few milliseconds. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export function optionsFor(
  node: HoldfastNode | undefined,
  overrides: Partial<HttpServerOptions> = {},
): HttpServerOptions {
  return {
    name: "n1",
    node: () => node,
    starting: () => "waiting for n2, n3",
    members: [
      { id: "n1", url: "http://127.0.0.1:7400" },
      { id: "n2", url: "http://127.0.0.1:7401/" },
    ],
    listen: { host: "127.0.0.1", port: 0 },
    bodyBytes: 65_536,
    batchBytes: 1_048_576,
    connections: 100,
    ...overrides,
  };
}

/** The app without a socket, for `inject`. */
export function appFor(
  node: HoldfastNode | undefined,
  overrides: Partial<HttpServerOptions> = {},
): { readonly app: FastifyInstance; readonly context: HttpContext } {
  const context = createContext(optionsFor(node, overrides));
  return { app: createApp(context), context };
}

/** A node that answers as a test wants; whatever the test does not name must not be asked. */
export function stubNode(
  overrides: Partial<HoldfastNode> & { readonly quietMs?: number | undefined } = {},
): HoldfastNode {
  const unexpected = (): never => {
    throw new Error("this test does not expect the node to be asked that");
  };
  const state = { ...createLockState(), settings: defaultSettings };
  const { quietMs, ...methods } = { quietMs: 12.4, ...overrides };
  return {
    term: 7,
    // A test that lets it be proposed to means it to lead.
    notLeading: () => undefined,
    propose: unexpected,
    keepAlive: unexpected,
    read: unexpected,
    attend: () => () => undefined,
    watchClaim: unexpected,
    watchSession: unexpected,
    noteAnswered: unexpected,
    abandon: unexpected,
    transferLeadership: unexpected,
    staleView: () => ({ state, clusterTimeMs: state.now, revision: state.revision }),
    status: () => ({ ...followerOf("n2"), quietMs }),
    ...methods,
  };
}

/** The status of a follower; of nobody when `leader` is undefined. */
export function followerOf(leader: string | undefined): NodeStatus {
  return {
    name: "n1",
    leader,
    role: "follower",
    term: 7,
    clusterId: "test-cluster",
    commitIndex: 0,
    appliedIndex: 0,
    lastIndex: 0,
    logBytes: 0,
    isFounded: true,
    isServing: false,
    quietMs: 12.4,
    members: [
      { name: "n1", role: "follower", state: "up", matchIndex: undefined, lastContactMs: 0 },
      { name: "n2", role: "leader", state: "up", matchIndex: undefined, lastContactMs: 12.4 },
    ],
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Json;
}

/** Untyped JSON, for tests that look inside. */
export interface Json {
  readonly [key: string]: unknown;
}

/** A server on a port of its own, and a client of it. */
export interface Served {
  readonly server: HttpServer;
  readonly url: string;
  /** Over a socket; the answer must be one that the OpenAPI document has. */
  request(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
}

export interface Running extends Member, Served {
  /** Opens a session and returns its id. */
  openSession(body?: object): Promise<string>;
  close(): Promise<void>;
}

export interface ServeOptions {
  readonly limits?: Partial<HttpLimits>;
  readonly http?: Partial<HttpServerOptions>;
}

/** Serves any node, a stub too. */
export async function serve(
  node: HoldfastNode | undefined,
  { limits, http }: ServeOptions = {},
): Promise<Served> {
  const server = await createHttpServer(optionsFor(node, http), { ...defaultLimits, ...limits });
  const url = `http://127.0.0.1:${server.port}`;
  return {
    server,
    url,
    async request(method, path, body, headers = {}) {
      const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
      const answer = await fetch(url + path, {
        method,
        redirect: "manual",
        headers: {
          ...(body === undefined ? undefined : { "content-type": "application/json" }),
          ...headers,
        },
        ...(sent === undefined ? undefined : { body: sent }),
      });
      const shown = (await answer.json()) as Json;
      expectDocumented(method, path, { status: answer.status, body: shown });
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body: shown };
    },
  };
}

export async function startServer(
  options: ServeOptions & {
    readonly settings?: Partial<Settings>;
    /** What stands between the server and the node. */
    readonly wrap?: (node: HoldfastNode) => HoldfastNode;
  } = {},
): Promise<Running> {
  const member = startMember(options.settings);
  await until(() => member.node.status().isServing);
  const node = options.wrap === undefined ? member.node : options.wrap(member.node);
  const served = await serve(node, options).catch((error) => {
    member.stop();
    throw error;
  });
  return {
    ...member,
    ...served,
    async openSession(body = {}) {
      const { body: session } = await served.request("POST", "/v1/sessions", body);
      return session["sessionId"] as string;
    },
    async close() {
      await served.server.close();
      member.stop();
    },
  };
}

/** A bare connection: what a client sends, byte for byte, and what it gets until the server closes or `isEnough`. */
export interface RawConnection {
  readonly socket: Socket;
  readonly received: () => string;
  /** Resolves with everything received, when the other end has closed or `isEnough` of it. */
  answer(isEnough?: (text: string) => boolean): Promise<string>;
}

export function rawConnection(port: number, text: string): RawConnection {
  const socket = connect({ port, host: "127.0.0.1" });
  let received = "";
  let isClosed = false;
  socket.on("data", (bytes) => {
    received += bytes.toString("latin1");
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    isClosed = true;
  });
  socket.write(text);
  return {
    socket,
    received: () => received,
    async answer(isEnough = () => false) {
      await until(() => isClosed || isEnough(received));
      return received;
    },
  };
}
