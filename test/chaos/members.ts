/**
 * A cluster under chaos: real processes, each with a cluster file of its own in which the other members' addresses are
 * the proxies on its way to them, so that every directed pair can be cut. The founders' file must be the same on all
 * while they found (they compare its addresses); afterwards nobody compares it, so all found with a common one and are
 * then started with their own.
 * Every end of a process is held against what was meant to happen to it.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Prng } from "../../src/base/prng.ts";
import { bodyOf, ClusterNode, type Exit, statusOf } from "../e2e/cluster.ts";
import { pause } from "./clock.ts";
import { Disk, unmountLeft } from "./disks.ts";
import { Network, type Place } from "./network.ts";
import type { Timeline } from "./timeline.ts";

export interface MembersOptions {
  readonly count: number;
  readonly timeline: Timeline;
  readonly hasDisks: boolean;
  readonly random: Prng;
}

/** Milliseconds. Shorter than the defaults, so that ttls are short and a run sees many of them. */
export const timing = { tickMs: 50, heartbeatMs: 100, electionTimeoutMs: 400 };
/** The smallest that a session is granted: four times the longest election timeout. */
export const ttlMs = 8 * timing.electionTimeoutMs;

export interface UnexpectedExit {
  readonly id: string;
  readonly exit: Exit;
  /** The last lines of its log. */
  readonly said: string;
}

type Expectation = (exit: Exit) => boolean;

export class Member {
  readonly id: string;
  readonly node: ClusterNode;
  readonly disk: Disk | undefined;
  /** It cannot come back in this run, and why; what it may do from then on is no concern of the rest. */
  outBecause: string | undefined;
  /** Its directory was damaged and it started all the same: it may notice later. */
  isDamaged = false;
  readonly #timeline: Timeline;
  readonly #setUp: (isUp: boolean) => void;
  readonly #unexpected: UnexpectedExit[];
  #expected: Expectation | undefined;

  constructor(
    node: ClusterNode,
    context: {
      readonly disk: Disk | undefined;
      readonly timeline: Timeline;
      readonly setUp: (isUp: boolean) => void;
      readonly unexpected: UnexpectedExit[];
    },
  ) {
    this.id = node.id;
    this.node = node;
    this.disk = context.disk;
    this.#timeline = context.timeline;
    this.#setUp = context.setUp;
    this.#unexpected = context.unexpected;
  }

  get isUp(): boolean {
    return this.node.isRunning;
  }

