/**
 * Every code of the catalogue, as a client meets it over HTTP. A code without a row here does not compile.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ErrorCode, errorCodes, errorEntry, errorType } from "../../src/api/errors.ts";
import { InvariantError } from "../../src/base/assert.ts";
import type { Settings } from "../../src/locks/settings.ts";
import { appFor, type Member, rawConnection, startMember, startServer, stubNode, until } from "./harness.ts";

interface Met {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
}

const settings: Partial<Settings> = { sessions: 6, defaultTtlMs: 60_000 };
const session = "a-session-of-mine";
const other = "another-session-1";
let member: Member;

beforeAll(async () => {
  member = startMember(settings);
  await until(() => member.node.status().isServing);
  await real("POST", "/v1/sessions", { sessionId: session });
  await real("POST", "/v1/sessions", { sessionId: other });
  await real("POST", "/v1/claims", { sessionId: other, lock: "taken", claimId: "taken" });
});

afterAll(() => member.stop());

async function ask(
  app: ReturnType<typeof appFor>["app"],
  method: string,
  url: string,
  payload?: object,
): Promise<Met> {
  const answer = await app.inject({
    method: method as "GET",
    url,
    headers: payload !== undefined && "sessionId" in payload ? {} : { "holdfast-session": session },
    ...(payload === undefined ? undefined : { payload }),
  });
  return { status: answer.statusCode, headers: answer.headers, body: answer.json() };
}

function real(method: string, url: string, payload?: object): Promise<Met> {
  return ask(appFor(member.node).app, method, url, payload);
}

/** Over a socket: what only bytes can cause. */
async function rawly(text: string): Promise<Met> {
  const server = await startServer({ limits: { headersMs: 100, requestMs: 100, checkMs: 20 } });
  const received = await rawConnection(server.server.port, text).answer();
  await server.close();
  const [head = "", body = ""] = received.split("\r\n\r\n");
  const [line = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(lines.map((header) => header.toLowerCase().split(": ")));
  return { status: Number(line.split(" ")[1]), headers, body: JSON.parse(body) };
}

const meet: Readonly<Record<ErrorCode, () => Promise<Met>>> = {
  "not-leader": () =>
    ask(
      appFor(stubNode({ read: (reply) => reply({ kind: "not-leader", leader: "n2" }) })).app,
      "GET",
      "/v1/locks/a",
    ),
  "bad-request": () => real("GET", "/v1/locks/%E4"),
  "not-holder": () => real("DELETE", "/v1/claims/taken"),
  "not-found": () => real("GET", "/v1/claims/never-was"),
  "method-not-allowed": () => real("PATCH", "/v1/locks/a"),
  "request-timeout": () => rawly("GET /livez HTTP/1.1\r\n"),
  "session-conflict": () => real("POST", "/v1/sessions", { sessionId: session, label: "other" }),
  "claim-conflict": () => real("POST", "/v1/claims", { sessionId: session, lock: "a", claimId: "taken" }),
  "claim-ended": async () => {
    await real("DELETE", "/v1/claims/released");
    return real("POST", "/v1/claims", { sessionId: session, lock: "a", claimId: "released" });
  },
  "claim-lost": async () => {
    const { app } = appFor(member.node);
    const loser = { "holdfast-session": "a-session-to-lose" };
    await app.inject({
      method: "POST",
      url: "/v1/sessions",
      payload: { sessionId: "a-session-to-lose", ttlMs: 1_500 },
    });
    await app.inject({
      method: "POST",
      url: "/v1/claims",
      headers: loser,
      payload: { lock: "lost", claimId: "lost" },
    });
    await until(() => member.node.staleView().state.tombstones.has("a-session-to-lose"));
    const answer = await app.inject({ method: "DELETE", url: "/v1/claims/lost", headers: loser });
    return { status: answer.statusCode, headers: answer.headers, body: answer.json() };
  },
  "already-held": async () => {
    await real("POST", "/v1/claims", { sessionId: session, lock: "own", claimId: "own", owner: "me" });
    return real("POST", "/v1/claims", { sessionId: session, lock: "own", mode: "shared", owner: "me" });
  },
  "already-waiting": async () => {
    const waiting = { sessionId: session, lock: "taken", waitMs: 60_000, pollMs: 0, onDisconnect: "keep" };
    await real("POST", "/v1/claims", { ...waiting, owner: "patient" });
    return real("POST", "/v1/claims", { sessionId: session, lock: "free", owner: "patient" });
  },
  "kind-mismatch": () => real("PUT", "/v1/semaphores/taken", { capacity: 1 }),
  "capacity-conflict": async () => {
    await real("PUT", "/v1/semaphores/pool", { capacity: 3 });
    return real("POST", "/v1/semaphores/pool:acquire", { sessionId: session, capacity: 4 });
  },
  "in-use": async () => {
    await real("POST", "/v1/semaphores/busy:acquire", { sessionId: session, capacity: 2 });
    return real("DELETE", "/v1/semaphores/busy");
  },
  "exceeds-capacity": () =>
    real("POST", "/v1/semaphores/few:acquire", { sessionId: session, capacity: 2, permits: 3 }),
  "config-conflict": () => real("POST", "/v1/cluster:transfer-leadership", {}),
  "session-expired": async () => {
    await real("POST", "/v1/sessions", { sessionId: "a-session-to-end" });
    await appFor(member.node).app.inject({ method: "DELETE", url: "/v1/sessions/a-session-to-end" });
    return real("POST", "/v1/sessions/a-session-to-end:keepalive");
  },
  "too-large": () => real("POST", "/v1/sessions", { label: "x".repeat(70_000) }),
  "uri-too-long": () => real("GET", `/v1/locks/${"a".repeat(5_000)}`),
  "unsupported-media-type": () =>
    rawly(
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\n{}",
    ),
  invalid: () => real("POST", "/v1/sessions", { tllMs: 1 }),
  locked: () => real("POST", "/v1/claims", { sessionId: session, lock: "taken" }),
  "wait-timeout": () => real("POST", "/v1/claims", { sessionId: session, lock: "taken", waitMs: 20 }),
  quota: async () => {
    for (let i = 0; i < 6; i++) await real("POST", "/v1/sessions", {});
    return real("POST", "/v1/sessions", {});
  },
  "headers-too-large": () => rawly(`GET /livez HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(9_000)}\r\n\r\n`),
  internal: async () => {
    const bugs: unknown[] = [];
    const node = stubNode({
      read: () => {
        throw new Error("a bug");
      },
    });
    const met = await ask(
      appFor(node, { internalError: (error) => bugs.push(error) }).app,
      "GET",
      "/v1/locks/a",
    );
    expect(bugs).toEqual([expect.objectContaining({ message: "a bug" })]);
    return met;
  },
  "no-leader": () => ask(appFor(undefined).app, "GET", "/v1/locks/a"),
  indeterminate: () =>
    ask(
      appFor(stubNode({ propose: (_proposal, reply) => reply({ kind: "indeterminate" }) })).app,
      "DELETE",
      "/v1/claims/a",
    ),
  overloaded: () =>
    ask(
      appFor(stubNode({ keepAlive: (_item, reply) => reply({ kind: "overloaded", reason: "log-full" }) }))
        .app,
      "POST",
      `/v1/sessions/${session}:keepalive`,
    ),
  "shutting-down": async () => {
    const { app, context } = appFor(member.node);
    context.isClosing = true;
    return ask(app, "GET", "/v1/locks/a");
  },
};

describe("an error over HTTP", () => {
  it.each(errorCodes)("%s is a problem document with the facts of the catalogue", async (code) => {
    const { status, headers, body } = await meet[code]();

    const entry = errorEntry(code);
    expect(body).toMatchObject({
      type: errorType(code),
      title: entry.title,
      status: entry.status,
      code,
      retryable: entry.retryable,
      detail: expect.stringMatching(/./),
      instance: headers["holdfast-request-id"],
    });
    expect(status).toBe(entry.status);
    expect(body["retryAfterMs"]).toBe(entry.retryAfterMs);
    expect(headers).toMatchObject({
      "content-type": "application/problem+json; charset=utf-8",
      "cache-control": "no-store",
      "holdfast-node": "n1",
    });
    expect(headers["retry-after"]).toBe(entry.retryAfterMs === undefined ? undefined : "1");
  });

  it("of a broken invariant reaches the composition root, from inside of a callback of the node too", async () => {
    const bugs: unknown[] = [];
    const broken = new InvariantError("broken");
    const node = stubNode({
      read: () => {
        throw broken;
      },
    });
    const { app } = appFor(node, { internalError: (error) => bugs.push(error) });

    const { status } = await ask(app, "GET", "/v1/locks/a");

    expect([status, bugs]).toEqual([500, [broken]]);
  });

  it("names the quota that is reached", async () => {
    const { body } = await meet.quota();

    expect(body).toMatchObject({ limit: "sessions", max: 6 });
  });
});
