import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseClusterFile } from "../../src/config/cluster-file.ts";
import { ConfigError, formatProblem } from "../../src/config/problems.ts";
import { environmentName, fields, fileSettingNames } from "../../src/config/schema.ts";
import { defaultNode, defaultTiming } from "../../src/config/types.ts";
import { defaultSettings, settingNames } from "../../src/locks/settings.ts";

interface Extra {
  readonly environment?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, string>>;
}

function parse(text: string, { environment = {}, flags = {} }: Extra = {}) {
  return parseClusterFile({ file: "c.yaml", text, environment, flags: new Map(Object.entries(flags)) });
}

/** Every problem as it is printed. */
function problemsOf(text: string, extra: Extra = {}): readonly string[] {
  try {
    parse(text, extra);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}

const members = "members:\n  - { id: n1, peer: 127.0.0.1:7410, http: 127.0.0.1:7400 }\n";
const base = `clusterName: c\n${members}`;

describe("a file that is right", () => {
  test("the smallest one gets every default", () => {
    const { config, warnings, origins } = parse(base);

    expect(config).toEqual({
      clusterName: "c",
      members: [
        { id: "n1", peer: { host: "127.0.0.1", port: 7410 }, http: { host: "127.0.0.1", port: 7400 } },
      ],
      timing: defaultTiming,
      settings: defaultSettings,
      node: defaultNode,
      listen: { http: undefined, peer: undefined },
      security: { open: false },
    });
    expect(warnings).toEqual([]);
    expect(origins.get("clusterName")).toEqual({ kind: "file", file: "c.yaml", line: 1, column: 14 });
    expect(origins.get("timing.tickMs")).toEqual({ kind: "default" });
  });

  test("the example in the repository says what the defaults are", () => {
    const text = readFileSync(new URL("../../cluster.example.yaml", import.meta.url), "utf8");
    const { config, warnings, origins } = parse(text);

    expect(warnings).toEqual([]);
    expect(config.members.map(({ id, http, peer }) => [id, http.port, peer.port])).toEqual([
      ["n1", 7400, 7410],
      ["n2", 7401, 7411],
      ["n3", 7402, 7412],
    ]);
    expect(config).toMatchObject({ timing: defaultTiming, settings: defaultSettings, node: defaultNode });
    const written = fields.filter(({ path }) => origins.get(path)?.kind === "file").map(({ path }) => path);
    expect(fields.map(({ path }) => path).filter((path) => !written.includes(path))).toEqual([
      "listen.http",
      "listen.peer",
    ]);
  });

  test("the longest election timeout follows from the file's", () => {
    const { config } = parse(`${base}timing: { electionTimeoutMs: 1000 }\n`);

    expect(config.settings.electionTimeoutMaxMs).toBe(2000);
  });

  test("empty groups, comments, anchors and JSON are all YAML", () => {
    expect(problemsOf(`${base}timing:\nnode: {}\n# end\n`)).toEqual([]);
    expect(problemsOf(`${base}timing: { tickMs: &t 100, heartbeatMs: *t }\n`)).not.toEqual([]);
    expect(parse(`${base}timing: { tickMs: &t 50, heartbeatMs: *t }\n`).config.timing.heartbeatMs).toBe(50);
    const json = JSON.stringify({
      clusterName: "c",
      members: [{ id: "n1", peer: "[::1]:1", http: "[::1]:2" }],
    });
    expect(parse(json).config.members[0]?.peer).toEqual({ host: "::1", port: 1 });
  });

  test("an open door is a warning at every start, and so is an even number of members", () => {
    const two = `clusterName: c\nmembers:\n  - { id: a, peer: a.example:1, http: a.example:2 }\n  - { id: b, peer: 127.0.0.1:3, http: 127.0.0.1:4 }\n`;
    const { warnings } = parse(`${two}security: { open: true }\n`);

    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/a\.example:1, a\.example:2 can be reached without encryption/);
    expect(warnings[1]).toMatch(/2 members bear the loss of 0, as 1 would/);
  });
});