  start(options: { readonly config?: string; readonly data?: string } = {}): void {
    this.#expected = undefined;
    this.node.start(options);
    this.#timeline.add(this.id, `started as process ${this.node.pid}`);
    void this.node.exit.then((exit) => {
      this.#setUp(false);
      const end = endOf(exit, { isExpected: this.#expected?.(exit) === true, isDamaged: this.isDamaged });
      if (end === "damage-noticed") this.outBecause = "its directory was damaged";
      this.#timeline.add(
        this.id,
        `ended: ${exitText(exit)}${end === "unexpected" ? ", which nobody expected" : ""}`,
      );
      if (end !== "unexpected") return;
      this.#unexpected.push({ id: this.id, exit, said: this.node.stderr.split("\n").slice(-12).join("\n") });
    });
  }

  /** How the process may end from here on, until it is started again. */
  expect(expected: Expectation): void {
    this.#expected = expected;
  }

  async kill(): Promise<void> {
    this.expect(({ signal }) => signal === "SIGKILL");
    await this.node.kill();
  }

  /** Whether it ended in order within ten seconds. It is ended by force otherwise. */
  async terminate(): Promise<boolean> {
    this.expect(({ code }) => code === 0);
    this.node.signal("SIGCONT");
    this.node.signal("SIGTERM");
    const ended = await Promise.race([this.node.exit.then(() => true), pause(10_000).then(() => false)]);
    if (!ended) await this.node.kill();
    return ended;
  }

  /** Undefined: it still runs after that time. */
  async exitWithin(limitMs: number): Promise<Exit | undefined> {
    return Promise.race([this.node.exit, pause(limitMs).then(() => undefined)]);
  }

  async isReady(): Promise<boolean> {
    return this.isUp && (await statusOf(`${this.node.url}/readyz`)) === 200;
  }
}

/**
 * What the end of a process means. One whose directory was damaged may notice at any time, and is out then; but not when
 * it ended as was meant to happen, like by a power cut, which has the same exit code: it comes back.
 */
export function endOf(
  exit: Exit,
  { isExpected, isDamaged }: { readonly isExpected: boolean; readonly isDamaged: boolean },
): "expected" | "damage-noticed" | "unexpected" {
  if (isExpected) return "expected";
  return isDamaged && isRefusal(exit) ? "damage-noticed" : "unexpected";
}

/** Storage that must not be trusted (70), a directory that cannot be used or may not join, LevelDB's own abort. */
export function isRefusal({ code, signal }: Exit): boolean {
  return code === 70 || code === 73 || code === 78 || signal === "SIGABRT";
}

export function exitText({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code}` : signal;
}

export class Members {
  readonly place: string;
  readonly all: readonly Member[];
  readonly network: Network;
  readonly unexpected: UnexpectedExit[];
  readonly #disks: readonly Disk[];

  private constructor(parts: {
    place: string;
    all: readonly Member[];
    network: Network;
    disks: readonly Disk[];
    unexpected: UnexpectedExit[];
  }) {
    this.place = parts.place;
    this.all = parts.all;
    this.network = parts.network;
    this.#disks = parts.disks;
    this.unexpected = parts.unexpected;
  }

  /** Makes and founds it; resolves when all run with their own files and one leads. */
  static async start(options: MembersOptions): Promise<Members> {
    const { count, timeline, hasDisks, random } = options;
    sweep();
    const place = mkdtempSync(join(tmpdir(), placePrefix));
    writeFileSync(join(place, ownerFile), String(process.pid));
    const ports = await quietPorts(2 * count, random);
    const places = Array.from({ length: count }, (_, i) => ({
      id: `n${i + 1}`,
      peerPort: ports[2 * i] as number,
      httpPort: ports[2 * i + 1] as number,
    }));
    const network = await Network.open(places);
    const unexpected: UnexpectedExit[] = [];
    const disks: Disk[] = [];
    const all = places.map(({ id, httpPort }) => {
      const disk = hasDisks ? mountOrNot(join(place, `${id}-disk`), timeline) : undefined;
      if (disk !== undefined) disks.push(disk);
      const node = new ClusterNode({
        id,
        url: `http://127.0.0.1:${httpPort}`,
        place,
        config: join(place, `${id}.yaml`),
        data: join(disk?.path ?? place, `${id}-data`),
        onText: (text) => {
          timeline.addLines(id, text);
          if (/ listening /.test(text)) network.setUp(id, true);
        },
      });
      network.setUp(id, false);
      return new Member(node, { disk, timeline, setUp: (isUp) => network.setUp(id, isUp), unexpected });
    });
    const members = new Members({ place, all, network, disks, unexpected });
    try {
      await members.#found(places);
    } catch (error) {
      await members.destroy();
      throw error;
    }
    return members;
  }

  async #found(places: readonly Place[]): Promise<void> {
    const direct = ({ peerPort }: Place) => `127.0.0.1:${peerPort}`;
    for (const self of places) this.#write(self, places, direct);
    for (const { node } of this.all) node.init();
    for (const member of this.all) member.start();
    await this.leader();
    await Promise.all(this.all.map((member) => member.terminate()));
    for (const self of places) {
      const seen = (other: Place) =>
        other === self ? direct(self) : this.network.peerAddress(self.id, other.id);
      this.#write(self, places, seen);
    }
    for (const member of this.all) member.start();
    await this.leader();
  }

  #write(self: Place, places: readonly Place[], peerOf: (place: Place) => string): void {
    const file = {
      clusterName: "chaos",
      members: places.map((place) => ({
        id: place.id,
        peer: peerOf(place),
        http: this.network.clientAddress(place.id),
      })),
      timing,
      settings: { disconnectGraceMs: 3_000 },
      // A member that is away for some seconds comes back through the state of another one.
      node: { snapshotEveryBytes: 65_536 },
      listen: { http: `127.0.0.1:${self.httpPort}`, peer: `127.0.0.1:${self.peerPort}` },
    };
    // JSON is YAML.
    writeFileSync(join(this.place, `${self.id}.yaml`), JSON.stringify(file, undefined, 2));
  }

  /** Those that can still take part. */
  get left(): readonly Member[] {
    return this.all.filter(({ outBecause }) => outBecause === undefined);
  }

  get urls(): readonly string[] {
    return this.all.map(({ id }) => `http://${this.network.clientAddress(id)}`);
  }

  /** Who says that it leads, and serves; undefined when nobody does. */
  async currentLeader(): Promise<Member | undefined> {
    const found = await Promise.all(
      this.left
        .filter(({ isUp }) => isUp)
        .map(async (member) => {
          const view = await bodyOf(`${member.node.url}/v1/cluster`);
          return view?.["leader"] === member.id ? { member, term: Number(view["term"]) } : undefined;
        }),
    );
    const leading = found.flatMap((one) => one ?? []);
    return leading.sort((a, b) => b.term - a.term)[0]?.member;
  }

  async leader(limitMs = 20_000): Promise<Member> {
    const until = performance.now() + limitMs;
    while (performance.now() < until) {
      const leader = await this.currentLeader();
      if (leader !== undefined && (await leader.isReady())) return leader;
      await pause(30);
    }
    throw new Error(`no leader within ${limitMs} ms`);
  }

  /** Those that are left and not ready after that time. */
  async unready(limitMs: number): Promise<readonly Member[]> {
    const until = performance.now() + limitMs;
    for (;;) {
      const { left } = this;
      const are = await Promise.all(left.map((member) => member.isReady()));
      const lacking = left.filter((_, i) => are[i] !== true);
      if (lacking.length === 0 || performance.now() >= until) return lacking;
      await pause(30);
    }
  }

  /** Ends every process, in order where that goes, and unmounts. The logs and directories stay. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((member) => (member.isUp ? member.terminate() : undefined)));
    await this.network.close();
  }

  /** Copies of what may be wanted later must have been made. */
  async destroy(): Promise<void> {
    for (const member of this.all) {
      member.node.signal("SIGCONT");
      await member.kill();
    }
    await this.network.close();
    for (const disk of this.#disks) disk.unmount();
    rmSync(this.place, { recursive: true, force: true });
  }
}

