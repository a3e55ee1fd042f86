import { afterEach, describe, expect, test } from "vitest";
import { apiFailure } from "../../src/cli/api-failure.ts";
import { CliError } from "../../src/cli/exit-codes.ts";
import { createHttpClient } from "../../src/cli/http-client.ts";
import { createStub, nobodyAt, type Stub, type StubAnswer } from "./stub.ts";

const stubs: Stub[] = [];

afterEach(async () => {
  await Promise.all(stubs.splice(0).map((stub) => stub.close()));
});

async function stub(answer: Parameters<typeof createStub>[0]): Promise<Stub> {
  const made = await createStub(answer);
  stubs.push(made);
  return made;
}

const fine: StubAnswer = { status: 200, body: { ok: true } };
const noLeader: StubAnswer = {
  status: 503,
  body: { code: "no-leader", detail: "No node leads.", retryAfterMs: 5 },
};
const post = {
  method: "POST",
  path: "/v1/locks/a%2Fb:acquire",
  body: { claimId: "c_1", waitMs: 0 },
} as const;

async function failureOf(promise: Promise<unknown>): Promise<CliError["failure"]> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof CliError)) throw new Error(`no CliError: ${String(error)}`);
  return error.failure;
}

describe("the client", () => {
  test("gives the body of an answer unchanged", async () => {
    const { origin } = await stub(() => ({ status: 409, body: '{ "code":  "claim-lost" }' }));

    const answer = await createHttpClient({ endpoints: [origin], timeoutMs: 5000 }).request(post);

    expect(answer).toEqual({ status: 409, text: '{ "code":  "claim-lost" }', body: { code: "claim-lost" } });
  });

  test("follows a 307 with the same method, path, body and session, and stays with the leader", async () => {
    const leader = await stub(() => fine);
    const follower = await stub(() => ({ status: 307, headers: { location: `${leader.origin}/elsewhere` } }));
    const client = createHttpClient({ endpoints: [follower.origin], timeoutMs: 5000 });

    await client.request({ ...post, sessionId: "s".repeat(16) });
    await client.request(post);

    expect(follower.asked).toHaveLength(1);
    expect(leader.asked).toHaveLength(2);
    expect(leader.asked[0]).toEqual(follower.asked[0]);
    expect(leader.asked[0]).toEqual({
      method: "POST",
      url: post.path,
      body: JSON.stringify(post.body),
      session: "s".repeat(16),
    });
  });

  test("repeats a 503 with the very same ids until it is decided", async () => {
    const node = await stub((_, count) => (count < 4 ? noLeader : fine));

    await createHttpClient({ endpoints: [node.origin], timeoutMs: 20_000 }).request(post);

    expect(new Set(node.asked.map(({ body }) => body))).toEqual(new Set([JSON.stringify(post.body)]));
    expect(node.asked).toHaveLength(4);
  });

  test("goes on to the next node when one is gone, hangs up, is silent or knows no leader", async () => {
    const gone = await nobodyAt();
    const rude = await stub(() => "hang-up");
    const silent = await stub(() => "silence");
    const lost = await stub(() => noLeader);
    const good = await stub(() => fine);
    const endpoints = [gone, rude.origin, silent.origin, lost.origin, good.origin];

    const answer = await createHttpClient({ endpoints, timeoutMs: 30_000, attemptMs: 300 }).request(post);

    expect(answer.status).toBe(200);
    expect([rude, silent, lost, good].map(({ asked }) => asked.length)).toEqual([1, 1, 1, 1]);
  });

  test("comes back to the endpoints when the leader that it was sent to has gone", async () => {
    const dead = await nobodyAt();
    const follower = await stub((_, count) =>
      count === 1 ? { status: 307, headers: { location: `${dead}/` } } : fine,
    );

    const answer = await createHttpClient({ endpoints: [follower.origin], timeoutMs: 20_000 }).request(post);

    expect(answer.status).toBe(200);
    expect(follower.asked).toHaveLength(2);
  });

  test("nobody listening is unreachable, well before the time is over", async () => {
    const endpoints = [await nobodyAt(), await nobodyAt()];

    const failure = await failureOf(createHttpClient({ endpoints, timeoutMs: 600_000 }).request(post));

    expect(failure).toMatchObject({ exitCode: 69, code: "unreachable" });
    expect(failure.detail).toMatch(/connection refused/);
    for (const origin of endpoints) expect(failure.detail).toContain(origin);
  });

  test("no leader is another failure than nobody there", async () => {
    const node = await stub(() => noLeader);

    const failure = await failureOf(
      createHttpClient({ endpoints: [node.origin], timeoutMs: 200 }).request(post),
    );

    expect(failure).toMatchObject({ exitCode: 69, code: "no-leader" });
    expect(failure.detail).toMatch(/No node leads/);
  });

  test("what a node said is not forgotten when the last attempt had no time left", async () => {
    const node = await stub((_asked, count) => (count === 1 ? noLeader : "silence"));

    const failure = await failureOf(
      createHttpClient({ endpoints: [node.origin], timeoutMs: 200 }).request(post),
    );

    expect(failure).toMatchObject({ exitCode: 69, code: "no-leader" });
    expect(node.asked.length).toBeGreaterThan(1);
  });

  test("silence ends with the time, and time that the server may hold a request comes on top", async () => {
    const node = await stub(() => "silence");
    const client = createHttpClient({ endpoints: [node.origin], timeoutMs: 200 });

    const failure = await failureOf(client.request(post));
    expect(failure).toMatchObject({ exitCode: 69, code: "timeout" });

    const slow = await stub(() => fine);
    await createHttpClient({ endpoints: [slow.origin], timeoutMs: 200 }).request({ ...post, heldMs: 10_000 });
    expect(slow.asked).toHaveLength(1);
  });

  test("redirects in a circle are no leader", async () => {
    const circle: Stub = await stub(() => ({ status: 307, headers: { location: circle.origin } }));

    const failure = await failureOf(
      createHttpClient({ endpoints: [circle.origin], timeoutMs: 300 }).request(post),
    );

    expect(failure).toMatchObject({ exitCode: 69, code: "no-leader" });
  });

  test("something that is no node is said at once", async () => {
    const other = await stub(() => ({ status: 200, body: "<html>hello</html>" }));

    const failure = await failureOf(
      createHttpClient({ endpoints: [other.origin], timeoutMs: 60_000 }).request(post),
    );

    expect(failure).toMatchObject({ exitCode: 69, code: "not-holdfast" });
  });

  test("learns where the other members are", async () => {
    const good = await stub(() => fine);
    const node = await stub((_, count) =>
      count === 1 ? { status: 200, body: { members: [{ http: good.origin }, {}] } } : "hang-up",
    );
    const client = createHttpClient({ endpoints: [node.origin], timeoutMs: 20_000 });

    await client.learnMembers();
    const answer = await client.request(post);

    expect(client.endpoints).toEqual([node.origin, good.origin]);
    expect(answer.status).toBe(200);
  });

  test("stops at once when it is told to", async () => {
    const node = await stub(() => "silence");
    const controller = new AbortController();
    const pending = createHttpClient({ endpoints: [node.origin], timeoutMs: 600_000 }).request({
      ...post,
      signal: controller.signal,
    });

    controller.abort("enough");

    await expect(pending).rejects.toBe("enough");
  });
});

