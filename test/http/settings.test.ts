/** /v1/cluster/settings: look and change, all or none. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultSettings, settingBounds, settingNames } from "../../src/locks/settings.ts";
import { type Answer, type Running, startServer } from "./harness.ts";

let server: Running;

beforeAll(async () => {
  server = await startServer();
});

afterAll(() => server.close());

const put = (body: unknown): Promise<Answer> => server.request("PUT", "/v1/cluster/settings", body);
const get = (): Promise<Answer> => server.request("GET", "/v1/cluster/settings");

describe("the settings", () => {
  it("are shown whole, with the revision, and the same in the view of the cluster", async () => {
    const { status, body, headers } = await get();
    const cluster = await server.request("GET", "/v1/cluster");

    expect(status).toBe(200);
    expect(body).toEqual({
      settings: { ...defaultSettings, electionTimeoutMaxMs: 100 },
      revision: Number(headers["holdfast-revision"]),
    });
    expect(cluster.body["settings"]).toEqual(body["settings"]);
  });

  it("change as named, the others stay; again the same", async () => {
    const before = await get();

    const changed = await put({ lockDelayMs: 2_000, waitMsMax: 70_000 });
    const again = await put({ lockDelayMs: 2_000, waitMsMax: 70_000 });

    const expected = { ...(before.body["settings"] as object), lockDelayMs: 2_000, waitMsMax: 70_000 };
    expect([changed.status, changed.body["settings"]]).toEqual([200, expected]);
    expect([again.status, again.body["settings"]]).toEqual([200, expected]);
    expect((await get()).body["settings"]).toEqual(expected);
  });

  it("are in force at once, and what was granted stays granted", async () => {
    const sessionId = await server.openSession();
    const acquire = { sessionId, claimId: "long", lock: "long", waitMs: 60_000 };
    await server.request("POST", "/v1/claims", acquire);

    await put({ waitMsMax: 1_000 });
    const refused = await server.request("POST", "/v1/claims", { ...acquire, claimId: "later" });

    expect([refused.status, refused.body["code"]]).toEqual([422, "invalid"]);
    expect((await server.request("GET", "/v1/locks/long")).body["state"]).toBe("held");
    await put({ waitMsMax: defaultSettings.waitMsMax });
  });

  it.each([
    [{}, undefined],
    [[], undefined],
    [{ lockDelay: 1 }, "/lockDelay"],
    [{ toString: 1 }, "/toString"],
    [{ lockDelayMs: -1 }, "/lockDelayMs"],
    [{ lockDelayMs: 1.5 }, "/lockDelayMs"],
    [{ lockDelayMs: "1" }, "/lockDelayMs"],
    [{ lockDelayMs: null }, "/lockDelayMs"],
    [{ lockDelayMs: 60_001 }, "/lockDelayMs"],
    [{ sweepBudget: 0 }, "/sweepBudget"],
    // Each is allowed by itself, together they are not.
    [{ lockDelayMs: 30_000, lockDelayMsMax: 10_000 }, "/lockDelayMs"],
    [{ claims: 1 }, "/claimsPerSession"],
  ])("refuse %j, all or nothing", async (body, path) => {
    const before = await get();

    const answer = await put({
      ...(Array.isArray(body) || Object.keys(body).length === 0 ? {} : { tombstones: 77 }),
      ...body,
    });

    expect([answer.status, answer.body["code"]]).toEqual([422, "invalid"]);
    const [error] = answer.body["errors"] as { path: string }[];
    if (path !== undefined) expect(error?.path).toBe(path);
    expect((await get()).body["settings"]).toEqual(before.body["settings"]);
  });

  it("may each be set to either of its bounds, where the others allow it", async () => {
    const running = await startServer();
    for (const name of settingNames) {
      const { body } = await running.request("GET", "/v1/cluster/settings");
      const old = (body["settings"] as Record<string, number>)[name];
      for (const value of [settingBounds[name].min, settingBounds[name].max, old]) {
        const { status } = await running.request("PUT", "/v1/cluster/settings", { [name]: value });
        expect([name, value, [200, 422].includes(status)]).toEqual([name, value, true]);
      }
    }
    expect((await running.request("GET", "/livez")).status).toBe(200);
    await running.close();
  });
});