const placePrefix = "holdfast-chaos-";
const ownerFile = "owner";

/** What a run left behind that was ended by SIGKILL: nobody could unmount for it. Those of living runs stay. */
function sweep(): void {
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(placePrefix))) {
    const place = join(tmpdir(), name);
    try {
      if (isAlive(Number(readFileSync(join(place, ownerFile), "utf8")))) continue;
      for (const disk of readdirSync(place).filter((one) => one.endsWith("-disk"))) {
        unmountLeft(join(place, disk));
      }
      rmSync(place, { recursive: true, force: true });
    } catch {
      // Somebody else's, or still in use: not ours to insist on.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/** Where the loop devices are used up, some members have a disk of their own and some do not. */
function mountOrNot(path: string, timeline: Timeline): Disk | undefined {
  try {
    return Disk.mount(path);
  } catch (error) {
    timeline.add("chaos", `no disk at ${path}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/**
 * Free ports below those that the system gives to outgoing connections: a member that is started again must find its
 * own still free.
 */
async function quietPorts(count: number, random: Prng): Promise<readonly number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries++) {
    if (tries > 1_000) throw new Error("no free ports between 20000 and 31999");
    // Not from the seed alone: two runs of one seed may stand side by side.
    const port = 20_000 + ((random.between(0, 11_999) + process.pid * 7) % 12_000);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
