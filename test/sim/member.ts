/**
 * One simulated member: the real driver, core, machine, storage protocol and request handlers on a simulated disk, network
 * and clock, in a process that can crash at any effect, restart, end over its disk and be paused with a backlog.
 */
import { matchRoute } from "../../src/api/routes.ts";
import { InvariantError } from "../../src/base/assert.ts";
import { createPrng } from "../../src/base/prng.ts";
import type { PeerMessage } from "../../src/codec/message.ts";
import type { HttpServerOptions } from "../../src/http/contract.ts";
import { Exchange, type HttpContext, type HttpHost } from "../../src/http/exchange.ts";
import { handlers, type NodeRoute } from "../../src/http/handlers.ts";
import { defaultLimits } from "../../src/http/limits.ts";
import type { Settings } from "../../src/locks/settings.ts";
import { createNode, type NodeDriver } from "../../src/node/driver.ts";
import { loadStart, type StartState } from "../../src/node/snapshot-loader.ts";
import { createInlineMaker } from "../../src/node/snapshot-maker.ts";
import { defaultRaftConfig } from "../../src/raft/config.ts";
import type { RaftStorage, SnapshotFiles } from "../../src/storage/contract.ts";
import type { SimDisk } from "./disk.ts";
import type { Recorder } from "./recorder.ts";
import type { Scheduler } from "./scheduler.ts";

/** Thrown through the driver to end a process between two of its effects; as hard to swallow as a broken invariant. */
class CrashSignal extends InvariantError {}

export interface HttpRequestSent {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  /** How long it may be held, as it says itself. */
  readonly pollMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface MemberOptions {
  readonly seed: number;
  readonly id: string;
  readonly name: string;
  readonly voters: readonly string[];
  readonly scheduler: Scheduler;
  readonly disk: SimDisk;
  readonly recorder: Recorder;
  readonly settings: Settings;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly inflightMessagesMax: number;
  readonly appendBytesMax: number;
  /** How fast its monotonic clock runs. */
  readonly clockRate: number;
  /** What its wall clock says more than the true time; it decides nothing. */
  readonly wallOffsetMs: number;
  readonly logBytes: number;
  readonly snapshotEveryBytes: number;
  readonly snapshotPartBytes: number;
  readonly send: (from: SimMember, to: string, message: PeerMessage) => void;
  readonly probe: (from: SimMember, member: string) => void;
  /** The process ended by itself: in the middle of a turn, or over its disk. `isForGood`: no start will succeed. */
  readonly ended: (member: SimMember, isForGood: boolean) => void;
}

const clusterId = "simulated";

export class SimMember {
  readonly #o: MemberOptions;
  #driver: NodeDriver | undefined;
  #http: HttpContext | undefined;
  #boot = 0;
  #requests = 0;
  #isOpening = false;
  /** True time until which it was last seen alive. */
  #aliveUntil = 0;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #tickMissed = false;
  /** Effects until the process dies in the middle of a turn; undefined is never. */
  #fuse: number | undefined;

  constructor(options: MemberOptions) {
    this.#o = options;
  }

  get id(): string {
    return this.#o.id;
  }

  get disk(): SimDisk {
    return this.#o.disk;
  }

  get name(): string {
    return this.#o.name;
  }

  get boot(): number {
    return this.#boot;
  }

  get driver(): NodeDriver | undefined {
    return this.#driver;
  }

  /** Its process runs: it answers, or reads its disk before it can. */
  get isUp(): boolean {
    return this.#driver !== undefined || this.#isOpening;
  }

