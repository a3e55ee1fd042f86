/**
 * How a command is declared: words, options and examples now, the code that runs it only when it runs.
 */
import type { Command, Option } from "commander";
import { outputFormatOf, outputOption } from "./options.ts";
import { createOutput, type Output } from "./output.ts";

/** One run of a command. */
export interface Invocation<Options> {
  /** One that may be repeated stands here as often as it was given. */
  readonly operands: readonly (string | undefined)[];
  /** The whole command line, as it was given. */
  readonly argv: readonly string[];
  readonly options: Options;
  readonly output: Output;
}

/** Resolves with the exit code; throws CliError and whatever `asFailure` knows. */
export type CommandCode<Options> = (invocation: Invocation<Options>) => Promise<number>;

export interface Declaration<Options> {
  /** `acquire <name>`: the word and its operands. */
  readonly usage: string;
  readonly summary: string;
  /** Further sentences of the help, one paragraph. */
  readonly details?: readonly string[];
  /** What each operand is. */
  readonly operands?: Readonly<Record<string, string>>;
  readonly options?: readonly Option[];
  /** Command lines and what they do. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  readonly load: () => Promise<CommandCode<Options>>;
}

/** What the program does with the exit code. */
export interface Host {
  readonly argv: readonly string[];
  ended(exitCode: number): void;
}

export function declare<Options>(parent: Command, host: Host, declaration: Declaration<Options>): Command {
  const { usage, summary, details, operands, options, examples, load } = declaration;
  const command = parent.command(usage).summary(summary);
  command.description(details === undefined ? summary : `${summary}\n\n${details.join(" ")}`);
  command.registeredArguments.forEach((argument) => {
    argument.description = operands?.[argument.name()] ?? "";
  });
  for (const option of options ?? []) command.addOption(option);
  finish(command, examples);
  command.action(async (...received: unknown[]) => {
    const run = await load();
    const output = createOutput(outputFormatOf(host.argv, process.env));
    const count = command.registeredArguments.length;
    const given = received.slice(0, count).flat() as (string | undefined)[];
    const options = command.opts() as Options;
    host.ended(await run({ operands: given, argv: host.argv, options, output }));
  });
  return command;
}

/** A word with further words below it. */
export function declareGroup(
  parent: Command,
  declaration: {
    readonly name: string;
    readonly summary: string;
    readonly examples: readonly (readonly [line: string, what: string])[];
  },
): Command {
  const { name, summary, examples } = declaration;
  const command = parent.command(name).summary(summary).description(summary);
  finish(command, examples);
  return command;
}

/** What every command has: `-o`, examples. */
export function finish(command: Command, examples: Declaration<unknown>["examples"]): void {
  command.addOption(outputOption());
  const lines = examples.flatMap(([line, what]) => [`  # ${what}`, `  $ ${line}`]);
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}
