/**
 * Anything at all, through every part of the server but the socket: wrong types in every field of every schema, names of
 * every kind, and random requests. Seeded: `HTTP_SEED` replays; a failure names its request.
 */
import type { FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorCodes } from "../../src/api/errors.ts";
import { decodePathPart, isWellFormed, lockNameFault } from "../../src/api/names.ts";
import { templateOf } from "../../src/api/openapi.ts";
import { routeIds, routeOf } from "../../src/api/routes.ts";
import { batchOperations, type Schema } from "../../src/api/schemas.ts";
import { createPrng } from "../../src/base/prng.ts";
import { expectDocumented, metAnswers } from "./documented.ts";
import { appFor, type Member, startMember, until } from "./harness.ts";

const seed = Number(process.env["HTTP_SEED"] ?? 20_000);
const session = "a-session-of-mine";
const bugs: unknown[] = [];
const statuses = new Map<number, number>();
let inputs = 0;
let member: Member;
let app: FastifyInstance;

beforeAll(async () => {
  member = startMember();
  await until(() => member.node.status().isServing);
  app = appFor(member.node, { internalError: (error) => bugs.push(error) }).app;
  await app.inject({
    method: "POST",
    url: "/v1/sessions",
    payload: { sessionId: session, ttlMs: 86_400_000 },
  });
});

afterAll(async () => {
  console.log(`hostile requests without a socket: ${inputs} (seed ${seed})`);
  expect(bugs).toEqual([]);
  // Different answers of different routes: what was tried was not all the same.
  expect(metAnswers().size).toBeGreaterThan(60);
  expect(statuses.has(500)).toBe(false);
  expect((await app.inject("/readyz")).statusCode).toBe(200);
  await app.close();
  member.stop();
});

/** Asks, and holds the answer to the catalogue and the document. */
async function ask(
  method: string,
  url: string,
  payload?: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  inputs++;
  const answer = await app.inject({
    method: method as "GET",
    url,
    headers: { ...(payload === undefined ? undefined : { "content-type": "application/json" }), ...headers },
    ...(payload === undefined ? undefined : { payload }),
  });
  const status = answer.statusCode;
  statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const request = `HTTP_SEED=${seed}: ${method} ${url} ${payload?.slice(0, 300)}`;
  try {
    const body = answer.json();
    expectDocumented(method, url, { status, body });
    if (status >= 300) expect(errorCodes).toContain(body.code);
    expect(status).not.toBe(500);
  } catch (error) {
    throw new Error(request, { cause: error });
  }
  return status;
}

// ---- every field of every schema -----------------------------------------------------------------------------------

const wrong: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  -0,
  0.5,
  1e21,
  1e308,
  Number.MAX_SAFE_INTEGER + 1,
  "",
  "1",
  "a b",
  "\u0000",
  "\ud800",
  "é".repeat(300),
  "x".repeat(5_000),
  [],
  [null],
  [[[]]],
  {},
  { a: null },
  { length: 1 },
];

/** Whether a value is what a schema asks for, as far as these schemas go; only to know what must be refused. */
function hasType({ type }: Schema, value: unknown): boolean {
  if (type === "integer") return typeof value === "number" && Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}

/** A sound value of each required field, so that one field alone is wrong. */
const sound: Readonly<Record<string, unknown>> = {
  permits: 1,
  reason: "r",
  capacity: 1,
  sequencers: ["x"],
  operations: [{ op: "get", claimId: "c" }],
  claimId: "c",
  sessionId: session,
};

function urlOf(template: string): string {
  return template.replace("{name}", "fuzz").replace("{id}", "a-session-to-close");
}

