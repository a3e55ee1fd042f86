import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  endAll,
  freeBase,
  isAlive,
  type Ran,
  run,
  start,
  temporaryDirectory,
  until,
  writeClusterFile,
} from "./process.ts";

let temporary: ReturnType<typeof temporaryDirectory>;
let base: number;
let config: string;
let data: string;

beforeEach(async () => {
  temporary = temporaryDirectory();
  base = await freeBase();
  config = writeClusterFile(temporary.path, base);
  data = join(temporary.path, "n1");
});

afterEach(async () => {
  await endAll();
  temporary.remove();
});

function nodeWords(
  command: "init" | "server",
  { id = "n1", file = config, at = data } = {},
): readonly string[] {
  return [command, "--config", file, "--id", id, "--data", at];
}

function expectRefusal(ran: Ran, code: number, ...texts: readonly RegExp[]): void {
  expect({ code: ran.code, stdout: ran.stdout }, ran.stderr).toEqual({ code, stdout: "" });
  for (const text of texts) expect(ran.stderr).toMatch(text);
  expect(ran.stderr, "no stack for people").not.toMatch(/\n\s+at /);
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(port, "127.0.0.1", () => resolve(server));
  });
}

describe("init", () => {
  test("makes the directory and says how to go on", async () => {
    const ran = await run([...nodeWords("init"), "-o", "json"]);

    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(ran.stdout)).toMatchObject({ id: "n1", clusterName: "test", data });
    expect(existsSync(data)).toBe(true);
  });

  test("fills no directory that holds something", async () => {
    mkdirSync(data);
    writeFileSync(join(data, "letter.txt"), "dear");

    expectRefusal(await run(nodeWords("init")), 73, /is not empty: it holds letter\.txt/, /holdfast server/);
    expect(readdirSync(data)).toEqual(["letter.txt"]);
  });

  test("refuses a node that the file does not know, with those it does", async () => {
    expectRefusal(
      await run(nodeWords("init", { id: "n9" })),
      78,
      /n9 is not among its members: name one of n1 with --id/,
    );
    expect(existsSync(data)).toBe(false);
  });
});

