import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { endAll, freeBase, isAlive, type Running, run, start, temporaryDirectory, until } from "./process.ts";

let temporary: ReturnType<typeof temporaryDirectory>;
let base: number;
let data: string;

beforeEach(async () => {
  temporary = temporaryDirectory();
  base = await freeBase();
  data = join(temporary.path, "dev");
});

afterEach(async () => {
  await endAll();
  temporary.remove();
});

interface Ready {
  readonly leader: string;
  readonly endpoints: readonly string[];
  readonly nodes: readonly {
    readonly id: string;
    readonly role: string;
    readonly http: string;
    readonly pid: number;
  }[];
}

function startDev(...words: readonly string[]): Running {
  return start(["dev", "--data", data, "--port", String(base), "-o", "json", ...words]);
}

function eventsOf(dev: Running, name: string): readonly Record<string, unknown>[] {
  const lines = dev.stdout().split("\n").slice(0, -1);
  return lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ event }) => event === name);
}

async function readyOf(dev: Running): Promise<Ready> {
  await dev.said("stdout", /"event":"ready".*\n/);
  return eventsOf(dev, "ready")[0] as unknown as Ready;
}

function environmentOf({ endpoints }: Ready): { readonly environment: Readonly<Record<string, string>> } {
  return { environment: { HOLDFAST_ENDPOINTS: endpoints.join(",") } };
}

function json(text: string): Record<string, unknown> {
  return JSON.parse(text) as Record<string, unknown>;
}

