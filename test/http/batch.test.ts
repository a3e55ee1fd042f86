/**
 * POST /v1/batch: operations in their order, each with its own outcome; what fails, fails alone; what hanging up, a
 * change of leader and a stop of the node mean for what is under way.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HoldfastNode } from "../../src/node/contract.ts";
import {
  type Answer,
  appFor,
  delegate,
  followerOf,
  type Json,
  type Running,
  rawConnection,
  startServer,
  stubNode,
  until,
} from "./harness.ts";

let server: Running;
let names = 0;
let mine: string;
let theirs: string;

beforeAll(async () => {
  server = await startServer();
  mine = await server.openSession({ label: "mine" });
  theirs = await server.openSession({ label: "theirs" });
});

afterAll(() => server.close());

interface Result {
  readonly status: number;
  readonly body: Json;
}

function batch(
  operations: readonly unknown[],
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return server.request("POST", "/v1/batch", { operations }, headers);
}

async function resultsOf(operations: readonly unknown[]): Promise<readonly Result[]> {
  const { status, body } = await batch(operations);
  expect(status).toBe(200);
  return body["results"] as readonly Result[];
}

/** Without what differs from one request to the next: its id, the clock, the ids that it chose. */
function comparable({ status, body }: Result | Answer): unknown {
  const text = JSON.stringify({ status, body }, (key, value) =>
    [
      "instance",
      "revision",
      "fence",
      "heldMs",
      "waitedMs",
      "heldSince",
      "renewAfterMs",
      "clusterTimeMs",
      "sequencer",
      "endedAt",
    ].includes(key)
      ? "…"
      : value,
  );
  return JSON.parse(text.replace(/(alone|batched)-\d+|at most \d+/g, "…"));
}