  /** Its process ran at some time since then. */
  wasAliveSince(time: number): boolean {
    return this.#driver !== undefined || this.#aliveUntil >= time;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  // ---- the process -------------------------------------------------------------------------------------------------

  start(): void {
    const { recorder, disk } = this.#o;
    const boot = ++this.#boot;
    this.#isOpening = true;
    recorder.note(this.name, `starts boot=${boot}`);
    disk.open(
      (completion) => this.#run(boot, completion),
      (opened) => {
        if (this.#boot !== boot) return;
        if (opened.kind === "opened") return this.#load(boot, opened.storage, opened.snapshotFiles);
        this.#refuse(opened.why);
      },
    );
  }

  #refuse(why: string): void {
    const { recorder, disk } = this.#o;
    this.#isOpening = false;
    recorder.note(this.name, `is refused: ${why}`);
    recorder.refused(this, why, disk.isDamaged);
    this.#boot++;
    this.#o.ended(this, true);
  }

  #load(boot: number, storage: RaftStorage, files: SnapshotFiles): void {
    const { recorder, disk, voters } = this.#o;
    recorder.opened(this, storage.restored);
    loadStart(files, storage.restored, { clusterId, voters }, (load) => {
      if (this.#boot !== boot) return;
      if (load.kind === "failed") throw load.error;
      if (load.kind === "damaged") {
        disk.refuse(load.why);
        return this.#refuse(load.why);
      }
      this.#isOpening = false;
      recorder.loaded(this, load.start, disk.isDamaged);
      this.#begin(boot, storage, files, load.start);
    });
  }

  #begin(boot: number, storage: RaftStorage, snapshotFiles: SnapshotFiles, start: StartState): void {
    const { scheduler, recorder, seed, id, tickMs, clockRate } = this.#o;
    this.#http = this.#httpContext(boot);
    this.#driver = createNode({
      name: this.#o.name,
      raft: {
        ...defaultRaftConfig,
        self: id,
        electionTicks: this.#o.electionTicks,
        inflightMessagesMax: this.#o.inflightMessagesMax,
        appendBytesMax: this.#o.appendBytesMax,
      },
      voters: this.#o.voters,
      prng: createPrng(seed, `raft ${id} ${boot}`),
      storage: this.#watched(storage),
      snapshotFiles,
      snapshotMaker: createInlineMaker(snapshotFiles),
      start,
      tickMs,
      clusterId,
      settings: this.#o.settings,
      limits: {
        logBytes: this.#o.logBytes,
        snapshotEveryBytes: this.#o.snapshotEveryBytes,
        snapshotPartBytes: this.#o.snapshotPartBytes,
        queuedProposals: 10_000,
      },
      host: {
        monotonicMs: () => scheduler.now * clockRate,
        wallMs: () => 1_700_000_000_000 + this.#o.wallOffsetMs + scheduler.now,
        defer: (turn) => scheduler.after(0, () => this.#run(boot, turn)),
        send: (to, message) => {
          this.#burnFuse();
          recorder.sent(this, to, message);
          this.#o.send(this, to, message);
        },
        probe: (member) => this.#o.probe(this, member),
        peers: () => [],
        trace: (event) => recorder.traced(this, event),
        applied: (entry, outcome) => {
          recorder.applied(this, entry, outcome);
          this.#burnFuse();
        },
        installed: (last) => {
          recorder.installed(this, last);
          this.#burnFuse();
        },
        guard: (input) => input(),
        storageFailed: (error) => this.#end(`exits 70: ${error.message}`),
      },
    });
    const tick = (): void => {
      if (this.#boot !== boot) return;
      if (this.#isPaused) this.#tickMissed = true;
      else this.#run(boot, () => this.#driver?.tick());
      scheduler.after(tickMs / clockRate, tick);
    };
    scheduler.after((tickMs * createPrng(seed, `phase ${id} ${boot}`).next()) / clockRate, tick);
  }

  /** The same storage, with a place to die before and after each write is handed over. */
  #watched(storage: RaftStorage): RaftStorage {
    return {
      restored: storage.restored,
      get step() {
        return storage.step;
      },
      get logBytes() {
        return storage.logBytes;
      },
      write: (step, done) => {
        this.#burnFuse();
        storage.write(step, done);
        this.#burnFuse();
      },
      close: () => storage.close(),
    };
  }

  /** Runs an input of this boot now, or when the pause ends; a crash in the middle of it is caught here. */
  #run(boot: number, input: () => void): void {
    if (this.#boot !== boot) return;
    if (this.#isPaused) {
      this.#backlog.push(() => this.#run(boot, input));
      return;
    }
    try {
      input();
    } catch (error) {
      if (!(error instanceof CrashSignal)) throw error;
      this.#end("crashes in the middle of a turn");
    }
  }

  /** Anything that arrives at this process. What arrives at a dead one is lost. */
  receive(input: (driver: NodeDriver) => void): void {
    this.#run(this.#boot, () => {
      if (this.#driver !== undefined) input(this.#driver);
    });
  }

  #burnFuse(): void {
    if (this.#fuse === undefined) return;
    this.#fuse--;
    if (this.#fuse <= 0) throw new CrashSignal("a crash by order");
  }

  /** The process dies at its n-th effect from now: a message, an answer, a write, an applied entry. */
  armFuse(effects: number): void {
    this.#fuse = effects;
  }

  #end(how: string): void {
    this.crash(how);
    this.#o.ended(this, false);
  }

