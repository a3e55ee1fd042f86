/**
 * A cluster of real processes: the built CLI, `init` and `server` for each node, from cluster.example.yaml with other
 * ports. It ends only processes that it started, by their pids, and removes what it wrote.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = rootAbove(fileURLToPath(import.meta.url));
const bin = join(root, "bin/holdfast.js");

/** Wherever this file was compiled to. */
function rootAbove(path: string): string {
  const above = dirname(path);
  if (above === path) throw new Error("no bin/holdfast.js above this file");
  return existsSync(join(above, "bin/holdfast.js")) ? above : rootAbove(above);
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface NodeOptions {
  readonly id: string;
  /** Of its API, as it listens. */
  readonly url: string;
  /** Where its log goes. */
  readonly place: string;
  /** The cluster file that it is made and started with. */
  readonly config: string;
  /** Default: its id, in `place`. */
  readonly data?: string;
  /** What it writes to standard error, as it comes. */
  readonly onText?: (text: string) => void;
}

export class ClusterNode {
  readonly id: string;
  readonly url: string;
  readonly dataPath: string;
  readonly logPath: string;
  readonly #config: string;
  readonly #onText: (text: string) => void;
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> = Promise.resolve({ code: null, signal: null });
  stderr = "";

  constructor({ id, url, place, config, data = join(place, id), onText = () => {} }: NodeOptions) {
    this.id = id;
    this.url = url;
    this.#config = config;
    this.#onText = onText;
    this.dataPath = data;
    this.logPath = join(place, `${id}.log`);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when the process that was started last has ended. */
  get exit(): Promise<Exit> {
    return this.#exit;
  }

  init(): void {
    const args = [bin, "init", "--config", this.#config, "--id", this.id, "--data", this.dataPath];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`init ${this.id} ended with ${status}: ${stderr}`);
  }

  start(options: { readonly config?: string; readonly data?: string } = {}): void {
    const { config = this.#config, data = this.dataPath } = options;
    const child = spawn(
      process.execPath,
      [bin, "server", "--config", config, "--id", this.id, "--data", data],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    this.#child = child;
    this.stderr = "";
    const log = createWriteStream(this.logPath, { flags: "a" });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr = (this.stderr + text).slice(-20_000);
      log.write(text);
      this.#onText(text);
    });
    this.#exit = new Promise((resolve) => {
      child.on("exit", (code, signal) => {
        if (this.#child === child) this.#child = undefined;
        log.end();
        resolve({ code, signal });
      });
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#exit;
  }

  async stop(): Promise<Exit> {
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    return this.#exit;
  }
}

export class Cluster {
  readonly place: string;
  readonly configPath: string;
  readonly nodes: readonly ClusterNode[];

  private constructor(place: string, configPath: string, nodes: readonly ClusterNode[]) {
    this.place = place;
    this.configPath = configPath;
    this.nodes = nodes;
  }

  /** Writes the file and makes the data directories; nothing runs yet. */
  static async create(edit: (yaml: string) => string = (yaml) => yaml): Promise<Cluster> {
    const place = mkdtempSync(join(tmpdir(), "holdfast-e2e-"));
    const ports = await freePorts(6);
    let yaml = readFileSync(join(root, "cluster.example.yaml"), "utf8");
    const replaced = ["7400", "7401", "7402", "7410", "7411", "7412"];
    for (const [i, port] of replaced.entries())
      yaml = yaml.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:<${i}>`);
    for (const i of replaced.keys()) yaml = yaml.replaceAll(`<${i}>`, String(ports[i]));
    const configPath = join(place, "cluster.yaml");
    writeFileSync(configPath, edit(yaml));
    const nodes = [1, 2, 3].map(
      (n) =>
        new ClusterNode({
          id: `n${n}`,
          url: `http://127.0.0.1:${ports[n - 1]}`,
          place,
          config: configPath,
        }),
    );
    for (const node of nodes) node.init();
    return new Cluster(place, configPath, nodes);
  }

  static async start(edit?: (yaml: string) => string): Promise<Cluster> {
    const cluster = await Cluster.create(edit);
    for (const node of cluster.nodes) node.start();
    await cluster.leader();
    return cluster;
  }

  get urls(): readonly string[] {
    return this.nodes.map(({ url }) => url);
  }

  node(id: string): ClusterNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new Error(`no node ${id}`);
    return found;
  }

  /** `host:port` pairs that nothing uses. */
  async spareAddresses(count: number): Promise<readonly string[]> {
    return (await freePorts(count)).map((port) => `127.0.0.1:${port}`);
  }

  /** Another process for a member's name; ended with the cluster. */
  another(id: string): ClusterNode {
    const { url } = this.node(id);
    const node = new ClusterNode({ id, url, place: this.place, config: this.configPath });
    this.#others.push(node);
    return node;
  }

  readonly #others: ClusterNode[] = [];

  /** Waits until a running node says that it leads and serves. */
  async leader(limitMs = 20_000): Promise<ClusterNode> {
    const until = Date.now() + limitMs;
    while (Date.now() < until) {
      for (const node of this.nodes) {
        if (!node.isRunning) continue;
        const ready = await statusOf(`${node.url}/readyz`);
        const cluster = await bodyOf(`${node.url}/v1/cluster`);
        if (ready === 200 && cluster?.["leader"] === node.id) return node;
      }
      await pause(50);
    }
    throw new Error(`no leader within ${limitMs} ms\n${this.nodes.map((node) => node.stderr).join("\n")}`);
  }

  async ready(node: ClusterNode, limitMs = 20_000): Promise<void> {
    const until = Date.now() + limitMs;
    while (Date.now() < until) {
      if ((await statusOf(`${node.url}/readyz`)) === 200) return;
      await pause(50);
    }
    throw new Error(`${node.id} is not ready within ${limitMs} ms\n${node.stderr}`);
  }

  /** Ends every process and removes the files. */
  async destroy(): Promise<void> {
    for (const node of [...this.nodes, ...this.#others]) {
      node.signal("SIGCONT");
      await node.kill();
    }
    rmSync(this.place, { recursive: true, force: true });
  }
}

/** As AbortSignal.timeout, which Node 20 may collect as garbage before it fires; the timer holds on to this one. */
export function timeLimit(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), ms).unref();
  return controller.signal;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Undefined: nobody answered. */
export async function statusOf(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: timeLimit(1_000) });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return undefined;
  }
}

export async function bodyOf(url: string): Promise<Record<string, unknown> | undefined> {
  try {
    const response = await fetch(url, { signal: timeLimit(1_000) });
    return (await response.json()) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** Below those that systems give to connections; each worker of vitest has a share of its own. */
const portsFrom = 12_000;
const portsOfWorker = 4_000;
const worker = (Number(process.env["VITEST_POOL_ID"] ?? 0) % 5) * portsOfWorker;
let nextPort = randomInt(portsOfWorker);

/** Ports that nothing uses, and that no other test that runs now, nor one before in this worker, was given. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count && tries < portsOfWorker; tries++) {
    const port = portsFrom + worker + (nextPort++ % portsOfWorker);
    if (await isFree(port)) ports.push(port);
  }
  if (ports.length < count) throw new Error("no free ports");
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
