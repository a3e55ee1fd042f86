/**
 * docs/API.md says what the tables of src/api say, and nothing else. Its tables are rendered here; `UPDATE=1` writes
 * them into the page.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { errorCodes, errorEntry, laterErrorCodes } from "../../src/api/errors.ts";
import { matchRoute, routeIds, routeOf } from "../../src/api/routes.ts";
import { claimBody, lockListQuery, openSessionBody, type Schema } from "../../src/api/schemas.ts";

const page = new URL("../../docs/API.md", import.meta.url);
let doc = readFileSync(page, "utf8");

/** Holds the table under a heading to these rows; with `UPDATE=1` writes them there first. */
function expectTable(heading: string, rows: string): void {
  const old = tableUnder(heading);
  if (process.env["UPDATE"] === "1" && old !== rows) {
    const [before = "", after = ""] = doc.split(`\n## ${heading}\n`);
    doc = `${before}\n## ${heading}\n${after.replace(old, () => rows)}`;
    writeFileSync(page, doc);
  }
  expect(tableUnder(heading)).toBe(rows);
}

/** The rows of the table under a heading, without its head. */
function tableUnder(heading: string): string {
  const section = doc.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).join("\n");
}

function endpointRows(): string {
  return routeIds
    .map((id) => {
      const { method, path, verb, summary } = routeOf(id);
      return `| \`${method} ${path}${verb === undefined ? "" : `:${verb}`}\` | ${summary} |`;
    })
    .join("\n");
}

function errorRows(): string {
  return errorCodes
    .map((code) => {
      const { status, retryable, meaning } = errorEntry(code);
      return `| ${status} | \`${code}\` | ${retryable ? "yes" : "no"} | ${meaning} |`;
    })
    .join("\n");
}

function fieldRows({ properties = {} }: Schema): string {
  return Object.entries(properties)
    .map(([name, schema]) => `| \`${name}\` | ${typeOf(schema)} | ${schema.description ?? ""} |`)
    .join("\n");
}

function typeOf({ type = "object", enum: values }: Schema): string {
  return values === undefined ? type : values.map((value) => `\`"${value}"\``).join(" or ");
}

describe("docs/API.md", () => {
  it("lists the endpoints of the route table, and no other", () => {
    expectTable("Endpoints", endpointRows());
  });

  it("lists the errors of the catalogue, and no other", () => {
    expectTable("Errors", errorRows());
  });

  it("names the reserved codes", () => {
    const sentence = /Reserved for later versions: ([^.]*)\./.exec(doc)?.[1] ?? "";

    expect([...sentence.matchAll(/`([a-z-]+)`/g)].map((match) => match[1])).toEqual([...laterErrorCodes]);
  });

  it.each([
    ["Open a session: fields", openSessionBody],
    ["Acquire: fields", claimBody],
    ["List locks: query", lockListQuery],
  ])("%s are those of the schema", (heading, schema) => {
    expectTable(heading, fieldRows(schema));
  });

  it("shows only requests that have a route, and codes that exist", () => {
    const requests = [...doc.matchAll(/\b(GET|POST|PUT|DELETE) (\/[^\s`?]*)/g)];
    const codes = [...doc.matchAll(/"code":"([a-z-]+)"/g)].map((match) => match[1]);

    expect(requests.length).toBeGreaterThan(20);
    expect(codes.length).toBeGreaterThan(0);
    for (const [, method = "", path = ""] of requests) {
      expect([method, path, matchRoute(method, path).kind]).toEqual([method, path, "route"]);
    }
    for (const code of codes) expect(errorCodes).toContain(code);
  });

  it("shows only curl commands that name an existing path", () => {
    const paths = [...doc.matchAll(/curl .*?\$H(\/[^\s'"]*)/g)].map((match) => match[1] ?? "");

    expect(paths.length).toBeGreaterThan(8);
    for (const path of paths) {
      const plain = path.replace("${NAME}", "name").split("?")[0] ?? "";
      const found = ["GET", "POST", "PUT", "DELETE"].some(
        (method) => matchRoute(method, plain).kind === "route",
      );
      expect([path, found]).toEqual([path, true]);
    }
  });
});