describe("a wrong value in any field", () => {
  const withBody = routeIds.filter((id) => routeOf(id).body !== undefined);

  it.each(withBody)("of %s is refused by type, and never a bug", async (id) => {
    const { body = {}, method } = routeOf(id);
    const url = urlOf(templateOf(routeOf(id)));
    const required = Object.fromEntries((body.required ?? []).map((name) => [name, sound[name]]));
    for (const [name, schema] of Object.entries({ ...body.properties, unknownField: {} as Schema })) {
      for (const value of wrong) {
        const payload = { pollMs: 0, ...required, [name]: value };
        // Only an acquire has a pollMs.
        if (body.properties?.["pollMs"] === undefined) Reflect.deleteProperty(payload, "pollMs");
        const status = await ask(method, url, JSON.stringify(payload), { "holdfast-session": session });
        const isWrong = schema.type === undefined || !hasType(schema, JSON.parse(JSON.stringify(value)));
        if (isWrong) expect([id, name, value, status]).toEqual([id, name, value, 422]);
      }
    }
    for (const value of wrong) await ask(method, url, JSON.stringify(value), { "holdfast-session": session });
  });

  it.each(Object.keys(batchOperations))("of the operation %s fails alone", async (op) => {
    const schema = batchOperations[op] ?? {};
    for (const name of [...Object.keys(schema.properties ?? {}), "unknownField"]) {
      for (const value of wrong) {
        const operation = { op, sessionId: session, claimId: "c", lock: "fuzz", [name]: value };
        expect(await ask("POST", "/v1/batch", JSON.stringify({ operations: [operation] }))).toBe(200);
      }
    }
  });

  it.each(routeIds.filter((id) => Object.keys(routeOf(id).query.properties ?? {}).length > 0))(
    "of the query of %s is refused or understood",
    async (id) => {
      const { method, query } = routeOf(id);
      const texts = [
        "",
        "0",
        "-1",
        "1e3",
        "0x1",
        " 1",
        "１",
        "%00",
        "%20",
        "%ED%A0%80",
        "%",
        "stale",
        "held",
        "*",
        "A".repeat(2_000),
        "a&a=b",
        "[]",
        "%F0%9F%94%92",
      ];
      for (const name of [...Object.keys(query.properties ?? {}), "unknown", "__proto__", "constructor"]) {
        for (const text of texts)
          await ask(method, `${urlOf(templateOf(routeOf(id)))}?pollMs=0&${name}=${text}`);
      }
    },
  );
});

// ---- names ---------------------------------------------------------------------------------------------------------

describe("names of every kind", () => {
  const pieces = [
    "a",
    "/",
    ":",
    ".",
    "..",
    "_",
    "\\",
    "%",
    "%2F",
    "#",
    "?",
    "&",
    "=",
    "+",
    " ",
    "\t",
    "\u0000",
    "\u007f",
    "\u0085",
    "\u00a0",
    "\u00ad",
    "\u200b",
    "\u200d",
    "\u202e",
    "\u2028",
    "\ufeff",
    "\uff0f",
    "\u2215",
    "\u2024",
    "e\u0301",
    "é",
    "\u212b",
    "ﬁ",
    "🔒",
    "👩‍💻",
    "名",
    "ß",
    "İ",
    "\ud800",
    "\udc00",
    "acquire",
    "x".repeat(200),
    "null",
    "constructor",
    "__proto__",
  ];

  it("mean the same in a path and in a body, and are refused there by the same rule", async () => {
    const random = createPrng(seed, "names");
    for (let i = 0; i < 2_000; i++) {
      const name = Array.from({ length: random.between(1, 4) }, () => random.pick(pieces)).join("");
      const isName = lockNameFault(name) === undefined;

      const inBody = await ask(
        "POST",
        "/v1/claims",
        JSON.stringify({ sessionId: session, claimId: `n-${i}`, lock: name }),
      );
      expect([name, inBody === 422]).toEqual([name, !isName]);
      // No URL can carry the one, and URL libraries eat the others.
      if (!isWellFormed(name) || name === "." || name === "..") continue;
      const inPath = await ask("GET", `/v1/locks/${encodeURIComponent(name)}`);
      expect([name, inPath]).toEqual([name, isName ? 200 : 422]);
      if (!isName) continue;
      const held = member.node.staleView().state.resources.has(name);
      expect([name, held]).toEqual([name, true]);
      await ask("DELETE", `/v1/claims/n-${i}`, undefined, { "holdfast-session": session });
    }
  });

  it.each([
    "%C0%AF",
    "%ED%A0%80",
    "%F4%90%80%80",
    "%E0%80%AF",
    "%FF",
    "%80",
    "%F0%9F%94",
    "%u0061",
    "%",
    "%4",
  ])("%s is no UTF-8, and no name", async (text) => {
    expect(decodePathPart(text)).toBeUndefined();
    expect(await ask("GET", `/v1/locks/${text}`)).toBe(400);
    expect(await ask("PUT", `/v1/semaphores/${text}`, '{"capacity":1}')).toBe(400);
  });
});

