import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Running, startServer, until } from "./harness.ts";

let server: Running;

beforeAll(async () => {
  server = await startServer({ settings: { sessions: 1_000 } });
});

afterAll(() => server.close());

const { request, openSession } = {
  request: ((...args) => server.request(...args)) as Running["request"],
  openSession: ((body) => server.openSession(body)) as Running["openSession"],
};

/** An unclean end, by the clock of the cluster: the smallest ttl passes. */
async function expire(sessionId: string): Promise<void> {
  await until(() => server.node.staleView().state.tombstones.has(sessionId));
}

describe("opening a session", () => {
  it("makes an id of 128 bits and answers with the lease", async () => {
    const { status, body, headers } = await request("POST", "/v1/sessions", {});

    expect(status).toBe(201);
    expect(body).toMatchObject({
      sessionId: expect.stringMatching(/^[0-9a-f]{32}$/),
      sessionRef: expect.stringMatching(/^[0-9a-f]{16}$/),
      state: "live",
      ttlMs: 15_000,
      leaseMs: 13_500,
      expiresInMs: 15_000,
      label: "",
      metadata: {},
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    });
    expect(body["renewAfterMs"]).toBeLessThanOrEqual(5_000);
    expect(body["renewAfterMs"]).toBeGreaterThanOrEqual(4_250);
    expect(body).not.toHaveProperty("ended");
    expect(headers["holdfast-revision"]).toBe(String(body["revision"]));
  });

  it("takes an empty body for an empty object, with and without a content type", async () => {
    expect((await request("POST", "/v1/sessions")).status).toBe(201);
    expect((await request("POST", "/v1/sessions", "")).status).toBe(201);
  });

  it("grants the smallest ttl that survives a fail-over to who asks for less", async () => {
    const { body } = await request("POST", "/v1/sessions", { ttlMs: 1 });

    expect(body).toMatchObject({ ttlMs: 400 });
  });

  it("renews the session when it is there with the same body, whatever the order of its metadata", async () => {
    const sessionId = "the-same-session-1";
    const first = { sessionId, ttlMs: 20_000, label: "job", metadata: { b: "2", a: "1" } };
    const again = { metadata: { a: "1", b: "2" }, label: "job", ttlMs: 20_000, sessionId };
    const created = await request("POST", "/v1/sessions", first);

    const found = await request("POST", "/v1/sessions", again);

    expect(created.status).toBe(201);
    expect(found.status).toBe(200);
    expect(found.body).toMatchObject({ sessionId, ended: [], revokes: [], metadata: { a: "1", b: "2" } });
    expect(found.body["revision"]).toBeGreaterThan(created.body["revision"] as number);
  });

  it("refuses another body under the same id", async () => {
    const sessionId = "the-same-session-2";
    await openSession({ sessionId, label: "one" });

    const { status, body } = await request("POST", "/v1/sessions", { sessionId, label: "two" });

    expect([status, body["code"]]).toEqual([409, "session-conflict"]);
  });

  it("answers 410 for the id of a session that has ended", async () => {
    const sessionId = await openSession();
    await request("DELETE", `/v1/sessions/${sessionId}`);

    const { status, body } = await request("POST", "/v1/sessions", { sessionId });

    expect([status, body["code"]]).toEqual([410, "session-expired"]);
    expect(body["ended"]).toMatchObject({ state: "ended", reason: "closed", endedAt: expect.any(String) });
  });

  it.each([
    [{ sesionId: "x".repeat(16) }, "/sesionId"],
    [{ sessionId: "short" }, "/sessionId"],
    [{ sessionId: `${"x".repeat(16)}:y` }, "/sessionId"],
    [{ ttlMs: "15000" }, "/ttlMs"],
    [{ ttlMs: 0 }, "/ttlMs"],
    [{ ttlMs: 1.5 }, "/ttlMs"],
    [{ ttlMs: 86_400_001 }, "/ttlMs"],
    [{ ttlMs: 1e300 }, "/ttlMs"],
    [{ ttlMs: null }, "/ttlMs"],
    [{ lockDelayMs: -1 }, "/lockDelayMs"],
    [{ lockDelayMs: 60_001 }, "/lockDelayMs"],
    [{ label: 7 }, "/label"],
    [{ label: "x".repeat(257) }, "/label"],
    [{ metadata: [] }, "/metadata"],
    [{ metadata: { a: 1 } }, "/metadata/a"],
    [{ metadata: { a: "x".repeat(4_096) } }, "/metadata"],
    [{ metadata: { a: "é".repeat(2_048) } }, "/metadata"],
  ])("refuses %j at %s", async (body, path) => {
    const answer = await request("POST", "/v1/sessions", body);

    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid"]);
    expect(answer.body["errors"]).toEqual([{ path, message: expect.any(String) }]);
  });

  it("refuses strings that no UTF-8 can carry", async () => {
    for (const body of [
      '{"label":"\\ud800"}',
      '{"metadata":{"\\udc00":""}}',
      '{"metadata":{"a":"\\ud800"}}',
    ]) {
      expect((await request("POST", "/v1/sessions", body)).status).toBe(422);
    }
  });

  it("accepts metadata of exactly the limit", async () => {
    const metadata = { a: "x".repeat(4_095) };

    expect((await request("POST", "/v1/sessions", { metadata })).status).toBe(201);
  });
});

