/**
 * `holdfast dev`: a whole cluster on this machine. Prepares its directory, starts the nodes, waits until they serve,
 * says how to go on, and reports what happens to them. A node that dies is reported and started again only by hand.
 */
import { randomBytes } from "node:crypto";
import type { Invocation } from "../declare.ts";
import { type DevDirectory, type DevDirectoryOptions, planDevDirectory } from "../dev/directory.ts";
import { hasKeys, watchKeys } from "../dev/keys.ts";
import { type NodeExit, type NodeProcess, startNodeProcess } from "../dev/node-process.ts";
import { takenPort } from "../dev/ports.ts";
import { askNode, httpUrl, leaderOf, type NodeView } from "../dev/watch.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { aligned, type Output, paint } from "../output.ts";

/** How often the nodes are asked who leads. */
const askEveryMs = 250;
/** After that long without a leader it is worth a word. */
const patienceMs = 15_000;

export async function dev({ options, output }: Invocation<DevDirectoryOptions>): Promise<number> {
  const plan = await planDevDirectory(options);
  const taken = await takenPort(plan.nodes.flatMap(({ httpPort, peerPort }) => [httpPort, peerPort]));
  if (taken !== undefined) {
    const detail = `port ${taken.port} ${taken.why}\nChoose others with --port, as --port ${(plan.nodes[0]?.httpPort ?? 7400) + 100}.`;
    throw new CliError({ exitCode: exitCodes.cannotListen, code: "cannot-listen", detail });
  }
  return new DevCluster(await plan.prepare(), output).run();
}

class DevCluster {
  readonly #directory: DevDirectory;
  readonly #output: Output;
  readonly #processes = new Map<string, NodeProcess>();
  /** Nodes that were killed on purpose. */
  readonly #killed = new Set<string>();
  #leader: { readonly leader: string; readonly term: number } | undefined;
  #isReady = false;
  #isStopping = false;
  #end: (exitCode: number) => void = () => {};
  #timer: NodeJS.Timeout | undefined;

  constructor(directory: DevDirectory, output: Output) {
    this.#directory = directory;
    this.#output = output;
  }

