/** `holdfast run` against a server that says what a test wants: notices, late answers, what is said afterwards. */
import { afterEach, describe, expect, test } from "vitest";
import { endAll, run as runToEnd, start, until } from "./process.ts";
import { type Asked, createStub, type Stub, type StubAnswer } from "./stub.ts";

let stub: Stub | undefined;

afterEach(async () => {
  await endAll();
  await stub?.close();
  stub = undefined;
});

const session = {
  sessionRef: "3f9a",
  ttlMs: 61_000,
  leaseMs: 60_000,
  renewAfterMs: 50,
  revision: 5,
  ended: [],
};
const held = {
  claimId: "3f9a_1",
  state: "held",
  fence: 7,
  resources: [{ lock: "a", mode: "exclusive", sequencer: "hf1.abc" }],
};

type Answers = Partial<
  Record<"open" | "keep" | "acquire" | "release" | "close", (asked: Asked) => StubAnswer>
>;

function kindOf({ method, url }: Asked): keyof Answers | "cluster" {
  if (url.endsWith(":keepalive")) return "keep";
  if (url.endsWith(":acquire")) return "acquire";
  if (url.startsWith("/v1/cluster")) return "cluster";
  if (url.startsWith("/v1/claims/")) return "release";
  return method === "DELETE" ? "close" : "open";
}

async function serve(answers: Answers): Promise<Stub> {
  const usual: Record<keyof Answers | "cluster", StubAnswer> = {
    open: { status: 201, body: session },
    keep: { status: 200, body: session },
    acquire: { status: 200, body: held },
    release: { status: 200, body: { state: "ended", reason: "released" } },
    close: { status: 200, body: {} },
    cluster: { status: 200, body: { members: [], settings: { lockDelayMs: 5000 } } },
  };
  stub = await createStub((asked) => {
    const kind = kindOf(asked);
    return (kind === "cluster" ? undefined : answers[kind]?.(asked)) ?? usual[kind];
  });
  return stub;
}

function words(...more: readonly string[]): readonly string[] {
  return ["run", "--json", "--endpoint", stub?.origin ?? "", "a", ...more];
}

/** The command writes to stderr too. */
function eventsIn(text: string): readonly Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** The notice comes once the command says `ready`, and not before. */
async function runUntilNotice(options: {
  readonly notice: object;
  readonly leaseMs?: number;
  readonly script: string;
  readonly flags?: readonly string[];
}) {
  const { notice, leaseMs = 60_000, script, flags = [] } = options;
  let isTold = false;
  const good = { ...session, leaseMs };
  const { asked } = await serve({
    open: () => ({ status: 201, body: good }),
    keep: () => ({ status: 200, body: isTold ? { ...session, ...notice } : good }),
    release: () => ({ status: 409, body: { code: "claim-lost", detail: "Lost." } }),
  });
  const running = start(words(...flags, "-c", script));
  await running.said("stdout", /ready/);
  isTold = true;
  const ran = await running.ended;
  const lost = eventsIn(ran.stderr).find(({ event }) => event === "lost");
  return { ran, lost, asked };
}

const forever = "echo ready; while :; do sleep 0.05; done";

function endOf(reason: string): object {
  return { revision: 9, ended: [{ claimId: "3f9a_1", reason, revision: 8 }] };
}

describe("a notice that the hold was ended", () => {
  test("ends the command, and only then is acknowledged and the session closed", async () => {
    const script = `trap 'echo cleaned; exit 0' TERM; ${forever}`;

    const { ran, lost, asked } = await runUntilNotice({ notice: endOf("forced"), script });

    expect(ran).toMatchObject({ code: 90, stdout: "ready\ncleaned\n" });
    expect(lost).toMatchObject({ cause: "claim-ended", reason: "forced" });
    const last = asked.slice(-2).map(({ method, body }) => [method, body]);
    expect(last).toEqual([
      ["POST", '{"seen":9}'],
      ["DELETE", ""],
    ]);
    expect(asked.filter(({ body }) => body.includes("seen"))).toHaveLength(1);
  });

  test("leaves no more time than the deadline that was known before it, whatever --grace says", async () => {
    const flags = ["--grace", "1h", "--lock-delay", "1h"];
    const script = `trap '' TERM; ${forever}`;

    const { ran, lost } = await runUntilNotice({ notice: endOf("forced"), leaseMs: 1200, script, flags });

    expect(ran.code).toBe(90);
    expect(lost?.["killInMs"]).toBeLessThanOrEqual(1200);
  });

  test("because of max-hold is 91", async () => {
    expect((await runUntilNotice({ notice: endOf("max-hold"), script: forever })).ran.code).toBe(91);
  });

  test("that comes before the command was started starts nothing", async () => {
    await serve({
      open: () => ({
        status: 201,
        body: { ...session, ended: [{ claimId: "3f9a_1", reason: "forced", revision: 8 }] },
      }),
    });

    expect(await runToEnd(words("--", "echo", "ran"))).toMatchObject({ code: 75, stdout: "" });
  });

  test("about another claim of the session means nothing", async () => {
    const ended = [{ claimId: "3f9a_9", reason: "forced", revision: 8 }];
    const { asked } = await serve({ keep: () => ({ status: 200, body: { ...session, ended } }) });
    const running = start(words("-c", "read line; exit 3"));
    await until(() => asked.filter((one) => kindOf(one) === "keep").length > 2);

    running.child.stdin?.end("\n");

    expect((await running.ended).code).toBe(3);
  });
});

