import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { clusterFileSchema, clusterFileSchemaText } from "../../src/config/json-schema.ts";
import { fields } from "../../src/config/schema.ts";

function read(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
}

const schema = clusterFileSchema() as Schema;

/** As much of JSON Schema as this one uses. */
function faults(value: unknown, by: Schema, at = ""): readonly string[] {
  const types = Array.isArray(by.type) ? by.type : [by.type];
  const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const named = type === "number" && Number.isInteger(value) ? "integer" : type;
  if (!types.includes(named)) return [`${at} is ${named}`];
  if (typeof value === "number" && (value < (by.minimum ?? 0) || value > (by.maximum ?? 0)))
    return [`${at} range`];
  if (typeof value === "string" && by.pattern !== undefined && !new RegExp(by.pattern).test(value))
    return [`${at} pattern`];
  if (Array.isArray(value)) return value.flatMap((item, i) => faults(item, by.items ?? {}, `${at}[${i}]`));
  if (type !== "object") return [];
  const entries = Object.entries(value as object);
  const missing = (by.required ?? []).filter((key) => !(key in (value as object)));
  return [
    ...missing.map((key) => `${at}.${key} is missing`),
    ...entries.flatMap(([key, one]) => {
      const below = by.properties?.[key];
      return below === undefined ? [`${at}.${key} is not known`] : faults(one, below, `${at}.${key}`);
    }),
  ];
}

test("the published file is the generated one (`holdfast config schema > docs/cluster.schema.json`)", () => {
  expect(JSON.parse(read("docs/cluster.schema.json"))).toEqual(JSON.parse(clusterFileSchemaText()));
});

test("the example names it, and it is there", () => {
  const [, path] = /^# yaml-language-server: \$schema=(\S+)$/m.exec(read("cluster.example.yaml")) ?? [];

  expect(path).toBe("docs/cluster.schema.json");
  expect(faults(parse(read("cluster.example.yaml")), schema)).toEqual([]);
});

test("it has every key of the table, with its bounds and what it is for", () => {
  for (const { path, doc, type } of fields) {
    const found = path.split(".").reduce<Schema | undefined>((at, key) => at?.properties?.[key], schema);
    expect(found, path).toMatchObject({ description: doc });
    if (type.kind === "integer") {
      expect(found).toMatchObject({ minimum: type.min, maximum: type.max, default: type.fallback });
    }
  }
});

describe("it refuses", () => {
  const right = parse(
    "clusterName: c\nmembers: [{ id: n1, peer: '127.0.0.1:1', http: '[::1]:2' }]\n",
  ) as object;

  test.each([
    [{}, []],
    [{ timing: null }, []],
    [{ tining: {} }, [".tining is not known"]],
    [{ timing: { tickMs: "50" } }, [".timing.tickMs is string"]],
    [{ timing: { tickMs: 1 } }, [".timing.tickMs range"]],
    [
      { members: [{ id: "n 1", peer: "nowhere", http: "a:1" }] },
      [".members[0].id pattern", ".members[0].peer pattern"],
    ],
    [{ security: { open: "yes" } }, [".security.open is string"]],
  ])("%j: %j", (change, expected) => {
    expect(faults({ ...right, ...change }, schema)).toEqual(expected);
  });
});