  async run(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#end = resolve;
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => this.#end(exitCodes.ok));
    }
    process.stdout.on("error", () => this.#end(exitCodes.ok));
    this.#output.note(
      "starting",
      `starting ${this.#directory.nodes.length} nodes in ${this.#directory.path}`,
    );
    for (const { id } of this.#directory.nodes) this.#start(id, false);
    const restoreTerminal = watchKeys({
      quit: () => this.#end(exitCodes.ok),
      kill: () => this.#killLeader(),
      restart: () => this.#restart(),
    });
    void this.#watch(performance.now());
    const code = await ended;
    this.#isStopping = true;
    restoreTerminal();
    clearTimeout(this.#timer);
    await Promise.all([...this.#processes.values()].map((running) => running.stop()));
    this.#output.note("stopped", "all nodes are stopped");
    return code;
  }

  #start(id: string, isAppending: boolean): void {
    const node = this.#directory.nodes.find((candidate) => candidate.id === id);
    if (node === undefined) return;
    const running = startNodeProcess(node, this.#directory.configPath, isAppending);
    this.#processes.set(id, running);
    void running.exited.then((exit) => this.#exited(running, exit));
  }

  #exited({ node }: NodeProcess, exit: NodeExit): void {
    if (this.#isStopping) return;
    const wasKilled = this.#killed.delete(node.id);
    const { exitCode, signal, text } = exit;
    const how = signal === undefined ? `exit code ${exitCode}` : signal;
    const why = text === undefined ? `see ${node.logPath}` : text.replaceAll("\n", "\n  ");
    this.#output.line(
      {
        event: "node-down",
        node: node.id,
        exitCode,
        signal,
        killed: wasKilled,
        detail: text,
        log: node.logPath,
      },
      wasKilled ? `${node.id} is down, killed` : `${paint("red", `${node.id} is down`)} (${how}): ${why}`,
    );
    const isFounding = this.#directory.isNew && !this.#isReady;
    const isLast = [...this.#processes.values()].every((running) => running.exit !== undefined);
    if ((isLast && !hasKeys()) || isFounding) this.#end(exitCode || exitCodes.fault);
  }

  async #watch(sinceMs: number): Promise<void> {
    const running = this.#running();
    const views = await Promise.all(running.map(({ node }) => askNode(node)));
    if (this.#isStopping) return;
    const leader = leaderOf(views);
    if (!this.#isReady) this.#maybeReady(views, leader, sinceMs);
    else if (leader !== undefined && leader.leader !== this.#leader?.leader) {
      this.#output.line(
        { event: "leader", ...leader },
        `${paint("bold", leader.leader)} leads (term ${leader.term})`,
      );
    }
    this.#leader = leader ?? this.#leader;
    const waitedMs = performance.now() - sinceMs;
    this.#timer = setTimeout(() => void this.#watch(sinceMs), askEveryMs);
    if (!this.#isReady && waitedMs > patienceMs && waitedMs % patienceMs < askEveryMs) {
      this.#output.note("waiting", `no leader yet; the nodes log to ${this.#directory.path}/*.log`);
    }
  }

  #running(): readonly NodeProcess[] {
    return [...this.#processes.values()].filter(({ exit }) => exit === undefined);
  }

  #maybeReady(
    views: readonly NodeView[],
    leader: { readonly leader: string; readonly term: number } | undefined,
    sinceMs: number,
  ): void {
    if (leader === undefined || views.some(({ isReady }) => !isReady)) return;
    this.#isReady = true;
    const nodes = this.#running().map(({ node, pid }) => ({
      id: node.id,
      role: node.id === leader.leader ? "leader" : "follower",
      http: httpUrl(node),
      peer: `127.0.0.1:${node.peerPort}`,
      pid,
      data: node.dataPath,
    }));
    const endpoints = nodes.map(({ http }) => http);
    const rows = nodes.map(({ id, role, http, pid, data }) => [id, role, http, String(pid), data]);
    const lines = aligned([["NODE", "ROLE", "HTTP", "PID", "DATA"], ...rows]);
    this.#output.line(
      { event: "ready", ...leader, endpoints, nodes },
      [
        ...lines.map((line, index) => (index === 0 ? paint("bold", line) : line)),
        "",
        ...nextCommands(endpoints[0] ?? ""),
        "",
        `Ready after ${Math.round(performance.now() - sinceMs)} ms. For development only: nothing is encrypted, nobody is authenticated.`,
        ...(hasKeys() ? ["q quits, k kills the leader, r starts again what is down"] : []),
      ].join("\n"),
    );
    this.#output.line({ event: "leader", ...leader }, "");
  }

  #killLeader(): void {
    const running = this.#processes.get(this.#leader?.leader ?? "");
    if (running === undefined || running.exit !== undefined) {
      this.#output.note("keys", "nobody leads at this moment");
      return;
    }
    this.#killed.add(running.node.id);
    running.kill();
  }

  #restart(): void {
    const down = [...this.#processes.values()].filter(({ exit }) => exit !== undefined);
    for (const { node } of down) this.#start(node.id, true);
    const names = down.map(({ node }) => node.id).join(", ");
    this.#output.note("keys", down.length === 0 ? "every node runs" : `starting ${names} again`);
  }
}

/** Two requests that lead to a held lock; the session lives long enough to type the second. */
function nextCommands(endpoint: string): readonly string[] {
  const sessionId = `demo-${randomBytes(8).toString("hex")}`;
  return [
    "Try, in another terminal, a session and a lock in it:",
    `  curl -sL --json '{"sessionId":"${sessionId}","ttlMs":600000}' ${endpoint}/v1/sessions`,
    `  curl -sL --json '{"sessionId":"${sessionId}"}' ${endpoint}/v1/locks/demo:acquire`,
  ];
}
