/**
 * `holdfast run` on a terminal, a real one of `script`: the command stays in the foreground group, and all that it starts
 * is reached all the same.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { commandLine, type Running, startFile } from "../cli/process.ts";
import type { Cluster } from "./cluster.ts";
import { createTools, gone, isRunning, pidsAfter, shortTtl, startShortCluster } from "./run-harness.ts";

let cluster: Cluster;
const tools = createTools(() => cluster);
const { ask, lock, name } = tools;

// util-linux's; that of the BSDs has other flags.
const hasScript =
  spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") ?? false;

beforeAll(async () => {
  cluster = await startShortCluster();
});

afterEach(() => tools.clean());

afterAll(() => cluster.destroy());

/** stdin of `script` is what is typed; its stdout what the terminal shows. */
function onTerminal(...words: readonly string[]): Running {
  const flags = ["-v", "--ttl", shortTtl, "--endpoint", cluster.urls.join(",")];
  const line = `exec ${commandLine(["run", ...flags, ...words])}`;
  return startFile("script", ["-qefc", line, "/dev/null"]);
}

/** What a terminal shows ends its lines with CR LF. */
async function numbersAfter(running: Running, word: string): Promise<readonly number[]> {
  const text = await running.said("stdout", new RegExp(`^${word} .*\r\n`, "m"));
  return (new RegExp(`^${word} (.*)\r$`, "m").exec(text)?.[1] ?? "").split(" ").map(Number);
}

function groupOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]);
}

const forever = "while :; do sleep 0.05; done";

describe.skipIf(!hasScript)("on a terminal", () => {
  test("the command has it, and stays in the foreground group", async () => {
    const running = onTerminal(
      name(),
      "-c",
      'test -t 0 && test -t 1 && echo "pids $$ $PPID"; read line; echo "read $line"',
    );
    const [pid = 0, parent = 0] = await numbersAfter(running, "pids");
    expect(groupOf(pid)).toBe(groupOf(parent));

    running.child.stdin?.write("typed\n");

    await running.said("stdout", /read typed/);
    expect((await running.ended).code).toBe(0);
  });

  test("ctrl-C reaches the command, once", async () => {
    const lockName = name();
    const script = `n=0; trap 'n=$((n+1)); echo "interrupted $n"' INT; trap 'echo "ended after $n"; exit 7' TERM; echo "pids $PPID"; ${forever}`;
    const running = onTerminal(lockName, "-c", script);
    const [parent = 0] = await numbersAfter(running, "pids");

    running.child.stdin?.write("\x03");
    await running.said("stdout", /interrupted 1/);
    process.kill(parent, "SIGTERM");

    const ran = await running.ended;
    expect(ran.code).toBe(7);
    expect(ran.stdout).toContain("ended after 1");
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("loss reaches what the command started, also what it has left behind", async () => {
    const script = `echo "session $HOLDFAST_SESSION"; (sleep 1000 & echo "orphan $!"); sleep 1000 & echo "pids $$ $!"; wait`;
    const running = onTerminal(name(), "-c", script);
    const pids = [...(await numbersAfter(running, "pids")), ...(await numbersAfter(running, "orphan"))];
    const sessionId = /^session (\w+)/m.exec(running.stdout())?.[1];
    expect(pids.map(isRunning)).toEqual([true, true, true]);

    await ask("DELETE", `/v1/sessions/${sessionId}`);

    expect((await running.ended).code).toBe(90);
    await Promise.all(pids.map(gone));
  });

  test("a background process keeps the lock", async () => {
    const lockName = name();
    const running = onTerminal(lockName, "-c", 'sleep 1000 & echo "pids $!"; exit 3');
    const [background = 0] = await numbersAfter(running, "pids");
    await running.said("stdout", /one process of its group still runs/);
    expect(await lock(lockName)).toMatchObject({ state: "held" });

    process.kill(background, "SIGKILL");

    expect((await running.ended).code).toBe(3);
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });
});

test("without a terminal the command has a group of its own", async () => {
  const running = tools.run([name(), "-c", 'echo "pids $$ $PPID"; read line']);
  const [pid = 0] = await pidsAfter(running, "pids");

  expect(groupOf(pid)).toBe(pid);
  running.child.stdin?.end("\n");
  expect((await running.ended).code).toBe(0);
});