describe("the operations of a batch", () => {
  it("are answered in their order, each with the status and body of its own request", async () => {
    const n = ++names;
    await server.request("POST", "/v1/claims", {
      sessionId: theirs,
      lock: `taken-${n}`,
      claimId: `taken-${n}`,
    });
    const ended = await server.openSession();
    await server.request("DELETE", `/v1/sessions/${ended}`);
    const another = await server.openSession();
    const operations = (prefix: string): readonly Readonly<Record<string, unknown>>[] => [
      {
        op: "acquire",
        sessionId: mine,
        claimId: `${prefix}-1`,
        lock: `${prefix}-1`,
        owner: "o",
        metadata: { a: "b" },
      },
      { op: "acquire", sessionId: mine, claimId: `${prefix}-2`, lock: `taken-${n}` },
      {
        op: "acquire",
        sessionId: mine,
        claimId: `${prefix}-3`,
        resources: [{ semaphore: `${prefix}-3`, permits: 2, capacity: 3 }],
      },
      { op: "acquire", sessionId: mine, claimId: `${prefix}-4`, semaphore: "nobody-made-it" },
      { op: "acquire", sessionId: ended, claimId: `${prefix}-5`, lock: "a" },
      { op: "acquire", sessionId: mine, claimId: `${prefix}-6`, lock: "_a" },
      { op: "acquire", sessionId: mine, claimId: `taken-${n}`, lock: "a" },
      { op: "release", sessionId: mine, claimId: `taken-${n}` },
      { op: "release", sessionId: mine, claimId: `${prefix}-7` },
      { op: "release", sessionId: "never-was-a-session", claimId: `${prefix}-7` },
      { op: "keepalive", sessionId: mine },
      { op: "keepalive", sessionId: another, seen: 1e9 },
      { op: "keepalive", sessionId: ended },
      { op: "keepalive", sessionId: "never-was-a-session" },
      { op: "get", claimId: `taken-${n}` },
      { op: "get", claimId: "never-was" },
    ];
    const batched = await resultsOf(operations(`batched-${n}`));

    const alone: Answer[] = [];
    for (const { op, ...fields } of operations(`alone-${n}`)) {
      const { sessionId, claimId, ...rest } = fields as { sessionId: string; claimId: string };
      if (op === "acquire") alone.push(await server.request("POST", "/v1/claims", fields));
      else if (op === "release")
        alone.push(await server.request("DELETE", `/v1/claims/${claimId}`, { sessionId }));
      else if (op === "get") alone.push(await server.request("GET", `/v1/claims/${claimId}`));
      else alone.push(await server.request("POST", `/v1/sessions/${sessionId}:keepalive`, rest));
    }

    expect(batched.map(({ status }) => status)).toEqual([
      200, 423, 200, 404, 410, 422, 409, 403, 200, 404, 200, 422, 410, 404, 200, 404,
    ]);
    for (const [i, result] of batched.entries()) {
      expect(comparable(result), `operation ${i}`).toEqual(comparable(alone[i] as Answer));
    }
    expect(JSON.stringify(batched)).not.toContain(theirs);
    expect(JSON.stringify(batched)).not.toContain(mine);
  });

  it("may be repeated as a whole: nothing happens twice", async () => {
    const n = ++names;
    const operations = [
      { op: "acquire", sessionId: mine, claimId: `again-${n}`, lock: `again-${n}` },
      { op: "acquire", sessionId: theirs, claimId: `behind-${n}`, lock: `again-${n}`, waitMs: 60_000 },
      { op: "release", sessionId: mine, claimId: `early-${n}` },
    ];
    const first = await resultsOf(operations);

    const again = await resultsOf(operations);

    expect(first.map(({ status }) => status)).toEqual([200, 202, 200]);
    expect(again.map(({ status }) => status)).toEqual([200, 202, 200]);
    expect(again[0]?.body["fence"]).toBe(first[0]?.body["fence"]);
    expect(again[1]?.body["revision"]).toBe(first[1]?.body["revision"]);
    expect(again[2]?.body).toEqual(first[2]?.body);
    expect((await server.request("GET", `/v1/locks/again-${n}`)).body["queueLength"]).toBe(1);
  });

  it("never wait: a claim that does is 202 at once, and is kept whoever hangs up", async () => {
    const n = ++names;
    const [held, waiting] = await resultsOf([
      { op: "acquire", sessionId: theirs, lock: `w-${n}` },
      { op: "acquire", sessionId: mine, claimId: `w-${n}`, lock: `w-${n}`, waitMs: 60_000, pollMs: 0 },
    ]);

    expect(held?.body["claimId"]).toMatch(/^c_[0-9a-f]{24}$/);
    expect([waiting?.status, waiting?.body["state"], waiting?.body["position"]]).toEqual([202, "waiting", 1]);
    expect(server.node.staleView().state.claims.get(`w-${n}`)?.cancelOnDisconnect).toBe(false);
  });

  it("take the session of an acquire from the header too", async () => {
    const { body } = await batch(
      [
        { op: "acquire", lock: `h-${++names}` },
        { op: "acquire", sessionId: theirs, lock: "b" },
      ],
      {
        "holdfast-session": mine,
      },
    );

    expect((body["results"] as Result[]).map(({ status }) => status)).toEqual([200, 400]);
  });

  it.each([
    [{}, "/op"],
    [{ op: "convert" }, "/op"],
    [{ op: 7 }, "/op"],
    [{ op: null }, "/op"],
    // Every object has these, and no batch does.
    [{ op: "constructor" }, "/op"],
    [{ op: "toString" }, "/op"],
    [{ op: "__proto__" }, "/op"],
    [{ op: "hasOwnProperty" }, "/op"],
    [{ op: "get", claimId: "a", x: 1 }, "/x"],
    [{ op: "get" }, ""],
    [{ op: "get", claimId: ".." }, "/claimId"],
    [{ op: "release", claimId: "a" }, ""],
    [{ op: "release", claimId: "a", sessionId: "short" }, "/sessionId"],
    [{ op: "keepalive", sessionId: "x".repeat(16), seen: -1 }, "/seen"],
    [{ op: "acquire", sessionId: "x".repeat(16), lokc: "a" }, "/lokc"],
    [{ op: "acquire", sessionId: "x".repeat(16), lock: "a", semaphore: "b" }, "/lock"],
    [{ op: "acquire", sessionId: "x".repeat(16), lock: "a", waitMs: 1e15 }, "/waitMs"],
  ])("that are wrong fail alone: %j", async (operation, path) => {
    const n = ++names;
    const results = await resultsOf([
      { op: "acquire", sessionId: mine, claimId: `before-${n}`, lock: `before-${n}` },
      operation,
      { op: "acquire", sessionId: mine, claimId: `after-${n}`, lock: `after-${n}` },
    ]);

    expect(results.map(({ status }) => status)).toEqual([200, 422, 200]);
    expect(results[1]?.body).toMatchObject({ code: "invalid", status: 422, errors: [{}] });
    const [error] = (results[1]?.body["errors"] ?? []) as { path: string }[];
    if (path !== "") expect(error?.path).toBe(path);
  });

  it("with another pollMs than 0 are a bad request, alone", async () => {
    const results = await resultsOf([
      { op: "acquire", sessionId: mine, lock: "poll", pollMs: 5, waitMs: 5 },
      { op: "get", claimId: "none" },
    ]);

    expect(results.map(({ status, body }) => [status, body["code"]])).toEqual([
      [400, "bad-request"],
      [404, "not-found"],
    ]);
  });
});

