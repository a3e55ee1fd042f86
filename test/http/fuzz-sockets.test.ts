/**
 * Anything at all over bare sockets: requests that were mutated, cut, doubled and pipelined, random bytes, chunks and
 * lengths that lie. The node goes on, no answer is a 500, and nothing that was hidden in a body is ever executed.
 * Seeded: `HTTP_SEED` replays; a failure prints the bytes.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorCodes } from "../../src/api/errors.ts";
import { createPrng, type Prng } from "../../src/base/prng.ts";
import { type Running, rawConnection, startServer, until } from "./harness.ts";

const seed = Number(process.env["HTTP_SEED"] ?? 6_000);
const connectionsAtOnce = 40;
const session = "a-session-of-mine";
const bugs: unknown[] = [];
const statuses = new Map<number, number>();
let inputs = 0;
let server: Running;

beforeAll(async () => {
  server = await startServer({
    limits: { headersMs: 100, requestMs: 150, checkMs: 20, stalledMs: 1_000 },
    http: { connections: 1_000, internalError: (error) => bugs.push(error) },
  });
  await server.request("POST", "/v1/sessions", { sessionId: session, ttlMs: 86_400_000 });
});

afterAll(async () => {
  console.log(`hostile inputs over sockets: ${inputs} (seed ${seed})`);
  expect(bugs).toEqual([]);
  expect((await server.request("GET", "/readyz")).status).toBe(200);
  await server.close();
});

/** Sends it and takes what comes until the server closes, or (a request that is held) until we do. */
async function send(bytes: Buffer, isHalfClosed: boolean): Promise<string> {
  inputs++;
  const connection = rawConnection(server.server.port, "");
  if (isHalfClosed) connection.socket.end(bytes);
  else connection.socket.write(bytes);
  const giveUp = setTimeout(() => connection.socket.destroy(), 1_500);
  const received = await connection.answer();
  clearTimeout(giveUp);
  return received;
}

/** Every status line is one that we know, and every problem is of the catalogue. */
function check(received: string, bytes: Buffer): void {
  for (const [, text] of received.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)) {
    const status = Number(text);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 500)
      throw new Error(`HTTP_SEED=${seed}: 500 to ${bytes.toString("latin1").slice(0, 2_000)}`);
  }
  for (const [, code = ""] of received.matchAll(
    /"type":"urn:holdfast:error:[a-z-]+".*?"code":"([a-z-]+)"/g,
  )) {
    expect(errorCodes).toContain(code);
  }
  // Whatever is answered is HTTP from its first byte on.
  if (received !== "") expect(received.slice(0, 9)).toBe("HTTP/1.1 ");
}

async function sendAll(
  count: number,
  make: (i: number) => readonly [bytes: Buffer, isHalfClosed: boolean],
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const [bytes, isHalfClosed] = make(next++);
      check(await send(bytes, isHalfClosed), bytes);
    }
  };
  await Promise.all(Array.from({ length: connectionsAtOnce }, worker));
}

