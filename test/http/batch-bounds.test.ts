/** What one batch may make a node remember and say: each session once, and of ended holds no more than one session's. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Json, type Running, startServer, until } from "./harness.ts";

let server: Running;

beforeAll(async () => {
  server = await startServer({ http: { batchBytes: 1_048_576 } });
});

afterAll(() => server.close());

async function batch(operations: readonly object[]): Promise<readonly { status: number; body: Json }[]> {
  const { status, body } = await server.request("POST", "/v1/batch", { operations });
  expect(status).toBe(200);
  return body["results"] as { status: number; body: Json }[];
}

/** A session that was told of nothing yet, with that many holds that their max-hold ended. */
async function sessionWithEnds(count: number): Promise<string> {
  const sessionId = await server.openSession({ ttlMs: 600_000 });
  for (let from = 0; from < count; from += 250) {
    const numbers = Array.from({ length: Math.min(250, count - from) }, (_, i) => from + i);
    const claims = numbers.map((i) => ({
      op: "acquire",
      sessionId,
      lock: `${sessionId}/${i}`,
      maxHoldMs: 1,
    }));
    await batch(claims);
  }
  await until(() => server.node.staleView().state.heldCount === 0);
  return sessionId;
}

it("renews a session once, and says so of the second time", async () => {
  const sessionId = await server.openSession();

  const [first, second] = await batch([
    { op: "keepalive", sessionId },
    { op: "keepalive", sessionId },
  ]);

  expect(first?.status).toBe(200);
  expect(second).toMatchObject({ status: 422, body: { errors: [{ path: "/sessionId" }] } });
});

it("tells each session's ends whole or not at all, and asks to repeat what did not fit", async () => {
  const sessions = [await sessionWithEnds(6_000), await sessionWithEnds(6_000)];

  const [first, second] = await batch(sessions.map((sessionId) => ({ op: "keepalive", sessionId })));
  const alone = await server.request("POST", `/v1/sessions/${sessions[1]}:keepalive`);

  expect(first?.body["ended"]).toHaveLength(6_000);
  expect(second).toMatchObject({ status: 503, body: { code: "indeterminate", retryable: true } });
  expect(alone.body["ended"]).toHaveLength(6_000);
});
