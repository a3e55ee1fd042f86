import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { outputFormatOf } from "../../src/cli/options.ts";
import { createProgram } from "../../src/cli/program.ts";
import { run, temporaryDirectory } from "./process.ts";

const program = createProgram({ argv: [], ended: () => {} }, "0.0.0");

function wholeTree(command: Command, words: string): readonly (readonly [string, Command])[] {
  return [
    [words, command],
    ...command.commands.flatMap((child) => wholeTree(child, `${words} ${child.name()}`)),
  ];
}

const tree = wholeTree(program, "holdfast");

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

test("the commands of this version are there, and no others", () => {
  expect(tree.map(([words]) => words)).toEqual([
    "holdfast",
    "holdfast dev",
    "holdfast init",
    "holdfast server",
    "holdfast config",
    "holdfast config check",
    "holdfast config show",
    "holdfast config schema",
    "holdfast run",
    "holdfast acquire",
    "holdfast release",
    "holdfast try",
    "holdfast ls",
    "holdfast show",
    "holdfast semaphore",
    "holdfast semaphore set",
    "holdfast semaphore show",
    "holdfast semaphore ls",
    "holdfast semaphore delete",
    "holdfast check",
    "holdfast session",
    "holdfast session create",
    "holdfast session ls",
    "holdfast session show",
    "holdfast session close",
    "holdfast session kill",
    "holdfast cluster",
    "holdfast cluster status",
    "holdfast cluster transfer-leadership",
    "holdfast cluster settings",
    "holdfast cluster settings set",
    "holdfast completion",
  ]);
});