test("a grant whose lease has lapsed by then starts nothing", async () => {
  await serve({ open: () => ({ status: 201, body: { ...session, leaseMs: 1 } }) });

  const ran = await runToEnd(words("--", "echo", "ran"));

  expect(ran).toMatchObject({ code: 69, stdout: "" });
});

test("a release that says it was lost before is 90, with the cause", async () => {
  await serve({ release: () => ({ status: 409, body: { code: "claim-lost", detail: "It was forced." } }) });

  const ran = await runToEnd(words("--", "true"));

  expect(ran.code).toBe(90);
  expect(eventsIn(ran.stderr).at(-1)).toMatchObject({
    code: "claim-lost",
    text: expect.stringContaining("It was forced."),
  });
});

test("a release is repeated until it is heard", async () => {
  let count = 0;
  const { asked } = await serve({
    release: () => (++count < 3 ? "hang-up" : { status: 200, body: { state: "ended", reason: "released" } }),
  });

  expect((await runToEnd(words("-c", "exit 3"))).code).toBe(3);
  expect(asked.filter((one) => kindOf(one) === "release")).toHaveLength(3);
});

test("keepalives that are refused for no reason that ends a session are repeated", async () => {
  const { asked } = await serve({ keep: () => ({ status: 500, body: { code: "internal", detail: "Oh." } }) });
  const running = start(words("-c", "read line; exit 3"));
  await until(() => asked.filter((one) => kindOf(one) === "keep").length > 2);

  running.child.stdin?.end("\n");

  expect((await running.ended).code).toBe(3);
});

test("what is asked for is what was said: mode, permits, capacity, max-hold, lock-delay, label, ttl, owner", async () => {
  const { asked } = await serve({});
  const read = { ...held, maxHoldLeftMs: 60_000 };
  const acquire = () => JSON.parse(asked.filter((one) => kindOf(one) === "acquire").at(-1)?.body ?? "{}");

  await runToEnd(words("-s", "--lock-delay", "2s", "--label", "me", "--ttl", "30s", "--", "true"));
  expect(acquire()).toMatchObject({
    mode: "shared",
    lockDelayMs: 2000,
    owner: expect.stringMatching(/^run-/),
  });
  expect(JSON.parse(asked.find((one) => kindOf(one) === "open")?.body ?? "{}")).toMatchObject({
    label: "me",
    ttlMs: 30_000,
  });

  await runToEnd(words("--permits", "2", "--capacity", "5", "-w", "1s", "--", "true"));
  expect(asked.filter((one) => kindOf(one) === "acquire").at(-1)?.url).toBe("/v1/semaphores/a:acquire");
  expect(acquire()).toMatchObject({ permits: 2, capacity: 5, lockDelayMs: 5000 });

  await stub?.close();
  await serve({
    release: ({ method }) => ({ status: 200, body: method === "GET" ? read : { state: "ended" } }),
  });
  const ran = await runToEnd(words("--max-hold", "1m", "-c", "echo $HOLDFAST_SEQUENCER $HOLDFAST_MODE"));
  expect(ran).toMatchObject({ code: 0, stdout: "hf1.abc exclusive\n" });
  expect(JSON.parse(stub?.asked.find((one) => kindOf(one) === "acquire")?.body ?? "{}")).toMatchObject({
    maxHoldMs: 60_000,
  });
});

test("an owner that waits for something else already is tried again", async () => {
  let count = 0;
  await serve({
    acquire: () => {
      if (++count > 1) return { status: 200, body: held };
      return { status: 409, body: { code: "already-waiting", detail: "One at a time." } };
    },
  });

  expect((await runToEnd(words("--", "true"))).code).toBe(0);
  count = 0;
  expect((await runToEnd(words("-n", "--", "true"))).code).toBe(75);
});