function text(method: string, target: string, body?: object, headers = ""): string {
  const json = body === undefined ? "" : JSON.stringify(body);
  const length =
    body === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${json.length}\r\n`;
  return `${method} ${target} HTTP/1.1\r\nHost: x\r\nHoldfast-Session: ${session}\r\n${headers}${length}\r\n${json}`;
}

const sound: readonly string[] = [
  text("GET", "/livez"),
  text("GET", "/openapi.json"),
  text("POST", "/v1/sessions", { label: "x", metadata: { a: "b" } }),
  text("POST", `/v1/sessions/${session}:keepalive`, { seen: 0 }),
  text("GET", "/v1/sessions?limit=2"),
  text("POST", "/v1/locks/a%2Fb:c:acquire", { claimId: "c-1", mode: "shared", waitMs: 5, pollMs: 0 }),
  text("POST", "/v1/claims", {
    claimId: "c-2",
    resources: [{ semaphore: "p", permits: 1, capacity: 2 }],
    pollMs: 0,
  }),
  text("GET", "/v1/claims/c-1?pollMs=0"),
  text("DELETE", "/v1/claims/c-1"),
  text("POST", "/v1/claims/c-2:shrink", { permits: 1 }),
  text("GET", "/v1/locks?prefix=a&state=held&limit=3"),
  text("GET", "/v1/locks/x?consistency=stale"),
  text("PUT", "/v1/semaphores/pool", { capacity: 3 }),
  text("DELETE", "/v1/semaphores/pool"),
  text("POST", "/v1/sequencers:check", { sequencers: ["hf1.YQ.00000000"] }),
  text("POST", "/v1/batch", {
    operations: [
      { op: "get", claimId: "c-1" },
      { op: "keepalive", sessionId: session },
    ],
  }),
  text("GET", "/v1/cluster/settings"),
  text("PATCH", "/v1/locks/x"),
  text("POST", "/v1/cluster:transfer-leadership", { to: "n1" }),
  "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nT: x\r\n\r\n",
];

const scraps = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  "/",
  "%",
  "#",
  "?",
  "\xff",
  "\x80",
  "é",
  "HTTP/1.0",
  "HTTP/2.0",
  "HTTP/1.1 200 OK\r\n",
  "Host: y\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\nUpgrade: h2c\r\n",
  "Expect: 100-continue\r\n",
  "http://evil:1",
  "//evil",
  "ffffffffffffffff\r\n",
  "0\r\n\r\n",
  "-1\r\n",
  "{}",
  '{"a":',
  "[[[[",
  '"__proto__":1,',
  "Holdfast-Session: other-session-id\r\n",
  "Content-Encoding: gzip\r\n",
  "X: y\r\n z\r\n",
  "1e309",
  "A".repeat(300),
];

function mutate(random: Prng): Buffer {
  if (random.chance(0.1)) {
    return Buffer.from(Array.from({ length: random.between(0, 300) }, () => random.between(0, 255)));
  }
  let bytes = Buffer.from(
    Array.from({ length: random.chance(0.3) ? random.between(2, 6) : 1 }, () => random.pick(sound)).join(""),
    "latin1",
  );
  for (let n = random.between(0, 4); n > 0; n--) {
    const at = random.between(0, bytes.length);
    const to = Math.min(bytes.length, at + random.between(0, 20));
    const kind = random.between(0, 4);
    const middle =
      kind === 0
        ? Buffer.from(random.pick(scraps), "latin1")
        : kind === 1
          ? Buffer.alloc(0)
          : kind === 2
            ? Buffer.concat([bytes.subarray(at, to), bytes.subarray(at, to)])
            : Buffer.from(bytes.subarray(at, to)).map((byte) =>
                random.chance(0.3) ? byte ^ (1 << random.between(0, 7)) : byte,
              );
    bytes = Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(to)]);
  }
  return random.chance(0.1) ? bytes.subarray(0, random.between(0, bytes.length)) : bytes;
}

describe("anything at all over a socket", () => {
  it("is answered with what the catalogue has, or closed, and the node goes on", {
    timeout: 120_000,
  }, async () => {
    const random = createPrng(seed, "sockets");

    await sendAll(6_000, () => {
      const bytes = mutate(random);
      // A last request that closes: whatever is whole before it has been answered when the connection ends.
      const isHalfClosed = random.chance(0.5);
      return [
        isHalfClosed
          ? bytes
          : Buffer.concat([bytes, Buffer.from(text("GET", "/livez", undefined, "Connection: close\r\n"))]),
        isHalfClosed,
      ];
    });

    expect(inputs).toBeGreaterThanOrEqual(6_000);
    for (const status of [200, 201, 400, 404, 405, 415, 422]) {
      expect([status, statuses.has(status)]).toEqual([status, true]);
    }
  });
});

describe("a request that is hidden in the body of another", () => {
  const hidden = text("POST", "/v1/sessions", { sessionId: "smuggled-session-1" });
  const lengths = (length: number): readonly string[] => [
    `Content-Length: ${length}\r\n`,
    `Content-Length: +${length}\r\n`,
    `Content-Length: 0${length}\r\n`,
    `Content-Length: ${length}, ${length}\r\n`,
    `Content-Length: 0x${length.toString(16)}\r\n`,
    `Content-Length : ${length}\r\n`,
    `Content-Length:\t${length}\r\n`,
    `Content-Length: ${length}\r\nContent-Length: ${length}\r\n`,
    `Content-Length: ${length}\r\nContent-Length: 0\r\n`,
    `content-length: ${length}\r\nCONTENT-LENGTH: 5\r\n`,
    `X: y\r\n Content-Length: 0\r\nContent-Length: ${length}\r\n`,
  ];
  const encodings = [
    "",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding:chunked\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: CHUNKED\r\n",
    "Transfer-Encoding: \x0bchunked\r\n",
    'Transfer-Encoding: "chunked"\r\n',
    " Transfer-Encoding: chunked\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "TE: chunked\r\n",
    "Transfer-Encoding: chunked\nX: y\r\n",
  ];

  it("is never executed, whatever its lengths and encodings say", async () => {
    const cases: Buffer[] = [];
    for (const before of ["0\r\n\r\n", "", "1\r\nZ\r\n0\r\n\r\n", "0;a\r\n\r\n", "\r\n"]) {
      const body = before + hidden;
      for (const length of lengths(body.length)) {
        for (const encoding of encodings) {
          for (const headers of [length + encoding, encoding + length]) {
            cases.push(
              Buffer.from(
                `POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${headers}\r\n${body}`,
                "latin1",
              ),
            );
          }
        }
      }
    }

    await sendAll(cases.length, (i) => [cases[i] as Buffer, true]);

    const { sessions, tombstones } = server.node.staleView().state;
    expect(cases.length).toBeGreaterThan(1_500);
    expect([sessions.has("smuggled-session-1"), tombstones.has("smuggled-session-1")]).toEqual([
      false,
      false,
    ]);
  });

  it("would be, were it a request of its own: what these tests look for can be seen", async () => {
    const own = text("POST", "/v1/sessions", { sessionId: "pipelined-session-1" });
    // Its own limits: a busy machine is no slow client.
    const patient = await startServer();

    const connection = rawConnection(patient.server.port, text("GET", "/livez") + own);
    connection.socket.end();
    await connection.answer();
    const { sessions } = patient.node.staleView().state;
    await until(() => sessions.has("pipelined-session-1"));

    await patient.close();
  });

  it("in a body that a GET does not read is not executed either", async () => {
    const bytes = Buffer.from(
      `GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: ${hidden.length}\r\nConnection: close\r\n\r\n${hidden}`,
    );

    check(await send(bytes, false), bytes);

    expect(server.node.staleView().state.sessions.has("smuggled-session-1")).toBe(false);
  });
});

describe("chunks that lie", () => {
  const head =
    "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  it.each([
    ["longer than any number", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"],
    ["a negative length", "-2\r\n{}\r\n0\r\n\r\n"],
    ["a length in decimal with a sign", "+2\r\n{}\r\n0\r\n\r\n"],
    ["a prefix", "0x2\r\n{}\r\n0\r\n\r\n"],
    ["longer than it says", "2\r\n{}{}\r\n0\r\n\r\n"],
    ["no end of line", "2{}\r\n0\r\n\r\n"],
    ["an extension without end", `2;${"a".repeat(20_000)}\r\n{}\r\n0\r\n\r\n`],
    ["bare line feeds", "2\n{}\n0\n\n"],
    ["a NUL in an extension", "2;\0\r\n{}\r\n0\r\n\r\n"],
  ])("%s: no session is opened", async (_what, body) => {
    const before = server.node.staleView().state.sessions.size;
    const bytes = Buffer.from(head + body, "latin1");

    const received = await send(bytes, false);

    check(received, bytes);
    expect(received).not.toContain("HTTP/1.1 2");
    expect(server.node.staleView().state.sessions.size).toBe(before);
  });

  it("more than a body may have are refused, however small each one is", async () => {
    const patient = await startServer();
    const chunks = `${head}${"1\r\n \r\n".repeat(70_000)}0\r\n\r\n`;

    expect(await rawConnection(patient.server.port, chunks).answer()).toContain("413 Payload Too Large");
    await patient.close();
  });
});