describe("a batch as a whole", () => {
  it.each([
    [{}],
    [{ operations: [] }],
    [{ operations: {} }],
    [{ operations: [null] }],
    [{ operations: ["get"] }],
    [{ operations: [[]] }],
    [{ operations: [{ op: "get", claimId: "a" }], atomic: true }],
    [[]],
  ])("is refused when it is none: %j", async (body) => {
    const answer = await server.request("POST", "/v1/batch", body);

    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid"]);
  });

  it("has 256 operations and no more", async () => {
    const operation = { op: "get", claimId: "none" };

    expect(await resultsOf(Array.from({ length: 256 }, () => operation))).toHaveLength(256);
    const { status, body } = await batch(Array.from({ length: 257 }, () => operation));
    expect([status, body["code"]]).toEqual([413, "too-large"]);
  });

  it("has a larger body than others, and no larger one than that", async () => {
    const operation = { op: "acquire", sessionId: mine, lock: "big", metadata: { a: "x".repeat(4_000) } };

    const large = await batch(Array.from({ length: 200 }, () => operation));
    const tooLarge = await server.request("POST", "/v1/batch", " ".repeat(1_048_577));

    expect(large.status).toBe(200);
    expect([tooLarge.status, tooLarge.body["code"]]).toEqual([413, "too-large"]);
  });
});

// ---- nodes that say what a test wants ------------------------------------------------------------------------------

function leaderLike(overrides: Partial<HoldfastNode>): HoldfastNode {
  return stubNode({ status: () => ({ ...followerOf("n1"), role: "leader", isServing: true }), ...overrides });
}

const operations = [
  { op: "acquire", sessionId: "a-session-of-mine", lock: "a" },
  { op: "acquire", sessionId: "a-session-of-mine", claimId: "named", lock: "b" },
  { op: "release", sessionId: "a-session-of-mine", claimId: "c" },
  { op: "keepalive", sessionId: "a-session-of-mine" },
  { op: "get", claimId: "c" },
];

describe("a change of leader", () => {
  it("leaves each write in doubt by itself, with the ids that the node made", async () => {
    const { app } = appFor(
      leaderLike({
        propose: (_proposal, reply) => reply({ kind: "indeterminate" }),
        keepAlive: (_item, reply) => reply({ kind: "indeterminate" }),
        read: (reply) => reply({ kind: "not-leader", leader: "n2" }),
      }),
    );

    const answer = await app.inject({ method: "POST", url: "/v1/batch", payload: { operations } });

    const { results } = answer.json();
    expect(results.map(({ status, body }: Result) => [status, body["code"]])).toEqual([
      [503, "indeterminate"],
      [503, "indeterminate"],
      [503, "indeterminate"],
      [503, "indeterminate"],
      [307, "not-leader"],
    ]);
    expect(results[0].body.claimId).toMatch(/^c_[0-9a-f]{24}$/);
    expect(results[1].body).not.toHaveProperty("claimId");
  });

  it.each([
    ["a follower", "follower"],
    ["a leader that has just lost its place", "leader"],
  ] as const)("%s sends the whole on, once", async (_who, role) => {
    const { app } = appFor(
      stubNode({
        status: () => ({ ...followerOf("n2"), role }),
        propose: (_proposal, reply) => reply({ kind: "not-leader", leader: "n2" }),
        keepAlive: (_item, reply) => reply({ kind: "not-leader", leader: "n2" }),
        read: (reply) => reply({ kind: "not-leader", leader: "n2" }),
      }),
    );

    const answer = await app.inject({ method: "POST", url: "/v1/batch", payload: { operations } });

    expect([answer.statusCode, answer.headers["location"]]).toEqual([307, "http://127.0.0.1:7401/v1/batch"]);
    expect(answer.json().code).toBe("not-leader");
  });
});

