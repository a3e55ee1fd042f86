/**
 * The table of bad input for the HTTP door: what comes in, what is answered, and that the node goes on serving.
 * Bytes go over bare sockets; the limits on time are short here, and no test measures one.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type RawConnection, type Running, rawConnection, startServer, until } from "./harness.ts";

let server: Running;
let open: RawConnection[] = [];

beforeAll(async () => {
  server = await startServer({
    limits: { headersMs: 300, requestMs: 600, checkMs: 20 },
  });
});

afterAll(() => server.close());

afterEach(async () => {
  for (const { socket } of open) socket.destroy();
  await until(() => open.every(({ socket }) => socket.destroyed));
  open = [];
});

function raw(text: string): RawConnection {
  const connection = rawConnection(server.server.port, text);
  open.push(connection);
  return connection;
}

function post(path: string, body: string, headers = "Content-Type: application/json\r\n"): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** The one answer in what was received. */
function parse(text: string): {
  readonly status: number;
  readonly head: string;
  readonly body: { code: string };
} {
  const [head = "", body = "{}"] = text.split("\r\n\r\n");
  return { status: Number(head.split(" ")[1]), head: head.toLowerCase(), body: JSON.parse(body) };
}

/** Everything of an answer with a Content-Length has come. */
function isWhole(text: string): boolean {
  const [head, body] = text.split("\r\n\r\n");
  const length = /content-length: (\d+)/i.exec(head ?? "")?.[1];
  return length !== undefined && Buffer.byteLength(body ?? "", "latin1") >= Number(length);
}

/** A session with much to show, without a connection. */
function openDirectly({ node }: Running, i: number): Promise<void> {
  return new Promise((resolve) =>
    node.propose(
      {
        kind: "open-session",
        sessionId: `direct-session-${i}`,
        sessionRef: i.toString(16).padStart(16, "0"),
        ttlMs: 60_000,
        lockDelayMs: undefined,
        label: "",
        metadata: [["a", "x".repeat(4_000)]],
      },
      () => resolve(),
    ),
  );
}

async function isServing(): Promise<boolean> {
  return (await server.request("GET", "/livez", undefined, { connection: "close" })).status === 200;
}

