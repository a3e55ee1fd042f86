import { afterEach, describe, expect, test } from "vitest";
import { createHttpClient } from "../../src/cli/http-client.ts";
import { adoptLease, openLease } from "../../src/cli/lease.ts";
import { createStub, type Stub, type StubAnswer } from "./stub.ts";

let stub: Stub | undefined;

afterEach(async () => {
  await stub?.close();
  stub = undefined;
});

const session = { sessionRef: "3f9a", leaseMs: 60_000, renewAfterMs: 1, ended: [] };

async function lease(answers: readonly StubAnswer[]) {
  stub = await createStub((_, count) => answers[count - 1] ?? answers.at(-1) ?? "silence");
  const client = createHttpClient({ endpoints: [stub.origin], timeoutMs: 20_000 });
  const signal = new AbortController().signal;
  return openLease(client, { ttlMs: undefined, label: "me", signal });
}

const never = () => new AbortController().signal;

describe("a lease", () => {
  test("names its session itself, so that a repeated request finds the same one", async () => {
    const own = await lease([
      { status: 503, body: { code: "indeterminate", retryAfterMs: 1 } },
      { status: 201, body: session },
    ]);

    expect(own).toMatchObject({ isOwn: true, sessionRef: "3f9a" });
    expect(stub?.asked.map(({ body }) => JSON.parse(body))).toEqual([
      { sessionId: own.sessionId, label: "me" },
      { sessionId: own.sessionId, label: "me" },
    ]);
    expect(own.leftMs()).toBeGreaterThan(0);
  });

  test("renews again and again, until it is told to stop", async () => {
    const own = await lease([{ status: 201, body: session }]);
    const controller = new AbortController();
    const kept = own.keep(() => "c_1", controller.signal);
    while ((stub?.asked.length ?? 0) < 4) await new Promise((resolve) => setTimeout(resolve, 1));

    controller.abort();

    expect(await kept).toBeUndefined();
    expect(stub?.asked.slice(1).every(({ url }) => url === `/v1/sessions/${own.sessionId}:keepalive`)).toBe(
      true,
    );
  });

  test("is over when the cluster says that the session has ended", async () => {
    const own = await lease([
      { status: 201, body: session },
      { status: 410, body: { code: "session-expired", detail: "Gone." } },
    ]);

    expect(await own.keep(() => undefined, never())).toEqual({ kind: "session-ended", detail: "Gone." });
  });

  test("is over when the watched claim was ended by somebody else, and not for another one", async () => {
    const ended = (claimId: string): StubAnswer => ({
      status: 200,
      body: { ...session, ended: [{ claimId, reason: "revoked", revision: 1 }] },
    });
    const own = await lease([{ status: 201, body: session }, ended("c_2"), ended("c_1")]);

    expect(await own.keep(() => "c_1", never())).toEqual({ kind: "claim-ended", reason: "revoked" });
    expect(stub?.asked).toHaveLength(3);
  });

  test("lapses when no renewal is answered in time; then nothing is renewed or closed any more", async () => {
    const own = await lease([{ status: 201, body: { ...session, leaseMs: 600 } }, "silence"]);

    expect(await own.keep(() => undefined, never())).toEqual({ kind: "lapsed" });
    const asked = stub?.asked.length;
    expect(own.leftMs()).toBe(0);
    expect(await own.renew(undefined)).toEqual({ kind: "lapsed" });
    await own.close();

    expect(stub?.asked.length).toBe(asked);
  });

  test("counts from the sending: an answer that took too long renews nothing", async () => {
    const own = await lease([
      { status: 201, body: { ...session, leaseMs: 0 } },
      { status: 200, body: session },
    ]);

    expect(own.leftMs()).toBe(0);
    expect(await own.renew(undefined)).toEqual({ kind: "lapsed" });
  });

  test("of somebody else's session is renewed, never closed", async () => {
    stub = await createStub(() => ({ status: 200, body: session }));
    const client = createHttpClient({ endpoints: [stub.origin], timeoutMs: 5000 });

    const borrowed = await adoptLease(client, "s".repeat(16), never());
    await borrowed.close();

    expect(borrowed.isOwn).toBe(false);
    expect(stub.asked.map(({ method, url }) => [method, url])).toEqual([
      ["POST", `/v1/sessions/${"s".repeat(16)}:keepalive`],
    ]);
  });
});