describe("a node that stops in the middle of a batch", () => {
  it("says of each operation what it knows, and names the ids that it made", async () => {
    let stuck = 0;
    const stopping = await startServer({
      limits: { closeGraceMs: 50 },
      wrap: (node) =>
        delegate(node, {
          propose(proposal, reply) {
            if (proposal.kind === "acquire" && proposal.resources[0]?.name === "stuck") stuck++;
            else node.propose(proposal, reply);
          },
        }),
    });
    const sessionId = await stopping.openSession();
    const answer = stopping.request("POST", "/v1/batch", {
      operations: [
        { op: "acquire", sessionId, claimId: "free", lock: "free" },
        { op: "acquire", sessionId, lock: "stuck" },
      ],
    });
    await until(() => stuck === 1 && stopping.node.staleView().state.claims.get("free")?.state === "held");

    await stopping.close();

    expect((await answer).body["results"]).toMatchObject([
      { status: 200, body: { claimId: "free", state: "held" } },
      { status: 503, body: { code: "indeterminate", claimId: expect.stringMatching(/^c_/) } },
    ]);
  });
});

describe("a client that hangs up a batch", () => {
  function text(ops: readonly unknown[]): string {
    const body = JSON.stringify({ operations: ops });
    return `POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  }

  /** A server on which one operation of a batch never ends, so that the test decides when its client goes. */
  async function withStuck(): Promise<{ running: Running; sessionId: string; stuck: () => number }> {
    let stuck = 0;
    const running = await startServer({
      wrap: (node) =>
        delegate(node, {
          propose(proposal, reply) {
            if (proposal.kind === "acquire" && proposal.resources[0]?.name === "stuck") stuck++;
            else node.propose(proposal, reply);
          },
        }),
    });
    return { running, sessionId: await running.openSession(), stuck: () => stuck };
  }

  it('gives up what asked for onDisconnect "cancel", and nothing else', async () => {
    const { running, sessionId, stuck } = await withStuck();
    await running.request("POST", "/v1/claims", { sessionId, lock: "a" });
    const waiting = { op: "acquire", sessionId, lock: "a", waitMs: 60_000 };
    const connection = rawConnection(
      running.server.port,
      text([
        { ...waiting, claimId: "cancel", onDisconnect: "cancel" },
        { ...waiting, claimId: "keep" },
        { op: "acquire", sessionId, claimId: "unheard", lock: "b", onDisconnect: "cancel" },
        { op: "acquire", sessionId, lock: "stuck" },
      ]),
    );
    const { claims } = running.node.staleView().state;
    await until(() => stuck() === 1 && claims.get("unheard")?.state === "held");

    connection.socket.destroy();
    await until(() => claims.get("cancel")?.state === "ended" && claims.get("unheard")?.state === "ended");

    expect(claims.get("cancel")?.end?.reason).toBe("cancelled");
    expect(claims.get("keep")?.state).toBe("waiting");
    await running.close();
  });

  it("gives up nothing that it only looked at", async () => {
    // The read is confirmed after the client has gone.
    const late: (() => void)[] = [];
    let isSlow = false;
    const running = await startServer({
      wrap: (node) =>
        delegate(node, {
          read(reply) {
            if (isSlow) late.push(() => node.read(reply));
            else node.read(reply);
          },
        }),
    });
    const sessionId = await running.openSession();
    const waiting = { sessionId, claimId: "w", lock: "a", waitMs: 60_000, pollMs: 0 };
    await running.request("POST", "/v1/claims", { sessionId, lock: "a" });
    await running.request("POST", "/v1/claims", waiting);
    isSlow = true;
    const connection = rawConnection(running.server.port, text([{ op: "get", claimId: "w" }]));
    await until(() => late.length === 1);
    connection.socket.end();
    await connection.answer();
    await running.request("GET", "/livez");

    for (const go of late) go();
    isSlow = false;
    await running.openSession();
    await running.request("GET", "/v1/claims/w?pollMs=0");

    expect(running.node.staleView().state.claims.get("w")?.state).toBe("waiting");
    await running.close();
  });

  it("is not gone while a repetition of one of its operations is under way elsewhere", async () => {
    const { running, sessionId, stuck } = await withStuck();
    await running.request("POST", "/v1/claims", { sessionId, claimId: "first", lock: "a" });
    const acquire = { sessionId, claimId: "w", lock: "a", waitMs: 60_000, onDisconnect: "cancel" };
    const connection = rawConnection(
      running.server.port,
      text([
        { op: "acquire", ...acquire },
        { op: "acquire", sessionId, lock: "stuck" },
      ]),
    );
    const { claims } = running.node.staleView().state;
    await until(() => stuck() === 1 && claims.get("w")?.state === "waiting");
    const again = running.request("POST", "/v1/claims", acquire);
    // The repetition has been proposed, and so it is attached, when a later request was answered.
    await running.openSession();

    connection.socket.destroy();
    await running.openSession();
    await running.request("DELETE", "/v1/claims/first", { sessionId });

    expect((await again).body["state"]).toBe("held");
    await running.close();
  });
});
