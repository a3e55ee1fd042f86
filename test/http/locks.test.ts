import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { View } from "../../src/node/contract.ts";
import { appFor, type Running, startServer, stubNode, until } from "./harness.ts";

let server: Running;
let sessionId: string;

beforeAll(async () => {
  server = await startServer();
  sessionId = await server.openSession();
  for (const name of ["b/2", "a/1", "b/1", "ä", "b/3", "c:1"]) {
    await server.request("POST", `/v1/locks/${encodeURIComponent(name)}:acquire`, { sessionId });
  }
});

afterAll(() => server.close());

async function names(query: string): Promise<unknown> {
  const { body } = await server.request("GET", `/v1/locks${query}`);
  return (body["items"] as { lock: string }[]).map(({ lock }) => lock);
}

describe("looking at locks", () => {
  it("calls a lock that nobody uses free, never absent", async () => {
    const { status, body, headers } = await server.request("GET", "/v1/locks/nobody/uses/this");

    expect(status).toBe(200);
    expect(body).toEqual({
      lock: "nobody/uses/this",
      state: "free",
      holders: [],
      queue: [],
      queueLength: 0,
      revision: Number(headers["holdfast-revision"]),
    });
  });

  it("lists locks by name, of a prefix, of a state", async () => {
    expect(await names("")).toEqual(["a/1", "b/1", "b/2", "b/3", "c:1", "ä"]);
    expect(await names("?prefix=b/")).toEqual(["b/1", "b/2", "b/3"]);
    expect(await names("?prefix=%C3%A4")).toEqual(["ä"]);
    expect(await names("?prefix=zzz")).toEqual([]);
    expect(await names("?state=held&prefix=a")).toEqual(["a/1"]);
    expect(await names("?state=delayed")).toEqual([]);
    expect(await names("?state=free")).toEqual([]);
  });

  it("pages through them, and stays right when the last one of a page vanishes", async () => {
    const first = await server.request("GET", "/v1/locks?prefix=b/&limit=2");
    const { holders } = (first.body["items"] as { holders: { claimId: string }[] }[])[1] ?? { holders: [] };
    await server.request("DELETE", `/v1/claims/${holders[0]?.claimId}`, undefined, {
      "holdfast-session": sessionId,
    });

    const second = await server.request("GET", `/v1/locks?prefix=b/&limit=2&cursor=${first.body["cursor"]}`);

    expect(first.body["items"]).toMatchObject([{ lock: "b/1", holders: [{}] }, { lock: "b/2" }]);
    expect(second.body["items"]).toMatchObject([{ lock: "b/3" }]);
    expect(second.body).not.toHaveProperty("cursor");
  });

  it.each([["state=frozen"], ["limit=0"], ["limit=1001"], ["cursor=*"], ["prefix=a&prefix=b"], ["q=a"]])(
    "refuses the query %s",
    async (query) => {
      const { status, body } = await server.request("GET", `/v1/locks?${query}`);

      expect([status, body["code"]]).toEqual([422, "invalid"]);
    },
  );

  it("refuses a query that is not percent-encoded UTF-8", async () => {
    expect((await server.request("GET", "/v1/locks?prefix=%E4")).status).toBe(400);
  });
});

describe("stale reads", () => {
  it("are answered where they are asked, with how old they may be", async () => {
    const { status, headers, body } = await server.request("GET", "/v1/locks/a/1?consistency=stale");

    expect([status, body["state"]]).toEqual([200, "held"]);
    expect(headers["holdfast-staleness-ms"]).toBe("0");
  });

  it("come from a follower without asking the leader", async () => {
    const view: View = server.node.staleView();
    const { app } = appFor(stubNode({ staleView: () => view }));

    for (const url of ["/v1/locks/a/1", "/v1/locks", "/v1/sessions", `/v1/sessions/${sessionId}`]) {
      const answer = await app.inject({ method: "GET", url: `${url}?consistency=stale` });

      expect([url, answer.statusCode, answer.headers["holdfast-staleness-ms"]]).toEqual([url, 200, "12"]);
    }
  });

  it("deny nothing: what a follower does not know is asked of the leader", async () => {
    const view: View = server.node.staleView();
    const node = stubNode({
      staleView: () => view,
      read: (reply) => reply({ kind: "not-leader", leader: "n2" }),
    });
    const { app } = appFor(node);
    const ended = await server.openSession();
    await server.request("DELETE", `/v1/sessions/${ended}`);
    await until(() => view.state.tombstones.has(ended));

    for (const url of ["/v1/claims/unknown", "/v1/sessions/unknown-session-1", `/v1/sessions/${ended}`]) {
      const answer = await app.inject({ method: "GET", url: `${url}?consistency=stale` });

      expect([url, answer.statusCode]).toEqual([url, 307]);
    }
  });

  it("need a node that has heard of a leader: else it cannot say how old they are", async () => {
    const node = stubNode({
      quietMs: undefined,
      read: (reply) => reply({ kind: "not-leader", leader: undefined }),
    });
    const { app } = appFor(node);

    const answer = await app.inject({ method: "GET", url: "/v1/locks/a?consistency=stale" });

    expect([answer.statusCode, answer.json().code]).toEqual([503, "no-leader"]);
  });

  it("never wait for a claim and never count as told to its client", async () => {
    const claimId = "told-by-stale";
    await server.request("POST", "/v1/locks/a/1:acquire", { sessionId, claimId, waitMs: 60_000, pollMs: 0 });

    const { status, body } = await server.request("GET", `/v1/claims/${claimId}?consistency=stale`);

    expect([status, body["state"]]).toEqual([200, "waiting"]);
  });
});
