/**
 * Three nodes of the built CLI on loopback, each with a data directory and fsync, as `cluster.example.yaml` has them.
 * Ends only processes that it started, and removes what it wrote. A node that ends by itself fails whoever waits.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { CleanUps } from "./processes.ts";
import { pause } from "./spec.ts";

export interface ClusterOptions {
  readonly root: string;
  /** Where the data directories go. */
  readonly data: string;
  readonly cleanUps: CleanUps;
  /** Each node writes a CPU profile of its whole life when it ends. */
  readonly isProfiled?: boolean;
}

export class BenchNode {
  readonly id: string;
  /** `host:port` of its API. */
  readonly endpoint: string;
  readonly #args: readonly string[];
  readonly #onUnexpectedExit: (node: BenchNode, how: string) => void;
  #child: ChildProcess | undefined;
  #exit: Promise<void> = Promise.resolve();
  #isEndExpected = false;
  #log = "";

  constructor(
    id: string,
    endpoint: string,
    args: readonly string[],
    onUnexpectedExit: (node: BenchNode, how: string) => void,
  ) {
    this.id = id;
    this.endpoint = endpoint;
    this.#args = args;
    this.#onUnexpectedExit = onUnexpectedExit;
  }

  /** Undefined when it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** The last of what it wrote to standard error. */
  get logTail(): string {
    return this.#log.split("\n").slice(-20).join("\n");
  }

  start(): void {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
    const child = spawn(process.execPath, this.#args, {
      env: Object.fromEntries(environment),
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    this.#isEndExpected = false;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-20_000);
    });
    this.#exit = new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        if (this.#child === child) this.#child = undefined;
        if (!this.#isEndExpected) this.#onUnexpectedExit(this, signal ?? `exit code ${code}`);
        resolve();
      });
    });
  }

  freeze(): void {
    this.#child?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#isEndExpected = true;
    this.#child?.kill("SIGKILL");
    await this.#exit;
  }

  /** In order; by force when that takes more than 10 s. */
  async stop(): Promise<void> {
    this.#isEndExpected = true;
    this.thaw();
    const child = this.#child;
    child?.kill("SIGTERM");
    const timer = setTimeout(() => child?.kill("SIGKILL"), 10_000);
    await this.#exit;
    clearTimeout(timer);
  }
}

export class BenchCluster {
  readonly nodes: readonly BenchNode[];
  /** Rejects when a node ends that nobody ended; never resolves. */
  readonly failure: Promise<never>;
  /** Ends all nodes and removes their files; may be called again. */
  readonly destroy: () => Promise<void>;
  readonly #place: string;

  private constructor(
    nodes: readonly BenchNode[],
    place: string,
    failure: Promise<never>,
    cleanUps: CleanUps,
  ) {
    this.nodes = nodes;
    this.#place = place;
    this.failure = failure;
    this.destroy = cleanUps.add(async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      rmSync(place, { recursive: true, force: true });
    });
  }

  /** Resolves when it serves. */
  static async start({ root, data, cleanUps, isProfiled = false }: ClusterOptions): Promise<BenchCluster> {
    const place = mkdtempSync(join(data, "holdfast-bench-"));
    const config = join(place, "cluster.yaml");
    const ports = await freePorts(6);
    writeFileSync(config, clusterFile(root, ports));
    let fail: (error: Error) => void = () => {};
    const failure = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    failure.catch(() => {});
    const bin = join(root, "bin/holdfast.js");
    const nodes = [1, 2, 3].map((n, i) => {
      const id = `n${n}`;
      const words = ["--config", config, "--id", id, "--data", join(place, id)];
      runInit([bin, "init", ...words]);
      const profile = ["--cpu-prof", `--cpu-prof-dir=${join(place, `profile-${id}`)}`];
      const args = [...(isProfiled ? profile : []), bin, "server", ...words];
      return new BenchNode(id, `127.0.0.1:${ports[i]}`, args, (node, how) =>
        fail(new Error(`node ${node.id} ended by itself (${how}); its log ends:\n${node.logTail}`)),
      );
    });
    const cluster = new BenchCluster(nodes, place, failure, cleanUps);
    for (const node of nodes) node.start();
    await cluster.leader();
    await Promise.all(nodes.map((node) => cluster.ready(node)));
    return cluster;
  }

  get pids(): readonly number[] {
    return this.nodes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** Waits until a node says that it leads and serves. */
  async leader(): Promise<BenchNode> {
    return this.#until("no node leads", async () => {
      for (const node of this.nodes) {
        if (node.pid === undefined || !(await isReady(node))) continue;
        if ((await leaderAsSeenBy(node)) === node.id) return node;
      }
      return undefined;
    });
  }

  async ready(node: BenchNode): Promise<void> {
    await this.#until(`${node.id} is not ready`, async () => ((await isReady(node)) ? true : undefined));
  }

  /** The profile that a node wrote when it ended. Call it between its stop and `destroy`. */
  profileOf(node: BenchNode): string {
    const folder = join(this.#place, `profile-${node.id}`);
    const [name] = readdirSync(folder);
    if (name === undefined) throw new Error(`${node.id} wrote no profile`);
    return readFileSync(join(folder, name), "utf8");
  }

  async #until<T>(complaint: string, ask: () => Promise<T | undefined>): Promise<T> {
    const until = Date.now() + 30_000;
    while (Date.now() < until) {
      const answer = await Promise.race([ask(), this.failure]);
      if (answer !== undefined) return answer;
      await pause(50);
    }
    throw new Error(`${complaint} after 30 s\n${this.nodes.map((node) => node.logTail).join("\n")}`);
  }
}

/** The example with other ports; everything else at its default. */
function clusterFile(root: string, ports: readonly number[]): string {
  let yaml = readFileSync(join(root, "cluster.example.yaml"), "utf8");
  const replaced = ["7400", "7401", "7402", "7410", "7411", "7412"];
  for (const [i, port] of replaced.entries()) yaml = yaml.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:<${i}>`);
  for (const i of replaced.keys()) yaml = yaml.replaceAll(`<${i}>`, String(ports[i]));
  return yaml;
}

function runInit(args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`init ended with ${status}: ${stderr}`);
}

async function isReady(node: BenchNode): Promise<boolean> {
  return (await get(`http://${node.endpoint}/readyz`))?.status === 200;
}

async function leaderAsSeenBy(node: BenchNode): Promise<string | undefined> {
  const answer = await get(`http://${node.endpoint}/v1/cluster`);
  return answer === undefined ? undefined : (JSON.parse(answer.body) as { leader?: string }).leader;
}

async function get(url: string): Promise<{ readonly status: number; readonly body: string } | undefined> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), 1_000);
  try {
    const response = await fetch(url, { signal: controller.signal, headers: { connection: "close" } });
    return { status: response.status, body: await response.text() };
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
