/**
 * From the words of a command line to an exit code. The only place that prints a failure.
 */
import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { asFailure, exitCodes } from "./exit-codes.ts";
import { outputFormatOf } from "./options.ts";
import { createOutput } from "./output.ts";
import { createProgram } from "./program.ts";

/** `argv` without the program's own name. Never rejects. */
export async function main(argv: readonly string[]): Promise<number> {
  dropEmptyVariables();
  const format = outputFormatOf(argv, process.env);
  const output = createOutput(format);
  ignoreClosedStreams();
  let code: number = exitCodes.ok;
  const program = createProgram({ argv, ended: (exitCode) => (code = exitCode) }, version());
  // Commander's own words for people are right as they are; programs get one JSON object instead.
  if (format !== "text") silence(program);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      const failure = asFailure(error);
      output.failure(failure);
      return failure.exitCode;
    }
    if (error.exitCode === 0) return exitCodes.ok;
    if (format !== "text") {
      const isHelp = error.code === "commander.help";
      const detail = isHelp ? "a command is missing; see --help" : error.message.replace(/^error: /, "");
      output.failure({ exitCode: exitCodes.usage, code: "usage", detail });
    }
    return exitCodes.usage;
  }
}

/** Copies of the settings were made when the commands were declared, so each is told. */
function silence(program: ReturnType<typeof createProgram>): void {
  program.configureOutput({ writeErr: () => {} });
  for (const command of program.commands) silence(command);
}

/** A variable that is set to nothing is one that is not set. */
function dropEmptyVariables(): void {
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith("HOLDFAST_") && value === "") delete process.env[name];
  }
}

/** A reader that goes away (`holdfast ls | head -1`) is no reason to fail. */
function ignoreClosedStreams(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
