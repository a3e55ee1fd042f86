/**
 * How lock commands have mistreated their commands elsewhere: one test for each bug, named after it. Real processes
 * against a real cluster.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { temporaryDirectory, until } from "../cli/process.ts";
import type { Cluster } from "./cluster.ts";
import {
  createTools,
  eventNames,
  eventOf,
  gone,
  happened,
  isRunning,
  pidsAfter,
  signal,
  startShortCluster,
} from "./run-harness.ts";

let cluster: Cluster;
const tools = createTools(() => cluster);
const { run, ask, lock, hold, name } = tools;

beforeAll(async () => {
  cluster = await startShortCluster();
});

afterEach(() => tools.clean());

afterAll(() => cluster.destroy());

/** Shell: says its pid and session, then goes on until it is ended. */
const forever = "while :; do sleep 0.05; done";
const sayAll = 'echo "session $HOLDFAST_SESSION"; echo "pids $$"';

async function sessionOf(running: ReturnType<typeof run>): Promise<string> {
  return /^session (\w+)$/m.exec(await running.said("stdout", /^session \w+\n/m))?.[1] ?? "";
}

/** The session is ended by somebody else: the next renewal brings the notice. */
async function lose(running: ReturnType<typeof run>): Promise<void> {
  expect((await ask("DELETE", `/v1/sessions/${await sessionOf(running)}`)).status).toBe(200);
}