describe("keeping a session alive", () => {
  it("renews it and says for how long", async () => {
    const sessionId = await openSession({ ttlMs: 30_000 });

    const { status, body, headers } = await request("POST", `/v1/sessions/${sessionId}:keepalive`);

    expect(status).toBe(200);
    expect(body).toMatchObject({ ttlMs: 30_000, leaseMs: 27_000, ended: [], revokes: [] });
    expect(headers["holdfast-revision"]).toBe(String(body["revision"]));
  });

  it("accepts the revision of its own answers as seen, and none above", async () => {
    const sessionId = await openSession();
    const { body } = await request("POST", `/v1/sessions/${sessionId}:keepalive`, { seen: 0 });
    const seen = body["revision"] as number;

    const again = await request("POST", `/v1/sessions/${sessionId}:keepalive`, { seen });
    const ahead = await request("POST", `/v1/sessions/${sessionId}:keepalive`, { seen: seen + 1_000 });

    expect(again.status).toBe(200);
    expect([ahead.status, ahead.body["code"]]).toEqual([422, "invalid"]);
    expect(ahead.body["errors"]).toMatchObject([{ path: "/seen" }]);
  });

  it("answers 410 with when and why for an expired session, 404 for one that never was", async () => {
    const sessionId = await openSession({ ttlMs: 400 });
    await expire(sessionId);

    const expired = await request("POST", `/v1/sessions/${sessionId}:keepalive`);
    const unknown = await request("POST", "/v1/sessions/never-was-a-session:keepalive");

    expect([expired.status, expired.body["code"]]).toEqual([410, "session-expired"]);
    expect(expired.body["ended"]).toMatchObject({ reason: "expired", endedAt: expect.any(String) });
    expect([unknown.status, unknown.body["code"]]).toEqual([404, "not-found"]);
  });

  it("refuses an id outside of the grammar and a seen that is no revision", async () => {
    expect((await request("POST", "/v1/sessions/short:keepalive")).status).toBe(422);
    const sessionId = await openSession();
    for (const seen of [-1, 1.5, "1", null]) {
      expect((await request("POST", `/v1/sessions/${sessionId}:keepalive`, { seen })).status).toBe(422);
    }
  });
});