  crash(how: string): void {
    if (!this.isUp) return;
    this.#aliveUntil = this.#o.scheduler.now;
    this.#driver?.stop();
    this.#driver = undefined;
    this.#http = undefined;
    this.#isOpening = false;
    this.#boot++;
    this.#fuse = undefined;
    this.#isPaused = false;
    this.#backlog = [];
    this.#tickMissed = false;
    const left = this.#o.disk.crash();
    this.#o.recorder.note(this.name, `${how} disk=${left}`);
    this.#o.recorder.crashed(this, left);
  }

  pause(): void {
    if (!this.isUp || this.#isPaused) return;
    this.#o.recorder.note(this.name, "pauses");
    this.#isPaused = true;
  }

  /** Input that queued up comes first, in one burst; then one late tick. */
  resume(): void {
    if (!this.#isPaused) return;
    this.#o.recorder.note(this.name, `resumes backlog=${this.#backlog.length}`);
    this.#isPaused = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const input of backlog) input();
    if (this.#tickMissed) this.#run(this.#boot, () => this.#driver?.tick());
    this.#tickMissed = false;
  }

  // ---- HTTP --------------------------------------------------------------------------------------------------------

  #httpContext(boot: number): HttpContext {
    const { scheduler, seed, id, voters } = this.#o;
    const random = createPrng(seed, `ids ${id} ${boot}`);
    const host: HttpHost = {
      after: (ms, run) => {
        let isOff = false;
        scheduler.after(ms / this.#o.clockRate, () => {
          this.#run(boot, () => {
            if (!isOff) run();
          });
        });
        return () => {
          isOff = true;
        };
      },
      randomHex: (bytes) =>
        Array.from({ length: bytes }, () => random.between(0, 255).toString(16).padStart(2, "0")).join(""),
    };
    const options: HttpServerOptions = {
      name: this.#o.name,
      node: () => this.#driver,
      starting: () => "starting",
      members: voters.map((voter) => ({ id: voter.split("@")[0] as string, url: urlOf(voter) })),
      listen: { host: "", port: 0 },
      bodyBytes: 65_536,
      batchBytes: 1_048_576,
      connections: 10_000,
      internalError: (error) => {
        throw error;
      },
    };
    return {
      options,
      limits: defaultLimits,
      host,
      underWay: new Set(),
      connections: new WeakMap(),
      isClosing: false,
    };
  }

  /**
   * One request, on a connection of its own. `respond` runs in a turn of this process, at most once. Returns what its
   * client's end of the connection does to it: undefined when no process is there to take it.
   */
  request(sent: HttpRequestSent, respond: (answer: HttpAnswer) => void): (() => void) | undefined {
    const boot = this.#boot;
    if (!this.isUp) return undefined;
    let exchange: Exchange | undefined;
    this.#run(boot, () => {
      exchange = this.#handle(sent, (answer) => {
        this.#burnFuse();
        respond(answer);
      });
    });
    return () => this.#run(boot, () => exchange?.handleHangUp());
  }

  #handle(sent: HttpRequestSent, respond: (answer: HttpAnswer) => void): Exchange | undefined {
    const [path = "", query = ""] = sent.target.split("?");
    const match = matchRoute(sent.method, path);
    if (match.kind !== "route") {
      throw new Error(`a simulated client asks for what is no route: ${sent.method} ${sent.target}`);
    }
    const node = this.#driver;
    if (node === undefined || this.#http === undefined) {
      respond({ status: 503, headers: {}, body: { code: "no-leader" } });
      return undefined;
    }
    const request = {
      id: `${this.name}-${this.#boot}-${++this.#requests}`,
      headers: sent.headers,
      query: Object.fromEntries(new URLSearchParams(query)),
      body: sent.body ?? {},
      // What the schemas refuse is for the tests of HTTP: simulated clients are well-behaved in form.
      faultsOf: () => undefined,
    };
    const exchange = new Exchange(
      this.#http,
      {
        request,
        connection: new Set(),
        respond: (status, headers, text) =>
          respond({ status, headers, body: JSON.parse(text) as HttpAnswer["body"] }),
      },
      { node, target: sent.target, param: match.param },
    );
    exchange.guard(() => handlers[match.id as NodeRoute](exchange));
    return exchange;
  }
}

/** Public URL of a member, whose name it shows. */
export function urlOf(member: string): string {
  return `http://${member.split("@")[0]}`;
}
