/**
 * `holdfast run` and its claim: waiting and not waiting, what the command is told, runs within runs, and every way in
 * which a claim is lost. Real processes against a real cluster.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { commandLine, start, until } from "../cli/process.ts";
import type { Cluster } from "./cluster.ts";
import {
  createTools,
  eventNames,
  eventOf,
  eventsOf,
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

afterEach(async () => {
  for (const node of cluster.nodes) node.signal("SIGCONT");
  await tools.clean();
  for (const node of cluster.nodes) if (!node.isRunning) node.start();
  for (const node of cluster.nodes) await cluster.ready(node);
});

afterAll(() => cluster.destroy());

const forever = "while :; do sleep 0.05; done";

describe("a lock that somebody else has", () => {
  test.each([
    [["-n"], 75],
    [["-w", "1s"], 75],
    [["-n", "-E", "9"], 9],
    [["-w", "1s", "-E", "0"], 0],
    [["--if-held", "fail"], 75],
    [["--if-held", "skip"], 0],
  ] as const)("with %j ends with %i, and nothing is run", async (flags, code) => {
    const lockName = name();
    const holder = await hold(lockName);

    const ran = await run([lockName, ...flags, "--", "echo", "ran"]).ended;

    expect(ran).toMatchObject({ code, stdout: "" });
    expect(eventNames(ran).at(-1)).toBe(code === 0 ? "skipped" : "failed");
    if (code !== 0) {
      const who = { blockedBy: [{ label: "the test" }] };
      expect(eventOf(ran, "failed")).toMatchObject({ exitCode: code });
      expect(eventOf(ran, flags[0] === "-w" ? "waiting" : "failed")).toMatchObject(who);
    }
    expect(await lock(lockName)).toMatchObject({ queueLength: 0 });
    await holder.release();
  });

  test("is waited for without limit, and -v says for whom, when it came and when it went", async () => {
    const lockName = name();
    const holder = await hold(lockName);
    const endpoints = cluster.urls.join(",");
    const running = start(["run", "-v", lockName, "--endpoint", endpoints, "--", "echo", "ran"]);
    await running.said(
      "stderr",
      /^holdfast: waiting for t\S+ at place 1, held by the test \(session \w+\) for /m,
    );

    await holder.release();

    const ran = await running.ended;
    expect(ran).toMatchObject({ code: 0, stdout: "ran\n" });
    expect(ran.stderr).toMatch(/^holdfast: acquired t\S+ after \S+ \(fence \d+\)$/m);
    expect(ran.stderr).toMatch(/^holdfast: released t\S+$/m);
  });

  test("is free again at once after a run, without a lock-delay", async () => {
    const lockName = name();
    await run([lockName, "--", "true"]).ended;

    expect((await run([lockName, "-n", "--", "true"]).ended).code).toBe(0);
  });
});

test("without -v a run that works says nothing of its own", async () => {
  const words = ["run", name(), "--endpoint", cluster.urls.join(","), "-c", "echo out; echo err >&2"];
  const ran = await start(words).ended;

  expect(ran).toMatchObject({ code: 0, stdout: "out\n", stderr: "err\n" });
});

test("no node at all is 69, and nothing is run", async () => {
  const [address] = await cluster.spareAddresses(1);

  const ran = await run([name(), "--endpoint", `http://${address}`, "--", "echo", "ran"]).ended;

  expect(ran).toMatchObject({ code: 69, stdout: "" });
  expect(eventOf(ran, "failed")).toMatchObject({ exitCode: 69, code: "unreachable" });
});

test("the command knows its claim", async () => {
  const lockName = name();
  const running = run([lockName, "-c", "env | grep ^HOLDFAST_; read line"]);
  await running.said("stdout", /^HOLDFAST_SESSION=/m);
  const holders = (await lock(lockName))["holders"];
  running.child.stdin?.end("\n");

  const ran = await running.ended;
  const variables = Object.fromEntries(
    ran.stdout
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const acquired = eventOf(ran, "acquired");
  expect(holders).toMatchObject([{ claimId: variables["HOLDFAST_CLAIM"], fence: acquired?.["fence"] }]);
  expect(variables).toMatchObject({
    HOLDFAST_LOCK: lockName,
    HOLDFAST_MODE: "exclusive",
    HOLDFAST_FENCE: String(acquired?.["fence"]),
    HOLDFAST_OWNER: expect.stringMatching(/^run-\w{16}$/),
    HOLDFAST_SESSION: expect.stringMatching(/^\w{32}$/),
  });
  // All nodes, also those that nobody named.
  expect(variables["HOLDFAST_ENDPOINTS"]?.split(",").sort()).toEqual([...cluster.urls].sort());
});

test("every line of --json is one event", async () => {
  const ran = await run([name(), "--", "true"]).ended;

  expect(eventNames(ran)).toEqual(["acquired", "started", "exited", "released"]);
  for (const event of eventsOf(ran.stderr)) expect(event).toMatchObject({ text: expect.any(String) });
  expect(eventOf(ran, "exited")).toMatchObject({ code: 0, signal: null });
});

describe("what is claimed", () => {
  test("shared is together with shared, and keeps exclusive out", async () => {
    const lockName = name();
    const reader = run([lockName, "-s", "-c", "echo $HOLDFAST_MODE; read line"]);
    await reader.said("stdout", /^shared$/m);

    expect((await run([lockName, "-s", "-n", "--", "true"]).ended).code).toBe(0);
    expect((await run([lockName, "-n", "--", "true"]).ended).code).toBe(75);
    reader.child.stdin?.end("\n");
    expect((await reader.ended).code).toBe(0);
    expect((await run([lockName, "-x", "-n", "--", "true"]).ended).code).toBe(0);
  });

  test("permits run that many at a time, and without a capacity there is no semaphore", async () => {
    const semaphore = name();
    expect((await run([semaphore, "--permits", "1", "--", "true"]).ended).code).toBe(64);
    const two = run([semaphore, "--permits", "2", "--capacity", "3", "-c", "echo $HOLDFAST_MODE; read line"]);
    await two.said("stdout", /^semaphore$/m);

    expect((await run([semaphore, "--permits", "1", "-n", "--", "true"]).ended).code).toBe(0);
    expect((await run([semaphore, "--permits", "2", "-n", "--", "true"]).ended).code).toBe(75);
    expect((await run([semaphore, "--permits", "4", "--", "true"]).ended).code).toBe(64);
    two.child.stdin?.end("\n");
    expect((await two.ended).code).toBe(0);
  });

  test("has a sequencer that the cluster knows as current", async () => {
    const running = run([name(), "-c", 'echo "sequencer=$HOLDFAST_SEQUENCER"; read line']);
    const text = await running.said("stdout", /^sequencer=.*\n/m);
    const sequencers = [text.slice("sequencer=".length).trim()];

    expect((await ask("POST", "/v1/sequencers:check", { sequencers })).body).toMatchObject({
      results: [{ status: "current" }],
    });
    running.child.stdin?.end("\n");
    await running.ended;
  });
});

describe("--max-hold", () => {
  test("ends the command before the cluster would end the hold, with 91, and releases cleanly", async () => {
    const lockName = name();
    const running = run([lockName, "--max-hold", "2s", "-c", `trap "echo asked; exit 0" TERM; ${forever}`]);

    const ran = await running.ended;

    expect(ran).toMatchObject({ code: 91, stdout: "asked\n" });
    expect(eventNames(ran).slice(-2)).toEqual(["exited", "released"]);
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("ends also a command that does not listen", async () => {
    const running = run([name(), "--max-hold", "1s", "-c", `trap "" TERM; echo "pids $$"; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    const ran = await running.ended;

    expect(ran.code).toBe(91);
    expect(eventNames(ran)).toContain("killed");
    expect(isRunning(pid)).toBe(false);
  });

  test("does not touch a command that ends before", async () => {
    expect((await run([name(), "--max-hold", "1m", "-c", "exit 3"]).ended).code).toBe(3);
  });
});

describe("a run within a run", () => {
  test("is ended when the hold of the one around it is ended by the cluster", async () => {
    const lockName = name();
    const sessionId = await tools.session(3000);
    const held = { sessionId, owner: "run-outer", maxHoldMs: 1500 };
    expect((await ask("POST", `/v1/locks/${lockName}:acquire`, held)).status).toBe(200);
    const environment = { HOLDFAST_SESSION: sessionId, HOLDFAST_OWNER: "run-outer" };

    const running = run([lockName, "-c", `echo "pids $$"; ${forever}`], { environment });
    const [pid = 0] = await pidsAfter(running, "pids");

    const ran = await running.ended;
    expect(ran.code).toBe(91);
    expect(isRunning(pid)).toBe(false);
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "claim-ended", reason: "max-hold" });
  });

  test("uses the session and the owner of the one around it, and leaves them alone", async () => {
    const inner = commandLine(["run", name(), "-c", 'echo "inner $HOLDFAST_SESSION $HOLDFAST_OWNER"']);
    const script = `echo "outer $HOLDFAST_SESSION $HOLDFAST_OWNER"; ${inner}; ${inner}`;

    const ran = await run([name(), "-c", script]).ended;

    expect(ran.code).toBe(0);
    const [outer = "", ...inners] = ran.stdout.trim().split("\n");
    expect(inners).toEqual([outer.replace("outer", "inner"), outer.replace("outer", "inner")]);
    expect(eventNames(ran).at(-1)).toBe("released");
  });

  test("that wants the lock of the one around it runs under that hold, and releases nothing", async () => {
    const lockName = name();
    const inner = commandLine([
      "run",
      "--json",
      lockName,
      "-c",
      'echo "inner $HOLDFAST_CLAIM $HOLDFAST_FENCE"',
    ]);
    const running = run([
      lockName,
      "-c",
      `echo "outer $HOLDFAST_CLAIM $HOLDFAST_FENCE"; ${inner}; echo after; read x`,
    ]);
    await running.said("stdout", /^after$/m);

    expect(await lock(lockName)).toMatchObject({ state: "held" });
    running.child.stdin?.end("\n");

    const ran = await running.ended;
    expect(ran.code).toBe(0);
    const [outer = "", inside] = ran.stdout.split("\n");
    expect(inside).toBe(outer.replace("outer", "inner"));
    expect(eventNames(ran).filter((event) => event === "covered" || event === "released")).toEqual([
      "covered",
      "released",
    ]);
  });

  test("is ended with its command when the one around it loses its lock", async () => {
    const inner = commandLine([
      "run",
      name(),
      "-c",
      `sleep 1000 & echo "pids $$ $!"; trap "" TERM; wait; ${forever}`,
    ]);
    const running = run([
      name(),
      "--grace",
      "300ms",
      "-c",
      `echo "session $HOLDFAST_SESSION"; ${inner}; echo after`,
    ]);
    const pids = await pidsAfter(running, "pids");
    const sessionId = /^session (\w+)$/m.exec(running.stdout())?.[1];

    await ask("DELETE", `/v1/sessions/${sessionId}`);

    expect((await running.ended).code).toBe(90);
    expect(pids.filter(isRunning)).toEqual([]);
  });

  test("keeps the lock of the one around it as long as its command has anything in the background", async () => {
    const lockName = name();
    const inner = commandLine(["run", name(), "-c", 'sleep 1000 & echo "pids $!"']);
    const running = run([lockName, "-c", inner]);
    const [background = 0] = await pidsAfter(running, "pids");

    expect(await lock(lockName)).toMatchObject({ state: "held" });
    running.child.kill("SIGTERM");

    await gone(background);
    await running.ended;
    expect(await lock(lockName)).toMatchObject({ state: "free" });
  });

  test("under a session that is over is not run", async () => {
    const environment = { HOLDFAST_SESSION: "0123456789abcdef0123456789abcdef", HOLDFAST_OWNER: "run-0" };

    const ran = await run([name(), "--", "echo", "ran"], { environment }).ended;

    expect(ran).toMatchObject({ code: 75, stdout: "" });
  });
});

describe("a lock is lost (90)", () => {
  test("when its session is killed", async () => {
    const lockName = name();
    const running = run([lockName, "-c", `echo "pids $$"; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");
    const [holder] = (await lock(lockName))["holders"] as readonly { readonly sessionRef: string }[];

    await ask("POST", `/v1/sessions/${holder?.sessionRef}:kill`, { reason: "a test" });

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "session-ended" });
  });

  test("when all nodes are killed", async () => {
    const running = run([name(), "-c", `echo "pids $$"; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    await Promise.all(cluster.nodes.map((node) => node.kill()));

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventNames(ran)).toContain("jeopardy");
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "lapsed" });
  });

  test("when all nodes hang for longer than the ttl", async () => {
    const running = run([name(), "-c", `echo "pids $$"; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    for (const node of cluster.nodes) node.signal("SIGSTOP");

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "lapsed" });
  });

  test("not when one of three nodes is killed, be it the leader", async () => {
    const lockName = name();
    const running = run([lockName, "-c", "echo ready; read line; exit 4"]);
    await running.said("stdout", /ready/);
    const fence = eventOf(running, "acquired")?.["fence"];

    await (await cluster.leader()).kill();
    const { id } = await cluster.leader();
    const holders = await (await fetch(`${cluster.node(id).url}/v1/locks/${lockName}`)).json();

    expect(holders).toMatchObject({ state: "held", holders: [{ fence }] });
    running.child.stdin?.end("\n");
    expect((await running.ended).code).toBe(4);
  });

  test("when run itself was stopped past its deadline: the command is ended as soon as it wakes", async () => {
    const lockName = name();
    const running = run([lockName, "-c", `echo "pids $$"; ${forever}`]);
    const [pid = 0] = await pidsAfter(running, "pids");

    signal(running.pid, "SIGSTOP");
    await until(async () => (await lock(lockName))["state"] === "free");
    expect(isRunning(pid)).toBe(true);
    signal(running.pid, "SIGCONT");

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(isRunning(pid)).toBe(false);
    expect(eventOf(ran, "lost")).toMatchObject({ cause: "lapsed", killInMs: 0 });
  });

  test("when the command ended while run was stopped, and the release says that it was lost before", async () => {
    const lockName = name();
    const running = run([lockName, "-c", 'echo "pids $$"; read line; exit 0']);
    const [pid = 0] = await pidsAfter(running, "pids");

    signal(running.pid, "SIGSTOP");
    await until(async () => (await lock(lockName))["state"] === "free");
    running.child.stdin?.end("\n");
    await gone(pid);
    signal(running.pid, "SIGCONT");

    const ran = await running.ended;
    expect(ran.code).toBe(90);
    expect(eventOf(ran, "failed")).toMatchObject({ code: "claim-lost", exitCode: 90 });
  });

  test("and --grace that is longer than the lock-delay is warned of", async () => {
    const ran = await run([name(), "--grace", "10s", "--lock-delay", "1s", "--", "true"]).ended;

    expect(eventOf(ran, "grace")).toMatchObject({ graceMs: 10_000, lockDelayMs: 1000 });
  });

  test("and nobody else is let in before the command is gone", async () => {
    const lockName = name();
    const running = run([
      lockName,
      "--lock-delay",
      "3s",
      "--grace",
      "1s",
      "-c",
      `trap "" TERM; echo "pids $$"; ${forever}`,
    ]);
    const [pid = 0] = await pidsAfter(running, "pids");
    signal(running.pid, "SIGSTOP");
    const waiting = run([lockName, "-c", `kill -0 ${pid} && echo together; true`]);
    await happened(waiting, "waiting");
    await until(async () => (await lock(lockName))["state"] === "delayed");

    signal(running.pid, "SIGCONT");

    expect((await running.ended).code).toBe(90);
    expect(await waiting.ended).toMatchObject({ code: 0, stdout: "" });
  });
});

test("a release that nobody hears does not change the exit code of what ran under the lock", async () => {
  const running = run([name(), "-c", "echo ready; read line; exit 6"]);
  await running.said("stdout", /ready/);
  await Promise.all(cluster.nodes.map((node) => node.kill()));

  running.child.stdin?.end("\n");

  const ran = await running.ended;
  expect(ran.code).toBe(6);
  expect(eventNames(ran).at(-1)).toBe("unreleased");
});
