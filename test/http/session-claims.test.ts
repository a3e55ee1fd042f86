/** GET /v1/sessions/{id}/claims: one long-poll for all claims of a session, and who counts as attached by it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SessionListener } from "../../src/node/contract.ts";
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
/** Polls that the server holds, over the whole run. */
let watched = 0;

beforeAll(async () => {
  server = await startServer({
    settings: { disconnectGraceMs: 80 },
    wrap: (node) =>
      delegate(node, {
        watchSession(sessionId, listener) {
          watched++;
          return node.watchSession(sessionId, listener);
        },
      }),
  });
});

afterAll(() => server.close());

const poll = (sessionId: string, query = ""): Promise<Answer> =>
  server.request("GET", `/v1/sessions/${sessionId}/claims${query}`);

async function acquire(body: object): Promise<Answer> {
  return server.request("POST", "/v1/claims", { pollMs: 0, onDisconnect: "keep", ...body });
}

function release(claimId: string, sessionId: string): Promise<Answer> {
  return server.request("DELETE", `/v1/claims/${claimId}`, { sessionId });
}

/** A poll that the server holds when this resolves. */
async function held(sessionId: string, query: string): Promise<{ readonly answer: Promise<Answer> }> {
  const before = watched;
  const answer = poll(sessionId, query);
  await until(() => watched > before);
  return { answer };
}

function claimsOf({ body }: Answer): readonly Json[] {
  return body["claims"] as readonly Json[];
}

function stateOf(claimId: string): string | undefined {
  return server.node.staleView().state.claims.get(claimId)?.state;
}

