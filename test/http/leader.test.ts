/**
 * Where a request goes when this node does not lead, does not know who does, or stops: redirects and 503s, with a node
 * that says what the test wants.
 */
import { describe, expect, it } from "vitest";
import { routeAnswers } from "../../src/api/route-answers.ts";
import { matchRoute, routeIds } from "../../src/api/routes.ts";
import type { ClaimListener } from "../../src/node/contract.ts";
import { expectDocumented } from "./documented.ts";
import { appFor, delegate, followerOf, rawConnection, startServer, stubNode, until } from "./harness.ts";

const sessionId = "a-session-of-mine";

/** One request for each thing that only the leader may answer. */
const leadersOnly = [
  ["POST", "/v1/sessions", {}],
  ["GET", "/v1/sessions?limit=7", undefined],
  ["GET", `/v1/sessions/${sessionId}`, undefined],
  ["POST", `/v1/sessions/${sessionId}:keepalive`, {}],
  ["DELETE", `/v1/sessions/${sessionId}`, undefined],
  ["POST", "/v1/locks/a/b%2Fc:d%3A%F0%9F%94%92:acquire", { sessionId }],
  ["GET", "/v1/locks/a%2Fb?consistency=linearizable", undefined],
  ["GET", "/v1/locks?prefix=a%2f&limit=3", undefined],
  ["POST", "/v1/claims", { sessionId, lock: "a" }],
  ["GET", "/v1/claims/c?pollMs=5", undefined],
  ["DELETE", "/v1/claims/c", undefined],
  ["POST", "/v1/cluster:transfer-leadership", {}],
  ["POST", "/v1/sessions/0123456789abcdef:kill", { reason: "stuck" }],
  ["GET", `/v1/sessions/${sessionId}/claims?since=7&pollMs=5`, undefined],
  ["POST", "/v1/locks/a:acquire", { sessionId, mode: "shared", owner: "o", maxHoldMs: 5 }],
  ["POST", "/v1/semaphores/user:42%2fx:acquire", { sessionId, permits: 2, capacity: 3 }],
  ["GET", "/v1/semaphores?prefix=a%2F&limit=3&cursor=YQ", undefined],
  ["GET", "/v1/semaphores/a:b%3Ac", undefined],
  ["PUT", "/v1/semaphores/a/b%2Fc:d", { capacity: 3 }],
  ["DELETE", "/v1/semaphores/%61", undefined],
  ["POST", "/v1/claims/c:shrink", { permits: 1 }],
  ["POST", "/v1/sequencers:check", { sequencers: ["x"] }],
  ["POST", "/v1/batch", { operations: [{ op: "get", claimId: "c" }] }],
  ["GET", "/v1/cluster/settings", undefined],
  ["PUT", "/v1/cluster/settings", { lockDelayMs: 1 }],
] as const;

function refusing(leader: string | undefined) {
  return stubNode({
    status: () => followerOf(leader),
    notLeading: () => ({ kind: "not-leader", leader }),
    propose: (_proposal, reply) => reply({ kind: "not-leader", leader }),
    keepAlive: (_item, reply) => reply({ kind: "not-leader", leader }),
    read: (reply) => reply({ kind: "not-leader", leader }),
  });
}

