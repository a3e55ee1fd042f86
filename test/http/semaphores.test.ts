/** Semaphores over HTTP: make, claim, shrink, resize, delete, look, list; exact shapes, statuses and codes. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, appFor, type Running, startServer, stubNode, until } from "./harness.ts";

let server: Running;
let names = 0;
let mine: string;
let theirs: string;

beforeAll(async () => {
  server = await startServer({ settings: { semaphores: 60 } });
  mine = await server.openSession({ label: "mine" });
  theirs = await server.openSession({ label: "theirs" });
});

afterAll(() => server.close());

const fresh = (): string => `pool/${++names}`;
const put = (name: string, capacity: number): Promise<Answer> =>
  server.request("PUT", `/v1/semaphores/${name}`, { capacity });
const acquire = (name: string, body: object): Promise<Answer> =>
  server.request("POST", `/v1/semaphores/${name}:acquire`, body);
const look = (name: string): Promise<Answer> => server.request("GET", `/v1/semaphores/${name}`);
const remove = (name: string): Promise<Answer> => server.request("DELETE", `/v1/semaphores/${name}`);
const release = (claimId: string, sessionId: string): Promise<Answer> =>
  server.request("DELETE", `/v1/claims/${claimId}`, undefined, { "holdfast-session": sessionId });

function codeOf({ status, body }: Answer): readonly unknown[] {
  return [status, body["code"]];
}

describe("making a semaphore", () => {
  it("by PUT: 201 the first time, 200 afterwards, the same again and again", async () => {
    const name = fresh();

    const made = await put(name, 5);
    const again = await put(name, 5);

    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      semaphore: name,
      capacity: 5,
      available: 5,
      cooling: 0,
      isSet: true,
      holders: [],
      queue: [],
      queueLength: 0,
      revision: expect.any(Number),
    });
    expect([again.status, again.body]).toEqual([200, { ...made.body, revision: expect.any(Number) }]);
  });

  it("by the first acquire that names a capacity: it goes with its last claim", async () => {
    const name = fresh();

    const held = await acquire(name, { sessionId: mine, claimId: `a-${names}`, capacity: 2 });
    const shown = await look(name);
    await release(`a-${names}`, mine);

    expect(held.status).toBe(200);
    expect(shown.body).toMatchObject({ capacity: 2, available: 1, isSet: false });
    expect(codeOf(await look(name))).toEqual([404, "not-found"]);
  });

  it("refuses an acquire of one that nobody made, and of another capacity", async () => {
    const name = fresh();
    await put(name, 3);

    expect(codeOf(await acquire(`${name}-none`, { sessionId: mine }))).toEqual([404, "not-found"]);
    const conflict = await acquire(name, { sessionId: mine, capacity: 4 });
    expect(codeOf(conflict)).toEqual([409, "capacity-conflict"]);
    expect(conflict.body["capacity"]).toBe(3);
  });

  it.each([
    [{}],
    [{ capacity: -1 }],
    [{ capacity: 1.5 }],
    [{ capacity: "3" }],
    [{ capacity: 1e12 }],
    [{ capacity: 1, x: 1 }],
  ])("refuses the PUT %j", async (body) => {
    expect(codeOf(await server.request("PUT", `/v1/semaphores/${fresh()}`, body))).toEqual([422, "invalid"]);
  });

  it("refuses one too many, by the setting", async () => {
    const small = await startServer({ settings: { semaphores: 1 } });
    await small.request("PUT", "/v1/semaphores/a", { capacity: 1 });

    const { status, body } = await small.request("PUT", "/v1/semaphores/b", { capacity: 1 });

    expect([status, body["code"], body["limit"], body["max"]]).toEqual([429, "quota", "semaphores", 1]);
    await small.close();
  });
});

describe("permits", () => {
  it("are held with a fence and a sequencer, and shown to all without the session's id", async () => {
    const name = fresh();
    await put(name, 5);
    const body = { sessionId: mine, claimId: `a-${names}`, permits: 2, metadata: { url: "x" } };

    const { status, body: claim } = await acquire(name, body);
    const shown = await look(name);

    expect(status).toBe(200);
    expect(claim).toEqual({
      claimId: `a-${names}`,
      sessionRef: expect.stringMatching(/^[0-9a-f]{16}$/),
      state: "held",
      resources: [{ semaphore: name, permits: 2, sequencer: expect.stringMatching(/^hf1\./) }],
      fence: expect.any(Number),
      waitedMs: 0,
      heldMs: expect.any(Number),
      heldSince: expect.stringMatching(/Z$/),
      revision: expect.any(Number),
    });
    expect(shown.body).toEqual({
      semaphore: name,
      capacity: 5,
      available: 3,
      cooling: 0,
      isSet: true,
      holders: [
        {
          claimId: `a-${names}`,
          sessionRef: claim["sessionRef"],
          label: "mine",
          fence: claim["fence"],
          heldMs: expect.any(Number),
          metadata: { url: "x" },
          permits: 2,
        },
      ],
      queue: [],
      queueLength: 0,
      revision: expect.any(Number),
    });
    expect(JSON.stringify([claim, shown.body])).not.toContain(mine);
  });

  it("are the same claim for the same request, and another request under its id is refused", async () => {
    const name = fresh();
    await put(name, 5);
    const body = { sessionId: mine, claimId: `a-${names}`, permits: 2 };
    const first = await acquire(name, body);

    const again = await acquire(name, body);
    const other = await acquire(name, { ...body, permits: 3 });

    expect(again.body["fence"]).toBe(first.body["fence"]);
    expect(codeOf(other)).toEqual([409, "claim-conflict"]);
    expect((await look(name)).body["available"]).toBe(3);
  });

  it("are waited for in order, big requests included, and granted when there are enough", async () => {
    const name = fresh();
    const [a, b, c] = [`a-${names}`, `b-${names}`, `c-${names}`];
    await put(name, 3);
    await acquire(name, { sessionId: mine, claimId: a, permits: 2 });
    const big = await acquire(name, {
      sessionId: theirs,
      claimId: b,
      permits: 3,
      waitMs: 60_000,
      pollMs: 0,
      owner: "job",
    });

    const small = await acquire(name, { sessionId: theirs, claimId: c, permits: 1 });
    const shown = await look(name);
    const poll = server.request("GET", `/v1/claims/${b}`);
    await release(a, mine);
    const granted = await poll;

    expect([big.status, big.headers["location"]]).toEqual([202, `/v1/claims/${b}`]);
    expect(big.body).toEqual({
      claimId: b,
      sessionRef: expect.any(String),
      state: "waiting",
      resources: [{ semaphore: name, permits: 3 }],
      owner: "job",
      position: 1,
      waitedMs: expect.any(Number),
      waitLeftMs: 60_000,
      reason: "capacity",
      blockedBy: [
        {
          claimId: a,
          sessionRef: expect.any(String),
          label: "mine",
          heldMs: expect.any(Number),
          metadata: {},
        },
      ],
      queueLength: 1,
      revision: expect.any(Number),
    });
    expect([...codeOf(small), small.body["reason"]]).toEqual([423, "locked", "queue-ahead"]);
    expect(shown.body["queue"]).toEqual([
      {
        claimId: b,
        sessionRef: expect.any(String),
        owner: "job",
        waitedMs: expect.any(Number),
        label: "theirs",
        permits: 3,
      },
    ]);
    expect(granted.body).toMatchObject({ state: "held", resources: [{ permits: 3 }] });
  });

  it("beyond the capacity are refused, with both numbers", async () => {
    const name = fresh();
    await put(name, 2);

    const { status, body } = await acquire(name, { sessionId: mine, permits: 3 });

    expect([status, body["code"], body["permits"], body["capacity"]]).toEqual([
      422,
      "exceeds-capacity",
      3,
      2,
    ]);
  });

  it("that end with an unclean end cool for the lock-delay, the others do not", async () => {
    const name = fresh();
    await put(name, 3);
    const dying = await server.openSession({ ttlMs: 400 });
    await acquire(name, { sessionId: dying, permits: 2, lockDelayMs: 30_000 });
    await until(() => server.node.staleView().state.tombstones.has(dying));

    const two = await acquire(name, { sessionId: mine, permits: 2 });
    const one = await acquire(name, { sessionId: mine, permits: 1 });

    expect((await look(name)).body).toMatchObject({ available: 0, cooling: 2, capacity: 3 });
    expect([...codeOf(two), two.body["reason"]]).toEqual([423, "locked", "lock-delay"]);
    expect(two.body["availableInMs"]).toBeGreaterThan(0);
    expect(one.status).toBe(200);
  });
});

describe("giving back some permits", () => {
  const shrink = (claimId: string, body: object, sessionId?: string): Promise<Answer> =>
    server.request("POST", `/v1/claims/${claimId}:shrink`, body, {
      ...(sessionId === undefined ? undefined : { "holdfast-session": sessionId }),
    });

  it("keeps as many as it says, and the same again changes nothing", async () => {
    const name = fresh();
    await put(name, 5);
    const held = await acquire(name, { sessionId: mine, claimId: `a-${names}`, permits: 4 });

    const shrunk = await shrink(`a-${names}`, { permits: 1 }, mine);
    const again = await shrink(`a-${names}`, { permits: 1, sessionId: mine });

    expect(shrunk.status).toBe(200);
    expect(shrunk.body).toEqual({
      ...held.body,
      resources: [{ semaphore: name, permits: 1, sequencer: expect.any(String) }],
      heldMs: expect.any(Number),
      revision: expect.any(Number),
    });
    expect(again.body["revision"]).toBe(shrunk.body["revision"]);
    expect((await look(name)).body["available"]).toBe(4);
  });

  it("refuses more than the claim has, a lock, another session, none, an unknown claim, an ended one", async () => {
    const name = fresh();
    await put(name, 5);
    await acquire(name, { sessionId: mine, claimId: `a-${names}`, permits: 2 });
    await server.request("POST", `/v1/locks/l-${names}:acquire`, { sessionId: mine, claimId: `l-${names}` });

    const more = await shrink(`a-${names}`, { permits: 3 }, mine);
    const lock = await shrink(`l-${names}`, { permits: 1 }, mine);

    expect(codeOf(more)).toEqual([422, "invalid"]);
    expect(more.body["errors"]).toEqual([{ path: "/permits", message: expect.any(String) }]);
    expect(codeOf(lock)).toEqual([422, "invalid"]);
    expect(codeOf(await shrink(`a-${names}`, { permits: 1 }, theirs))).toEqual([403, "not-holder"]);
    expect(codeOf(await shrink(`a-${names}`, { permits: 1 }))).toEqual([400, "bad-request"]);
    expect(codeOf(await shrink(`a-${names}`, { permits: 0 }, mine))).toEqual([422, "invalid"]);
    expect(codeOf(await shrink(`a-${names}`, {}, mine))).toEqual([422, "invalid"]);
    expect(codeOf(await shrink("never-was", { permits: 1 }, mine))).toEqual([404, "not-found"]);
    await release(`a-${names}`, mine);
    expect(codeOf(await shrink(`a-${names}`, { permits: 1 }, mine))).toEqual([409, "claim-ended"]);
  });
});

describe("another capacity", () => {
  it("upwards grants the head of the queue at once; downwards takes nothing away", async () => {
    const name = fresh();
    await put(name, 1);
    await acquire(name, { sessionId: mine, claimId: `a-${names}` });
    const waiting = acquire(name, { sessionId: theirs, claimId: `b-${names}`, waitMs: 60_000 });
    await until(() => server.node.staleView().state.claims.get(`b-${names}`)?.state === "waiting");

    await put(name, 2);
    const granted = await waiting;
    const lowered = await put(name, 0);

    expect(granted.body["state"]).toBe("held");
    expect(lowered.body).toMatchObject({ capacity: 0, available: -2, holders: [{}, {}] });
  });

  it("ends what waits for more than is left: 422 exceeds-capacity, then and when asked again", async () => {
    const name = fresh();
    await put(name, 3);
    await acquire(name, { sessionId: mine });
    const body = { sessionId: theirs, claimId: `b-${names}`, permits: 3, waitMs: 60_000 };
    const waiting = acquire(name, body);
    await until(() => server.node.staleView().state.claims.get(`b-${names}`)?.state === "waiting");

    await put(name, 2);
    const refused = await waiting;
    const again = await acquire(name, body);
    const read = await server.request("GET", `/v1/claims/b-${names}`);

    expect(codeOf(refused)).toEqual([422, "exceeds-capacity"]);
    expect(refused.body).toMatchObject({ claimId: `b-${names}`, permits: 3 });
    expect(codeOf(again)).toEqual([422, "exceeds-capacity"]);
    expect(read.body).toMatchObject({ state: "ended", reason: "exceeds-capacity" });
  });
});

describe("deleting a semaphore", () => {
  it("ends one that nobody uses; then it is unknown, and deleting it is too", async () => {
    const name = fresh();
    await put(name, 2);

    const gone = await remove(name);

    expect([gone.status, gone.body]).toEqual([
      200,
      { semaphore: name, state: "deleted", revision: expect.any(Number) },
    ]);
    expect(codeOf(await remove(name))).toEqual([404, "not-found"]);
    expect(codeOf(await look(name))).toEqual([404, "not-found"]);
  });

  it("refuses one that is held or waited for, with how many", async () => {
    const name = fresh();
    await put(name, 1);
    await acquire(name, { sessionId: mine });
    await acquire(name, { sessionId: theirs, waitMs: 60_000, pollMs: 0, onDisconnect: "keep" });

    const { status, body } = await remove(name);

    expect([status, body["code"], body["holders"], body["queueLength"]]).toEqual([409, "in-use", 1, 1]);
  });

  it("takes no fields: a wish that is not understood is no reason to go ahead", async () => {
    const name = fresh();
    await put(name, 1);

    const { status, body } = await server.request("DELETE", `/v1/semaphores/${name}`, { ifIdle: true });

    expect([status, body["code"]]).toEqual([422, "invalid"]);
    expect((await look(name)).status).toBe(200);
  });
});

describe("a name is a lock's or a semaphore's", () => {
  it("as long as it has state; every request of the other kind is 409 and says which it is", async () => {
    const semaphore = fresh();
    const lock = fresh();
    await put(semaphore, 1);
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: mine });

    const answers = [
      await server.request("GET", `/v1/locks/${semaphore}`),
      await server.request("POST", `/v1/locks/${semaphore}:acquire`, { sessionId: mine }),
      await server.request("POST", "/v1/claims", { sessionId: mine, lock: semaphore }),
      await look(lock),
      await put(lock, 1),
      await remove(lock),
      await acquire(lock, { sessionId: mine, capacity: 1 }),
    ];

    for (const answer of answers) expect(codeOf(answer)).toEqual([409, "kind-mismatch"]);
    expect(answers.map(({ body }) => [body["name"], body["is"]])).toEqual([
      ...Array.from({ length: 3 }, () => [semaphore, "semaphore"]),
      ...Array.from({ length: 4 }, () => [lock, "lock"]),
    ]);
  });
});

describe("names of semaphores in URLs", () => {
  it("are everything after the prefix, raw or encoded", async () => {
    await put("user:42", 2);
    await put("a/b%3Ac/%F0%9F%94%92", 2);

    const verb = await acquire("user:42", { sessionId: mine });
    const raw = await acquire("a/b:c%2F%F0%9F%94%92", { sessionId: mine });
    const like = await put("x:acquire", 1);
    const read = await look("x:acquire");

    expect(verb.body["resources"]).toMatchObject([{ semaphore: "user:42" }]);
    expect(raw.body["resources"]).toMatchObject([{ semaphore: "a/b:c/🔒" }]);
    expect([like.body["semaphore"], read.body["semaphore"]]).toEqual(["x:acquire", "x:acquire"]);
  });

  it.each([
    ["/v1/semaphores/_x", 422],
    ["/v1/semaphores/a//b", 422],
    ["/v1/semaphores/", 422],
    ["/v1/semaphores/e%CC%81", 422],
    ["/v1/semaphores/a%5Cb", 422],
    ["/v1/semaphores/%E4", 400],
  ])("%s is refused with %i by every method", async (path, status) => {
    for (const [method, body] of [
      ["GET", undefined],
      ["PUT", { capacity: 1 }],
      ["DELETE", undefined],
    ] as const) {
      expect([method, (await server.request(method, path, body)).status]).toEqual([method, status]);
    }
  });

  it("an unknown verb is 404 and lists the known ones", async () => {
    const { status, body } = await server.request("POST", "/v1/semaphores/x:release", { sessionId: mine });

    expect([status, body["code"], body["verbs"]]).toEqual([404, "not-found", ["acquire"]]);
  });
});

describe("listing semaphores", () => {
  it("pages by name, of a prefix, without their queues and without locks", async () => {
    for (const name of ["list/b", "list/a", "list/ä", "list/c:1"]) await put(encodeURIComponent(name), 1);
    await server.request("POST", "/v1/locks/list%2Flock:acquire", { sessionId: mine });
    const found: unknown[] = [];
    let cursor = "";
    do {
      const { body } = await server.request("GET", `/v1/semaphores?prefix=list/&limit=3${cursor}`);
      found.push(...(body["items"] as unknown[]));
      cursor = body["cursor"] === undefined ? "" : `&cursor=${String(body["cursor"])}`;
    } while (cursor !== "");

    expect(found).toMatchObject(
      ["list/a", "list/b", "list/c:1", "list/ä"].map((semaphore) => ({ semaphore })),
    );
    expect(found[0]).toEqual({
      semaphore: "list/a",
      capacity: 1,
      available: 1,
      cooling: 0,
      isSet: true,
      holders: [],
      queueLength: 0,
      revision: expect.any(Number),
    });
  });

  it("ends a page that is just full without a cursor", async () => {
    const { body } = await server.request("GET", "/v1/semaphores?prefix=list/&limit=4");

    expect(body["items"]).toHaveLength(4);
    expect(body).not.toHaveProperty("cursor");
  });

  it.each([["limit=0"], ["limit=1001"], ["cursor=*"], ["state=held"], ["prefix=a&prefix=b"]])(
    "refuses %s",
    async (query) => {
      expect(codeOf(await server.request("GET", `/v1/semaphores?${query}`))).toEqual([422, "invalid"]);
    },
  );
});

describe("stale reads of semaphores", () => {
  it("come from a follower; what it does not know is asked of the leader", async () => {
    await put("stale", 1);
    const view = server.node.staleView();
    const node = stubNode({
      staleView: () => view,
      read: (reply) => reply({ kind: "not-leader", leader: "n2" }),
    });
    const { app } = appFor(node);
    const ask = (url: string) => app.inject({ method: "GET", url: `${url}?consistency=stale` });

    const known = await ask("/v1/semaphores/stale");
    const list = await ask("/v1/semaphores");
    const settings = await ask("/v1/cluster/settings");
    const unknown = await ask("/v1/semaphores/unknown");
    const otherKind = await ask("/v1/locks/stale");

    for (const answer of [known, list, settings]) {
      expect([answer.statusCode, answer.headers["holdfast-staleness-ms"]]).toEqual([200, "12"]);
    }
    expect(unknown.headers["location"]).toBe("http://127.0.0.1:7401/v1/semaphores/unknown?consistency=stale");
    expect(otherKind.statusCode).toBe(307);
  });
});
