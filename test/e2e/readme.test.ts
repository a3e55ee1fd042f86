/** The README's own lines, run as they stand; and what it says of a killed leader. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Cluster, type ClusterNode, pause, timeLimit } from "./cluster.ts";

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.start();
});

afterAll(async () => {
  await cluster.destroy();
});

/** The commands of the README's block, without its comments. */
function readmeLines(): readonly string[] {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const block = /## A lock with curl[\s\S]*?```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  return block.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** As a careful client: the same request, with the same ids, until somebody can answer it. */
async function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  for (let i = 0; i < 300; i++) {
    for (const url of cluster.urls) {
      try {
        const response = await fetch(url + path, {
          method,
          headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: timeLimit(30_000),
        });
        const parsed = (await response.json()) as Record<string, unknown>;
        if (response.status !== 503) return { status: response.status, body: parsed };
      } catch {
        // That node is gone or its connection was lost: the next one.
      }
    }
    await pause(20);
  }
  throw new Error(`${method} ${path} is not answered`);
}

it("its curl lines take, show, renew and release a lock on every node", () => {
  const lines = readmeLines();
  expect(lines.length).toBe(6);
  for (const [i, node] of cluster.nodes.entries()) {
    const script = lines
      .join("\necho\n")
      .replaceAll("http://127.0.0.1:7400", node.url)
      .replaceAll("my-first-session-1", `my-first-session-${i}`)
      .replaceAll("c-1", `c-${i}`);
    const { stdout, stderr, status } = spawnSync("sh", ["-ec", script], { encoding: "utf8" });
    const answers = stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

    expect(status, stderr).toBe(0);
    expect(answers).toMatchObject([
      { state: "live", ttlMs: 60_000 },
      { state: "held", claimId: `c-${i}` },
      { lock: "demo", state: "held", holders: [{ claimId: `c-${i}` }] },
      { ttlMs: 60_000, ended: [] },
      { state: "ended", reason: "released" },
    ]);
  }
});

it("kill -9 of the leader: the holder keeps its lock, the waiter its place, and gets it after the release", async () => {
  for (const sessionId of ["holder-0000000000000", "waiter-0000000000000"]) {
    await ask("POST", "/v1/sessions", { sessionId, ttlMs: 60_000 });
  }
  const held = await ask("POST", "/v1/locks/kept:acquire", {
    sessionId: "holder-0000000000000",
    claimId: "kept-1",
  });
  const wait = {
    sessionId: "waiter-0000000000000",
    claimId: "kept-2",
    waitMs: 60_000,
    pollMs: 0,
    onDisconnect: "keep",
  };
  const waiting = await ask("POST", "/v1/locks/kept:acquire", wait);
  expect([held.status, waiting.status]).toEqual([200, 202]);

  const killed: ClusterNode = await cluster.leader();
  await killed.kill();

  const lock = await ask("GET", "/v1/locks/kept");
  expect(lock.body).toMatchObject({ state: "held", holders: [{ claimId: "kept-1" }], queueLength: 1 });
  const polled = ask("GET", "/v1/claims/kept-2?pollMs=20000");
  const released = await ask("DELETE", "/v1/claims/kept-1", undefined, {
    "holdfast-session": "holder-0000000000000",
  });
  expect(released.body).toMatchObject({ state: "ended", reason: "released" });
  const granted = await polled;

  expect(granted.body).toMatchObject({ claimId: "kept-2", state: "held" });
  expect(Number(granted.body["fence"])).toBeGreaterThan(Number(held.body["fence"]));
  killed.start();
  await cluster.ready(killed);
});
