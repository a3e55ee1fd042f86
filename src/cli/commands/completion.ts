/**
 * `holdfast completion`: prints what makes a shell complete the words of this program.
 */
import type { Command } from "commander";
import { completionScript, type Shell, shells } from "../completion.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes, usageError } from "../exit-codes.ts";

/** `program` is the whole tree, the same that parses the command line. */
export function completionOf(program: Command) {
  return async ({ operands, output }: Invocation<object>): Promise<number> => {
    const shell = shells.find((name) => name === operands[0]) as Shell | undefined;
    if (shell === undefined)
      throw usageError(`there is no completion for ${operands[0]}: name ${shells.join(", ")}`);
    const script = completionScript(shell, program);
    output.data({ text: JSON.stringify({ shell, script }), body: { shell, script } }, script);
    return exitCodes.ok;
  };
}
