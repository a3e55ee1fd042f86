/**
 * The composition root: the only file that knows every part. Opens the data directory, joins or founds the cluster,
 * runs the driver, serves HTTP, and ends the process when a promise can no longer be kept.
 *
 *   open directory ─▶ listen for members ─▶ serve HTTP ─▶ (new: found, write it down) ─▶ load the snapshot ─▶ drive
 */
import { randomBytes } from "node:crypto";
import { InvariantError, present } from "./base/assert.ts";
import { type Identity, memberId, rosterMembers } from "./base/identity.ts";
import { createPrng } from "./base/prng.ts";
import { snapshotPartBytesMax } from "./codec/message.ts";
import type { ClusterConfig, HostPort, MemberConfig } from "./config/types.ts";
import { createHttpServer } from "./http/server.ts";
import { createNode, type NodeDriver, type NodeEvent } from "./node/driver.ts";
import { eventLine } from "./node/event-line.ts";
import { loadStart, type StartLoad, type StartState } from "./node/snapshot-loader.ts";
import type { SnapshotMaker } from "./node/snapshot-maker.ts";
import type { SnapshotScope } from "./node/snapshot-reader.ts";
import { defaultRaftConfig } from "./raft/config.ts";
import { createThreadMaker } from "./snapshot-thread.ts";
import type { SnapshotFiles } from "./storage/contract.ts";
import { type FoundedDirectory, openDataDirectory } from "./storage/data-directory.ts";
import { DataDirectoryError } from "./storage/failure.ts";
import { openSnapshotFiles } from "./storage/snapshot-files.ts";
import type { TransportRefusal } from "./transport/contract.ts";
import { createTcpTransport, type TcpTransport } from "./transport/tcp-transport.ts";

export interface ServerOptions {
  readonly config: ClusterConfig;
  readonly id: string;
  readonly dataPath: string;
  /** One line an event, for people and collectors. */
  readonly log: (
    level: "info" | "warn" | "error",
    event: string,
    facts: Readonly<Record<string, unknown>>,
  ) => void;
  /** The server cannot go on: print the text, exit with the code. Called at most once. */
  readonly fail: (failure: ServerFailure) => void;
}

export interface ServerFailure {
  readonly exitCode: number;
  readonly text: string;
}

export interface Server {
  readonly httpPort: number;
  readonly peerPort: number;
  /** Says goodbye to the other members, ends what is under way, releases the data directory. May be called twice. */
  close(): Promise<void>;
}

/** Proposals that may wait for the next batch before new ones are refused. */
const queuedProposals = 20_000;