describe("asking for a session's claims", () => {
  it("says when some that ended since are not remembered any more", async () => {
    const small = await startServer({ settings: { rememberedClaimsPerSession: 20 } });
    try {
      const holder = await small.openSession();
      const sessionId = await small.openSession();
      await small.request("POST", "/v1/locks/a:acquire", { sessionId: holder });
      const path = `/v1/sessions/${sessionId}/claims`;
      const { body: first } = await small.request("GET", `${path}?pollMs=0`);
      const tries = Array.from({ length: 50 }, () => ({ op: "acquire", lock: "a", sessionId }));
      await small.request("POST", "/v1/batch", { operations: tries });

      const { body: next } = await small.request("GET", `${path}?pollMs=0&since=${first["revision"]}`);
      const { body: last } = await small.request("GET", `${path}?pollMs=0&since=${next["revision"]}`);

      expect(first).not.toHaveProperty("forgotten");
      expect(next).toMatchObject({ forgotten: true });
      expect(next["claims"]).toHaveLength(20);
      expect(last).not.toHaveProperty("forgotten");
    } finally {
      await small.close();
    }
  });

  it("shows all that are known, the ended ones too, in the order of their last change", async () => {
    const sessionId = await server.openSession();
    const n = ++names;
    await acquire({ sessionId, claimId: `a-${n}`, lock: `a-${n}` });
    await acquire({ sessionId, claimId: `b-${n}`, lock: `b-${n}` });
    await acquire({ sessionId, claimId: `c-${n}`, lock: `a-${n}`, waitMs: 60_000 });
    await release(`b-${n}`, sessionId);

    const { status, body, headers } = await poll(sessionId);

    const alone = [];
    for (const id of ["a", "c", "b"])
      alone.push((await server.request("GET", `/v1/claims/${id}-${n}?pollMs=0`)).body);
    expect(status).toBe(200);
    expect(body).toEqual({
      sessionRef: expect.stringMatching(/^[0-9a-f]{16}$/),
      revision: Number(headers["holdfast-revision"]),
      claims: [
        { ...alone[0], heldMs: expect.any(Number) },
        {
          ...alone[1],
          waitedMs: expect.any(Number),
          waitLeftMs: expect.any(Number),
          blockedBy: [{ ...((alone[1]?.["blockedBy"] ?? []) as Json[])[0], heldMs: expect.any(Number) }],
        },
        alone[2],
      ],
    });
    expect(JSON.stringify(body)).not.toContain(sessionId);
  });

  it("since the revision of the answer before shows nothing twice", async () => {
    const sessionId = await server.openSession();
    await acquire({ sessionId, claimId: `a-${++names}`, lock: `a-${names}` });
    const first = await poll(sessionId);
    const since = first.body["revision"];
    const again = await poll(sessionId, `?since=${since}&pollMs=0`);
    await acquire({ sessionId, claimId: `b-${names}`, lock: `b-${names}` });

    const later = await poll(sessionId, `?since=${since}&pollMs=0`);

    expect(claimsOf(again)).toEqual([]);
    expect(again.body).not.toHaveProperty("more");
    expect(claimsOf(later)).toMatchObject([{ claimId: `b-${names}` }]);
  });

  it("answers with nothing when pollMs is over", async () => {
    const sessionId = await server.openSession();

    const { status, body } = await poll(sessionId, "?pollMs=20");

    expect([status, body["claims"]]).toEqual([200, []]);
  });

  it("goes by the id alone: whoever only knows the ref cannot poll for its client", async () => {
    const sessionId = await server.openSession();
    const { body } = await server.request("GET", `/v1/sessions/${sessionId}`);

    const byRef = await poll(String(body["sessionRef"]), "?pollMs=0");

    expect([byRef.status, byRef.body["code"]]).toEqual([404, "not-found"]);
  });

  it("is 404 for an unknown session, 410 for an ended one, 422 for what cannot be", async () => {
    const sessionId = await server.openSession();
    await server.request("DELETE", `/v1/sessions/${sessionId}`);

    expect((await poll("never-was-a-session")).status).toBe(404);
    expect((await poll(sessionId)).body["code"]).toBe("session-expired");
    expect((await poll("short")).status).toBe(422);
    for (const query of [
      "?since=-1",
      "?since=x",
      "?since=1&since=2",
      "?pollMs=25001",
      "?pollMs=1e3",
      "?limit=1",
      "?since=9999999999999999",
    ]) {
      expect([query, (await poll(sessionId, query)).status]).toEqual([query, 422]);
    }
  });

  it("pages without splitting a revision: each claim stands on one page, once", async () => {
    // A batch of readers that is let in by one release: 300 grants of one revision, between others.
    const sessionId = await server.openSession();
    const other = await server.openSession();
    const n = ++names;
    await acquire({ sessionId: other, claimId: `x-${n}`, lock: `x-${n}` });
    for (let i = 0; i < 2; i++)
      await acquire({ sessionId, claimId: `first-${n}-${i}`, lock: `first-${n}-${i}` });
    const readers = Array.from({ length: 300 }, (_, i) => ({
      op: "acquire",
      sessionId,
      claimId: `r-${n}-${i}`,
      lock: `x-${n}`,
      mode: "shared",
      waitMs: 60_000,
    }));
    await server.request("POST", "/v1/batch", { operations: readers.slice(0, 150) });
    await server.request("POST", "/v1/batch", { operations: readers.slice(150) });
    await release(`x-${n}`, other);
    for (let i = 0; i < 3; i++)
      await acquire({ sessionId, claimId: `last-${n}-${i}`, lock: `last-${n}-${i}` });

    const seen: Json[] = [];
    const sizes: number[] = [];
    let since: unknown = 0;
    for (let isMore = true; isMore; ) {
      const page = await poll(sessionId, `?since=${since}&pollMs=0`);
      seen.push(...claimsOf(page));
      sizes.push(claimsOf(page).length);
      since = page.body["revision"];
      isMore = page.body["more"] === true;
    }

    expect(sizes).toEqual([302, 3]);
    expect(new Set(seen.map(({ claimId }) => claimId)).size).toBe(305);
    expect(new Set(seen.slice(2, 302).map(({ revision }) => revision)).size).toBe(1);
  });
});

