/**
 * What closing a connection means for a claim (SEMANTICS §3). The requests go over bare sockets, so that the test
 * decides when they close; it then waits for what the state machine shows.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Claim } from "../../src/locks/records.ts";
import { delegate, type RawConnection, type Running, rawConnection, startServer, until } from "./harness.ts";

let server: Running;
let names = 0;
/** Requests that were held, by claim. */
const held = new Map<string, number>();

beforeAll(async () => {
  server = await startServer({
    wrap: (node) =>
      delegate(node, {
        watchClaim(claimId, listener) {
          held.set(claimId, (held.get(claimId) ?? 0) + 1);
          return node.watchClaim(claimId, listener);
        },
      }),
  });
});

afterAll(() => server.close());

async function arrange(): Promise<{
  lock: string;
  mine: string;
  theirs: string;
  first: string;
  second: string;
}> {
  const n = ++names;
  const mine = await server.openSession();
  const theirs = await server.openSession();
  return { lock: `hang-up/${n}`, mine, theirs, first: `first-${n}`, second: `second-${n}` };
}

function claimOf(id: string): Claim | undefined {
  return server.node.staleView().state.claims.get(id);
}

function acquireText(lock: string, body: object): string {
  const text = JSON.stringify(body);
  return (
    `POST /v1/locks/${lock}:acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${text.length}\r\n\r\n${text}`
  );
}

function pollText(claimId: string, sessionId?: string): string {
  const header = sessionId === undefined ? "" : `Holdfast-Session: ${sessionId}\r\n`;
  return `GET /v1/claims/${claimId} HTTP/1.1\r\nHost: x\r\n${header}\r\n`;
}

describe("a client that hangs up while its claim waits", () => {
  it.each([
    ["resets", "destroy"],
    ["closes its half of", "end"],
  ] as const)("cancels it when it %s the connection", async (_how, method) => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    const connection = rawConnection(
      server.server.port,
      acquireText(lock, { sessionId: mine, claimId: second, waitMs: 60_000 }),
    );
    await until(() => claimOf(second)?.state === "waiting");

    connection.socket[method]();
    await until(() => claimOf(second)?.state === "ended");

    expect(claimOf(second)?.end?.reason).toBe("cancelled");
    expect(claimOf(first)?.state).toBe("held");
  });

  it('leaves it alone when it asked for onDisconnect "keep"', async () => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    const body = { sessionId: mine, claimId: second, waitMs: 60_000, onDisconnect: "keep" };
    const connection = rawConnection(server.server.port, acquireText(lock, body));
    await until(() => claimOf(second)?.state === "waiting");

    connection.socket.destroy();
    await server.request("DELETE", `/v1/claims/${first}`, undefined, { "holdfast-session": theirs });

    await until(() => claimOf(second)?.state === "held");
  });

  it("cancels it too when its request waits behind another one of the connection", async () => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    const third = `third-${names}`;
    const connection = rawConnection(
      server.server.port,
      acquireText(lock, { sessionId: mine, claimId: second, waitMs: 60_000 }) +
        acquireText(lock, { sessionId: mine, claimId: third, waitMs: 60_000 }),
    );
    await until(() => claimOf(second)?.state === "waiting" && claimOf(third)?.state === "waiting");

    connection.socket.destroy();

    await until(() => claimOf(second)?.state === "ended" && claimOf(third)?.state === "ended");
  });

  it("keeps it while a repetition of its request is under way elsewhere", async () => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    const body = { sessionId: mine, claimId: second, waitMs: 60_000 };
    const lost = rawConnection(server.server.port, acquireText(lock, body));
    await until(() => claimOf(second)?.state === "waiting");
    const retry = server.request("POST", `/v1/locks/${lock}:acquire`, body);
    await until(() => held.get(second) === 2);

    lost.socket.destroy();
    await server.request("GET", `/v1/locks/${lock}`);
    await server.request("DELETE", `/v1/claims/${first}`, undefined, { "holdfast-session": theirs });

    expect((await retry).body).toMatchObject({ state: "held" });
  });
});

