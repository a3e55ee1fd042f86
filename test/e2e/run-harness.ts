/**
 * What the tests of `holdfast run` share: a cluster with short leases, plain HTTP beside the command line, and commands
 * whose processes are known by pid. Nothing is left running.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { endAll, type Ran, type Running, type RunOptions, start, until } from "../cli/process.ts";
import { Cluster } from "./cluster.ts";

/** Smallest ttl of this cluster: eight election timeouts. */
export const shortTtl = "2s";

export function startShortCluster(): Promise<Cluster> {
  return Cluster.start((yaml) =>
    yaml
      .replace("tickMs: 50", "tickMs: 25")
      .replace("heartbeatMs: 100", "heartbeatMs: 50")
      .replace("electionTimeoutMs: 750", "electionTimeoutMs: 250")
      .replace("lockDelayMs: 5000", "lockDelayMs: 1000"),
  );
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** One event of `--json`. */
export type RunEvent = Readonly<Record<string, unknown>> & { readonly event: string };

export interface RunTools {
  /** `run --json …`, with a short ttl. */
  run(words: readonly string[], options?: RunOptions): Running;
  ask(method: string, path: string, body?: unknown, sessionId?: string): Promise<Answer>;
  lock(name: string): Promise<Record<string, unknown>>;
  /** Holds a lock for as long as the test lasts, or until `release`. */
  hold(name: string): Promise<{ readonly sessionId: string; release(): Promise<void> }>;
  /** A live session that nothing renews. */
  session(ttlMs: number): Promise<string>;
  /** Ends whatever the test left, by pid. */
  clean(): Promise<void>;
  /** A name that no other test uses. */
  name(): string;
}

const strays = new Set<number>();
let names = 0;

export function createTools(cluster: () => Cluster): RunTools {
  const ask: RunTools["ask"] = async (method, path, body, sessionId) => {
    const response = await fetch(`${cluster().urls[0]}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(sessionId === undefined ? {} : { "holdfast-session": sessionId }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const session = async (ttlMs: number) => {
    const sessionId = randomBytes(16).toString("hex");
    const { status, body } = await ask("POST", "/v1/sessions", { sessionId, ttlMs, label: "the test" });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return sessionId;
  };
  return {
    ask,
    session,
    run: (words, options = {}) => {
      const environment = { HOLDFAST_ENDPOINTS: cluster().urls.join(","), ...options.environment };
      const running = start(["run", "--json", "--ttl", shortTtl, ...words], { ...options, environment });
      return running;
    },
    lock: async (name) => (await ask("GET", `/v1/locks/${name}`)).body,
    hold: async (name) => {
      const sessionId = await session(60_000);
      const { status, body } = await ask("POST", `/v1/locks/${name}:acquire`, { sessionId });
      if (status !== 200) throw new Error(JSON.stringify(body));
      return {
        sessionId,
        release: async () => void (await ask("DELETE", `/v1/sessions/${sessionId}`)),
      };
    },
    clean: async () => {
      for (const pid of strays) {
        if (isRunning(pid)) process.kill(pid, "SIGKILL");
      }
      strays.clear();
      await endAll();
    },
    name: () => `t${process.pid}-${++names}`,
  };
}

/** The command may write to stderr too; what it writes is no object. */
export function eventsOf(text: string): readonly RunEvent[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as RunEvent);
}

export function eventNames(ran: Ran): readonly string[] {
  return eventsOf(ran.stderr).map(({ event }) => event);
}

export function eventOf(ran: Ran | Running, name: string): RunEvent | undefined {
  const text = typeof ran.stderr === "string" ? ran.stderr : ran.stderr();
  return eventsOf(text.slice(0, text.lastIndexOf("\n") + 1)).find(({ event }) => event === name);
}

export function happened(running: Running, event: string): Promise<string> {
  return running.said("stderr", new RegExp(`"event":"${event}".*\n`));
}

/** The words that the command printed after `word`, as numbers; they are ended with the test. */
export async function pidsAfter(running: Running, word: string): Promise<readonly number[]> {
  const text = await running.said("stdout", new RegExp(`^${word} .*\n`, "m"));
  const line = text.split("\n").find((one) => one.startsWith(`${word} `)) ?? "";
  const pids = line.split(" ").slice(1).map(Number);
  for (const pid of pids) strays.add(pid);
  return pids;
}

/** A process that does something: one that ended and was not asked for is none. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

export function gone(pid: number): Promise<void> {
  return until(() => !isRunning(pid));
}

/** `process.kill`, of a process that the test knows to run. */
export function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}