// ---- anything ------------------------------------------------------------------------------------------------------

describe("anything at all", () => {
  const pieces = (
    "/ v1 locks claims sessions semaphores cluster settings sequencers batch livez : acquire keepalive kill shrink check " +
    "transfer-leadership % %2F %3A %00 %E4 %f0%9f%94%92 .. . a _ ? & = # pollMs=0 limit=1 cursor=YQ since=0 consistency=stale " +
    "prefix= state=held \\ ~ + ; aaaaaaaaaaaaaaaaaaaa"
  ).split(" ");
  const starts = [
    "/v1/locks/",
    "/v1/claims",
    "/v1/sessions",
    "/v1/locks/a:acquire",
    "/v1/claims/a",
    "/v1/semaphores/a",
    "/v1/semaphores/a:acquire",
    "/v1/claims/a:shrink",
    "/v1/sequencers:check",
    "/v1/batch",
    "/v1/cluster/settings",
    `/v1/sessions/${session}/claims?pollMs=0`,
    `/v1/sessions/${session}:keepalive`,
    "/openapi.json",
  ];
  const scalars: readonly unknown[] = [
    ...wrong,
    "a",
    "exclusive",
    "keep",
    { a: "b" },
    [{ lock: "a" }],
    [{ op: "get", claimId: "a" }],
  ];
  const fields = (
    "sessionId claimId lock semaphore resources mode permits capacity waitMs pollMs lockDelayMs maxHoldMs owner metadata to " +
    "onDisconnect ttlMs label seen reason operations sequencers constructor toString "
  ).split(" ");

  it("gets an answer of the catalogue, and the node goes on", { timeout: 120_000 }, async () => {
    const random = createPrng(seed, "http-fuzz");
    for (let i = 0; i < 15_000; i++) {
      const length = random.between(0, 12);
      const isKnown = random.chance(0.6);
      const start = isKnown ? random.pick(starts) : "/";
      const url =
        start + Array.from({ length: isKnown ? length >> 2 : length }, () => random.pick(pieces)).join("");
      const body: Record<string, unknown> = {};
      for (let n = random.between(0, 4); n > 0; n--) body[random.pick(fields)] = random.pick(scalars);
      if (random.chance(0.7)) body["pollMs"] = 0;
      const method = random.pick(["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"] as const);
      const payload = random.pick([
        JSON.stringify(body),
        JSON.stringify(random.pick(scalars)),
        "{",
        "",
        "\u0000",
      ]);
      const type = random.pick([
        "application/json",
        "application/json",
        "application/json",
        "text/plain",
        "x",
      ]);
      const presented = random.pick([undefined, session, "a", "\u00e9"]);
      // What `inject` itself cannot send goes over sockets, in fuzz-sockets.test.ts. Nothing here is held.
      if (
        !URL.canParse(url, "http://x") ||
        (method === "GET" && url.includes("/claims") && !url.includes("pollMs=0"))
      )
        continue;
      const header = presented === undefined ? undefined : { "holdfast-session": presented };
      if (method === "GET") await ask(method, url, undefined, header);
      else await ask(method, url, payload, { "content-type": type, ...header });
    }

    // It went everywhere: a run that only met one answer has tried nothing.
    for (const status of [200, 201, 400, 404, 405, 409, 415, 422, 423]) {
      expect([status, statuses.has(status)]).toEqual([status, true]);
    }
  });
});
