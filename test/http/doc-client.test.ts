/** docs/client.mjs, as a reader would use it: against a real server, through a follower, and when things go wrong. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  delegate,
  followerOf,
  type Running,
  type Served,
  serve,
  startServer,
  stubNode,
  until,
} from "./harness.ts";

interface Hold {
  readonly fence: number;
  readonly signal: AbortSignal;
  release(): Promise<unknown>;
}

interface Session {
  readonly signal: AbortSignal;
  acquire(lock: string, wish?: object): Promise<Hold>;
  close(): Promise<unknown>;
}

const page = new URL("../../docs/client.mjs", import.meta.url);
const { openSession } = (await import(page.href)) as {
  openSession(url: string, options?: object): Promise<Session>;
};

let server: Running;
let follower: Served;
let isDeaf = false;

beforeAll(async () => {
  server = await startServer({
    wrap: (node) =>
      delegate(node, {
        keepAlive(item, reply) {
          if (isDeaf) reply({ kind: "indeterminate" });
          else node.keepAlive(item, reply);
        },
      }),
  });
  const notHere = { kind: "not-leader", leader: "n2" } as const;
  follower = await serve(
    stubNode({
      status: () => followerOf("n2"),
      propose: (_proposal, reply) => reply(notHere),
      keepAlive: (_item, reply) => reply(notHere),
      read: (reply) => reply(notHere),
    }),
    { http: { members: [{ id: "n2", url: server.url }] } },
  );
});

afterAll(async () => {
  await follower.server.close();
  await server.close();
});

describe.each([
  ["the leader", () => server.url],
  ["a follower that redirects", () => follower.url],
])("the client of docs/API.md at %s", (_where, url) => {
  it("takes turns at a lock, with rising fences", async () => {
    const [one, two] = [await openSession(url(), { label: "one" }), await openSession(url())];
    const first = await one.acquire("turns/a:b");
    const second = two.acquire("turns/a:b", { waitMs: 60_000 });
    await until(() => server.node.staleView().state.waitingCount === 1);

    await first.release();
    const hold = await second;

    expect(hold.fence).toBeGreaterThan(first.fence);
    expect([hold.signal.aborted, two.signal.aborted]).toEqual([false, false]);
    await hold.release();
    await one.close();
    await two.close();
    expect(one.signal.aborted).toBe(true);
  });

  it("polls on after a 202", async () => {
    const [one, two] = [await openSession(url()), await openSession(url())];
    const first = await one.acquire("polled");
    const second = two.acquire("polled", { waitMs: 60_000, pollMs: 0 });
    await until(() => server.node.staleView().state.waitingCount === 1);

    await first.release();

    expect((await second).fence).toBeGreaterThan(first.fence);
    await one.close();
    await two.close();
  });

  it("says why a lock was not granted", async () => {
    const [one, two] = [await openSession(url()), await openSession(url())];
    await one.acquire("refused");

    await expect(two.acquire("refused")).rejects.toMatchObject({ code: "locked", reason: "held" });
    await expect(two.acquire("refused", { waitMs: 10 })).rejects.toMatchObject({ code: "wait-timeout" });
    await expect(two.acquire("a//b")).rejects.toMatchObject({ code: "invalid" });
    await one.close();
    await two.close();
  });

  it("hears of a hold that was taken away", async () => {
    const session = await openSession(url(), { ttlMs: 2_000 });
    const hold = await session.acquire(`taken-${new URL(url()).port}`, { maxHoldMs: 50 });

    await until(() => hold.signal.aborted);

    expect((hold.signal.reason as Error).message).toBe("max-hold");
    expect(session.signal.aborted).toBe(false);
    await expect(hold.release()).rejects.toMatchObject({ code: "claim-lost" });
    await session.close();
  });

  it("is told that its session was killed", async () => {
    const session = await openSession(url(), { ttlMs: 2_000, label: `killed-${url()}` });
    const { body } = await server.request("GET", "/v1/sessions?limit=1000");
    const found = (body["items"] as { label: string; sessionRef: string }[]).find(
      ({ label }) => label === `killed-${url()}`,
    );

    await server.request("POST", `/v1/sessions/${found?.sessionRef}:kill`, { reason: "test" });
    await until(() => session.signal.aborted);

    expect(session.signal.reason).toMatchObject({ code: "session-expired" });
  });
});

describe("the client of docs/API.md", () => {
  it("keeps its session alive for longer than its ttl", async () => {
    const session = await openSession(follower.url, { ttlMs: 3_000 });
    const lost = await server.openSession({ ttlMs: 3_000 });
    await session.acquire("alive");

    // Another one of the same ttl, that nobody renews, is gone.
    await until(() => server.node.staleView().state.tombstones.has(lost));

    expect(session.signal.aborted).toBe(false);
    await session.close();
  });

  it("stops believing by its own clock, before the server lets anybody else in", async () => {
    const session = await openSession(server.url, { ttlMs: 2_000 });
    const hold = await session.acquire("cut-off");
    isDeaf = true;

    await until(() => session.signal.aborted);
    const { state } = server.node.staleView();
    const holders = [...state.sessions.values()].filter(({ claims }) => claims.size > 0).length;
    isDeaf = false;

    expect([hold.signal.aborted, holders > 0]).toEqual([true, true]);
    await until(() => state.resources.get("cut-off")?.holders.size !== 1);
  });
});

it("docs/API.md shows the client as it is", () => {
  const shown = readFileSync(new URL("../../docs/API.md", import.meta.url), "utf8");

  expect(shown).toContain("```js\n" + readFileSync(page, "utf8") + "```");
});