describe("a file that is wrong names the place, what is wrong and what would be right", () => {
  const cases: readonly (readonly [name: string, text: string, problems: readonly RegExp[]])[] = [
    [
      "nothing at all",
      "",
      [/^c\.yaml:1:1: clusterName is missing: add it$/, /^c\.yaml:1:1: members is missing: list the/],
    ],
    [
      "no map",
      "- a\n",
      [/^c\.yaml:1:1: the file must be a map, is a list/, /clusterName is missing/, /members is missing/],
    ],
    ["an unknown key", `${base}tming: {}\n`, [/^c\.yaml:4:1: tming is not known: did you mean timing\?$/]],
    [
      "an unknown key below",
      `${base}timing: { tikMs: 1 }\n`,
      [/^c\.yaml:4:11: timing\.tikMs is not known: did you mean tickMs\?$/],
    ],
    [
      "a strange key",
      `${base}node: { colour: 1 }\n`,
      [/^c\.yaml:4:9: node\.colour is not known: known here: bodyBytes, batchBytes/],
    ],
    [
      "a key twice",
      `${base}clusterName: d\n`,
      [/^c\.yaml:4:1: map keys must be unique: give each key once$/],
    ],
    [
      "a derived setting",
      `${base}settings: { electionTimeoutMaxMs: 1 }\n`,
      [
        /^c\.yaml:4:13: settings\.electionTimeoutMaxMs is not set by hand: remove it; it is twice timing\.electionTimeoutMs$/,
      ],
    ],
    [
      "text for a number",
      `${base}timing:\n  tickMs: "50"\n`,
      [/^c\.yaml:5:11: timing\.tickMs must be a whole number of milliseconds, is the text "50": write 50$/],
    ],
    [
      "a duration for a number",
      `${base}settings: { defaultTtlMs: 20s }\n`,
      [/^c\.yaml:4:27: .* is the text "20s": write 20000$/],
    ],
    [
      "a fraction",
      `${base}timing: { tickMs: 0.5 }\n`,
      [/^c\.yaml:4:19: .* must be a whole number of milliseconds, is 0\.5/],
    ],
    [
      "out of range",
      `${base}settings: { lockDelayMs: 60001 }\n`,
      [/^c\.yaml:4:26: settings\.lockDelayMs must be between 0 and 60000 milliseconds, is 60001/],
    ],
    ["negative", `${base}node: { connections: -1 }\n`, [/^c\.yaml:4:22: .* between 1 and/]],
    ["infinite", `${base}node: { logBytes: .inf }\n`, [/must be a whole number of bytes/]],
    [
      "a map for a number",
      `${base}timing: { tickMs: {} }\n`,
      [/^c\.yaml:4:19: timing\.tickMs must be one value, is a map/],
    ],
    [
      "a value for a map",
      `${base}timing: 50\n`,
      [/^c\.yaml:4:9: timing must be a map, is a single value: write keys below it/],
    ],
    [
      "no value",
      `${base}timing:\n  tickMs:\n`,
      [/^c\.yaml:5:\d+: timing\.tickMs has no value: write one or remove the key$/],
    ],
    [
      "yes for true",
      `${base}security: { open: yes }\n`,
      [/^c\.yaml:4:19: security\.open must be true or false, is the text "yes"/],
    ],
    [
      "a number for a name",
      `clusterName: 7\n${members}`,
      [/^c\.yaml:1:14: clusterName must be text, is the number 7: put it in quotes: "7"$/],
    ],
    [
      "a name with a space",
      `clusterName: a b\n${members}`,
      [/^c\.yaml:1:14: clusterName must be a name, is the text "a b": write 1 to 64/],
    ],
    [
      "members as a map",
      "clusterName: c\nmembers: { id: n1 }\n",
      [/^c\.yaml:2:10: members must be a list, is a map: begin each item/],
    ],
    ["no members", "clusterName: c\nmembers: []\n", [/^c\.yaml:2:10: members must be 1 to 15, are 0/]],
    [
      "a member without its addresses",
      "clusterName: c\nmembers:\n  - id: n1\n",
      [
        /^c\.yaml:3:5: members\[0\]\.peer is missing: add it, as peer/,
        /^c\.yaml:3:5: members\[0\]\.http is missing/,
      ],
    ],
    [
      "a member with another key",
      `${base.trimEnd()}\n  - { id: n2, peer: 127.0.0.1:1, http: 127.0.0.1:2, htpp: x }\n`,
      [/^c\.yaml:4:53: members\[1\]\.htpp is not known: did you mean http\?$/],
    ],
    [
      "a member id with a slash",
      "clusterName: c\nmembers:\n  - { id: a/b, peer: 127.0.0.1:1, http: 127.0.0.1:2 }\n",
      [/^c\.yaml:3:11: members\[0\]\.id must be a name, is the text "a\/b"/],
    ],
    [
      "a member id that is too long",
      `clusterName: c\nmembers:\n  - { id: ${"a".repeat(65)}, peer: 127.0.0.1:1, http: 127.0.0.1:2 }\n`,
      [/^c\.yaml:3:11: members\[0\]\.id must be a name/],
    ],
    [
      "a bad address",
      "clusterName: c\nmembers:\n  - { id: a, peer: 127.0.0.1, http: http://127.0.0.1:2 }\n",
      [
        /^c\.yaml:3:20: members\[0\]\.peer must be an address, is the text "127\.0\.0\.1": write host:port, as 127\.0\.0\.1:7400$/,
        /^c\.yaml:3:37: members\[0\]\.http .* write 127\.0\.0\.1:2 without http/,
      ],
    ],
    [
      "an id twice",
      `${base}  - { id: n1, peer: 127.0.0.1:1, http: 127.0.0.1:2 }\n`,
      [/^c\.yaml:4:11: members\[1\]\.id is n1, which members\[0\] has already: give each member an id/],
    ],
    [
      "an address twice",
      `${base}  - { id: n2, peer: 127.0.0.1:7400, http: 127.0.0.1:2 }\n`,
      [/^c\.yaml:4:21: members\[1\]\.peer is 127\.0\.0\.1:7400, which members\[0\]\.http has already/],
    ],
    [
      "one address for both",
      "clusterName: c\nmembers:\n  - { id: a, peer: 127.0.0.1:1, http: 127.0.0.1:1 }\n",
      [/members\[0\]\.http is 127\.0\.0\.1:1, which members\[0\]\.peer has already/],
    ],
    [
      "a wildcard to dial",
      "clusterName: c\nmembers:\n  - { id: a, peer: 0.0.0.0:1, http: 127.0.0.1:2 }\nsecurity: { open: true }\n",
      [/^c\.yaml:3:20: members\[0\]\.peer is 0\.0\.0\.0:1, which nobody can dial: .* under listen$/],
    ],
    [
      "a door to the world",
      "clusterName: c\nmembers:\n  - { id: a, peer: 10.0.0.1:1, http: 127.0.0.1:2 }\nlisten:\n  http: 0.0.0.0:2\n",
      [
        /^c\.yaml:3:20: members\[0\]\.peer is 10\.0\.0\.1:1, which other machines may reach, and nothing protects it: .*open: true/,
        /^c\.yaml:5:9: listen\.http is 0\.0\.0\.0:2, which other machines/,
      ],
    ],
    [
      "an odd heartbeat",
      `${base}timing: { heartbeatMs: 120 }\n`,
      [/^c\.yaml:4:24: timing\.heartbeatMs must be a multiple of tickMs \(50\), is 120: write 100$/],
    ],
    [
      "a hasty election",
      `${base}timing: { electionTimeoutMs: 200 }\n`,
      [
        /^c\.yaml:4:30: timing\.electionTimeoutMs must be more than twice heartbeatMs \(100\), is 200: .* write 250 or more$/,
      ],
    ],
    [
      "a tick that fits nothing",
      `${base}timing: { tickMs: 60 }\n`,
      [
        /^c\.yaml:4:19: timing\.heartbeatMs must be a multiple of tickMs \(60\)/,
        /^c\.yaml:4:19: timing\.electionTimeoutMs must be a multiple/,
      ],
    ],
    [
      "a ttl above the longest",
      `${base}settings: { ttlMsMax: 10000 }\n`,
      [
        /^c\.yaml:4:23: settings\.defaultTtlMs is 15000 and must not exceed settings\.ttlMsMax, which is 10000/,
      ],
    ],
    [
      "a batch smaller than a body",
      `${base}node: { batchBytes: 2048 }\n`,
      [/node\.bodyBytes is 65536 and must not exceed node\.batchBytes/],
    ],
    ["two documents", `${base}---\nx: 1\n`, [/^c\.yaml:\d+:\d+: .*correct the YAML here$/]],
    ["no YAML", "clusterName: [c\n", [/^c\.yaml:\d+:\d+: .*: correct the YAML here$/]],
    ["a strange tag", `${base}timing: { tickMs: !secret 50 }\n`, [/^c\.yaml:4:19: .*tag.*correct the YAML/i]],
  ];

  test.each(cases)("%s", (_name, text, problems) => {
    const found = problemsOf(text);

    for (const problem of problems)
      expect(
        found.some((line) => problem.test(line)),
        found.join("\n"),
      ).toBe(true);
  });

  test("all of it is said, in the order of the file", () => {
    const text = `clusterName: a b\nmembers:\n  - { id: n1, peer: x, http: 127.0.0.1:1 }\nnode: { a: 1 }\ntiming:\n  tickMs: x\n`;

    const lines = problemsOf(text).map((line) => line.split(": ")[0]);

    expect(lines).toEqual(["c.yaml:1:14", "c.yaml:3:21", "c.yaml:4:9", "c.yaml:6:11"]);
  });
});