describe("closing a session", () => {
  it("is clean: its locks are free at once; again says the same", async () => {
    const sessionId = await openSession();
    await request("POST", "/v1/locks/closed:acquire", { sessionId });

    const closed = await request("DELETE", `/v1/sessions/${sessionId}`);
    const again = await request("DELETE", `/v1/sessions/${sessionId}`, undefined, {
      "holdfast-session": sessionId,
    });
    const lock = await request("GET", "/v1/locks/closed");

    expect(closed.status).toBe(200);
    expect(closed.body).toMatchObject({ state: "ended", reason: "closed" });
    expect(again.body).toEqual(closed.body);
    expect(lock.body["state"]).toBe("free");
  });

  it("refuses to close one session in the name of another", async () => {
    const sessionId = await openSession();
    const other = await openSession();

    const { status } = await request("DELETE", `/v1/sessions/${sessionId}`, undefined, {
      "holdfast-session": other,
    });

    expect(status).toBe(400);
  });

  it("takes no ref for an id: who only saw a session cannot end it", async () => {
    const sessionId = await openSession();
    const { body } = await request("GET", `/v1/sessions/${sessionId}`);

    const { status } = await request("DELETE", `/v1/sessions/${body["sessionRef"]}`);

    expect(status).toBe(404);
    expect((await request("GET", `/v1/sessions/${sessionId}`)).status).toBe(200);
  });
});

describe("looking at sessions", () => {
  it("shows the id to who asks by it, and to nobody else", async () => {
    const sessionId = await openSession({ label: "looked at" });
    const own = await request("GET", `/v1/sessions/${sessionId}`);
    const ref = own.body["sessionRef"] as string;

    const other = await request("GET", `/v1/sessions/${ref}`);
    const list = await request("GET", "/v1/sessions?limit=1000");

    expect(own.body).toMatchObject({ sessionId, sessionRef: ref, claims: [], claimCount: 0 });
    expect(other.body).toMatchObject({ sessionRef: ref, label: "looked at" });
    expect(JSON.stringify([other.body, list.body])).not.toContain(sessionId);
    expect(list.body["items"]).toContainEqual(expect.objectContaining({ sessionRef: ref }));
  });

  it("shows the session of a ref, also when another one has chosen that ref for its id", async () => {
    const sessionId = await openSession({ label: "the true one" });
    const ref = String((await request("GET", `/v1/sessions/${sessionId}`)).body["sessionRef"]);
    await openSession({ sessionId: ref, label: "in its way" });

    const { body } = await request("GET", `/v1/sessions/${ref}`);

    expect(body).toMatchObject({ sessionRef: ref, label: "the true one" });
    expect(body).not.toHaveProperty("sessionId");
  });

  it("lists its live claims", async () => {
    const sessionId = await openSession();
    await request("POST", "/v1/locks/mine:acquire", { sessionId, claimId: "mine-1" });

    const { body } = await request("GET", `/v1/sessions/${sessionId}`);

    expect(body).toMatchObject({ claimCount: 1, claims: [{ claimId: "mine-1", state: "held" }] });
  });

  it("pages through all of them, each once, in order", async () => {
    for (let i = 0; i < 5; i++) await openSession();
    const refs: string[] = [];
    let cursor: string | undefined;
    do {
      const { body } = await request(
        "GET",
        `/v1/sessions?limit=2${cursor === undefined ? "" : `&cursor=${cursor}`}`,
      );
      refs.push(...(body["items"] as { sessionRef: string }[]).map((item) => item.sessionRef));
      cursor = body["cursor"] as string | undefined;
    } while (cursor !== undefined);

    const live = [...server.node.staleView().state.sessions.values()].map(({ ref }) => ref);
    expect(refs).toEqual(live.sort());
  });

  it.each([
    ["limit=0"],
    ["limit=1001"],
    ["limit=x"],
    ["limit=-1"],
    ["cursor=%%%25"],
    ["cursor=!"],
    ["cursor="],
    ["size=3"],
    ["limit=1&limit=2"],
  ])("refuses the query %s", async (query) => {
    expect([400, 422]).toContain((await request("GET", `/v1/sessions?${query}`)).status);
  });
});
