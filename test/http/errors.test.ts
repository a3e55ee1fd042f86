/**
 * Every code of the catalogue, as a client meets it over a real connection. A code without a row here does not compile.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ErrorCode, errorCodes, errorEntry, errorType } from "../../src/api/errors.ts";
import { InvariantError } from "../../src/base/assert.ts";
import type { HoldfastNode } from "../../src/node/contract.ts";
import { expectDocumented } from "./documented.ts";
import {
  type Answer,
  type Running,
  rawConnection,
  type ServeOptions,
  serve,
  startServer,
  stubNode,
  until,
} from "./harness.ts";

const session = "a-session-of-mine";
const other = "another-session-1";
let server: Running;

beforeAll(async () => {
  server = await startServer({
    settings: { sessions: 6, defaultTtlMs: 60_000 },
  });
  await real("POST", "/v1/sessions", { sessionId: session });
  await real("POST", "/v1/sessions", { sessionId: other });
  await real("POST", "/v1/claims", { sessionId: other, lock: "taken", claimId: "taken" });
});

afterAll(() => server.close());

function presented(payload: object | undefined): Readonly<Record<string, string>> {
  return payload !== undefined && "sessionId" in payload ? {} : { "holdfast-session": session };
}

function real(method: string, path: string, payload?: object): Promise<Answer> {
  return server.request(method, path, payload, presented(payload));
}

/** A server whose node does what a test wants. */
async function by(
  node: Partial<HoldfastNode> | undefined,
  [method, path]: readonly [method: string, path: string],
  options: ServeOptions = {},
): Promise<Answer> {
  const served = await serve(node === undefined ? undefined : stubNode(node), options);
  const answer = await served.request(method, path, undefined, { "holdfast-session": session });
  await served.server.close();
  return answer;
}

/** Bytes that no client library would send. */
async function rawly(
  text: string,
  target: readonly [method: string, path: string],
  { port } = server.server,
): Promise<Answer> {
  const received = await rawConnection(port, text).answer();
  const [head = "", json = ""] = received.split("\r\n\r\n");
  const [line = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(lines.map((header) => header.toLowerCase().split(": ")));
  const answer = { status: Number(line.split(" ")[1]), headers, body: JSON.parse(json) };
  expectDocumented(...target, answer);
  return answer;
}

const meet: Readonly<Record<ErrorCode, () => Promise<Answer>>> = {
  "not-leader": () =>
    by({ read: (reply) => reply({ kind: "not-leader", leader: "n2" }) }, ["GET", "/v1/locks/a"]),
  "bad-request": () => real("GET", "/v1/locks/%E4"),
  "not-holder": () => real("DELETE", "/v1/claims/taken"),
  "not-found": () => real("GET", "/v1/claims/never-was"),
  "method-not-allowed": () => real("PATCH", "/v1/locks/a"),
  "request-timeout": async () => {
    const hasty = await serve(stubNode(), { limits: { headersMs: 100, requestMs: 100, checkMs: 20 } });
    const met = await rawly("GET /livez HTTP/1.1\r\n", ["GET", "/livez"], hasty.server);
    await hasty.server.close();
    return met;
  },
  "session-conflict": () => real("POST", "/v1/sessions", { sessionId: session, label: "other" }),
  "claim-conflict": () => real("POST", "/v1/claims", { sessionId: session, lock: "a", claimId: "taken" }),
  "claim-ended": async () => {
    await real("DELETE", "/v1/claims/released");
    return real("POST", "/v1/claims", { sessionId: session, lock: "a", claimId: "released" });
  },
  "claim-lost": async () => {
    await real("POST", "/v1/claims", { sessionId: session, lock: "lost", claimId: "lost", maxHoldMs: 10 });
    await until(() => server.node.staleView().state.claims.get("lost")?.state === "ended");
    return real("DELETE", "/v1/claims/lost");
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
    const sessionId = "a-session-to-end";
    await real("POST", "/v1/sessions", { sessionId });
    await server.request("DELETE", `/v1/sessions/${sessionId}`);
    return real("POST", `/v1/sessions/${sessionId}:keepalive`);
  },
  "too-large": () =>
    rawly(
      `POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 70000\r\n\r\n${"x".repeat(70_000)}`,
      ["POST", "/v1/sessions"],
    ),
  "uri-too-long": () => real("GET", `/v1/locks/${"a".repeat(5_000)}`),
  "unsupported-media-type": () =>
    server.request("POST", "/v1/sessions", "{}", { "content-type": "text/plain" }),
  invalid: () => real("POST", "/v1/sessions", { tllMs: 1 }),
  locked: () => real("POST", "/v1/claims", { sessionId: session, lock: "taken" }),
  "wait-timeout": () => real("POST", "/v1/claims", { sessionId: session, lock: "taken", waitMs: 20 }),
  quota: async () => {
    for (let i = 0; i < 6; i++) await real("POST", "/v1/sessions", {});
    return real("POST", "/v1/sessions", {});
  },
  "headers-too-large": () =>
    rawly(`GET /livez HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(9_000)}\r\n\r\n`, ["GET", "/livez"]),
  internal: async () => {
    const bugs: unknown[] = [];
    const read = (): never => {
      throw new Error("a bug");
    };
    const met = await by({ read }, ["GET", "/v1/locks/a"], {
      http: { internalError: (error) => bugs.push(error) },
    });
    expect(bugs).toEqual([expect.objectContaining({ message: "a bug" })]);
    return met;
  },
  "no-leader": () => by(undefined, ["GET", "/v1/locks/a"]),
  indeterminate: () =>
    by({ propose: (_proposal, reply) => reply({ kind: "indeterminate" }) }, ["DELETE", "/v1/claims/a"]),
  overloaded: () =>
    by({ keepAlive: (_item, reply) => reply({ kind: "overloaded", reason: "log-full" }) }, [
      "POST",
      `/v1/sessions/${session}:keepalive`,
    ]),
  "shutting-down": async () => {
    let isAsked = false;
    const never = (): void => {
      isAsked = true;
    };
    const served = await serve(stubNode({ read: never }));
    const answer = served.request("GET", "/v1/locks/a");
    await until(() => isAsked);
    await served.server.close();
    return answer;
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
    const read = (): never => {
      throw broken;
    };

    const { status } = await by({ read }, ["GET", "/v1/locks/a"], {
      http: { internalError: (error) => bugs.push(error) },
    });

    expect([status, bugs]).toEqual([500, [broken]]);
  });

  it("names the quota that is reached", async () => {
    const { body } = await meet.quota();

    expect(body).toMatchObject({ limit: "sessions", max: 6 });
  });
});