/** Rejects with DataDirectoryError (its exitCode), ListenError or HttpListenError (71), or a plain Error. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, id, log } = options;
  const self = config.members.find((member) => member.id === id);
  if (self === undefined) throw new Error(`${id} is not among the members of the cluster file`);
  const directory = await openDataDirectory({
    path: options.dataPath,
    expect: { clusterName: config.clusterName, name: id },
  });
  const server = new RunningServer(options, self);
  try {
    await server.start(directory);
  } catch (error) {
    await server.close();
    if (directory.kind === "new") await directory.close();
    else await directory.storage.close();
    throw error;
  }
  log("info", "listening", { http: server.httpPort, peer: server.peerPort, data: directory.path });
  return server;
}

class RunningServer implements Server {
  readonly #options: ServerOptions;
  readonly #self: MemberConfig;
  #transport: TcpTransport | undefined;
  #http: { readonly port: number; close(): Promise<void> } | undefined;
  #driver: NodeDriver | undefined;
  #directory: FoundedDirectory | undefined;
  #snapshots: { readonly files: SnapshotFiles; readonly maker: SnapshotMaker } | undefined;
  #ticker: NodeJS.Timeout | undefined;
  #waitingFor = "the other founding members";
  #isFailed = false;
  #closing: Promise<void> | undefined;

  constructor(options: ServerOptions, self: MemberConfig) {
    this.#options = options;
    this.#self = self;
  }

  get httpPort(): number {
    return this.#http?.port ?? 0;
  }

  get peerPort(): number {
    return this.#transport?.port ?? 0;
  }

  async start(directory: Awaited<ReturnType<typeof openDataDirectory>>): Promise<void> {
    const { config, id, log } = this.#options;
    this.#transport = await createTcpTransport({
      clusterName: config.clusterName,
      name: id,
      members: config.members.map((member) => ({ id: member.id, ...member.peer })),
      listen: config.listen.peer ?? this.#self.peer,
      identity: directory.identity,
      bootId: randomBytes(12).toString("hex"),
      step: () => this.#directory?.storage.step ?? 0,
      knowsLeader: () => this.#driver?.status().leader !== undefined,
      random: Math.random,
      // A process that another claims to be has B to show that it runs; a handshake outlasts that.
      timing: {
        aliveWithinMs: config.timing.electionTimeoutMs,
        handshakeTimeoutMs: Math.max(3_000, 2 * config.timing.electionTimeoutMs),
      },
      events: {
        message: (from, message) => this.#guard(() => this.#driver?.message(from, message)),
        leaderLost: (member) => this.#guard(() => this.#driver?.leaderLost(member)),
        refused: (refusal) => this.#refused(refusal),
        notice: (level, text) => {
          if (this.#driver === undefined) this.#waitingFor = text;
          log(level, "peers", { text });
        },
      },
    });
    this.#http = await createHttpServer({
      name: id,
      node: () => this.#driver,
      starting: () => this.#waitingFor,
      members: config.members.map((member) => ({ id: member.id, url: urlOf(member.http) })),
      listen: config.listen.http ?? this.#self.http,
      bodyBytes: config.node.bodyBytes,
      batchBytes: config.node.batchBytes,
      connections: config.node.connections,
      internalError: (error, requestId) => {
        if (error instanceof InvariantError)
          this.#fail(70, `an invariant is broken: ${error.stack ?? error.message}`);
        else
          log("error", "internal", {
            requestId,
            error: error instanceof Error ? error.stack : String(error),
          });
      },
    });
    if (directory.kind === "founded") void this.#loadThenDrive(directory);
    else void this.#foundThenDrive(directory);
  }

  async #foundThenDrive(
    directory: Extract<Awaited<ReturnType<typeof openDataDirectory>>, { kind: "new" }>,
  ): Promise<void> {
    try {
      const transport = this.#transport as TcpTransport;
      const foundation = await transport.foundation();
      const founded = await directory.found({ clusterId: foundation.clusterId, founders: foundation.roster });
      this.#options.log("info", "founded", {
        clusterId: foundation.clusterId,
        members: rosterMembers(foundation.roster),
      });
      await this.#loadThenDrive(founded);
      transport.enterCluster(founded.identity);
    } catch (error) {
      this.#fail(70, `the cluster could not be founded here: ${textOf(error)}`);
    }
  }

  /** Members and clients are answered while a large state is read: that it is, and nothing else. */
  async #loadThenDrive(directory: FoundedDirectory): Promise<void> {
    this.#directory = directory;
    this.#waitingFor = "its snapshot is being read";
    try {
      const { identity, storage, snapshotsPath } = directory;
      const { clusterId, founders } = identity as Identity & { clusterId: string };
      const scope = { clusterId, voters: rosterMembers(founders ?? {}) };
      const files = openSnapshotFiles(snapshotsPath);
      this.#snapshots = { files, maker: createThreadMaker(snapshotsPath) };
      const load = await new Promise<StartLoad>((resolve) =>
        loadStart(files, storage.restored, scope, resolve),
      );
      if (this.#closing !== undefined || this.#isFailed) return;
      if (load.kind === "failed") return this.#diskFailed(load.error);
      if (load.kind === "damaged") return this.#fail(70, damagedText(directory.path, load.why));
      for (const text of load.start.damaged) this.#options.log("warn", "snapshot-damaged", { text });
      this.#drive(directory, scope, load.start);
    } catch (error) {
      this.#fail(70, `the node could not be started: ${textOf(error)}`);
    }
  }

  #drive({ identity, storage }: FoundedDirectory, scope: SnapshotScope, start: StartState): void {
    const { config, id } = this.#options;
    const transport = this.#transport as TcpTransport;
    const { files, maker } = present(this.#snapshots, "the snapshots of an open directory");
    const { tickMs, heartbeatMs, electionTimeoutMs } = config.timing;
    this.#driver = createNode({
      name: id,
      raft: {
        ...defaultRaftConfig,
        self: memberId(identity.name, identity.incarnation),
        electionTicks: Math.ceil(electionTimeoutMs / tickMs),
        heartbeatTicks: Math.ceil(heartbeatMs / tickMs),
      },
      voters: scope.voters,
      prng: createPrng(randomBytes(6).readUIntBE(0, 6)),
      storage,
      snapshotFiles: files,
      snapshotMaker: maker,
      start,
      tickMs,
      clusterId: scope.clusterId,
      settings: config.settings,
      limits: {
        logBytes: config.node.logBytes,
        snapshotEveryBytes: config.node.snapshotEveryBytes,
        snapshotPartBytes: snapshotPartBytesMax,
        queuedProposals,
      },
      host: {
        monotonicMs: () => performance.now(),
        wallMs: () => Date.now(),
        defer: (turn) => setImmediate(() => this.#guard(turn)),
        send: (to, message) => transport.send(to, message),
        probe: (member) => transport.probe(member),
        peers: () => transport.peers(),
        trace: (event) => this.#traced(event),
        guard: (input) => this.#guard(input),
        storageFailed: (error) => this.#diskFailed(error),
      },
    });
    let lastTickMs = performance.now();
    this.#ticker = setInterval(() => {
      const lateMs = performance.now() - lastTickMs - tickMs;
      lastTickMs = performance.now();
      if (lateMs > 5 * tickMs) this.#options.log("warn", "late", { ms: Math.round(lateMs) });
      // After a stall the sockets hold a backlog: it is read first, then one tick counts, however many were missed.
      setImmediate(() => this.#guard(() => this.#driver?.tick()));
    }, tickMs);
  }

  #diskFailed(error: Error): void {
    this.#fail(
      70,
      `the disk failed: ${textOf(error)}\nThis node stopped at once; the others go on. Mend the disk, then start it again.`,
    );
  }

  #traced(event: NodeEvent): void {
    const line = eventLine(event);
    if (line !== undefined) this.#options.log(line.level, line.event, line.facts);
  }

  /** Runs an input of the driver; a broken invariant ends the process. */
  #guard(input: () => void): void {
    if (this.#isFailed) return;
    try {
      input();
    } catch (error) {
      const what = error instanceof InvariantError ? "an invariant is broken" : "an internal error";
      this.#fail(70, `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }

  #refused(refusal: TransportRefusal): void {
    this.#fail(refusal.exitCode, refusal.text);
  }

  #fail(exitCode: number, text: string): void {
    if (this.#isFailed || this.#closing !== undefined) return;
    this.#isFailed = true;
    this.#driver?.stop();
    clearInterval(this.#ticker);
    this.#options.fail({ exitCode, text });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // It leads on, if it did, until the requests under way are answered.
    await this.#http?.close();
    clearInterval(this.#ticker);
    this.#driver?.stop();
    await this.#transport?.close();
    await this.#snapshots?.maker.close();
    await this.#snapshots?.files.close();
    await this.#directory?.storage.close();
  }
}

function damagedText(path: string, why: string): string {
  return new DataDirectoryError({ code: "damaged", path, what: `${path} is damaged: ${why}` }).message;
}

function urlOf({ host, port }: HostPort): string {
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