describe("what an answer means for the exit code", () => {
  test.each([
    [423, "locked", 75],
    [423, "wait-timeout", 75],
    [409, "deadlock", 75],
    [409, "claim-lost", 90],
    [409, "claim-conflict", 1],
    [401, "unauthenticated", 77],
    [403, "forbidden", 77],
    [403, "not-holder", 77],
    [400, "bad-request", 64],
    [422, "invalid", 64],
    [404, "not-found", 1],
    [410, "session-expired", 1],
    [429, "quota", 1],
    [500, "internal", 1],
  ])("%d %s is %d", (status, code, exitCode) => {
    const body = { code, detail: "Words." };

    const { failure } = apiFailure({ status, text: JSON.stringify(body), body });

    expect(failure).toMatchObject({ exitCode, code, body: JSON.stringify(body) });
  });

  test("a refusal names who is in the way, and never lets his label reach the terminal raw", () => {
    const blockedBy = [
      { claimId: "c", sessionRef: "3f9a", label: "evil\u001b[2J", heldMs: 25_010, metadata: {} },
    ];
    const body = { code: "locked", reason: "held", detail: "name a waitMs", blockedBy, availableInMs: 3400 };

    const { failure } = apiFailure({ status: 423, text: "", body });

    expect(failure.detail).toBe(
      "the lock was not acquired (held)\n  held by evil\ufffd[2J (session 3f9a) for 25s\n  available in 3.4s (lock-delay)",
    );
  });
});