describe("dev of one node", () => {
  let ready: Ready;
  let options: ReturnType<typeof environmentOf>;

  beforeEach(async () => {
    ready = await readyOf(startDev("--nodes", "1"));
    options = environmentOf(ready);
  });

  test("serves every command, as people and as programs want it", async () => {
    const file = join(temporary.path, "claim");
    const acquired = await run(
      ["acquire", "a/b", "--claim-file", file, "--label", "me", "--ttl", "1m"],
      options,
    );
    expect(acquired).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(
        /^lock +a\/b\nmode +exclusive\nclaim +\w+_1\nfence +\d+\nsequencer +hf1\.\S+\n$/,
      ),
    });
    expect(acquired.stderr).toMatch(/nothing renews this claim: it can be relied on for 5\ds/);
    expect(acquired.stderr).toContain(`holdfast release --claim-file ${file}`);
    const { claimId, sessionId } = json(readFileSync(file, "utf8"));
    expect(acquired.stdout).not.toContain(String(sessionId));

    const [tried, triedJson, shown, listed, listedJson, sessions, status] = await Promise.all([
      run(["try", "a/b"], options),
      run(["try", "a/b", "-o", "json"], options),
      run(["show", "a/b"], options),
      run(["ls"], options),
      run(["ls", "a", "-o", "ndjson"], options),
      run(["session", "ls"], options),
      run(["cluster", "status", "-o", "json"], options),
    ]);
    expect(tried).toMatchObject({
      code: 75,
      stdout: expect.stringMatching(/^a\/b is held by me \(session \w{16}\) for /),
    });
    expect(triedJson.code).toBe(75);
    expect(json(triedJson.stdout)).toMatchObject({
      lock: "a/b",
      state: "held",
      holders: [{ claimId, label: "me" }],
    });
    expect(shown.stdout).toMatch(/state +held/);
    expect(shown.stdout).toContain(String(claimId));
    expect(listed.stdout.split("\t").slice(0, 3)).toEqual(["a/b", "held", "me"]);
    expect(json(listedJson.stdout)).toMatchObject({ lock: "a/b" });
    expect(sessions.stdout).toMatch(/^\w{16}\tme\t1m\t/);
    expect(json(status.stdout)).toMatchObject({ leader: "n1", counts: { claimsHeld: 1 } });
    for (const { stdout } of [shown, listed, sessions, status])
      expect(stdout).not.toContain(String(sessionId));

    const body = await (await fetch(`${ready.endpoints[0]}/v1/locks/a%2Fb`)).text();
    expect(Object.keys(json(triedJson.stdout))).toEqual(Object.keys(json(body)));

    const released = await run(["release", "--claim-file", file], options);
    expect(released).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/ended \(released\)/),
      stderr: "",
    });
    expect(existsSync(file)).toBe(false);
    expect(await run(["try", "a/b"], options)).toMatchObject({ code: 0, stdout: "a/b is free\n" });
    expect((await run(["session", "ls"], options)).stdout).toBe("");
  });

  test("a lock that is held is 75 and names its holder; waiting has its limit", async () => {
    await run(["acquire", "x", "--ttl", "1m", "--label", "first"], options);

    const [tried, waited, asJson] = await Promise.all([
      run(["acquire", "x", "-n"], options),
      run(["acquire", "x", "-w", "300ms"], options),
      run(["acquire", "x", "-n", "-o", "json"], options),
    ]);

    expect(tried).toMatchObject({ code: 75, stdout: "", stderr: expect.stringMatching(/held by first/) });
    expect(waited).toMatchObject({ code: 75, stdout: "" });
    expect(asJson).toMatchObject({ code: 75, stdout: "" });
    expect(json(asJson.stderr)).toMatchObject({
      code: "locked",
      status: 423,
      blockedBy: [{ label: "first" }],
    });
    expect((await run(["session", "ls"], options)).stdout.trim().split("\n")).toHaveLength(1);
  });

  test("sessions live on their own, and claims in them need their id", async () => {
    const created = json(
      (await run(["session", "create", "--ttl", "1m", "--label", "job", "-o", "json"], options)).stdout,
    );
    const sessionId = String(created["sessionId"]);
    const inSession = { environment: { ...options.environment, HOLDFAST_SESSION: sessionId } };
    const acquired = json(
      (await run(["acquire", "y", "--session", sessionId, "-o", "json"], options)).stdout,
    );
    const claimId = String(acquired["claimId"]);

    const shown = await run(["session", "show", String(created["sessionRef"])], options);
    expect(shown.stdout).toMatch(/label +job/);
    expect(shown.stdout).toContain(claimId);
    const stranger = await run(["release", claimId, "--session", "f".repeat(32)], options);
    expect([1, 77]).toContain(stranger.code);
    expect(await run(["release", claimId], inSession)).toMatchObject({ code: 0 });
    expect(await run(["release", claimId], inSession)).toMatchObject({ code: 0 });
    expect(await run(["session", "close"], inSession)).toMatchObject({ code: 0 });
    expect(await run(["session", "close", sessionId], options)).toMatchObject({ code: 0 });
    expect((await run(["session", "close", "f".repeat(32)], options)).code).toBe(1);
    expect((await run(["session", "show", sessionId], options)).code).toBe(1);
    expect(await run(["acquire", "y", "--session", sessionId], options)).toMatchObject({
      code: 1,
      stdout: "",
    });
  });

  test("a claim file that is there is not written over, and a refused acquire leaves none", async () => {
    const file = join(temporary.path, "claim");
    await run(["acquire", "z", "--claim-file", file, "--ttl", "1m"], options);
    const before = readFileSync(file, "utf8");

    expect((await run(["acquire", "other", "--claim-file", file], options)).code).toBe(73);
    expect(readFileSync(file, "utf8")).toBe(before);
    const second = join(temporary.path, "second");
    expect((await run(["acquire", "z", "-n", "--claim-file", second], options)).code).toBe(75);
    expect(existsSync(second)).toBe(false);
    expect((await run(["try", "other"], options)).code).toBe(0);
  });

  test("releasing what was lost meanwhile is 90, once; what its own session closed is not lost", async () => {
    const lost = join(temporary.path, "lost");
    const closed = join(temporary.path, "closed");
    await Promise.all([
      run(["acquire", "z", "--claim-file", lost, "--ttl", "6s", "--lock-delay", "1m"], options),
      run(["acquire", "y", "--claim-file", closed, "--ttl", "1m"], options),
    ]);
    await run(["session", "close", String(json(readFileSync(closed, "utf8"))["sessionId"])], options);
    await until(async () => {
      const { stdout } = await run(["try", "z", "-o", "json"], options);
      return json(stdout)["state"] === "delayed";
    });

    const [afterLoss, afterClose] = await Promise.all([
      run(["release", "--claim-file", lost], options),
      run(["release", "--claim-file", closed], options),
    ]);

    expect(afterLoss).toMatchObject({ code: 90, stdout: "" });
    expect(afterClose).toMatchObject({ code: 0, stdout: expect.stringMatching(/session-closed/) });
    expect(existsSync(lost)).toBe(false);
    expect(existsSync(closed)).toBe(false);
    expect((await run(["acquire", "z", "-n"], options)).stderr).toMatch(/\(lock-delay\)\n {2}available in/);
  });

  test.each([
    ["SIGTERM", (running: Running) => running.child.kill("SIGTERM")],
    ["SIGINT", (running: Running) => running.child.kill("SIGINT")],
    ["the end of stdin", (running: Running) => running.child.stdin?.end()],
  ])("--keep holds on and lets go at %s", async (_name, stop) => {
    const keeper = start(["acquire", "k", "--keep"], options);
    await keeper.said("stdout", /fence/);
    const waiter = start(["acquire", "k", "--keep"], options);
    await waiter.said("stderr", /waiting for k at place 1, held by /);

    stop(keeper);
    await waiter.said("stdout", /fence/);

    expect(await keeper.ended).toMatchObject({
      code: 0,
      signal: null,
      stderr: expect.stringMatching(/released k/),
    });
    waiter.child.kill("SIGTERM");
    expect((await waiter.ended).code).toBe(0);
    expect((await run(["session", "ls"], options)).stdout).toBe("");
  });

  test("--keep says 90 when its session is taken from it", async () => {
    const file = start(["acquire", "k", "--keep", "--ttl", "6s", "-o", "json"], options);
    await file.said("stdout", /"held"/);
    const sessionId = json((await run(["session", "create", "--ttl", "6s", "-o", "json"], options)).stdout)[
      "sessionId"
    ];
    const borrowed = start(["acquire", "m", "--keep", "--session", String(sessionId)], options);
    await borrowed.said("stdout", /fence/);

    await run(["session", "close", String(sessionId)], options);

    expect(await borrowed.ended).toMatchObject({ code: 90, stderr: expect.stringMatching(/m is lost/) });
    expect(isAlive(file.pid)).toBe(true);
  });

  test("a wait that is interrupted leaves nothing in the queue", async () => {
    await run(["acquire", "q", "--ttl", "1m"], options);
    const waiter = start(["acquire", "q"], options);
    await waiter.said("stderr", /waiting for q/);

    waiter.child.kill("SIGINT");

    expect(await waiter.ended).toMatchObject({ code: 130, stdout: "" });
    expect(json((await run(["show", "q", "-o", "json"], options)).stdout)).toMatchObject({ queueLength: 0 });
  });
});

