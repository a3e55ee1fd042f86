import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { clusterFileSchemaText } from "../../src/config/json-schema.ts";
import { run, temporaryDirectory, writeClusterFile } from "./process.ts";

let temporary: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  temporary = temporaryDirectory();
});

afterEach(() => temporary.remove());

describe("config show --origin", () => {
  test("says of every value where it is from, the strongest source winning", async () => {
    const more = "timing: { tickMs: 25, heartbeatMs: 50 }\nsettings: { sessions: 10 }\n";
    const file = writeClusterFile(temporary.path, 18_000, more);
    const environment = { HOLDFAST_TIMING_HEARTBEAT_MS: "75", HOLDFAST_SETTINGS_SESSIONS: "11" };

    const { code, stdout, stderr } = await run(
      ["config", "show", file, "--origin", "--set", "settings.sessions=12"],
      { environment },
    );

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const rows = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(/ {2,}/))
        .map(([path, ...rest]) => [path, rest]),
    );
    expect(rows["clusterName"]).toEqual(["test", `${file}:1:14`]);
    expect(rows["members[0].id"]).toEqual(["n1", `${file}:3:11`]);
    expect(rows["timing.tickMs"]).toEqual(["25", `${file}:4:19`]);
    expect(rows["timing.heartbeatMs"]).toEqual(["75", "environment HOLDFAST_TIMING_HEARTBEAT_MS"]);
    expect(rows["timing.electionTimeoutMs"]).toEqual(["750", "default"]);
    expect(rows["settings.sessions"]).toEqual(["12", "flag --set settings.sessions"]);
    expect(rows["listen.http"]).toBeUndefined();
  });

  test("without --origin shows the values alone; as JSON both are data", async () => {
    const file = writeClusterFile(temporary.path, 18_000);

    const [plain, json, lines] = await Promise.all([
      run(["config", "show", file]),
      run(["config", "show", file, "--origin", "-o", "json"]),
      run(["config", "show", file, "-o", "ndjson"]),
    ]);

    expect(plain.stdout).toMatch(/^timing\.tickMs +50$/m);
    const { values } = JSON.parse(json.stdout) as { readonly values: readonly Record<string, unknown>[] };
    expect(values).toContainEqual({
      path: "timing.tickMs",
      value: 50,
      origin: { kind: "default", text: "default" },
    });
    expect(lines.stdout.split("\n")).toContain('{"path":"timing.tickMs","value":50}');
  });

  test("of a file that is wrong is 78", async () => {
    expect((await run(["config", "show", join(temporary.path, "none.yaml")])).code).toBe(78);
  });
});

test("config schema prints the JSON Schema", async () => {
  expect(await run(["config", "schema"])).toMatchObject({ code: 0, stdout: clusterFileSchemaText() });
});
