import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Running, startServer, until } from "./harness.ts";

let server: Running;
let names = 0;

beforeAll(async () => {
  server = await startServer();
});

afterAll(() => server.close());

/** A lock of its own for each test, with two sessions. */
async function arrange(): Promise<{ lock: string; path: string; mine: string; theirs: string }> {
  const lock = `test/${++names}`;
  const mine = await server.openSession({ label: "mine" });
  const theirs = await server.openSession({ label: "theirs" });
  return { lock, path: `/v1/locks/${lock}:acquire`, mine, theirs };
}

function acquire(path: string, body: object): Promise<Answer> {
  return server.request("POST", path, body);
}

function release(claimId: string, sessionId: string): Promise<Answer> {
  return server.request("DELETE", `/v1/claims/${claimId}`, undefined, { "holdfast-session": sessionId });
}

async function waiting(claimId: string): Promise<void> {
  await until(() => server.node.staleView().state.claims.get(claimId)?.state === "waiting");
}

describe("acquiring", () => {
  it("holds a free lock at once", async () => {
    const { path, lock, mine } = await arrange();

    const { status, body } = await acquire(path, { sessionId: mine });

    expect(status).toBe(200);
    expect(body).toEqual({
      claimId: expect.stringMatching(/^c_[0-9a-f]{24}$/),
      sessionRef: expect.stringMatching(/^[0-9a-f]{16}$/),
      state: "held",
      resources: [
        { lock, mode: "exclusive", sequencer: expect.stringMatching(/^hf1\.[\w-]+\.[0-9a-f]{8}$/) },
      ],
      fence: expect.any(Number),
      waitedMs: 0,
      heldMs: expect.any(Number),
      heldSince: expect.stringMatching(/Z$/),
      revision: expect.any(Number),
    });
  });

  it("gives the same claim to the same request, however often", async () => {
    const { path, mine } = await arrange();
    const body = { sessionId: mine, claimId: `again-${names}` };
    const first = await acquire(path, body);

    const again = await acquire(path, body);

    expect(again.status).toBe(200);
    expect(again.body).toMatchObject({ fence: first.body["fence"], revision: first.body["revision"] });
  });

  it("takes the session from the header too, and refuses none or two", async () => {
    const { path, mine, theirs } = await arrange();
    const header = { "holdfast-session": mine };

    const byHeader = await server.request("POST", path, {}, header);
    const none = await server.request("POST", path, {});
    const two = await server.request("POST", path, { sessionId: theirs }, header);
    const garbage = await server.request("POST", path, {}, { "holdfast-session": "no id" });

    expect(byHeader.status).toBe(200);
    for (const { status, body } of [none, two, garbage])
      expect([status, body["code"]]).toEqual([400, "bad-request"]);
  });

  it("refuses a try-lock on a held lock, and says who holds it", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `theirs-${names}`, metadata: { url: "http://x" } });

    const { status, body } = await acquire(path, { sessionId: mine, claimId: `mine-${names}` });

    expect(status).toBe(423);
    expect(body).toMatchObject({
      code: "locked",
      reason: "held",
      retryable: false,
      claimId: `mine-${names}`,
      queueLength: 0,
      blockedBy: [
        {
          claimId: `theirs-${names}`,
          label: "theirs",
          heldMs: expect.any(Number),
          metadata: { url: "http://x" },
        },
      ],
    });
  });

  it("names the same lock in the body of POST /v1/claims, in either form", async () => {
    const { lock, mine, theirs } = await arrange();

    const byLock = await acquire("/v1/claims", { sessionId: mine, lock });
    const byResources = await acquire("/v1/claims", {
      sessionId: theirs,
      resources: [{ lock, mode: "exclusive" }],
    });

    expect(byLock.body).toMatchObject({ state: "held", resources: [{ lock }] });
    expect(byResources.body).toMatchObject({ code: "locked" });
  });

  it.each([
    [{}, "/lock"],
    [{ lock: "a", resources: [{ lock: "a" }] }, "/lock"],
    [{ lock: "_a" }, "/lock"],
    [{ lock: "a/../b" }, "/lock"],
    [{ lock: "e\u0301" }, "/lock"],
    [{ resources: [] }, "/resources"],
    [{ resources: [{ lock: "a" }, { lock: "b" }] }, "/resources"],
    [{ resources: [{}] }, "/resources/0/lock"],
    [{ resources: [{ lock: "a", semaphore: "b" }] }, "/resources/0/lock"],
    [{ resources: [{ semaphore: "_b" }] }, "/resources/0/semaphore"],
    [{ resources: [{ lock: "\u0000" }] }, "/resources/0/lock"],
    [{ resources: [{ lock: "a", permits: 1 }] }, "/resources/0/permits"],
    [{ resources: [{ lock: "a" }], mode: "exclusive" }, "/mode"],
    [{ lock: "a", semaphore: "a" }, "/lock"],
    [{ semaphore: "a", mode: "shared" }, "/mode"],
    [{ semaphore: "a", permits: 0 }, "/permits"],
    [{ semaphore: "a", capacity: 0 }, "/capacity"],
    [{ semaphore: "a", permits: 1.5 }, "/permits"],
    [{ lock: "a", capacity: 1 }, "/capacity"],
    [{ lock: "a", mode: "update" }, "/mode"],
    [{ lock: "a", owner: "" }, "/owner"],
    [{ lock: "a", owner: "a\nb" }, "/owner"],
    [{ lock: "a", maxHoldMs: 0 }, "/maxHoldMs"],
    [{ lock: "a", claimId: ".." }, "/claimId"],
    [{ lock: "a", claimId: "a b" }, "/claimId"],
    [{ lock: "a", waitMs: -1 }, "/waitMs"],
    [{ lock: "a", waitMs: 86_400_001 }, "/waitMs"],
    [{ lock: "a", pollMs: 25_001 }, "/pollMs"],
    [{ lock: "a", lockDelayMs: 60_001 }, "/lockDelayMs"],
    [{ lock: "a", metadata: { a: "x".repeat(4_096) } }, "/metadata"],
    [{ lock: "a", onDisconnect: "drop" }, "/onDisconnect"],
  ])("refuses %j at %s", async (fields, path) => {
    const { mine } = await arrange();

    const { status, body } = await acquire("/v1/claims", { sessionId: mine, ...fields });

    expect([status, body["code"]]).toEqual([422, "invalid"]);
    expect(body["errors"]).toEqual([{ path, message: expect.any(String) }]);
  });

  it.each([
    ["/v1/locks/_system:acquire", 422],
    ["/v1/locks/a//b:acquire", 422],
    ["/v1/locks/:acquire", 422],
    ["/v1/locks/e%CC%81:acquire", 422],
    ["/v1/locks/a%00:acquire", 422],
    ["/v1/locks/a%5Cb:acquire", 422],
    ["/v1/locks/%2E%2E%2Fx:acquire", 422],
    [`/v1/locks/${"x".repeat(513)}:acquire`, 422],
    ["/v1/locks/%E4:acquire", 400],
    ["/v1/locks/%:acquire", 400],
  ])("refuses the path %s with %i", async (path, status) => {
    const { mine } = await arrange();

    expect((await acquire(path, { sessionId: mine })).status).toBe(status);
  });

  it("takes raw and encoded spellings of a name for one lock", async () => {
    const { mine, theirs } = await arrange();
    await acquire("/v1/locks/a/b:%F0%9F%94%92:acquire", { sessionId: mine });

    const other = await acquire("/v1/locks/a%2Fb%3A%F0%9F%94%92:acquire", { sessionId: theirs });
    const read = await server.request("GET", "/v1/locks/a/b:%F0%9F%94%92");

    expect(other.status).toBe(423);
    expect(read.body).toMatchObject({ lock: "a/b:🔒", state: "held" });
  });

  it("answers 404 for a session that nobody knows, 410 for one that has ended", async () => {
    const { path, mine } = await arrange();
    await server.request("DELETE", `/v1/sessions/${mine}`);

    const ended = await acquire(path, { sessionId: mine });
    const unknown = await acquire(path, { sessionId: "never-was-a-session" });

    expect([ended.status, ended.body["code"]]).toEqual([410, "session-expired"]);
    expect([unknown.status, unknown.body["code"]]).toEqual([404, "not-found"]);
  });

  it("refuses an id that stands for another lock or another session's claim", async () => {
    const { path, mine, theirs } = await arrange();
    const claimId = `taken-${names}`;
    await acquire(path, { sessionId: mine, claimId });

    const otherLock = await acquire(`/v1/locks/other-${names}:acquire`, { sessionId: mine, claimId });
    const otherSession = await acquire(path, { sessionId: theirs, claimId });

    for (const { status, body } of [otherLock, otherSession]) {
      expect([status, body["code"], body["forgotten"]]).toEqual([409, "claim-conflict", false]);
    }
  });
});