describe("server", () => {
  test("runs one node, logs its events, and stops in good order on TERM", async () => {
    await run(nodeWords("init"));
    const server = start([...nodeWords("server"), "-o", "ndjson"]);
    await server.said("stderr", /"event":"listening"/);
    await until(async () => (await fetch(`http://127.0.0.1:${base}/readyz`)).status === 200);

    server.child.kill("SIGTERM");
    const ran = await server.ended;

    expect(ran).toMatchObject({ code: 0, signal: null, stdout: "" });
    const events = ran.stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly event: string });
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["listening", "founded", "role", "stopping", "stopped"]),
    );
  });

  test("takes its settings from file, environment and --set", async () => {
    const file = writeClusterFile(
      temporary.path,
      base,
      "settings: { lockDelayMs: 1000, sessions: 10, claims: 20000 }\n",
    );
    await run(nodeWords("init", { file }));
    start([...nodeWords("server", { file }), "--set", "settings.claims=30000"], {
      environment: { HOLDFAST_SETTINGS_SESSIONS: "11", HOLDFAST_SETTINGS_CLAIMS: "25000" },
    });
    let settings: unknown;
    await until(async () => {
      const answer = await fetch(`http://127.0.0.1:${base}/v1/cluster`).catch(() => undefined);
      settings = answer && ((await answer.json()) as { readonly settings?: unknown }).settings;
      return settings !== undefined;
    });

    expect(settings).toMatchObject({
      lockDelayMs: 1000,
      sessions: 11,
      claims: 30_000,
      electionTimeoutMaxMs: 1500,
    });
  });

  test("never makes a data directory by itself", async () => {
    expectRefusal(await run(nodeWords("server")), 73, /there is no data directory/, /holdfast init/);
    expect(existsSync(data)).toBe(false);
  });

  test("refuses the directory of another node and of another cluster", async () => {
    const two = join(temporary.path, "two.yaml");
    const members = ["n1", "n2"].map(
      (id, i) => `  - { id: ${id}, peer: 127.0.0.1:${base + 10 + i}, http: 127.0.0.1:${base + i} }`,
    );
    writeFileSync(two, `clusterName: test\nmembers:\n${members.join("\n")}\n`);
    const other = join(temporary.path, "other.yaml");
    writeFileSync(other, `clusterName: other\nmembers:\n${members.join("\n")}\n`);
    await run(nodeWords("init"));

    const [node, cluster] = await Promise.all([
      run(nodeWords("server", { id: "n2", file: two })),
      run(nodeWords("server", { file: other })),
    ]);

    expectRefusal(node, 78, /belongs to the node n1, not to n2/, /--id/);
    expectRefusal(cluster, 78, /belongs to the cluster test, not to other/);
  });

  test("refuses a directory that another process has open", async () => {
    await run(nodeWords("init"));
    await start(nodeWords("server")).said("stderr", /listening/);

    expectRefusal(await run(nodeWords("server")), 73, /is open in another process/);
  });

  test.each([
    ["members", 10, /cannot listen for members on 127\.0\.0\.1:\d+: the port is in use/],
    ["clients", 0, /in use/],
  ])("ends with 71 when the port for %s is taken", async (_who, offset, text) => {
    await run(nodeWords("init"));
    const squatter = await listenOn(base + offset);

    const ran = await run(nodeWords("server"));
    squatter.close();

    expectRefusal(ran, 71, text, new RegExp(String(base + offset)));
  });

  test("says every mistake in the cluster file with its place, as text and as JSON", async () => {
    const file = writeClusterFile(temporary.path, base, "timing: { tikMs: 1, heartbeatMs: 1s }\n");
    const [text, json] = await Promise.all([
      run(nodeWords("server", { file })),
      run([...nodeWords("server", { file }), "-o", "json"]),
    ]);

    expectRefusal(
      text,
      78,
      /cluster\.yaml:4:11: timing\.tikMs is not known/,
      /cluster\.yaml:4:34: .* write 1000/,
    );
    expect(json.code).toBe(78);
    expect(JSON.parse(json.stderr)).toMatchObject({
      code: "configuration",
      exitCode: 78,
      problems: [
        { origin: { kind: "file", file, line: 4, column: 11 }, path: "timing.tikMs" },
        { origin: { line: 4, column: 34 }, path: "timing.heartbeatMs" },
      ],
    });
  });

  test("refuses a door to the world, and warns when told to open it", async () => {
    const open = `listen: { http: "0.0.0.0:${base}" }\n`;
    const shut = writeClusterFile(temporary.path, base, open);
    expectRefusal(
      await run(nodeWords("init", { file: shut })),
      78,
      /cluster\.yaml:4:17: listen\.http .* open: true/,
    );

    const wide = writeClusterFile(temporary.path, base, `${open}security: { open: true }\n`);
    const ran = await run(nodeWords("init", { file: wide }));

    expect(ran.code).toBe(0);
    expect(ran.stderr).toMatch(/warning: security\.open is true: 0\.0\.0\.0:\d+ can be reached/);
  });

  test("a file that is not there is 78 and says so", async () => {
    expectRefusal(
      await run(nodeWords("server", { file: "nowhere.yaml" })),
      78,
      /^nowhere\.yaml: .*no such file/,
    );
  });

  test("whose parent has gone ends by itself", async () => {
    await run(nodeWords("init"));
    const server = start([...nodeWords("server"), "--until-stdin-ends"]);
    await server.said("stderr", /listening/);

    server.child.kill("SIGINT");
    server.child.stdin?.end();

    expect(await server.ended).toMatchObject({ code: 0, signal: null });
    expect(isAlive(server.pid)).toBe(false);
  });
});

describe("config check", () => {
  test("says yes with 0, and no with 78 and everything that is wrong, as data", async () => {
    const right = await run(["config", "check", config]);
    const wrong = await run(["config", "check", config, "--set", "timing.tickMs=x", "-o", "json"]);

    expect(right).toMatchObject({ code: 0, stdout: `${config} is right: test, members n1\n` });
    expect(wrong.code).toBe(78);
    expect(JSON.parse(wrong.stdout)).toMatchObject({
      file: config,
      valid: false,
      problems: [{ kind: "flag", path: "timing.tickMs" }],
    });
  });
});