describe("environment and flags", () => {
  test("default < file < environment < flag", () => {
    const name = "HOLDFAST_TIMING_ELECTION_TIMEOUT_MS";
    const file = `${base}timing: { electionTimeoutMs: 800 }\n`;
    const value = (text: string, extra: Extra) => parse(text, extra).config.timing.electionTimeoutMs;
    const flags = { "timing.electionTimeoutMs": "1000" };

    expect(value(base, {})).toBe(750);
    expect(value(file, {})).toBe(800);
    expect(value(base, { environment: { [name]: "900" } })).toBe(900);
    expect(value(file, { environment: { [name]: "900" } })).toBe(900);
    expect(value(file, { environment: { [name]: "900" }, flags })).toBe(1000);
    expect(value(file, { environment: { [name]: "" } })).toBe(800);
    expect(parse(file, { environment: { [name]: "900" } }).origins.get("timing.electionTimeoutMs")).toEqual({
      kind: "environment",
      name,
    });
  });

  test("every key has its variable, and every variable works", () => {
    expect(environmentName("settings.lockDelayMs")).toBe("HOLDFAST_SETTINGS_LOCK_DELAY_MS");
    expect(environmentName("node.logBytes")).toBe("HOLDFAST_NODE_LOG_BYTES");
    expect(environmentName("listen.http")).toBe("HOLDFAST_LISTEN_HTTP");
    const environment: Record<string, string> = {};
    fields.forEach(({ path, type }, index) => {
      const plain =
        type.kind === "integer" ? String(type.fallback) : type.kind === "boolean" ? "true" : "other";
      environment[environmentName(path)] = type.kind === "address" ? `127.0.0.1:${index + 1}` : plain;
    });

    const { config, origins, warnings } = parse(base, { environment });

    expect(fields.filter(({ path }) => origins.get(path)?.kind !== "environment")).toEqual([]);
    expect(config).toMatchObject({ clusterName: "other", security: { open: true } });
    expect(config.listen.http).toEqual({
      host: "127.0.0.1",
      port: fields.findIndex(({ path }) => path === "listen.http") + 1,
    });
    expect(warnings).toEqual([]);
  });

  test("what is wrong there is said with its name", () => {
    const environment = {
      HOLDFAST_NODE_LOG_BYTES: "1GB",
      HOLDFAST_SECURITY_OPEN: "1",
      HOLDFAST_LISTEN_HTTP: "7400",
    };
    const flags = { "timing.tickMs": "5s", "timing.ticMs": "50" };

    expect(problemsOf(base, { environment, flags })).toEqual([
      expect.stringMatching(
        /^flag --set timing\.tickMs: timing\.tickMs must be a whole number .*: write 5000$/,
      ),
      expect.stringMatching(
        /^environment HOLDFAST_NODE_LOG_BYTES: node\.logBytes must be a whole number of bytes/,
      ),
      expect.stringMatching(/^environment HOLDFAST_LISTEN_HTTP: listen\.http must be an address/),
      expect.stringMatching(/^environment HOLDFAST_SECURITY_OPEN: security\.open must be true or false/),
      expect.stringMatching(
        /^flag --set timing\.ticMs: timing\.ticMs is no key .*: did you mean timing\.tickMs\?$/,
      ),
    ]);
  });

  test("a relation that a variable breaks is reported at the variable", () => {
    const [problem] = problemsOf(base, { environment: { HOLDFAST_TIMING_HEARTBEAT_MS: "500" } });

    expect(problem).toMatch(
      /^environment HOLDFAST_TIMING_HEARTBEAT_MS: timing\.electionTimeoutMs must be more than/,
    );
  });

  test("a mistyped variable is a warning; one of another program is nothing", () => {
    const environment = {
      HOLDFAST_TIMING_TIK_MS: "50",
      HOLDFAST_SESSION: "x",
      HOLDFAST_PORT: "tcp://10.0.0.1",
    };

    const { warnings } = parse(base, { environment });

    expect(warnings).toEqual(["HOLDFAST_TIMING_TIK_MS sets nothing: did you mean HOLDFAST_TIMING_TICK_MS?"]);
  });

  test("a name from the environment is enough", () => {
    const { config } = parse(members, { environment: { HOLDFAST_CLUSTER_NAME: "prod" } });

    expect(config.clusterName).toBe("prod");
  });
});

test("every replicated setting but the derived one is a key of the file", () => {
  expect([...fileSettingNames, "electionTimeoutMaxMs"].sort()).toEqual([...settingNames].sort());
  const inFile = fields.flatMap(({ path }) => (path.startsWith("settings.") ? [path.slice(9)] : []));
  expect(inFile.sort()).toEqual([...fileSettingNames].sort());
});

test("every default lies within its bounds", () => {
  for (const { path, type } of fields) {
    if (type.kind !== "integer") continue;
    expect(type.fallback, path).toBeGreaterThanOrEqual(type.min);
    expect(type.fallback, path).toBeLessThanOrEqual(type.max);
  }
});