describe("waiting", () => {
  it("holds the request until the lock is released, and answers with the grant", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });
    const second = acquire(path, { sessionId: mine, claimId: `second-${names}`, waitMs: 60_000 });
    await waiting(`second-${names}`);

    await release(`first-${names}`, theirs);
    const { status, body } = await second;

    expect(status).toBe(200);
    expect(body).toMatchObject({ state: "held", waitedMs: expect.any(Number) });
  });

  it("answers 202 at once with pollMs 0, with the place where to wait on and who is ahead", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });

    const { status, headers, body } = await acquire(path, {
      sessionId: mine,
      claimId: `second-${names}`,
      waitMs: 60_000,
      pollMs: 0,
    });

    expect(status).toBe(202);
    expect(headers["location"]).toBe(`/v1/claims/second-${names}`);
    expect(body).toMatchObject({
      state: "waiting",
      position: 1,
      reason: "held",
      queueLength: 1,
      waitLeftMs: 60_000,
      blockedBy: [{ claimId: `first-${names}`, label: "theirs" }],
    });
  });

  it("answers 202 when pollMs is over, and keeps the place", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });
    const { status } = await acquire(path, {
      sessionId: mine,
      claimId: `second-${names}`,
      waitMs: 60_000,
      pollMs: 20,
    });

    const poll = server.request("GET", `/v1/claims/second-${names}?pollMs=20000`);
    await release(`first-${names}`, theirs);
    const granted = await poll;

    expect(status).toBe(202);
    expect(granted.status).toBe(200);
    expect(granted.body).toMatchObject({ claimId: `second-${names}`, state: "held" });
  });

  it("attaches a repetition to the claim instead of queueing it twice", async () => {
    const { path, lock, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });
    const body = { sessionId: mine, claimId: `second-${names}`, waitMs: 60_000 };
    const both = [acquire(path, body), acquire(path, body)];
    await waiting(`second-${names}`);
    const queued = await server.request("GET", `/v1/locks/${lock}`);

    await release(`first-${names}`, theirs);
    const answers = await Promise.all(both);

    expect(queued.body["queueLength"]).toBe(1);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers[0]?.body["fence"]).toBe(answers[1]?.body["fence"]);
  });

  it("answers 423 wait-timeout when waitMs is over, and again for the same id", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });
    const body = { sessionId: mine, claimId: `second-${names}`, waitMs: 30 };

    const { status, body: problem } = await acquire(path, body);
    const again = await acquire(path, body);
    const read = await server.request("GET", `/v1/claims/second-${names}`);

    expect(status).toBe(423);
    expect(problem).toMatchObject({ code: "wait-timeout", reason: "held", blockedBy: [{ label: "theirs" }] });
    expect([again.status, again.body["code"]]).toEqual([423, "wait-timeout"]);
    expect([read.status, read.body["state"], read.body["reason"]]).toEqual([200, "ended", "wait-timeout"]);
  });

  it("says `queue-ahead` to a newcomer and gives positions in order", async () => {
    const { path, lock, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs, claimId: `first-${names}` });
    for (const nth of ["second", "third"]) {
      await acquire(path, { sessionId: mine, claimId: `${nth}-${names}`, waitMs: 60_000, pollMs: 0 });
    }

    const third = await server.request("GET", `/v1/claims/third-${names}?pollMs=0`);
    const { body } = await server.request("GET", `/v1/locks/${lock}`);

    expect([third.status, third.body["position"]]).toEqual([202, 2]);
    expect(third.headers["location"]).toBe(`/v1/claims/third-${names}`);
    expect(body).toMatchObject({
      state: "held",
      mode: "exclusive",
      holders: [{ claimId: `first-${names}`, fence: expect.any(Number) }],
      queue: [{ claimId: `second-${names}` }, { claimId: `third-${names}`, waitedMs: expect.any(Number) }],
      queueLength: 2,
    });
  });

  it("tells a waiting request that its session was closed", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs });
    const second = acquire(path, { sessionId: mine, claimId: `second-${names}`, waitMs: 60_000 });
    await waiting(`second-${names}`);

    await server.request("DELETE", `/v1/sessions/${mine}`);
    const { status, body } = await second;

    expect([status, body["code"]]).toEqual([410, "session-expired"]);
  });

  it("tells a waiting request that its claim was cancelled", async () => {
    const { path, mine, theirs } = await arrange();
    await acquire(path, { sessionId: theirs });
    const second = acquire(path, { sessionId: mine, claimId: `second-${names}`, waitMs: 60_000 });
    await waiting(`second-${names}`);

    const cancelled = await release(`second-${names}`, mine);
    const { status, body } = await second;

    expect(cancelled.body).toMatchObject({ state: "ended", reason: "cancelled" });
    expect([status, body["code"], body["reason"]]).toEqual([409, "claim-ended", "cancelled"]);
  });
});