describe("none of these happens:", () => {
  test("child survives loss", async () => {
    const running = run([name(), "-c", `${sayAll}; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    await lose(running);

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "session-ended", signal: "TERM" });
  });

  test("child survives loss by not listening to TERM", async () => {
    const running = run([name(), "--grace", "300ms", "-c", `trap "" TERM; ${sayAll}; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    await lose(running);

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventNames(ran)).toContain("killed");
  });

  test("child gets another signal than the one it asked for at loss", async () => {
    const running = run([
      name(),
      "--on-lost",
      "usr1",
      "-c",
      `trap "echo asked; exit 4" USR1; ${sayAll}; ${forever}`,
    ]);
    await pidsAfter(running, "pids");

    await lose(running);

    expect(await running.ended).toMatchObject({ code: 90, stdout: expect.stringContaining("asked\n") });
  });

  test("grandchildren survive", async () => {
    const deep = '(sleep 1000 & echo "deep $!"; wait) & sleep 1000 & echo "pids $$ $!"; wait';
    const running = run([name(), "-c", `echo "session $HOLDFAST_SESSION"; ${deep}`]);
    const pids = [...(await pidsAfter(running, "pids")), ...(await pidsAfter(running, "deep"))];
    expect(pids.map(isRunning)).toEqual([true, true, true]);

    await lose(running);

    expect((await running.ended).code).toBe(90);
    expect(pids.map(isRunning)).toEqual([false, false, false]);
  });

  test("child started after TERM, which came while the lock was waited for", async () => {
    const temporary = temporaryDirectory();
    const marker = join(temporary.path, "marker");
    const lockName = name();
    const holder = await hold(lockName);
    const running = run([lockName, "--", "touch", marker]);
    await happened(running, "waiting");

    running.child.kill("SIGTERM");

    const ran = await running.ended;
    expect(ran.code).toBe(143);
    expect(eventNames(ran).at(-1)).toBe("cancelled");
    expect(await lock(lockName)).toMatchObject({ state: "held", queueLength: 0 });
    await holder.release();
    expect(await lock(lockName)).toMatchObject({ state: "free" });
    expect(existsSync(marker)).toBe(false);
    temporary.remove();
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "child started after %s, which came at the very moment of the grant",
    async (name_) => {
      const temporary = temporaryDirectory();
      const marker = join(temporary.path, "marker");
      const lockName = name();
      const holder = await hold(lockName);
      const running = run([lockName, "-c", `echo x > ${marker}; exec sleep 1000`]);
      await happened(running, "waiting");
      await holder.release();
      await happened(running, "acquired");

      running.child.kill(name_);

      const ran = await running.ended;
      expect(ran.code).toBe(name_ === "SIGINT" ? 130 : 143);
      // Either it came before the command, which then never ran, or it ended the command.
      if (!eventNames(ran).includes("started")) expect(existsSync(marker)).toBe(false);
      expect(await lock(lockName)).toMatchObject({ state: "free" });
      temporary.remove();
    },
  );

  test.each(["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"] as const)(
    "HUP/QUIT not forwarded, nor others: %s",
    async (signalName) => {
      const running = run([
        name(),
        "-c",
        `trap 'echo got ${signalName}; exit 5' ${signalName}; echo "pids $$"; ${forever}`,
      ]);
      await pidsAfter(running, "pids");

      running.child.kill(`SIG${signalName}`);

      expect(await running.ended).toMatchObject({
        code: 5,
        stdout: expect.stringContaining(`got ${signalName}`),
      });
    },
  );

  test("signals swallowed", async () => {
    const lockName = name();
    const running = run([lockName, "--", "sleep", "1000"]);
    await happened(running, "started");

    running.child.kill("SIGTERM");

    expect((await running.ended).code).toBe(143);
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("stdin lost", async () => {
    const running = run([name(), "--", "cat"]);
    running.child.stdin?.end("what was piped in\n");

    expect(await running.ended).toMatchObject({ code: 0, stdout: "what was piped in\n" });
  });

  test("standard streams made non-blocking, so that a command fails with EAGAIN", async () => {
    const running = run([
      name(),
      "-c",
      "grep -h ^flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2",
    ]);

    const { stdout } = await running.ended;
    const flags = stdout
      .trim()
      .split("\n")
      .map((line) => Number.parseInt(line.split(/\s+/)[1] ?? "", 8));
    expect(flags.map((bits) => bits & 0o4000)).toEqual([0, 0, 0]);
  });

  test.each([
    ["exit 0", 0],
    ["exit 1", 1],
    ["exit 75", 75],
    ["exit 255", 255],
    ["kill -KILL $$", 137],
    ["kill -HUP $$", 129],
  ])("exit code lost: %s", async (script, code) => {
    expect((await run([name(), "-c", script]).ended).code).toBe(code);
  });

  test("shell dies while its child lives (-c)", async () => {
    const lockName = name();
    const running = run([lockName, "-c", 'sleep 1000 & echo "pids $$ $!"; wait']);
    const [shell = 0, child = 0] = await pidsAfter(running, "pids");

    signal(shell, "SIGKILL");
    await happened(running, "lingering");

    expect(isRunning(child)).toBe(true);
    expect(await lock(lockName)).toMatchObject({ state: "held" });
    running.child.kill("SIGTERM");
    const ran = await running.ended;
    expect(isRunning(child)).toBe(false);
    expect(ran.code).toBe(137);
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("lock outlives the parent through a background grandchild", async () => {
    const lockName = name();
    const running = run([lockName, "-c", 'sleep 1000 & echo "pids $!"; exit 3']);
    const [background = 0] = await pidsAfter(running, "pids");
    const told = await happened(running, "lingering");
    expect(told).toContain('"count":1');
    // Not released although its parent is gone: it still does what the lock is for.
    expect(await lock(lockName)).toMatchObject({ state: "held" });

    signal(background, "SIGKILL");

    const ran = await running.ended;
    expect(ran.code).toBe(3);
    expect(eventNames(ran).slice(-2)).toEqual(["lingering", "released"]);
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("a background grandchild survives loss", async () => {
    const running = run([
      name(),
      "-c",
      `echo "session $HOLDFAST_SESSION"; sleep 1000 & echo "pids $!"; exit 0`,
    ]);
    const [background = 0] = await pidsAfter(running, "pids");
    await happened(running, "lingering");

    await lose(running);

    expect((await running.ended).code).toBe(90);
    expect(isRunning(background)).toBe(false);
  });

  test("loss during start", async () => {
    const sessionId = await tools.session(3_000);
    const environment = { HOLDFAST_SESSION: sessionId };
    const running = run([name(), "-c", 'echo "pids $$"; exec sleep 1000'], { environment });
    await happened(running, "acquired");

    await ask("DELETE", `/v1/sessions/${sessionId}`);

    const ran = await running.ended;
    // By the first renewal, before or after the command was started.
    expect([75, 90]).toContain(ran.code);
    const pid = /pids (\d+)/.exec(ran.stdout)?.[1];
    if (pid !== undefined) expect(isRunning(Number(pid))).toBe(false);
    expect(eventNames(ran).includes("started")).toBe(ran.code === 90);
  });

  test.each([
    ["/etc/passwd", 126, /may not be executed/],
    ["/etc", 126, /may not be executed/],
    ["/no/such/command", 127, /no such command/],
    ["no-such-command", 127, /no such command/],
    ["", 127, /no such command/],
  ])("not executable or not found ends otherwise than a shell would: %j", async (file, code, text) => {
    const lockName = name();

    const ran = await run([lockName, "--", file]).ended;

    expect(ran.code).toBe(code);
    expect(eventOf(ran, "failed")).toMatchObject({ exitCode: code, text: expect.stringMatching(text) });
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("a shell reads what was meant as an argument", async () => {
    const ran = await run([name(), "--", "printf", "%s|", "$HOME", "a b", "--", "-n", "*"]).ended;

    expect(ran.stdout).toBe("$HOME|a b|--|-n|*|");
  });

  test("run is stopped by TSTP and the command goes on without anybody to renew", async () => {
    // No shell: one that is stopped between vfork and exec of a child counts as busy, for as long as that is stopped.
    const running = run([name(), "-c", 'echo "pids $$"; exec sleep 1000']);
    const [pid = 0] = await pidsAfter(running, "pids");
    const state = (of: number) => readFileSync(`/proc/${of}/stat`, "latin1").replace(/^.*\) (.).*$/s, "$1");

    signal(running.pid, "SIGTSTP");
    await until(() => state(running.pid) === "T" && state(pid) === "T");

    signal(running.pid, "SIGCONT");
    await until(() => state(pid) !== "T");
    running.child.kill("SIGTERM");
    await gone(pid);
    expect((await running.ended).code).not.toBe(0);
  });
});
