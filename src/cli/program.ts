/**
 * The tree of commands. Knows their words, options and examples; what they do is imported when one runs, so that
 * `--help` loads nothing but commander.
 */
import { Command } from "commander";
import { declareClusterCommands } from "./commands/cluster.declare.ts";
import { declareLockCommands } from "./commands/locks.declare.ts";
import { declareNodeCommands } from "./commands/nodes.declare.ts";
import { declareRunCommand } from "./commands/run.declare.ts";
import { declareSemaphoreCommands } from "./commands/semaphores.declare.ts";
import { declareSessionCommands } from "./commands/sessions.declare.ts";
import { declare, finish, type Host } from "./declare.ts";

/** The program, ready to parse `host.argv`. Throws CommanderError instead of ending the process. */
export function createProgram(host: Host, version: string): Command {
  const program = new Command("holdfast");
  program
    .description("A lock service that is replicated by Raft: one lock, several disks.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false })
    .showSuggestionAfterError(true)
    .showHelpAfterError("Add --help for what there is.")
    .exitOverride();
  declareNodeCommands(program, host);
  declareRunCommand(program, host);
  declareLockCommands(program, host);
  declareSemaphoreCommands(program, host);
  declareSessionCommands(program, host);
  declareClusterCommands(program, host);
  program.commandsGroup("Other:");
  declare(program, host, {
    usage: "completion <shell>",
    summary: "print a completion script for bash, zsh or fish",
    operands: { shell: "bash, zsh or fish" },
    details: ['In ~/.bashrc or ~/.zshrc: eval "$(holdfast completion bash)", with the shell\'s own name.'],
    examples: [["holdfast completion fish | source", "for this fish"]],
    load: async () => (await import("./commands/completion.ts")).completionOf(program),
  });
  finish(program, [
    ["holdfast dev", "start three nodes here and see"],
    ["holdfast run nightly -n -- ./backup.sh", "run a command unless it runs already, on any machine"],
    ["holdfast acquire billing/close --wait 1m", "get a lock, waiting for it if need be"],
    ["holdfast ls", "what is held, and by whom"],
  ]);
  program.addHelpText("after", exitCodeHelp);
  return program;
}

const exitCodeHelp = `
Exit codes:
  0 done   1 refused   64 usage   69 no node or no leader answers   70 internal fault   71 cannot listen
  73 a file or directory cannot be created or used   75 not acquired   77 not allowed   78 configuration
  90 the lock was lost   91 it may not be held for longer   126 127 the command cannot be executed, is not there`;
