/**
 * docs/RECIPES.md, run as it stands: its files are written into a directory beside small stand-ins for what a user has
 * (`./report`, `./worker`, …), and started on several "hosts" at once against three real nodes.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { endAll, type Running, startFile, temporaryDirectory, until } from "../cli/process.ts";
import { type Cluster, freePorts } from "./cluster.ts";
import { createTools, isRunning, startShortCluster } from "./run-harness.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/RECIPES.md"), "utf8");
let cluster: Cluster;
let place: ReturnType<typeof temporaryDirectory>;
const tools = createTools(() => cluster);

beforeAll(async () => {
  cluster = await startShortCluster();
  place = temporaryDirectory();
});

afterAll(async () => {
  await cluster.destroy();
  place.remove();
});
afterEach(() => endAll());

/** The code blocks of the page, by the name in `# file: NAME`. */
function blocks(): ReadonlyMap<string, string> {
  const found = [...page.matchAll(/```(?:sh|js)\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
  return new Map(
    found.map((text) => [/^(?:#|\/\/) file: (\S+)$/m.exec(text)?.[1] ?? "nameless", text] as const),
  );
}

/** A directory with the page's files and these stand-ins, all of them executable. */
function directory(name: string, standIns: Readonly<Record<string, string>>): string {
  const path = join(place.path, name);
  mkdirSync(join(path, "bin"), { recursive: true });
  const bin = `#!/bin/sh\nexec '${process.execPath}' '${join(root, "bin/holdfast.js")}' "$@"\n`;
  const files = [
    ...blocks(),
    ...Object.entries(standIns).map(([file, text]) => [file, `#!/bin/sh\n${text}`]),
  ];
  for (const [file = "", text = ""] of [...files, ["bin/holdfast", bin]]) {
    writeFileSync(join(path, file), text);
    chmodSync(join(path, file), 0o755);
  }
  return path;
}

function sh(path: string, file: string, environment: Readonly<Record<string, string>> = {}): Running {
  const running = startFile("/bin/sh", [file], {
    cwd: path,
    environment: {
      PATH: [join(path, "bin"), process.env["PATH"]].join(delimiter),
      HOLDFAST_ENDPOINTS: cluster.urls.join(","),
      ...environment,
    },
  });
  running.child.stdin?.end();
  return running;
}

function linesOf(path: string): readonly string[] {
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

/** Notes when it begins and ends, and waits for a file to appear in between: no clock decides a test. */
const noting = (gate: string): string =>
  `echo "begin $$" >> log; while [ ! -e ${gate} ]; do sleep 0.02; done; echo "end $$" >> log\n`;

/** The most that were between their `begin` and `end` at a time. */
function mostAtOnce(lines: readonly string[]): number {
  let now = 0;
  let most = 0;
  for (const line of lines) {
    now += line.startsWith("begin") ? 1 : -1;
    most = Math.max(most, now);
  }
  return most;
}

test("every file of the page has a name, and every one is run here", () => {
  expect([...blocks().keys()].sort()).toEqual([
    "compute-and-store",
    "deploy.sh",
    "nightly.sh",
    "setup.sh",
    "store.mjs",
    "work.sh",
    "write.sh",
  ]);
});

test("cron, once in a fleet: of five hosts one works, the others are done without a word", async () => {
  const path = directory("cron", { report: noting("go") });
  const hosts = Array.from({ length: 5 }, () => sh(path, "nightly.sh", { SPREAD: "0.1" }));
  await until(() => linesOf(join(path, "log")).length === 1);
  const late = await Promise.race(hosts.map(({ ended }) => ended));
  writeFileSync(join(path, "go"), "");
  const ran = await Promise.all(hosts.map(({ ended }) => ended));

  expect(late).toMatchObject({ code: 0, stdout: "", stderr: "" });
  expect(ran.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0]);
  expect(linesOf(join(path, "log")).map((line) => line.split(" ")[0])).toEqual(["begin", "end"]);
});

test("rolling deploy: four hosts, one at a time, in the order in which they asked", async () => {
  const path = directory("deploy", { restart: "exit 0", "wait-until-healthy": noting("go") });
  const hosts: Running[] = [];
  for (let i = 0; i < 4; i++) {
    const host = sh(path, "deploy.sh");
    hosts.push(host);
    await (i === 0
      ? until(() => linesOf(join(path, "log")).length === 1)
      : host.said("stderr", /waiting for deploy\/web at place/));
  }
  writeFileSync(join(path, "go"), "");
  const ran = await Promise.all(hosts.map(({ ended }) => ended));

  expect(ran.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  expect(linesOf(join(path, "log"))).toHaveLength(8);
  expect(mostAtOnce(linesOf(join(path, "log")))).toBe(1);
  const fences = ran.map(({ stderr }) => Number(/fence (\d+)/.exec(stderr)?.[1]));
  expect(fences).toEqual([...fences].sort((a, b) => a - b));
});

describe("connection limiter", () => {
  test("at most three of eight workers at a time, and all of them have their turn", async () => {
    const path = directory("limiter", { worker: noting("go") });
    expect(await sh(path, "setup.sh").ended).toMatchObject({ code: 0 });
    const workers = Array.from({ length: 8 }, () => sh(path, "work.sh"));
    const settled = async () => {
      const { body } = await tools.ask("GET", "/v1/semaphores/db%2Fconnections");
      return body["available"] === 0 && body["queueLength"] === 5;
    };
    while (!(await settled())) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(linesOf(join(path, "log"))).toHaveLength(3);
    writeFileSync(join(path, "go"), "");
    const ran = await Promise.all(workers.map(({ ended }) => ended));

    expect(ran.map(({ code }) => code)).toEqual(Array.from({ length: 8 }, () => 0));
    expect(linesOf(join(path, "log"))).toHaveLength(16);
    expect(mostAtOnce(linesOf(join(path, "log")))).toBe(3);
  });

  test("a worker that is killed leaks no permit", async () => {
    const path = directory("leak", { worker: noting("go") });
    await sh(path, "setup.sh", { CONNECTIONS: "1" }).ended;
    const killed = sh(path, "work.sh", { TTL: "2s" });
    await until(() => linesOf(join(path, "log")).length === 1);
    const [, worker] = (linesOf(join(path, "log"))[0] ?? "").split(" ").map(Number);
    const next = sh(path, "work.sh");
    // Both at once, as when their host dies.
    killed.child.kill("SIGKILL");
    process.kill(worker as number, "SIGKILL");
    await killed.ended;
    await until(() => linesOf(join(path, "log")).length === 2);
    writeFileSync(join(path, "go"), "");

    expect(await next.ended).toMatchObject({ code: 0 });
  });
});

describe("fenced writer", () => {
  test("a writer that slept through its lease finds its write refused, and the newer report stays", async () => {
    const path = directory("writer", {
      compute:
        'if mkdir slow 2>/dev/null; then echo "$PPID" > slow/pid; while [ ! -e slow/go ]; do sleep 0.02; done; echo old; else echo new; fi\n',
    });
    const [port] = await freePorts(1);
    const environment = { PORT: String(port), TTL: "2s" };
    const store = startFile(process.execPath, ["store.mjs"], { cwd: path, environment });
    const read = async () => (await fetch(`http://127.0.0.1:${port}`)).json() as Promise<{ text: string }>;
    const slow = sh(path, "write.sh", environment);
    await until(() => existsSync(join(path, "slow/pid")) && linesOf(join(path, "slow/pid"))[0] !== "");
    const leader = Number(linesOf(join(path, "slow/pid"))[0]);
    // The whole machine sleeps: run and everything it started.
    slow.child.kill("SIGSTOP");
    process.kill(-leader, "SIGSTOP");

    const next = await sh(path, "write.sh", environment).ended;
    // It wakes: the command goes on before run could end it.
    writeFileSync(join(path, "slow/go"), "");
    process.kill(-leader, "SIGCONT");
    await until(() => !isRunning(leader));
    slow.child.kill("SIGCONT");
    const late = await slow.ended;

    expect(next).toMatchObject({ code: 0, stdout: "kept" });
    expect(late.stdout).toMatch(/^fence \d+ is older than \d+$/);
    expect(late.code).not.toBe(0);
    expect(await read()).toMatchObject({ text: "new\n" });
    store.child.kill();
    await store.ended;
  });
});

test("the README's shell lines run as they stand, one after the other", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const block = /## From a shell[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const standIns = { "backup.sh": "echo backup", "read-it": "echo read", migrate: "echo migrated" };
  const path = directory("readme", standIns);
  writeFileSync(join(path, "lines.sh"), `set -e\n${block}`);

  const ran = await sh(path, "lines.sh").ended;

  expect(ran.code, ran.stderr).toBe(0);
  expect(ran.stdout).toMatch(/^backup\nread\ndb has 20 permits, 20 available\nmigrated\nlock +nightly\n/);
});