describe("a node that does not lead", () => {
  it("is asked for every route that is not its own to answer", () => {
    const asked = new Set<string>();
    for (const [method, url] of leadersOnly) {
      const match = matchRoute(method, url.split("?")[0] ?? "");
      if (match.kind === "route") asked.add(match.id);
    }
    const own = routeIds.filter((id) => ["node", "process"].includes(routeAnswers[id].by));

    expect([...asked, ...own].sort()).toEqual([...routeIds].sort());
  });

  it.each(leadersOnly)(
    "sends %s %s to the leader, path and query byte for byte",
    async (method, url, payload) => {
      const { app } = appFor(refusing("n2"));

      const answer = await app.inject({
        method,
        url,
        headers: { "holdfast-session": sessionId },
        ...(payload === undefined ? undefined : { payload }),
      });

      expect(answer.statusCode).toBe(307);
      expect(answer.headers).toMatchObject({
        location: `http://127.0.0.1:7401${url}`,
        "holdfast-leader": "http://127.0.0.1:7401",
        "cache-control": "no-store",
        "holdfast-node": "n1",
        "holdfast-term": "7",
        "content-type": "application/problem+json; charset=utf-8",
      });
      expect(answer.json()).toMatchObject({ code: "not-leader", retryable: true, leader: "n2" });
      expectDocumented(method, url, { status: answer.statusCode, body: answer.json() });
    },
  );

  it.each(leadersOnly)(
    "answers %s %s with 503 while nobody is known to lead",
    async (method, url, payload) => {
      const { app } = appFor(refusing(undefined));

      const answer = await app.inject({
        method,
        url,
        headers: { "holdfast-session": sessionId },
        ...(payload === undefined ? undefined : { payload }),
      });

      expect(answer.statusCode).toBe(503);
      expect(answer.headers["retry-after"]).toBe("1");
      expect(answer.json()).toMatchObject({ code: "no-leader", retryable: true, retryAfterMs: 500 });
      expectDocumented(method, url, { status: answer.statusCode, body: answer.json() });
    },
  );

  it("refuses nothing by settings that may have changed since: it may lag behind (SEMANTICS rule 1)", async () => {
    const { app } = appFor(refusing("n2"));
    const payload = { sessionId, lockDelayMs: 60_001, waitMs: 1e12, metadata: { a: "x".repeat(5_000) } };

    const answer = await app.inject({ method: "POST", url: "/v1/locks/a:acquire", payload });

    expect(answer.statusCode).toBe(307);
  });

  it("answers 503 for a leader whose address it does not know", async () => {
    const { app } = appFor(refusing("n9"));

    expect((await app.inject({ method: "GET", url: "/v1/locks/a" })).json().code).toBe("no-leader");
  });

  it("sends a request in absolute form on by its path alone", async () => {
    const { app } = appFor(refusing("n2"));
    await app.ready();

    const answer = await app.inject({ method: "GET", url: "http://elsewhere:1/v1/locks/a" });

    expect(answer.headers["location"]).toBe("http://127.0.0.1:7401/v1/locks/a");
  });

  it("answers for itself where it may", async () => {
    const { app } = appFor(refusing("n2"));

    expect((await app.inject("/livez")).json()).toEqual({ status: "ok" });
    expect((await app.inject("/readyz?probe=1")).json()).toEqual({ status: "ready" });
    expect((await app.inject("/v1/cluster")).json()).toMatchObject({
      node: "n1",
      leader: "n2",
      term: 7,
      members: [
        { id: "n1", http: "http://127.0.0.1:7400", role: "follower", state: "up" },
        { id: "n2", http: "http://127.0.0.1:7401/", role: "leader", state: "up", lastContactMs: 12 },
      ],
      counts: { sessions: 0, claimsHeld: 0, claimsWaiting: 0, locks: 0, logBytes: 0 },
    });
  });
});

describe("being ready", () => {
  it.each([
    [{ leader: undefined }, "no leader"],
    [{ isFounded: false }, "settings"],
    [{ role: "leader" as const, leader: "n1", isServing: false }, "not committed"],
    [{ appliedIndex: 3, commitIndex: 5 }, "2 committed entries"],
  ])("needs more than %j", async (status, reason) => {
    const { app } = appFor(stubNode({ status: () => ({ ...followerOf("n2"), ...status }) }));

    const answer = await app.inject("/readyz");

    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toEqual({ status: "unready", reasons: [expect.stringContaining(reason)] });
  });

  it("is refused, with the reason, while the node takes no part in a cluster; being alive is not", async () => {
    const { app } = appFor(undefined);

    const ready = await app.inject("/readyz");
    const alive = await app.inject("/livez");
    const asked = await app.inject("/v1/locks/a");

    expect([ready.statusCode, ready.json()]).toEqual([
      503,
      { status: "unready", reasons: ["waiting for n2, n3"] },
    ]);
    expect(alive.statusCode).toBe(200);
    expect([asked.statusCode, asked.json().code]).toEqual([503, "no-leader"]);
    expect(asked.json().detail).toContain("waiting for n2, n3");
    expect(asked.headers["holdfast-node"]).toBe("n1");
  });
});