describe("dev of three nodes", () => {
  test("says who leads, survives the leader's death, and stops everything on TERM", async () => {
    const dev = startDev();
    const ready = await readyOf(dev);
    const options = environmentOf(ready);
    const file = join(temporary.path, "claim");
    expect(ready.nodes.map(({ id, http }) => [id, http])).toEqual(
      ["n1", "n2", "n3"].map((id, index) => [id, `http://127.0.0.1:${base + index}`]),
    );
    expect(ready.nodes.filter(({ role }) => role === "leader").map(({ id }) => id)).toEqual([ready.leader]);
    await run(["acquire", "d", "--claim-file", file, "--ttl", "5m"], options);

    process.kill(ready.nodes.find(({ id }) => id === ready.leader)?.pid ?? 0, "SIGKILL");
    await until(() => eventsOf(dev, "leader").length === 2);

    expect(eventsOf(dev, "node-down")).toEqual([
      expect.objectContaining({ node: ready.leader, signal: "SIGKILL", killed: false }),
    ]);
    expect(eventsOf(dev, "leader")[1]?.["leader"]).not.toBe(ready.leader);
    expect((await run(["try", "d"], options)).code).toBe(75);
    expect((await run(["release", "--claim-file", file], options)).code).toBe(0);

    dev.child.kill("SIGTERM");
    expect(await dev.ended).toMatchObject({ code: 0, signal: null });
    expect(ready.nodes.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });

  test("hands leadership over, and knows its data again at the second start", async () => {
    const dev = startDev();
    const ready = await readyOf(dev);
    const options = environmentOf(ready);
    const other = ready.nodes.find(({ id }) => id !== ready.leader)?.id ?? "";
    await run(["acquire", "kept", "--ttl", "1h"], options);

    expect(await run(["cluster", "transfer-leadership", "--to", other], options)).toMatchObject({
      code: 0,
      stdout: `${other} leads\n`,
    });
    expect(json((await run(["cluster", "status", "-o", "json"], options)).stdout)["leader"]).toBe(other);
    expect((await run(["cluster", "transfer-leadership", "--to", "n9"], options)).code).toBe(64);
    dev.child.kill("SIGINT");
    await dev.ended;

    const again = startDev();
    const options2 = environmentOf(await readyOf(again));
    expect((await run(["try", "kept"], options2)).code).toBe(75);
    again.child.kill("SIGTERM");
    await again.ended;

    const fresh = startDev("--fresh");
    const options3 = environmentOf(await readyOf(fresh));
    expect((await run(["try", "kept"], options3)).code).toBe(0);
  });

  test("kill -9 of dev leaves no node behind", async () => {
    const dev = startDev();
    const { nodes } = await readyOf(dev);

    dev.child.kill("SIGKILL");
    await dev.ended;
    await until(() => nodes.every(({ pid }) => !isAlive(pid)));

    expect(nodes).toHaveLength(3);
  });

  test("all nodes dead is the end of dev too", async () => {
    const dev = startDev();
    const { nodes } = await readyOf(dev);

    for (const { pid } of nodes) process.kill(pid, "SIGKILL");

    expect((await dev.ended).code).toBe(70);
    expect(eventsOf(dev, "node-down")).toHaveLength(3);
  });
});

describe("dev refuses", () => {
  test.each([0, 2, 10, 12])(
    "a port that is taken (%d after the first), and names the remedy",
    async (offset) => {
      const squatter = createServer();
      await new Promise<void>((resolve) => squatter.listen(base + offset, "127.0.0.1", resolve));

      const ran = await run(["dev", "--data", data, "--port", String(base)]);
      squatter.close();

      expect(ran).toMatchObject({ code: 71, stdout: "" });
      expect(ran.stderr).toMatch(
        new RegExp(`port ${base + offset} is in use by another process\nChoose others with --port`),
      );
      expect(existsSync(data)).toBe(false);
    },
  );

  test("a directory that it did not make, also with --fresh", async () => {
    mkdirSync(join(data, "n1"), { recursive: true });
    writeFileSync(join(data, "cluster.yaml"), "clusterName: mine\n");

    const [plain, fresh] = await Promise.all([
      run(["dev", "--data", data, "--port", String(base)]),
      run(["dev", "--data", data, "--port", String(base), "--fresh"]),
    ]);

    for (const ran of [plain, fresh]) {
      expect(ran).toMatchObject({
        code: 73,
        stderr: expect.stringMatching(/was not made by `holdfast dev`\nName another/),
      });
    }
    expect(readdirSync(data).sort()).toEqual(["cluster.yaml", "n1"]);
  });

  test("another number of nodes, and data that a cluster runs on", async () => {
    const dev = startDev("--nodes", "1");
    await readyOf(dev);
    const port = String(await freeBase());

    const running = await run(["dev", "--data", data, "--port", port, "--fresh"]);
    expect(running).toMatchObject({
      code: 73,
      stderr: expect.stringMatching(/a cluster runs on .* already \(n1\)/),
    });
    dev.child.kill("SIGTERM");
    await dev.ended;
    const more = await run(["dev", "--data", data, "--nodes", "3", "--port", port]);

    expect(more).toMatchObject({
      code: 78,
      stderr: expect.stringMatching(/holds a cluster of 1 nodes.*\n.*--fresh/),
    });
  });

  test("to go on alone when a node cannot start before the cluster is founded", async () => {
    const first = startDev("--nodes", "1");
    await readyOf(first);
    first.child.kill("SIGTERM");
    await first.ended;
    rmSync(join(data, "n1", "identity.json"));

    const ran = await run(["dev", "--data", data, "--port", String(base), "-o", "json"]);

    expect(ran.code).toBe(70);
    expect(json(ran.stdout)).toMatchObject({
      event: "node-down",
      node: "n1",
      exitCode: 70,
      detail: expect.stringMatching(/damaged/),
    });
  });
});
