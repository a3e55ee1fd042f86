import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { completionScript, shells } from "../../src/cli/completion.ts";
import { createProgram } from "../../src/cli/program.ts";
import { run, temporaryDirectory } from "./process.ts";

const program = createProgram({ argv: [], ended: () => {} }, "0.0.0");

function everyCommand(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function has(shell: string): boolean {
  return spawnSync(shell, ["--version"]).status === 0;
}

describe.each(shells)("the completion of %s", (shell) => {
  const script = completionScript(shell, program);

  test("knows every command and every flag that help shows", () => {
    for (const command of everyCommand(program)) {
      if (command !== program) expect(script).toContain(command.name());
      for (const { long, short, hidden } of command.options) {
        const words = [long, short].filter((word) => word !== undefined && word !== null);
        for (const word of words) {
          const written = shell === "fish" ? word.replace(/^--/, "-l ").replace(/^-(?=\w$)/, "-s ") : word;
          if (hidden) expect(script, word).not.toContain(written);
          else expect(script, word).toContain(written);
        }
      }
    }
  });

  test("is what the command prints", async () => {
    expect(await run(["completion", shell])).toMatchObject({ code: 0, stdout: script, stderr: "" });
  });
});

/** Which shells a machine has is its own affair; bash is everywhere where these tests run. */
test.each(shells.filter((shell) => shell === "bash" || has(shell)))("%s accepts the syntax", (shell) => {
  // A file: fish does not read a script from a pipe.
  const temporary = temporaryDirectory();
  const file = join(temporary.path, "completion");
  writeFileSync(file, completionScript(shell, program));
  const { status, stderr } = spawnSync(shell, ["-n", file], { encoding: "utf8" });
  temporary.remove();

  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

describe("bash completes", () => {
  const script = completionScript("bash", program);

  function offers(...words: readonly string[]): readonly string[] {
    const array = ["holdfast", ...words].map((word) => `'${word}'`).join(" ");
    const ask = `COMP_WORDS=(${array}); COMP_CWORD=${words.length}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = spawnSync("bash", ["--norc", "-c", `${script}\n${ask}`], {
      encoding: "utf8",
      cwd: "/",
    });
    return stdout.trim().split("\n");
  }

  test.each([
    [["ru"], ["run"]],
    [["session", "cr"], ["create"]],
    [["run", "name", "--max"], ["--max-hold"]],
    [["-o", "j"], ["json"]],
    [
      ["run", "name", "--if-held", ""],
      ["fail", "skip"],
    ],
    [["run", "name", "-n", "--", "et"], ["etc"]],
    [
      ["config", "s"],
      ["show", "schema"],
    ],
  ])("%j with %j", (words, expected) => {
    expect(offers(...words)).toEqual(expected);
  });
});

test("a shell that is not known is named with those that are", async () => {
  const ran = await run(["completion", "csh"]);

  expect(ran).toMatchObject({ code: 64, stdout: "" });
  expect(ran.stderr).toMatch(/no completion for csh: name bash, zsh, fish/);
});