describe("bytes that are no request", () => {
  it.each([
    ["garbage", "\u0000\u0001\u0002 garbage\r\n\r\n"],
    ["TLS", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a header without a colon", "GET /livez HTTP/1.1\r\nHost x\r\n\r\n"],
    ["a space before the colon", "GET /livez HTTP/1.1\r\nHost : x\r\n\r\n"],
    ["a NUL in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nA: b\u0000c\r\n\r\n"],
    ["an unknown version", "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n"],
    ["a length that is none", "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
    [
      "two lengths",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    [
      "a length and chunks (request smuggling)",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    [
      "an encoding that hides the length",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: xchunked\r\n\r\n{}",
    ],
    [
      "a chunk that is none",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
  ])("%s: 400, once, and the connection is closed", async (_what, bytes) => {
    const { status, head, body } = parse(await raw(bytes).answer());

    expect([status, body.code]).toEqual([400, "bad-request"]);
    expect(head).toContain("content-type: application/problem+json");
    expect(head).toContain("holdfast-node: n1");
    expect(head).toContain("connection: close");
    expect(await isServing()).toBe(true);
  });

  it("no Host: 400", async () => {
    const { status } = parse(await raw("GET /livez HTTP/1.1\r\n\r\n").answer(isWhole));

    expect(status).toBe(400);
  });

  it("two Hosts: 400, for somebody in front may have read the other one", async () => {
    const { status, body } = parse(
      await raw("GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n").answer(isWhole),
    );

    expect([status, body.code]).toEqual([400, "bad-request"]);
  });

  it.each(["/v1/locks/a#b", "/v1/locks/a#b:acquire", "/v1/locks?prefix=a#b"])(
    "a raw # in %s: 400, for a client that is redirected would drop it and ask for another name",
    async (path) => {
      const { status, body } = parse(await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).answer(isWhole));

      expect([status, body.code]).toEqual([400, "bad-request"]);
    },
  );

  it("headers beyond 8 KiB: 431", async () => {
    const { status, body } = parse(
      await raw(`GET /livez HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(9_000)}\r\n\r\n`).answer(),
    );

    expect([status, body.code]).toEqual([431, "headers-too-large"]);
  });

  it("a URL beyond 4 096 characters: 414", async () => {
    const { status, body } = parse(
      await raw(`GET /v1/locks/${"a".repeat(5_000)} HTTP/1.1\r\nHost: x\r\n\r\n`).answer(isWhole),
    );

    expect([status, body.code]).toEqual([414, "uri-too-long"]);
  });

  it("raw bytes outside of ASCII in the URL: 400, for they have no meaning there", async () => {
    const connection = raw("");
    connection.socket.write(Buffer.from("GET /v1/locks/é HTTP/1.1\r\nHost: x\r\n\r\n", "utf8"));

    expect(parse(await connection.answer(isWhole)).status).toBe(400);
  });

  it("garbage in the same packet as a whole request is no answer to that request", async () => {
    const sessionId = "behind-garbage-01";
    const connection = raw(`${post("/v1/sessions", JSON.stringify({ sessionId }))}\u0000 garbage\r\n\r\n`);
    const text = await connection.answer();

    // It may have happened or not; a 400 would say that it did not.
    expect(text).not.toContain("400");
    expect(await isServing()).toBe(true);
  });

  it("garbage behind a request that is held closes the connection without a false answer to it", async () => {
    const sessionId = await server.openSession();
    await server.request("POST", "/v1/locks/behind:acquire", { sessionId });
    const body = JSON.stringify({ sessionId, claimId: "held-request", waitMs: 60_000 });
    const connection = raw(post("/v1/locks/behind:acquire", body));
    const { state } = server.node.staleView();
    await until(() => state.claims.get("held-request")?.state === "waiting");

    connection.socket.write("\u0000 garbage\r\n\r\n");

    expect(await connection.answer()).toBe("");
    await until(() => state.claims.get("held-request")?.state === "ended");
  });
});

describe("requests that take their time", () => {
  it.each([
    ["say nothing", ""],
    ["stop within the headers", "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nA: "],
    [
      "stop within the body",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    ],
    [
      "stop within a chunk",
      "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
  ])("that %s: 408 and closed", async (_what, bytes) => {
    const { status, head, body } = parse(await raw(bytes).answer());

    expect([status, body.code]).toEqual([408, "request-timeout"]);
    expect(head).toContain("connection: close");
  });

  it("that trickle are closed as well: every byte does not buy time", async () => {
    const connection = raw("GET /livez HTTP/1.1\r\nHost: x\r\nA: ");
    const trickle = setInterval(() => connection.socket.write("a"), 20);

    const { status } = parse(await connection.answer());
    clearInterval(trickle);

    expect(status).toBe(408);
  });

  it("to read their answer are closed too: nobody makes the server hold memory for ever", async () => {
    // Room for one connection: another one is served when the stalled one has been closed.
    const slow = await startServer({ limits: { stalledMs: 300 }, http: { connections: 1 } });
    for (let i = 0; i < 300; i++) await openDirectly(slow, i);
    const connection = rawConnection(slow.server.port, "");
    connection.socket.pause();
    // Each answer has more than a megabyte, together more than the buffers of both ends take.
    connection.socket.write("GET /v1/sessions?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20));
    await until(() => connection.socket.bytesWritten > 0);

    const served = async (): Promise<boolean> =>
      slow.request("GET", "/livez", undefined, { connection: "close" }).then(
        () => true,
        () => false,
      );
    while (!(await served()));

    connection.socket.destroy();
    await slow.close();
  });

  it("but have arrived may be held for longer than that", async () => {
    const sessionId = await server.openSession();
    await server.request("POST", "/v1/locks/held-long:acquire", { sessionId });
    const body = JSON.stringify({ sessionId, claimId: "held-long", waitMs: 60_000, pollMs: 1_500 });
    const connection = raw(post("/v1/locks/held-long:acquire", body));
    // Longer than the limit, by the server's own clock: a silent connection beside it is closed meanwhile.
    const silent = raw("");
    await silent.answer();

    expect(parse(await connection.answer(isWhole)).status).toBe(202);
  });
});

describe("bodies", () => {
  const text = "Content-Type: text/plain\r\n";
  const charset = "Content-Type: application/json; charset=utf-8\r\n";
  it.each([
    ["no JSON", post("/v1/sessions", "{"), 400, "bad-request"],
    ["JSON twice", post("/v1/sessions", "{}{}"), 400, "bad-request"],
    ["a poisoned prototype", post("/v1/sessions", '{"__proto__":{"a":1}}'), 400, "bad-request"],
    [
      "a poisoned constructor",
      post("/v1/sessions", '{"constructor":{"prototype":{"a":1}}}'),
      400,
      "bad-request",
    ],
    [
      "a poisoned prototype in metadata",
      post("/v1/sessions", '{"metadata":{"__proto__":"x"}}'),
      400,
      "bad-request",
    ],
    ["null", post("/v1/sessions", "null"), 422, "invalid"],
    ["an array", post("/v1/sessions", "[]"), 422, "invalid"],
    ["a number", post("/v1/sessions", "7"), 422, "invalid"],
    ["an unknown field", post("/v1/sessions", '{"tllMs":1}'), 422, "invalid"],
    ["arrays 30 000 deep", post("/v1/sessions", "[".repeat(30_000) + "]".repeat(30_000)), 422, "invalid"],
    [
      "objects 9 000 deep",
      post("/v1/sessions", '{"a":'.repeat(9_000) + "1" + "}".repeat(9_000)),
      422,
      "invalid",
    ],
    ["10 000 unknown fields", post("/v1/sessions", JSON.stringify(manyFields(5_000))), 422, "invalid"],
    ["too many bytes", post("/v1/sessions", `{"label":"${"x".repeat(70_000)}"}`), 413, "too-large"],
    ["2 MB", post("/v1/sessions", "x".repeat(2_000_000)), 413, "too-large"],
    ["plain text", post("/v1/sessions", "{}", text), 415, "unsupported-media-type"],
    ["no type at all", post("/v1/sessions", "{}", ""), 415, "unsupported-media-type"],
    [
      "a type that is none",
      post("/v1/sessions", "{}", "Content-Type: ;;;\r\n"),
      415,
      "unsupported-media-type",
    ],
    [
      "a form",
      post("/v1/sessions", "a=b", "Content-Type: application/x-www-form-urlencoded\r\n"),
      415,
      "unsupported-media-type",
    ],
    ["a charset that is ours", post("/v1/sessions", "{}", charset), 201, undefined],
    ["a body for an unknown route", post("/nowhere", "{}", text), 404, "not-found"],
    ["a body for an unknown verb", post("/v1/locks/a:b", "x".repeat(100_000), text), 404, "not-found"],
    ["an unknown method", "BREW /v1/locks/a HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad-request"],
    [
      "a method that the path has not",
      "PROPFIND /v1/locks/a HTTP/1.1\r\nHost: x\r\n\r\n",
      405,
      "method-not-allowed",
    ],
  ])("%s", async (_what, bytes, status, code) => {
    const answer = parse(await raw(bytes).answer(isWhole));

    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(await isServing()).toBe(true);
  });

  it("that are no UTF-8 are refused, never repaired", async () => {
    const connection = raw("");
    const body = Buffer.from('{"label":"caf\xe9"}', "latin1");
    connection.socket.write(
      `POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    connection.socket.write(body);

    const { status, body: problem } = parse(await connection.answer(isWhole));
    expect([status, problem.code]).toEqual([400, "bad-request"]);
  });

  it("that were refused do not spoil the connection's next request", async () => {
    const refused = [post("/v1/sessions", "[]"), post("/nowhere", "{}"), post("/v1/locks/a", "{", "")];
    const connection = raw(refused.join("") + post("/v1/sessions", "{}"));

    const text = await connection.answer((received) => received.includes("201 Created"));

    expect(text.match(/HTTP\/1\.1 \d{3}/g)?.map((line) => line.slice(-3))).toEqual([
      "422",
      "404",
      "404",
      "201",
    ]);
  });

  it("that cannot be read close the connection: where they end is not certain", async () => {
    const text = await raw(post("/v1/sessions", "{") + post("/v1/sessions", "{}")).answer();

    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(["HTTP/1.1 400"]);
  });

  it("an expectation that nobody knows is ignored", async () => {
    const { status } = parse(
      await raw("GET /livez HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n").answer(isWhole),
    );

    expect(status).toBe(200);
  });
});

function manyFields(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]));
}

describe("too many", () => {
  it("connections are refused while those that are served go on", async () => {
    const connections = 4;
    const small = await startServer({ http: { connections } });
    const served = rawConnection(small.server.port, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    await served.answer(isWhole);
    // Idle ones beyond what there is room for: whichever is refused is closed without a word.
    const idle = Array.from({ length: 3 * connections }, () => rawConnection(small.server.port, ""));
    const refused = (): number => idle.filter(({ socket }) => socket.destroyed).length;
    await until(() => refused() === idle.length - (connections - 1));

    const before = served.received().length;
    served.socket.write("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    const text = await served.answer((received) => isWhole(received.slice(before)));

    expect(parse(text.slice(before)).status).toBe(200);
    await small.close();
  });

  it("requests of one connection are refused: pipelining makes no work without bound", async () => {
    const sessionId = await server.openSession();
    await server.request("POST", "/v1/locks/many:acquire", { sessionId });
    const body = (i: number): string => JSON.stringify({ sessionId, claimId: `many-${i}`, waitMs: 60_000 });
    const requests = Array.from({ length: 70 }, (_, i) => post("/v1/locks/many:acquire", body(i)));
    const connection = raw(requests.join(""));
    const { state } = server.node.staleView();

    await until(() => state.claims.get("many-63")?.state === "waiting");
    await server.openSession();

    expect(state.claims.has("many-64")).toBe(false);
    connection.socket.destroy();
    // All of them; claims of other tests may wait on.
    const isOver = (_: unknown, i: number): boolean => state.claims.get(`many-${i}`)?.state === "ended";
    await until(() => Array.from({ length: 64 }).every(isOver));
  });
});
