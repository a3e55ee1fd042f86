/**
 * The words of the commands about locks.
 */
import { type Command, Option } from "commander";
import { declare, type Host } from "../declare.ts";
import { connectionOptions, durationOption, pageOptions, targetOptions } from "../options.ts";

export function declareLockCommands(program: Command, host: Host): void {
  declare(program, host, {
    usage: "acquire <name>",
    summary: "acquire a lock or permits, waiting without limit unless told otherwise",
    details: [
      "Without --session it opens a session of its own, and nothing renews that afterwards: the claim holds as long as",
      "is said on stderr. --claim-file keeps what `release` needs; --keep stays, renews, and releases on TERM, INT or",
      "the end of stdin if that is a pipe. With --keep, exit code 90 says that the lock was lost.",
    ],
    operands: { name: "the lock or semaphore, as billing/close" },
    options: [
      ...targetOptions(),
      durationOption("-w, --wait <duration>", "give up after that long, with exit code 75"),
      new Option("-n, --nonblock", "do not wait at all"),
      new Option("--session <id>", "claim it in this session, which is renewed while the claim waits").env(
        "HOLDFAST_SESSION",
      ),
      durationOption("--ttl <duration>", "of its own session (default: the cluster's, 15s)"),
      durationOption(
        "--lock-delay <duration>",
        "how long the lock stays closed if its holder vanishes (default: the session's)",
      ),
      durationOption("--max-hold <duration>", "the cluster ends the hold after that long, renewed or not"),
      new Option(
        "--label <text>",
        "of its own session: who this is, for those who wait (default: user@host)",
      ),
      new Option("--claim-file <file>", "keep the ids there for `release --claim-file`"),
      new Option("--keep", "stay in the foreground and renew"),
      ...connectionOptions(),
    ],
    examples: [
      [
        "holdfast acquire billing/close -n --ttl 10m --claim-file c && { close-books; holdfast release --claim-file c; }",
        "around a command of at most ten minutes",
      ],
      ["holdfast acquire billing/close --wait 1m --keep", "hold it until Ctrl-C"],
      ["holdfast acquire gpu --permits 2 --keep", "hold two permits of a semaphore"],
    ],
    load: async () => (await import("./acquire.ts")).acquire,
  });
  declare(program, host, {
    usage: "release [claim]",
    summary: "release a claim; exit code 90 says that it had been lost before",
    operands: { claim: "its id, as acquire printed it" },
    options: [
      new Option("--session <id>", "the session that holds it").env("HOLDFAST_SESSION"),
      new Option(
        "--claim-file <file>",
        "what acquire --claim-file wrote: ends its session too, and removes the file",
      ),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast release --claim-file c", "release what acquire kept in c"],
      ["holdfast release 3f9a0c11d2e4b765_1 --session $ID", "release one claim of a session"],
    ],
    load: async () => (await import("./release.ts")).release,
  });
  declare(program, host, {
    usage: "try <name>",
    summary: "look whether a lock is free: 0 if it is, 75 if not, and who has it",
    details: ["Takes nothing; `acquire -n` does."],
    operands: { name: "the lock" },
    options: connectionOptions(),
    examples: [["holdfast try billing/close || echo busy", "look"]],
    load: async () => (await import("./looking.ts")).tryLock,
  });
  declare(program, host, {
    usage: "ls [prefix]",
    summary: "list the locks that are in use",
    details: [
      "Without a terminal: tabs between the columns, no head. As JSON one page with the cursor of the next.",
    ],
    operands: { prefix: "only names that begin so" },
    options: [
      new Option("--state <state>", "only locks in this state").choices(["free", "held", "delayed"]),
      ...pageOptions(),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast ls billing/", "everything below billing/"],
      ["holdfast ls -o ndjson | jq .lock", "names, for a program"],
    ],
    load: async () => (await import("./looking.ts")).ls,
  });
  declare(program, host, {
    usage: "show <name>",
    summary: "one lock: who has it, since when, who waits",
    operands: { name: "the lock" },
    options: connectionOptions(),
    examples: [["holdfast show billing/close", "look at it"]],
    load: async () => (await import("./looking.ts")).show,
  });
}
