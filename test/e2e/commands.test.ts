/**
 * The commands about semaphores, sequencers, settings and other people's sessions, against a real cluster: what people
 * read, what programs read, and how each ends.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Ran, run } from "../cli/process.ts";
import type { Cluster } from "./cluster.ts";
import { createTools, startShortCluster } from "./run-harness.ts";

let cluster: Cluster;
const tools = createTools(() => cluster);

beforeAll(async () => {
  cluster = await startShortCluster();
});

afterAll(() => cluster.destroy());
afterEach(() => tools.clean());

/** A command against this cluster. */
function holdfast(...words: readonly string[]): Promise<Ran> {
  return run([...words], { environment: { HOLDFAST_ENDPOINTS: cluster.urls.join(",") } });
}

async function json(...words: readonly string[]): Promise<Record<string, unknown>> {
  const ran = await holdfast(...words, "-o", "json");
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

describe("semaphore", () => {
  test("set makes it, resizes it, and says what there is", async () => {
    const name = tools.name();

    expect((await holdfast("semaphore", "set", name, "--capacity", "4")).stdout).toBe(
      `${name} has 4 permits, 4 available\n`,
    );
    expect(await json("semaphore", "set", name, "--capacity", "0")).toMatchObject({
      semaphore: name,
      capacity: 0,
      available: 0,
      isSet: true,
    });
  });

  test("show and ls say who has permits and who waits", async () => {
    const name = tools.name();
    await holdfast("semaphore", "set", name, "--capacity", "3");
    const sessionId = await tools.session(60_000);
    const path = `/v1/semaphores/${name}:acquire`;
    await tools.ask("POST", path, { sessionId, claimId: `${name}-a`, permits: 2, metadata: { job: "7" } });
    await tools.ask("POST", path, { sessionId, permits: 2, waitMs: 60_000, pollMs: 0, onDisconnect: "keep" });

    const shown = await holdfast("semaphore", "show", name);

    expect(shown.stdout).toMatch(/capacity +3\n *available +1\n/);
    expect(shown.stdout).toMatch(
      new RegExp(`${name}-a +[0-9a-f]{16} +the test +2 +[0-9]+ +[0-9.]+m?s +job=7`),
    );
    expect(shown.stdout).toMatch(/\n {2}1 +c_[0-9a-f]+ +[0-9a-f]{16} +the test +2 +/);
    expect((await holdfast("semaphore", "ls", name)).stdout).toBe(`${name}\t3\t1\t0\t1\t1\n`);
    expect(await json("semaphore", "ls", name)).toMatchObject({
      items: [{ semaphore: name, queueLength: 1 }],
    });
  });

  test("delete refuses one that is in use, and then does it", async () => {
    const name = tools.name();
    await holdfast("semaphore", "set", name, "--capacity", "1");
    const sessionId = await tools.session(60_000);
    await tools.ask("POST", `/v1/semaphores/${name}:acquire`, { sessionId });

    const refused = await holdfast("semaphore", "delete", name);
    await tools.ask("DELETE", `/v1/sessions/${sessionId}`);
    const done = await holdfast("semaphore", "delete", name);

    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toContain("1 holders");
    expect(done).toMatchObject({ code: 0, stdout: `${name} is deleted\n` });
    expect(await holdfast("semaphore", "show", name)).toMatchObject({ code: 1, stdout: "" });
  });

  test("wants a capacity, and a name", async () => {
    expect((await holdfast("semaphore", "set", "x")).code).toBe(64);
    expect((await holdfast("semaphore", "set", "x", "--capacity", "many")).stderr).toContain("whole number");
    expect((await holdfast("semaphore", "show", "_x")).code).toBe(64);
  });
});

describe("acquire", () => {
  test("of a shared lock, of permits, for a limited time", async () => {
    const name = tools.name();
    const shared = await json("acquire", name, "-n", "-s", "--ttl", "1m", "--max-hold", "30s");
    expect(shared).toMatchObject({ state: "held", resources: [{ lock: name, mode: "shared" }] });
    expect(shared["maxHoldLeftMs"]).toBeGreaterThan(0);

    expect((await holdfast("acquire", name, "-n", "-s")).stdout).toMatch(/mode +shared\n/);
    expect(await holdfast("acquire", name, "-n")).toMatchObject({ code: 75, stdout: "" });
    const pool = tools.name();
    expect(await json("acquire", pool, "-n", "--permits", "2", "--capacity", "3")).toMatchObject({
      resources: [{ semaphore: pool, permits: 2 }],
    });
    const refused = await holdfast("acquire", pool, "-n", "--permits", "2");
    expect(refused.code).toBe(75);
    expect(refused.stderr).toContain("capacity");
    expect((await holdfast("acquire", pool, "-n", "--permits", "4")).code).toBe(64);
    expect((await holdfast("acquire", pool, "-n")).stderr).toContain("semaphore");
  });

  test("refuses flags that exclude each other", async () => {
    for (const words of [
      ["-x", "-s"],
      ["-s", "--permits", "1"],
      ["--capacity", "1"],
    ]) {
      expect((await holdfast("acquire", "x", "-n", ...words)).code, words.join(" ")).toBe(64);
    }
  });
});

describe("check", () => {
  test("is 0 while the claim is held, 1 as soon as it is not", async () => {
    const sessionId = await tools.session(60_000);
    const name = tools.name();
    const { body } = await tools.ask("POST", `/v1/locks/${name}:acquire`, { sessionId });
    const [{ sequencer }] = body["resources"] as [{ sequencer: string }];
    const good = await holdfast("check", sequencer);
    await tools.ask("DELETE", `/v1/claims/${String(body["claimId"])}`, undefined, sessionId);
    const bad = await holdfast("check", sequencer, "hf1.nonsense.00000000");

    expect(good).toMatchObject({ code: 0, stdout: `current  ${name}, fence ${String(body["fence"])}\n` });
    expect(bad).toMatchObject({
      code: 1,
      stdout: `released  ${name}, fence ${String(body["fence"])}\nmalformed\n`,
    });
    const answer = JSON.parse((await holdfast("check", sequencer, "-o", "json")).stdout) as object;
    expect(answer).toMatchObject({ results: [{ status: "released", name }] });
  });
});

describe("cluster settings", () => {
  test("shows them with what they are, and changes one on every node", async () => {
    expect((await holdfast("cluster", "settings")).stdout).toMatch(/^lockDelayMs\t1000\t[A-Z]/m);

    expect((await holdfast("cluster", "settings", "set", "disconnectGraceMs", "9s")).stdout).toBe(
      "disconnectGraceMs is 9000\n",
    );
    expect(await json("cluster", "settings", "set", "disconnectGraceMs", "10000")).toMatchObject({
      settings: { disconnectGraceMs: 10_000 },
    });
    expect(await json("cluster", "settings")).toMatchObject({ settings: { disconnectGraceMs: 10_000 } });
  });

  test("refuses what is no setting and what cannot be, with what would be right", async () => {
    const unknown = await holdfast("cluster", "settings", "set", "lockDelay", "1s");
    const tooMuch = await holdfast("cluster", "settings", "set", "lockDelayMs", "2m");
    const noNumber = await holdfast("cluster", "settings", "set", "sessions", "1h");

    expect(unknown).toMatchObject({ code: 64, stdout: "" });
    expect(unknown.stderr).toContain("did you mean lockDelayMs?");
    expect(tooMuch.code).toBe(64);
    expect(tooMuch.stderr).toContain("from 0 to 60000");
    expect(noNumber.stderr).toContain("whole number");
  });
});

describe("session kill", () => {
  test("ends somebody's session by its ref, with a reason that its owner finds", async () => {
    const name = tools.name();
    const { sessionId } = await tools.hold(name);
    const { body } = await tools.ask("GET", `/v1/sessions/${sessionId}`);
    const ref = String(body["sessionRef"]);

    const killed = await holdfast("session", "kill", ref, "--reason", "gone for good");

    expect(killed).toMatchObject({ code: 0, stdout: `session ${ref} is killed\n` });
    const found = await tools.ask("POST", `/v1/sessions/${sessionId}:keepalive`);
    expect(found).toMatchObject({
      status: 410,
      body: { ended: { reason: "killed", note: "gone for good" } },
    });
    expect((await tools.lock(name))["state"]).toBe("delayed");
    expect((await holdfast("session", "kill", ref)).code).toBe(64);
    expect((await holdfast("session", "kill", "0123456789abcdef", "--reason", "x")).code).toBe(1);
  });
});