describe("a poll that is held", () => {
  it("is woken by a shrink, as by every change of a claim", async () => {
    const sessionId = await server.openSession();
    const pool = `shrunk-pool-${sessionId}`;
    await server.request("POST", `/v1/semaphores/${pool}:acquire`, {
      sessionId,
      claimId: `shrunk-${sessionId}`,
      permits: 3,
      capacity: 3,
    });
    const { body: first } = await poll(sessionId, "?pollMs=0");
    const before = watched;
    const held = poll(sessionId, `?since=${first["revision"]}`);
    await until(() => watched > before);
    await server.request("POST", `/v1/claims/shrunk-${sessionId}:shrink`, { sessionId, permits: 1 });

    expect((await held).body["claims"]).toMatchObject([{ resources: [{ semaphore: pool, permits: 1 }] }]);
  });

  it("is woken by a grant", async () => {
    const sessionId = await server.openSession();
    const other = await server.openSession();
    const n = ++names;
    await acquire({ sessionId: other, claimId: `x-${n}`, lock: `x-${n}` });
    const waiting = await acquire({ sessionId, claimId: `w-${n}`, lock: `x-${n}`, waitMs: 60_000 });
    const { answer } = await held(sessionId, `?since=${waiting.body["revision"]}`);

    await release(`x-${n}`, other);

    expect(claimsOf(await answer)).toMatchObject([
      { claimId: `w-${n}`, state: "held", fence: expect.any(Number) },
    ]);
  });

  it("is woken by the end of a max-hold", async () => {
    const sessionId = await server.openSession();
    const n = ++names;
    const grant = await acquire({ sessionId, claimId: `m-${n}`, lock: `m-${n}`, maxHoldMs: 60 });
    const { answer } = await held(sessionId, `?since=${grant.body["revision"]}`);

    expect(claimsOf(await answer)).toEqual([
      {
        claimId: `m-${n}`,
        sessionRef: grant.body["sessionRef"],
        state: "ended",
        reason: "max-hold",
        fence: grant.body["fence"],
        heldMs: 60,
        revision: expect.any(Number),
      },
    ]);
  });

  it("is woken by the end of a wait", async () => {
    const sessionId = await server.openSession();
    const n = ++names;
    await acquire({ sessionId, claimId: `h-${n}`, lock: `t-${n}` });
    const waiting = await acquire({ sessionId, claimId: `t-${n}`, lock: `t-${n}`, waitMs: 50 });
    const { answer } = await held(sessionId, `?since=${waiting.body["revision"]}`);

    expect(claimsOf(await answer)).toMatchObject([
      { claimId: `t-${n}`, state: "ended", reason: "wait-timeout" },
    ]);
  });

  it("is told when the session ends", async () => {
    const sessionId = await server.openSession();
    const grant = await acquire({ sessionId, lock: `e-${++names}` });
    const { answer } = await held(sessionId, `?since=${grant.body["revision"]}`);

    await server.request("DELETE", `/v1/sessions/${sessionId}`);

    expect([(await answer).status, (await answer).body["code"]]).toEqual([410, "session-expired"]);
  });

  it("is one of several: each of them is answered", async () => {
    const sessionId = await server.openSession();
    const grant = await acquire({ sessionId, claimId: `s-${++names}`, lock: `s-${names}` });
    const first = await held(sessionId, `?since=${grant.body["revision"]}`);
    const second = await held(sessionId, `?since=${grant.body["revision"]}`);

    await release(`s-${names}`, sessionId);

    for (const { answer } of [first, second])
      expect(claimsOf(await answer)).toMatchObject([{ reason: "released" }]);
  });
});

describe("being attached", () => {
  it("keeps a claim that would be cancelled without a poll, and its end lets it go", async () => {
    const sessionId = await server.openSession();
    const other = await server.openSession();
    const n = ++names;
    await acquire({ sessionId: other, lock: `x-${n}` });
    const before = watched;
    const connection = rawConnection(
      server.server.port,
      `GET /v1/sessions/${sessionId}/claims HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    await until(() => watched > before);
    const waiting = { lock: `x-${n}`, waitMs: 60_000, onDisconnect: "cancel" };
    await acquire({ ...waiting, sessionId, claimId: `polled-${n}` });
    // Nobody polls for this later one: when it is gone, the time has passed for the other one too.
    await acquire({ ...waiting, sessionId: other, claimId: `gone-${n}` });
    await until(() => stateOf(`gone-${n}`) === "ended");

    const whilePolled = stateOf(`polled-${n}`);
    connection.socket.destroy();
    await until(() => stateOf(`polled-${n}`) === "ended");

    expect(whilePolled).toBe("waiting");
    expect(server.node.staleView().state.claims.get(`polled-${n}`)?.end?.reason).toBe("cancelled");
  });
});

describe("a change of leader", () => {
  it("sends whoever polls to the next one, or says that there is none", async () => {
    const sessionId = await server.openSession();
    let leader: string | undefined = "n2";
    const listeners: SessionListener[] = [];
    const node = stubNode({
      status: () => followerOf(leader),
      staleView: () => server.node.staleView(),
      read: (reply) => reply({ kind: "confirmed", view: server.node.staleView() }),
      watchSession: (_sessionId, listener) => {
        listeners.push(listener);
        return () => undefined;
      },
    });
    const { app } = appFor(node);
    const url = `/v1/sessions/${sessionId}/claims?since=0&pollMs=20000`;
    const ask = async () => {
      const before = listeners.length;
      const answer = app.inject({ method: "GET", url });
      void answer.then(() => undefined);
      await until(() => listeners.length > before);
      listeners.pop()?.(undefined);
      return answer;
    };

    const sentOn = await ask();
    leader = undefined;
    const lost = await ask();

    expect([sentOn.statusCode, sentOn.headers["location"]]).toEqual([307, `http://127.0.0.1:7401${url}`]);
    expect([lost.statusCode, lost.json().code]).toEqual([503, "no-leader"]);
  });
});
