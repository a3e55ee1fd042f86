/**
 * The words of `holdfast run`. Letters mean what they mean in flock(1).
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { declare, type Host } from "../declare.ts";
import { claimGroup, connectionOptions, durationOption, integerOption, targetOptions } from "../options.ts";
import { type EndSignal, parseEndSignal } from "../run/end-signals.ts";

const waiting = "Waiting:";
const loss = "Limits and loss:";

export function declareRunCommand(program: Command, host: Host): void {
  program.commandsGroup("Locks:");
  const run = declare(program, host, {
    usage: "run <name> [words...]",
    summary: "run a command under a lock or semaphore, as flock(1) does on one machine",
    details: [
      "The command stands after --, and is executed without a shell. Exits with its code, or 128 + n when signal n ended",
      "it. Waits without limit unless told otherwise. If the lock is lost, the command and everything it started are",
      "ended, with exit code 90. The lock is released when the last process of the command is gone, also those in the",
      "background. The command finds HOLDFAST_LOCK, _MODE, _FENCE, _SEQUENCER, _CLAIM, _SESSION, _ENDPOINTS and _OWNER",
      "in its environment; a `holdfast run` in it uses the same session.",
    ],
    operands: { name: "the lock or semaphore", words: "after --: the command and its arguments" },
    options: [
      ...targetOptions(),
      new Option("--label <text>", "who this is, for those who wait (default: user@host)").helpGroup(
        claimGroup,
      ),
      durationOption("--ttl <duration>", "of its session (default: the cluster's, 15s)").helpGroup(
        claimGroup,
      ),
      new Option("-n, --nonblock", "do not wait at all").helpGroup(waiting),
      durationOption("-w, --wait <duration>", "give up after that long").helpGroup(waiting),
      integerOption("-E, --conflict-exit-code <code>", "exit code when it was not acquired (default: 75)", {
        min: 0,
        max: 255,
      }).helpGroup(waiting),
      new Option("--if-held <what>", "do not wait; skip exits with 0, fail with 75")
        .choices(["fail", "skip"])
        .helpGroup(waiting),
      durationOption(
        "--max-hold <duration>",
        "end the command before it has held that long, exit code 91",
      ).helpGroup(loss),
      new Option("--on-lost <signal>", "what the command gets when the lock is lost (default: TERM)")
        .argParser(signalArgument)
        .helpGroup(loss),
      durationOption("--grace <duration>", "from that signal to KILL (default: 5s)").helpGroup(loss),
      durationOption(
        "--lock-delay <duration>",
        "how long the lock stays closed if this run vanishes (default: the session's)",
      ).helpGroup(loss),
      new Option("-c, --command <text>", "let /bin/sh execute this, instead of words after --"),
      new Option("-v, --verbose", "say what happens, on stderr"),
      new Option("--json", "say what happens as one JSON object a line, on stderr"),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast run nightly/backup -n -- ./backup.sh --all", "not twice at the same time, on any machine"],
      ["holdfast run nightly/backup --if-held skip --max-hold 1h -- ./backup.sh", "for cron"],
      ["holdfast run gpu --permits 1 --capacity 4 -- python3 train.py", "four at a time"],
      ["holdfast run deploy -w 10m -v -c 'make && make install'", "a line for the shell"],
    ],
    load: async () => (await import("./run.ts")).run,
  });
  run.usage("[options] <name> -- <command> [arguments...]");
}

function signalArgument(text: string): EndSignal {
  try {
    return parseEndSignal(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