describe("releasing", () => {
  it("ends the hold, once; again says the same", async () => {
    const { path, lock, mine } = await arrange();
    const { body: claim } = await acquire(path, { sessionId: mine });
    const claimId = claim["claimId"] as string;

    const first = await release(claimId, mine);
    const again = await release(claimId, mine);

    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({
      state: "ended",
      reason: "released",
      fence: claim["fence"],
      heldMs: expect.any(Number),
    });
    expect(again.body).toEqual(first.body);
    expect((await server.request("GET", `/v1/locks/${lock}`)).body).toMatchObject({
      state: "free",
      holders: [],
    });
  });

  it("never grants the id again", async () => {
    const { path, mine } = await arrange();
    const body = { sessionId: mine, claimId: `over-${names}` };
    await acquire(path, body);
    await release(`over-${names}`, mine);

    const again = await acquire(path, body);

    expect([again.status, again.body["code"]]).toEqual([409, "claim-ended"]);
    expect(again.body["claim"]).toMatchObject({ state: "ended", reason: "released" });
  });

  it("refuses another session with 403, and needs one at all", async () => {
    const { path, lock, mine, theirs } = await arrange();
    await acquire(path, { sessionId: mine, claimId: `mine-${names}` });

    const other = await release(`mine-${names}`, theirs);
    const nobody = await server.request("DELETE", `/v1/claims/mine-${names}`);

    expect([other.status, other.body["code"]]).toEqual([403, "not-holder"]);
    expect([nobody.status, nobody.body["code"]]).toEqual([400, "bad-request"]);
    expect((await server.request("GET", `/v1/locks/${lock}`)).body["state"]).toBe("held");
  });

  it("takes the session from the body too", async () => {
    const { path, mine } = await arrange();
    await acquire(path, { sessionId: mine, claimId: `mine-${names}` });

    const { status } = await server.request("DELETE", `/v1/claims/mine-${names}`, { sessionId: mine });

    expect(status).toBe(200);
  });

  it("records an id that it never heard of, so that a late acquire cannot hold", async () => {
    const { path, mine } = await arrange();

    const released = await release(`late-${names}`, mine);
    const late = await acquire(path, { sessionId: mine, claimId: `late-${names}` });

    expect(released.body).toMatchObject({ state: "ended", reason: "cancelled" });
    expect([late.status, late.body["code"]]).toEqual([409, "claim-ended"]);
  });

  it("says 409 claim-lost for a hold that its session's end took away, and delays the lock", async () => {
    const { path, lock, theirs } = await arrange();
    const mine = await server.openSession({ ttlMs: 1_500 });
    await acquire(path, { sessionId: mine, claimId: `lost-${names}`, lockDelayMs: 30_000 });
    await until(() => server.node.staleView().state.tombstones.has(mine));

    const released = await release(`lost-${names}`, mine);
    const tried = await acquire(path, { sessionId: theirs });
    const { body } = await server.request("GET", `/v1/locks/${lock}`);

    expect([released.status, released.body["code"], released.body["reason"]]).toEqual([
      409,
      "claim-lost",
      "session-expired",
    ]);
    expect([tried.status, tried.body["reason"]]).toEqual([423, "lock-delay"]);
    expect(tried.body["availableInMs"]).toBeGreaterThan(0);
    expect(body).toMatchObject({ state: "delayed", availableInMs: expect.any(Number), holders: [] });
  });

  it("answers 404 to a session that nobody knows", async () => {
    expect((await release("x", "never-was-a-session")).status).toBe(404);
  });
});

describe("reading a claim", () => {
  it("answers 404 for an id that nobody knows and 422 for one that cannot be", async () => {
    const unknown = await server.request("GET", "/v1/claims/never-was");
    const impossible = await server.request("GET", "/v1/claims/a%20b");

    expect([unknown.status, unknown.body["code"]]).toEqual([404, "not-found"]);
    expect([impossible.status, impossible.body["code"]]).toEqual([422, "invalid"]);
  });

  it.each([
    ["pollMs=25001"],
    ["pollMs=-1"],
    ["pollMs=1e3"],
    ["pollMs=1&pollMs=2"],
    ["poll=1"],
    ["consistency=maybe"],
  ])("refuses the query %s", async (query) => {
    const { status, body } = await server.request("GET", `/v1/claims/x?${query}`);

    expect([status, body["code"]]).toEqual([422, "invalid"]);
  });

  it("needs no session, and shows none", async () => {
    const { path, mine } = await arrange();
    await acquire(path, { sessionId: mine, claimId: `seen-${names}` });

    const { status, body } = await server.request("GET", `/v1/claims/seen-${names}`);

    expect(status).toBe(200);
    expect(JSON.stringify(body)).not.toContain(mine);
  });
});
