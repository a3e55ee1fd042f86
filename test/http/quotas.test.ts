/** Too much of anything: a definite refusal with the limit that was reached, and the node goes on. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Running, rawConnection, startServer, until } from "./harness.ts";

const waiters = 20;
let server: Running;

beforeAll(async () => {
  server = await startServer({
    settings: { sessions: 8, claims: 60, claimsPerSession: 30, waitersPerName: waiters },
    http: { connections: 400 },
  });
});

afterAll(() => server.close());

function acquire(body: object): Promise<Answer> {
  return server.request("POST", "/v1/claims", { pollMs: 0, onDisconnect: "keep", ...body });
}

function refusals(answers: readonly Answer[]): readonly unknown[] {
  return answers
    .filter(({ status }) => status >= 400)
    .map(({ status, body }) => [status, body["code"], body["limit"], body["max"]]);
}

describe("too many", () => {
  it("sessions: 429, and room again when one has ended", async () => {
    const opened: Answer[] = [];
    for (let i = 0; i < 10; i++) opened.push(await server.request("POST", "/v1/sessions", {}));
    const ids = opened.flatMap(({ body }) =>
      body["sessionId"] === undefined ? [] : [String(body["sessionId"])],
    );

    await server.request("DELETE", `/v1/sessions/${ids[0]}`);
    const after = await server.request("POST", "/v1/sessions", {});

    expect(refusals(opened)).toEqual(Array.from({ length: 2 }, () => [429, "quota", "sessions", 8]));
    expect(opened.at(-1)?.headers["retry-after"]).toBe("1");
    expect(after.status).toBe(201);
    for (const id of [...ids.slice(1), String(after.body["sessionId"])])
      await server.request("DELETE", `/v1/sessions/${id}`);
  });

  it("waiters for one name, all at once: as many as there is room for wait, the others are told", async () => {
    const holder = await server.openSession();
    await acquire({ sessionId: holder, claimId: "held", lock: "hot" });
    const one = await server.openSession();
    const two = await server.openSession();

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        acquire({ sessionId: i % 2 === 0 ? one : two, claimId: `hot-${i}`, lock: "hot", waitMs: 60_000 }),
      ),
    );
    const shown = await server.request("GET", "/v1/locks/hot");

    expect(answers.filter(({ status }) => status === 202)).toHaveLength(waiters);
    expect(refusals(answers)).toEqual(
      Array.from({ length: 30 }, () => [429, "quota", "waitersPerName", waiters]),
    );
    expect(shown.body["queueLength"]).toBe(waiters);
    for (const id of [one, two, holder]) await server.request("DELETE", `/v1/sessions/${id}`);
  });

  it("claims of one session and of all: nothing is done, and what is held stays held", async () => {
    const ids = [await server.openSession(), await server.openSession(), await server.openSession()];
    const answers: Answer[] = [];
    for (const [n, sessionId] of ids.entries()) {
      for (let i = 0; i < 31; i++)
        answers.push(await acquire({ sessionId, claimId: `many-${n}-${i}`, lock: `many/${n}/${i}` }));
    }

    expect(refusals(answers)).toEqual([
      [429, "quota", "claimsPerSession", 30],
      [429, "quota", "claimsPerSession", 30],
      ...Array.from({ length: 31 }, () => [429, "quota", "claims", 60]),
    ]);
    expect((await server.request("GET", "/v1/cluster")).body["counts"]).toMatchObject({
      claimsHeld: 60,
      locks: 60,
    });
    expect((await server.request("POST", `/v1/sessions/${ids[0]}:keepalive`)).status).toBe(200);
    expect((await server.request("DELETE", "/v1/claims/many-0-0", { sessionId: ids[0] })).status).toBe(200);
    for (const id of ids) await server.request("DELETE", `/v1/sessions/${id}`);
  });

  it("held requests: each has its place, none is forgotten, and they cost nothing when they go", async () => {
    const holder = await server.openSession();
    const mine = await server.openSession();
    await acquire({ sessionId: holder, claimId: "long-held", lock: "long" });
    await acquire({ sessionId: mine, claimId: "long", lock: "long", waitMs: 60_000 });
    const polls = Array.from({ length: 200 }, () =>
      rawConnection(server.server.port, "GET /v1/claims/long HTTP/1.1\r\nHost: x\r\n\r\n"),
    );
    await until(() => polls.every(({ socket }) => socket.bytesWritten > 0));

    for (const { socket } of polls.slice(0, 100)) socket.destroy();
    await server.request("DELETE", "/v1/claims/long-held", { sessionId: holder });
    const answers = await Promise.all(
      polls.slice(100).map((poll) => poll.answer((text) => text.includes('"state":"held"'))),
    );

    expect(answers).toHaveLength(100);
    for (const { socket } of polls) socket.destroy();
  });
});