describe("a client that hangs up before it is answered", () => {
  it("does not keep a lock that it was granted without knowing", async () => {
    // The acquire is kept on its way until its client has gone.
    let propose = (): void => undefined;
    const slow = await startServer({
      wrap: (node) =>
        delegate(node, {
          propose(proposal, reply) {
            if (proposal.kind !== "acquire") return node.propose(proposal, reply);
            propose = () => node.propose(proposal, reply);
          },
        }),
    });
    const mine = await slow.openSession();
    const never = propose;
    const connection = rawConnection(
      slow.server.port,
      acquireText("a", { sessionId: mine, claimId: "unheard" }),
    );
    await until(() => propose !== never);

    connection.socket.end();
    await connection.answer();
    await slow.request("GET", "/livez");
    propose();
    const { state } = slow.node.staleView();
    await until(() => state.claims.get("unheard")?.state === "ended");

    expect(connection.received()).toBe("");
    expect(state.claims.get("unheard")).toMatchObject({
      grant: { fence: expect.any(Number) },
      end: { reason: "cancelled" },
    });
    expect((await slow.request("GET", "/v1/locks/a")).body["state"]).toBe("free");
    // It ended without its session's asking, so the session is told.
    const { body } = await slow.request("POST", `/v1/sessions/${mine}:keepalive`);
    expect(body["ended"]).toMatchObject([{ claimId: "unheard", reason: "cancelled" }]);
    await slow.close();
  });

  it("gives nothing of anybody else's back when its id belongs to another session", async () => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    await server.request("POST", `/v1/locks/${lock}:acquire`, {
      sessionId: theirs,
      claimId: second,
      waitMs: 60_000,
      pollMs: 0,
    });

    for (let i = 0; i < 20; i++) {
      const connection = rawConnection(
        server.server.port,
        acquireText(lock, { sessionId: mine, claimId: second }),
      );
      await until(() => !connection.socket.connecting);
      connection.socket.destroySoon();
      await until(() => connection.socket.destroyed);
    }
    await server.request("GET", `/v1/locks/${lock}`);

    expect(claimOf(second)?.state).toBe("waiting");
  });
});

describe("a client that hangs up a poll", () => {
  async function waiting(): Promise<{ mine: string; second: string }> {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });
    await server.request("POST", `/v1/locks/${lock}:acquire`, {
      sessionId: mine,
      claimId: second,
      waitMs: 60_000,
      pollMs: 0,
    });
    return { mine, second };
  }

  /** Polls over a bare socket; resolves when the server holds the request. */
  async function poll(claimId: string, sessionId?: string): Promise<RawConnection> {
    const before = held.get(claimId) ?? 0;
    const connection = rawConnection(server.server.port, pollText(claimId, sessionId));
    await until(() => (held.get(claimId) ?? 0) > before);
    return connection;
  }

  it("cancels the claim when it presents the claim's session", async () => {
    const { mine, second } = await waiting();
    const connection = await poll(second, mine);

    connection.socket.destroy();
    await until(() => claimOf(second)?.state === "ended");

    expect(claimOf(second)?.end?.reason).toBe("cancelled");
  });

  it("changes nothing when it does not: anybody may read", async () => {
    const { second } = await waiting();
    const stranger = await server.openSession();
    for (const presented of [undefined, stranger]) {
      const connection = await poll(second, presented);
      connection.socket.destroy();
      await until(() => connection.socket.destroyed);
    }
    await server.request("GET", "/v1/locks/none");
    await server.openSession();

    expect(claimOf(second)?.state).toBe("waiting");
  });
});

describe("a client that never comes back after 202", () => {
  it("loses its place when the time for that is over", async () => {
    const impatient = await startServer({ settings: { disconnectGraceMs: 50 } });
    const mine = await impatient.openSession();
    await impatient.request("POST", "/v1/locks/a:acquire", { sessionId: mine });
    const body = { sessionId: mine, claimId: "gone", waitMs: 60_000, pollMs: 0 };

    await impatient.request("POST", "/v1/locks/a:acquire", body);
    const { state } = impatient.node.staleView();
    await until(() => state.claims.get("gone")?.state === "ended");

    expect(state.claims.get("gone")?.end?.reason).toBe("cancelled");
    await impatient.close();
  });
});

describe("a connection that is gone before its request is handled", () => {
  /** Bytes that are no request destroy the socket, with the whole request in front of them still to be handled. */
  const garbage = "\u0001\u0002 nonsense\r\n\r\n";

  it("leaves nothing behind that waits, and nothing that is granted later", async () => {
    const { lock, mine, theirs, first, second } = await arrange();
    await server.request("POST", `/v1/locks/${lock}:acquire`, { sessionId: theirs, claimId: first });

    rawConnection(
      server.server.port,
      acquireText(lock, { sessionId: mine, claimId: second, waitMs: 60_000 }) + garbage,
    );
    await server.openSession();
    await until(() => claimOf(second) === undefined || claimOf(second)?.state === "ended");
    await server.request("DELETE", `/v1/claims/${first}`, undefined, { "holdfast-session": theirs });

    expect(claimOf(second)?.state).not.toBe("held");
  });

  it("of a stranger does not keep another one's claim alive, nor does a stranger's request under way", async () => {
    const impatient = await startServer({ settings: { disconnectGraceMs: 200 } });
    const mine = await impatient.openSession();
    await impatient.request("POST", "/v1/locks/a:acquire", { sessionId: mine });
    const body = { sessionId: mine, claimId: "victim", waitMs: 60_000, pollMs: 0 };
    await impatient.request("POST", "/v1/locks/a:acquire", body);

    const strangers = { sessionId: "stranger-stranger-1", claimId: "victim", waitMs: 60_000 };
    for (let i = 0; i < 5; i++) rawConnection(impatient.server.port, acquireText("a", strangers) + garbage);
    const { state } = impatient.node.staleView();
    await until(() => state.claims.get("victim")?.state === "ended");

    expect(state.claims.get("victim")?.end?.reason).toBe("cancelled");
    await impatient.close();
  });
});