describe("leadership lost under way", () => {
  it("leaves a write in doubt, and names the ids that the node made for it", async () => {
    const node = stubNode({ propose: (_proposal, reply) => reply({ kind: "indeterminate" }) });
    const { app } = appFor(node);

    const opened = await app.inject({ method: "POST", url: "/v1/sessions", payload: {} });
    const acquired = await app.inject({
      method: "POST",
      url: "/v1/claims",
      payload: { sessionId, lock: "a" },
    });
    const released = await app.inject({
      method: "DELETE",
      url: "/v1/claims/c",
      headers: { "holdfast-session": sessionId },
    });

    for (const answer of [opened, acquired, released]) {
      expect([answer.statusCode, answer.json().code]).toEqual([503, "indeterminate"]);
    }
    expect(opened.json().sessionId).toMatch(/^[0-9a-f]{32}$/);
    expect(acquired.json().claimId).toMatch(/^c_[0-9a-f]{24}$/);
  });

  it("sends a waiting client to the next leader, but never with an id that it does not know", async () => {
    const server = await startServer();
    const mine = await server.openSession();
    await server.request("POST", "/v1/locks/a:acquire", { sessionId: mine });
    const listeners = new Map<string, ClaimListener>();
    const node = stubNode({
      status: () => followerOf("n2"),
      staleView: () => server.node.staleView(),
      propose: (proposal, reply) => server.node.propose(proposal, reply),
      noteAnswered: (claimId) => server.node.noteAnswered(claimId),
      watchClaim: (claimId, listener) => {
        listeners.set(claimId, listener);
        return () => listeners.delete(claimId);
      },
    });
    const { app } = appFor(node);
    const body = { sessionId: mine, lock: "a", waitMs: 60_000 };
    const named = app.inject({ method: "POST", url: "/v1/claims", payload: { ...body, claimId: "named" } });
    const unnamed = app.inject({ method: "POST", url: "/v1/claims", payload: body });
    void named.then(() => undefined);
    void unnamed.then(() => undefined);
    await until(() => listeners.size === 2);

    for (const listener of listeners.values()) listener(undefined, server.node.staleView());

    expect((await named).statusCode).toBe(307);
    expect((await unnamed).statusCode).toBe(202);
    expect((await unnamed).headers["location"]).toBe(`/v1/claims/${(await unnamed).json().claimId}`);
    await server.close();
  });
});

describe("a node that stops", () => {
  it("answers held requests at once, writes in doubt as such, and then closes every connection", async () => {
    let isStuck = false;
    let stuck = 0;
    const server = await startServer({
      wrap: (node) =>
        delegate(node, {
          propose(proposal, reply) {
            if (isStuck) stuck++;
            else node.propose(proposal, reply);
          },
        }),
    });
    const mine = await server.openSession();
    await server.request("POST", "/v1/locks/a:acquire", { sessionId: mine });
    const held = server.request("POST", "/v1/locks/a:acquire", {
      sessionId: mine,
      claimId: "w",
      waitMs: 60_000,
    });
    await until(() => server.node.staleView().state.claims.get("w")?.state === "waiting");
    isStuck = true;
    const doubtful = server.request("POST", "/v1/sessions", {});
    const idle = rawConnection(server.server.port, "");
    const halfSent = rawConnection(server.server.port, "POST /v1/sessions HTTP/1.1\r\nHost: x\r\n");
    await until(() => stuck === 1 && halfSent.socket.bytesWritten > 0 && !idle.socket.connecting);

    const closing = server.server.close();
    const answers = await Promise.all([held, doubtful]);
    await Promise.all([closing, server.close(), idle.answer(), halfSent.answer()]);

    expect(answers[0].body).toMatchObject({ code: "shutting-down", status: 503, retryable: true });
    expect(answers[1].body).toMatchObject({ code: "indeterminate", sessionId: expect.any(String) });
    await expect(server.request("GET", "/livez")).rejects.toThrow();
    // The claim waits on: another node may lead soon.
    expect(server.node.staleView().state.claims.get("w")?.state).toBe("waiting");
  });
});

describe("listening", () => {
  it("says which address is taken", async () => {
    const server = await startServer();

    const second = startServer({ http: { listen: { host: "127.0.0.1", port: server.server.port } } });

    await expect(second).rejects.toMatchObject({
      name: "HttpListenError",
      code: "EADDRINUSE",
      message: `cannot listen on 127.0.0.1:${server.server.port}: the port is in use by another process`,
    });
    await server.close();
  });
});
