/** Shared mode, owners, max-hold, and a session that is killed: how claims stand and end over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Json, type Running, startServer, until } from "./harness.ts";

let server: Running;
let names = 0;

beforeAll(async () => {
  server = await startServer();
});

afterAll(() => server.close());

async function arrange(): Promise<{ lock: string; mine: string; theirs: string; n: number }> {
  const n = ++names;
  const mine = await server.openSession({ label: "mine" });
  return { lock: `modes/${n}`, mine, theirs: await server.openSession({ label: "theirs" }), n };
}

const acquire = (lock: string, body: object): Promise<Answer> =>
  server.request("POST", `/v1/locks/${lock}:acquire`, body);
const look = (lock: string): Promise<Answer> => server.request("GET", `/v1/locks/${lock}`);
const release = (claimId: string, sessionId: string): Promise<Answer> =>
  server.request("DELETE", `/v1/claims/${claimId}`, undefined, { "holdfast-session": sessionId });

async function refOf(sessionId: string): Promise<string> {
  return String((await server.request("GET", `/v1/sessions/${sessionId}`)).body["sessionRef"]);
}

async function ended(claimId: string): Promise<void> {
  await until(() => server.node.staleView().state.claims.get(claimId)?.state === "ended");
}

function codeOf({ status, body }: Answer): readonly unknown[] {
  return [status, body["code"]];
}

describe("shared mode", () => {
  it("lets readers in together and shows each of them", async () => {
    const { lock, mine, theirs, n } = await arrange();

    const first = await acquire(lock, { sessionId: mine, claimId: `a-${n}`, mode: "shared" });
    const second = await acquire(lock, {
      sessionId: theirs,
      claimId: `b-${n}`,
      mode: "shared",
      owner: "job",
    });
    const { body } = await look(lock);

    expect([first.status, second.status]).toEqual([200, 200]);
    expect(first.body["resources"]).toEqual([{ lock, mode: "shared", sequencer: expect.any(String) }]);
    expect(body).toEqual({
      lock,
      state: "held",
      mode: "shared",
      holders: [
        {
          claimId: `a-${n}`,
          sessionRef: first.body["sessionRef"],
          label: "mine",
          fence: first.body["fence"],
          heldMs: expect.any(Number),
          metadata: {},
        },
        {
          claimId: `b-${n}`,
          sessionRef: second.body["sessionRef"],
          owner: "job",
          label: "theirs",
          fence: second.body["fence"],
          heldMs: expect.any(Number),
          metadata: {},
        },
      ],
      queue: [],
      queueLength: 0,
      revision: expect.any(Number),
    });
    expect(JSON.stringify([first.body, second.body, body])).not.toMatch(new RegExp(`${mine}|${theirs}`));
  });

  it("waits behind a writer that waits, and a batch of readers is let in by one release", async () => {
    const { lock, mine, theirs, n } = await arrange();
    await acquire(lock, { sessionId: theirs, claimId: `r-${n}`, mode: "shared" });
    const waiting = { waitMs: 60_000, onDisconnect: "keep" };
    const writer = acquire(lock, { ...waiting, sessionId: mine, claimId: `w-${n}` });
    await until(() => server.node.staleView().state.claims.get(`w-${n}`)?.state === "waiting");
    const tried = await acquire(lock, { sessionId: theirs, mode: "shared" });
    for (const id of ["s", "t"]) {
      await acquire(lock, {
        ...waiting,
        sessionId: theirs,
        claimId: `${id}-${n}`,
        mode: "shared",
        pollMs: 0,
      });
    }
    const queued = await look(lock);
    await release(`r-${n}`, theirs);
    const written = await writer;

    await release(`w-${n}`, mine);
    const shown = await look(lock);

    expect([...codeOf(tried), tried.body["reason"]]).toEqual([423, "locked", "queue-ahead"]);
    expect((queued.body["queue"] as Json[]).map(({ claimId, mode }) => [claimId, mode])).toEqual([
      [`w-${n}`, "exclusive"],
      [`s-${n}`, "shared"],
      [`t-${n}`, "shared"],
    ]);
    expect(written.body["resources"]).toMatchObject([{ mode: "exclusive" }]);
    expect(shown.body).toMatchObject({ mode: "shared", holders: [{}, {}], queueLength: 0 });
  });

  it("is part of what a claim id stands for", async () => {
    const { lock, mine, n } = await arrange();
    await acquire(lock, { sessionId: mine, claimId: `a-${n}`, mode: "shared" });

    expect((await acquire(lock, { sessionId: mine, claimId: `a-${n}`, mode: "shared" })).status).toBe(200);
    expect(codeOf(await acquire(lock, { sessionId: mine, claimId: `a-${n}` }))).toEqual([
      409,
      "claim-conflict",
    ]);
  });
});

describe("an owner", () => {
  it("that holds a lock is told so, with the claim; another owner is refused as anybody", async () => {
    const { lock, mine, n } = await arrange();
    const held = await acquire(lock, { sessionId: mine, claimId: `a-${n}`, owner: "me" });

    const again = await acquire(lock, { sessionId: mine, claimId: `b-${n}`, owner: "me" });
    const reader = await acquire(lock, { sessionId: mine, mode: "shared", owner: "me" });
    const other = await acquire(lock, { sessionId: mine, owner: "you" });

    expect(held.body["owner"]).toBe("me");
    for (const answer of [again, reader]) expect(codeOf(answer)).toEqual([409, "already-held"]);
    expect(again.body).toMatchObject({
      claimId: `a-${n}`,
      claim: { state: "held", fence: held.body["fence"] },
    });
    expect([...codeOf(other), other.body["blockedBy"]]).toMatchObject([423, "locked", [{ owner: "me" }]]);
  });

  it("waits for one thing at a time", async () => {
    const { lock, mine, theirs, n } = await arrange();
    await acquire(lock, { sessionId: theirs });
    const waiting = { sessionId: mine, waitMs: 60_000, pollMs: 0, onDisconnect: "keep", owner: "me" };
    const first = await acquire(lock, { ...waiting, claimId: `a-${n}` });

    const same = await acquire(lock, { ...waiting, claimId: `a-${n}` });
    const second = await acquire(`${lock}-other`, { ...waiting, claimId: `b-${n}` });
    const other = await acquire(lock, { ...waiting, claimId: `c-${n}`, owner: "you" });

    expect([first.status, same.status, other.status]).toEqual([202, 202, 202]);
    expect(first.body["owner"]).toBe("me");
    expect(codeOf(second)).toEqual([409, "already-waiting"]);
    expect(second.body).toMatchObject({ claimId: `a-${n}`, claim: { state: "waiting", position: 1 } });
  });

  it("is part of what a claim id stands for", async () => {
    const { lock, mine, n } = await arrange();
    await acquire(lock, { sessionId: mine, claimId: `a-${n}`, owner: "me" });

    expect(codeOf(await acquire(lock, { sessionId: mine, claimId: `a-${n}`, owner: "you" }))).toEqual([
      409,
      "claim-conflict",
    ]);
  });
});

describe("a max-hold", () => {
  it("is shown while it runs, and ends the hold whatever is renewed", async () => {
    const { lock, mine, theirs, n } = await arrange();
    const held = await acquire(lock, { sessionId: mine, claimId: `a-${n}`, maxHoldMs: 60, lockDelayMs: 0 });
    const { body: renewed } = await server.request("POST", `/v1/sessions/${mine}:keepalive`);
    await ended(`a-${n}`);

    const tried = await acquire(lock, { sessionId: theirs });
    const released = await release(`a-${n}`, mine);
    const again = await acquire(lock, { sessionId: mine, claimId: `a-${n}`, maxHoldMs: 60 });
    const told = await server.request("POST", `/v1/sessions/${mine}:keepalive`);
    const seen = await server.request("POST", `/v1/sessions/${mine}:keepalive`, {
      seen: told.body["revision"],
    });
    const after = await acquire(lock, { sessionId: theirs });

    expect(held.body["maxHoldLeftMs"]).toBeGreaterThan(0);
    expect(held.body["maxHoldLeftMs"]).toBeLessThanOrEqual(60);
    expect(renewed["ended"]).toEqual([]);
    // The session has not said that it stopped believing.
    expect([...codeOf(tried), tried.body["reason"]]).toEqual([423, "locked", "hand-back"]);
    expect(tried.body["availableInMs"]).toBeGreaterThan(0);
    expect([...codeOf(released), released.body["reason"]]).toEqual([409, "claim-lost", "max-hold"]);
    expect(codeOf(again)).toEqual([409, "claim-lost"]);
    expect(told.body["ended"]).toEqual([
      { claimId: `a-${n}`, reason: "max-hold", revision: expect.any(Number) },
    ]);
    expect(seen.body["ended"]).toEqual([]);
    expect(after.status).toBe(200);
  });

  it("shows the lock as delayed while it is handed back", async () => {
    const { lock, mine, n } = await arrange();
    await acquire(lock, { sessionId: mine, claimId: `a-${n}`, maxHoldMs: 20, lockDelayMs: 0 });
    await ended(`a-${n}`);

    const { body } = await look(lock);

    expect(body).toMatchObject({ state: "delayed", holders: [], availableInMs: expect.any(Number) });
    expect(body).not.toHaveProperty("mode");
  });

  it("may be a year and no longer", async () => {
    const { lock, mine } = await arrange();
    const year = 31_536_000_000;

    expect(codeOf(await acquire(lock, { sessionId: mine, maxHoldMs: year + 1 }))).toEqual([422, "invalid"]);
    expect((await acquire(lock, { sessionId: mine, maxHoldMs: year })).status).toBe(200);
  });
});

describe("killing a session", () => {
  const kill = (ref: string, body: unknown = { reason: "stuck" }): Promise<Answer> =>
    server.request("POST", `/v1/sessions/${ref}:kill`, body);

  it("is by its ref, says why, and the same again", async () => {
    const { lock, mine, theirs, n } = await arrange();
    const ref = await refOf(mine);
    await acquire(lock, { sessionId: mine, claimId: `a-${n}`, lockDelayMs: 0 });
    const waiting = acquire(lock, { sessionId: theirs, claimId: `b-${n}`, waitMs: 60_000 });
    await until(() => server.node.staleView().state.claims.get(`b-${n}`)?.state === "waiting");

    const killed = await kill(ref, { reason: "hangs since noon" });
    const again = await kill(ref, { reason: "once more" });
    const tried = await acquire(lock, { sessionId: theirs });
    const kept = await server.request("POST", `/v1/sessions/${mine}:keepalive`);
    const lost = await release(`a-${n}`, mine);

    expect([killed.status, killed.body]).toEqual([
      200,
      {
        sessionRef: ref,
        state: "ended",
        reason: "killed",
        note: "hangs since noon",
        endedAt: expect.stringMatching(/Z$/),
        revision: expect.any(Number),
      },
    ]);
    expect([again.status, again.body]).toEqual([200, killed.body]);
    // It may believe until its lease is over: nobody is let in before.
    expect([...codeOf(tried), tried.body["reason"]]).toEqual([423, "locked", "hand-back"]);
    expect([...codeOf(kept), kept.body["ended"]]).toEqual([410, "session-expired", killed.body]);
    expect([...codeOf(lost), lost.body["reason"]]).toEqual([409, "claim-lost", "session-killed"]);
    expect(JSON.stringify([killed.body, again.body, kept.body])).not.toContain(mine);
    await release(`b-${n}`, theirs);
    await waiting;
  });

  it("tells whoever waits in that session", async () => {
    const { lock, mine, theirs, n } = await arrange();
    await acquire(lock, { sessionId: theirs });
    const waiting = acquire(lock, { sessionId: mine, claimId: `a-${n}`, waitMs: 60_000 });
    await until(() => server.node.staleView().state.claims.get(`a-${n}`)?.state === "waiting");

    await kill(await refOf(mine));

    expect([...codeOf(await waiting), (await waiting).body["ended"]]).toMatchObject([
      410,
      "session-expired",
      { reason: "killed", note: "stuck" },
    ]);
  });

  it("needs a ref that is known, and a reason that can be shown", async () => {
    const { mine } = await arrange();
    const ref = await refOf(mine);

    expect(codeOf(await kill("0123456789abcdef"))).toEqual([404, "not-found"]);
    expect(codeOf(await kill("short"))).toEqual([422, "invalid"]);
    for (const body of [
      {},
      { reason: "" },
      { reason: "a\nb" },
      { reason: "x".repeat(257) },
      { reason: "a", force: true },
      { reason: 7 },
    ]) {
      expect([body, ...codeOf(await kill(ref, body))]).toEqual([body, 422, "invalid"]);
    }
    expect((await server.request("POST", `/v1/sessions/${mine}:keepalive`)).status).toBe(200);
  });

  it("is not by the id: that is its client's, who closes it", async () => {
    const { mine } = await arrange();

    expect(codeOf(await kill(mine))).toEqual([404, "not-found"]);
  });

  it("of a session that was closed says that it is gone", async () => {
    const { mine } = await arrange();
    const ref = await refOf(mine);
    await server.request("DELETE", `/v1/sessions/${mine}`);

    expect(codeOf(await kill(ref))).toEqual([410, "session-expired"]);
  });
});