describe("every command", () => {
  test.each(tree)("%s", (words, command) => {
    const help = helpOf(command);

    expect(command.description()).not.toBe("");
    expect(help).toContain("-o, --output <format>");
    expect(help).toContain("HOLDFAST_OUTPUT");
    expect(help).toMatch(/Examples:\n {2}# \S/);
    expect(help).toContain(
      `$ ${words === "holdfast" ? "holdfast " : words.split(" ").slice(0, 2).join(" ")}`,
    );
    for (const option of command.options) expect(option.description, option.flags).not.toBe("");
    for (const argument of command.registeredArguments)
      expect(argument.description, argument.name()).not.toBe("");
  });

  test("that talks to a cluster has endpoints and a timeout, with their defaults", () => {
    const local = /^holdfast (dev|init|server|completion|config .*)$/;
    const talking = tree.filter(([words, command]) => command.commands.length === 0 && !local.test(words));

    for (const [words, command] of talking) {
      const help = helpOf(command).replace(/\s+/g, " ");
      expect(help, words).toMatch(
        /--endpoint <url>[\s\S]*http:\/\/127\.0\.0\.1:7400[\s\S]*HOLDFAST_ENDPOINTS/,
      );
      expect(help, words).toMatch(/--timeout <duration>[\s\S]*default: 30s/);
    }
  });
});

test("the help is grouped", () => {
  const help = helpOf(program);

  expect(help.match(/^\w+:$/gm)).toEqual([
    "Options:",
    "Nodes:",
    "Locks:",
    "Semaphores:",
    "Sessions:",
    "Cluster:",
    "Other:",
    "Commands:",
    "Examples:",
  ]);
});

describe("the format is found wherever -o stands, also when the rest cannot be parsed", () => {
  test.each([
    [["ls"], undefined, "text"],
    [["ls", "-o", "json"], undefined, "json"],
    [["-o", "json", "ls"], undefined, "json"],
    [["ls", "-ojson"], undefined, "json"],
    [["ls", "--output=ndjson"], "json", "ndjson"],
    [["ls", "--output", "ndjson", "--nope"], undefined, "ndjson"],
    [["ls"], "json", "json"],
    [["ls", "-o"], "json", "text"],
    [["ls", "-o", "xml"], "json", "text"],
    [["ls", "--", "-o", "json"], undefined, "text"],
  ])("%j with %s is %s", (argv, variable, format) => {
    expect(outputFormatOf(argv, variable === undefined ? {} : { HOLDFAST_OUTPUT: variable })).toBe(format);
  });
});

describe("wrong words end with 64", () => {
  test.each([
    [["aquire", "x"], /unknown command 'aquire'\n\(Did you mean acquire\?\)/],
    [["session", "craete"], /unknown command 'craete'\n\(Did you mean create\?\)/],
    [["rum", "x"], /unknown command 'rum'\n\(Did you mean run\?\)/],
    [["run"], /missing required argument 'name'/],
    [["run", "x"], /the command is missing: holdfast run x -- COMMAND/],
    [["run", "x", "ls"], /put -- before the command: holdfast run x -- ls/],
    [["run", "x", "ls", "-l"], /unknown option '-l'/],
    [["run", "x", "--nonblok", "--", "ls"], /unknown option '--nonblok'\n\(Did you mean --nonblock\?\)/],
    [["run", "x", "--share", "--", "ls"], /unknown option '--share'\n\(Did you mean --shared\?\)/],
    [["run", "x", "--on-lost", "STOP", "--", "ls"], /'STOP' is invalid.*Write one of TERM/],
    [["run", "x", "--if-held", "wait", "--", "ls"], /Allowed choices are fail, skip/],
    [["run", "x", "-E", "256", "--", "ls"], /Write a whole number from 0 to 255/],
    [["run", "x", "-n", "-w", "1s", "--", "ls"], /-n does not wait/],
    [["ls", "--limt", "3"], /unknown option '--limt'\n\(Did you mean --limit\?\)/],
    [["acquire"], /missing required argument 'name'/],
    [["acquire", "a", "b"], /too many arguments/],
    [["acquire", "a", "--wait", "soon"], /'soon' is invalid.*Write a duration/],
    [["acquire", "a", "-n", "--wait", "1s"], /-n does not wait/],
    [["acquire", "a", "--session", "short"], /no session id/],
    [["acquire", "a", "--session", "0123456789abcdef", "--ttl", "1m"], /leave out --session/],
    [["acquire", "a//b"], /must not begin or end with "\/"/],
    [["acquire", "a", "--keep", "--claim-file", "f"], /leave out --claim-file/],
    [["release"], /name one claim/],
    [["release", "x"], /the session is missing: name it with --session, or set HOLDFAST_SESSION/],
    [["release", "x", "--claim-file", "f"], /name one claim/],
    [["session", "close"], /the session is missing/],
    [["ls", "--endpoint", "ftp://x"], /Write a URL/],
    [["ls", "--limit", "0"], /Write a whole number from 1 to 1000/],
    [["dev", "--nodes", "10"], /Write a whole number from 1 to 9/],
    [["init", "--id", "n1", "--data", "d"], /required option '--config <file>' not specified/],
    [["server", "--config", "c", "--id", "n1", "--data", "d", "--bogus"], /unknown option '--bogus'/],
    [[], /Usage: holdfast/],
    [["session"], /Usage: holdfast session/],
  ])("%j", async (words, text) => {
    const [plain, json] = await Promise.all([run(words), run(["-o", "json", ...words])]);

    expect(plain).toMatchObject({ code: 64, stdout: "" });
    expect(plain.stderr).toMatch(text);
    expect(json).toMatchObject({ code: 64, stdout: "" });
    expect(JSON.parse(json.stderr)).toMatchObject({
      code: "usage",
      exitCode: 64,
      detail: expect.any(String),
    });
  });
});

test("help and version are data, and loading them loads nothing but commander", async () => {
  const temporary = temporaryDirectory();
  const environment = { NODE_V8_COVERAGE: temporary.path };
  const [help, version] = await Promise.all([run(["--help"], { environment }), run(["--version"])]);
  const loaded = readdirSync(temporary.path).flatMap((name) => {
    const report = JSON.parse(readFileSync(join(temporary.path, name), "utf8")) as {
      readonly result: readonly { readonly url: string }[];
    };
    return report.result.map(({ url }) => url).filter((url) => url.startsWith("file:"));
  });
  temporary.remove();

  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("Usage: holdfast");
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  expect(loaded.some((url) => url.endsWith("/cli/program.js"))).toBe(true);
  const known =
    /\/node_modules\/commander\/|\/bin\/holdfast\.js$|\/dist\/cli\/|\/dist\/config\/duration\.js$/;
  expect(loaded.filter((url) => !known.test(url))).toEqual([]);
});

test("a variable that is empty is none", async () => {
  const empty = { HOLDFAST_ENDPOINTS: "", HOLDFAST_OUTPUT: "", HOLDFAST_SESSION: "" };

  const ran = await run(["release", "x"], { environment: empty });

  expect(ran).toMatchObject({ code: 64, stderr: expect.stringMatching(/^holdfast: the session is missing/) });
});

test("a program that was not built says so", () => {
  const temporary = temporaryDirectory();
  mkdirSync(join(temporary.path, "bin"));
  const copy = join(temporary.path, "bin", "holdfast.mjs");
  copyFileSync(new URL("../../bin/holdfast.js", import.meta.url), copy);

  const ran = spawnSync(process.execPath, [copy, "ls"], { encoding: "utf8" });
  temporary.remove();

  expect(ran).toMatchObject({
    status: 78,
    stdout: "",
    stderr: "holdfast: not built yet: run npm run build\n",
  });
});
