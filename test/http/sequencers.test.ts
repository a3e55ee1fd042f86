/** POST /v1/sequencers:check: every status there is, and what is malformed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSequencer, parseSequencer } from "../../src/api/sequencer.ts";
import { type Answer, type Json, type Running, startServer, until } from "./harness.ts";

let server: Running;
let names = 0;
let mine: string;

beforeAll(async () => {
  server = await startServer();
  mine = await server.openSession();
});

afterAll(() => server.close());

interface Held {
  readonly name: string;
  readonly claimId: string;
  readonly fence: number;
  readonly sequencer: string;
}

async function hold(fields: object, sessionId = mine): Promise<Held> {
  const claimId = `seq-${++names}`;
  const { body } = await server.request("POST", "/v1/claims", { sessionId, claimId, ...fields });
  const [resource] = body["resources"] as { lock?: string; semaphore?: string; sequencer: string }[];
  const { lock = "", semaphore = lock, sequencer = "" } = resource ?? {};
  return { name: semaphore, claimId, fence: body["fence"] as number, sequencer };
}

const release = (claimId: string): Promise<Answer> =>
  server.request("DELETE", `/v1/claims/${claimId}`, { sessionId: mine });

async function check(...sequencers: readonly string[]): Promise<readonly Json[]> {
  const { status, body } = await server.request("POST", "/v1/sequencers:check", { sequencers });
  expect([status, Object.keys(body)]).toEqual([200, ["results", "revision"]]);
  return body["results"] as readonly Json[];
}

describe("a sequencer is", () => {
  it("current while its claim holds that name in that mode under that fence", async () => {
    const lock = await hold({ lock: "current/lock" });
    const shared = await hold({ lock: "current/shared", mode: "shared" });
    const permits = await hold({ semaphore: "current:pool", permits: 2, capacity: 3 });

    const results = await check(lock.sequencer, shared.sequencer, permits.sequencer);

    expect(results).toEqual(
      [lock, shared, permits].map(({ name, fence }) => ({
        status: "current",
        name,
        fence,
        currentFence: fence,
      })),
    );
  });

  it("released after its holder gave it up", async () => {
    const { claimId, sequencer, name, fence } = await hold({ lock: "released" });
    await release(claimId);

    expect(await check(sequencer)).toEqual([{ status: "released", name, fence }]);
  });

  it("expired when it ended without its holder", async () => {
    const { claimId, sequencer, name, fence } = await hold({ lock: "expired", maxHoldMs: 20 });
    await until(() => server.node.staleView().state.claims.get(claimId)?.state === "ended");

    expect(await check(sequencer)).toEqual([{ status: "expired", name, fence }]);
  });

  it("superseded when a later grant that excludes it is known, with the newest fence", async () => {
    const first = await hold({ lock: "superseded" });
    await release(first.claimId);
    const second = await hold({ lock: "superseded" });

    expect(await check(first.sequencer, second.sequencer)).toEqual([
      { status: "superseded", name: "superseded", fence: first.fence, currentFence: second.fence },
      { status: "current", name: "superseded", fence: second.fence, currentFence: second.fence },
    ]);
  });

  it("not superseded among readers, nor among holders of permits", async () => {
    const readers = [
      await hold({ lock: "readers", mode: "shared" }),
      await hold({ lock: "readers", mode: "shared" }),
    ];
    const holders = [await hold({ semaphore: "holders", capacity: 2 }), await hold({ semaphore: "holders" })];

    const results = await check(...[...readers, ...holders].map(({ sequencer }) => sequencer));

    expect(results.map(({ status }) => status)).toEqual(["current", "current", "current", "current"]);
    expect(results[0]?.["currentFence"]).toBe(readers[1]?.fence);
  });

  it("unknown when it is of another cluster, or of what nobody remembers", async () => {
    const { claimId, name, fence } = await hold({ lock: "unknown" });
    const fields = { clusterId: "test-cluster", mode: "exclusive", fence, claimId, name } as const;

    const results = await check(
      encodeSequencer({ ...fields, clusterId: "another-cluster" }),
      encodeSequencer({ ...fields, claimId: "never-was" }),
      encodeSequencer({ ...fields, name: "elsewhere" }),
      encodeSequencer({ ...fields, fence: fence + 1 }),
      encodeSequencer({ ...fields, mode: "permits" }),
    );

    expect(results).toEqual([
      { status: "unknown", name, fence },
      { status: "unknown", name, fence, currentFence: fence },
      { status: "unknown", name: "elsewhere", fence },
      { status: "unknown", name, fence: fence + 1, currentFence: fence },
      { status: "unknown", name, fence, currentFence: fence },
    ]);
  });

  it("malformed when it was cut off, changed, of another version, or never one", async () => {
    const { sequencer } = await hold({ lock: "malformed" });
    const bad = [
      "",
      "hf1",
      "hf1..00000000",
      "not a sequencer",
      "\ud83d",
      sequencer.slice(0, -1),
      sequencer.slice(1),
      `${sequencer}0`,
      ` ${sequencer}`,
      sequencer.replace("hf1.", "hf2."),
      sequencer.toUpperCase(),
      sequencer.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")),
      sequencer.replace(/^hf1\.(.)/, (_all, letter: string) => `hf1.${letter === "A" ? "B" : "A"}`),
      "x".repeat(4_096),
    ];

    const results = await check(...bad);

    expect(results).toEqual(bad.map(() => ({ status: "malformed" })));
  });
});

describe("a check", () => {
  it.each([
    [{}],
    [{ sequencers: [] }],
    [{ sequencers: [1] }],
    [{ sequencers: "hf1." }],
    [{ sequencers: ["x".repeat(4_097)] }],
    [{ sequencers: ["a"], strict: true }],
    [{ sequencers: Array.from({ length: 65 }, () => "a") }],
  ])("of %j is refused", async (body) => {
    const answer = await server.request("POST", "/v1/sequencers:check", body);

    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid"]);
  });

  it("takes 64 at once, of the longest names, and answers in their order", async () => {
    const held = await hold({ lock: "🔒".repeat(128), claimId: "c".repeat(64) });

    const results = await check(...Array.from({ length: 64 }, (_, i) => (i === 7 ? held.sequencer : "x")));

    expect(results.map(({ status }) => status)).toEqual(
      Array.from({ length: 64 }, (_, i) => (i === 7 ? "current" : "malformed")),
    );
    expect(parseSequencer(held.sequencer)?.name).toBe("🔒".repeat(128));
  });

  it("shows nobody's session", async () => {
    const { sequencer } = await hold({ lock: "secret" });
    const text = Buffer.from(sequencer.split(".")[1] ?? "", "base64url").toString();

    expect(JSON.stringify(await check(sequencer))).not.toContain(mine);
    expect(text).toContain("secret");
    expect(text).not.toContain(mine);
  });
});
