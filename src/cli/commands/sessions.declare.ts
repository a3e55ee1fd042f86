/**
 * The words of the commands about sessions.
 */
import { type Command, Option } from "commander";
import { declare, declareGroup, type Host } from "../declare.ts";
import { connectionOptions, durationOption, pageOptions } from "../options.ts";

export function declareSessionCommands(program: Command, host: Host): void {
  program.commandsGroup("Sessions:");
  const session = declareGroup(program, {
    name: "session",
    summary: "open, list and end sessions",
    examples: [
      [
        "export HOLDFAST_SESSION=$(holdfast session create -o json | jq -r .sessionId)",
        "open one and keep its id",
      ],
      ["holdfast session ls", "who is there"],
    ],
  });
  declare(session, host, {
    usage: "create",
    summary: "open a session and print its id",
    details: [
      "The id is a secret: who knows it can release what the session holds. Nothing renews the session by itself;",
      "the same command with the same --id and values does.",
    ],
    options: [
      durationOption("--ttl <duration>", "how long it lives without a renewal (default: the cluster's, 15s)"),
      durationOption(
        "--lock-delay <duration>",
        "how long its locks stay closed if it expires (default: the cluster's, 5s)",
      ),
      new Option("--label <text>", "who this is, for people"),
      new Option("--id <id>", "its id, 16 to 64 letters, digits and .-_~ (default: a random one)"),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast session create --ttl 1m --label deploy@ci", "one for a job"],
      ["holdfast session create --id $ID --ttl 1m", "renew the one that was created so"],
    ],
    load: async () => (await import("./sessions.ts")).create,
  });
  declare(session, host, {
    usage: "ls",
    summary: "list the live sessions, by their refs",
    options: [...pageOptions(), ...connectionOptions()],
    examples: [["holdfast session ls", "who is there"]],
    load: async () => (await import("./sessions.ts")).list,
  });
  declare(session, host, {
    usage: "show [session]",
    summary: "one session and its claims",
    operands: { session: "its id or its ref (env: HOLDFAST_SESSION)" },
    options: connectionOptions(),
    examples: [["holdfast session show 3f9a0c11d2e4b765", "the session of that ref"]],
    load: async () => (await import("./sessions.ts")).showSession,
  });
  declare(session, host, {
    usage: "close [session]",
    summary: "end a session cleanly: everything it holds is free at once",
    operands: { session: "its id (env: HOLDFAST_SESSION)" },
    options: connectionOptions(),
    examples: [["holdfast session close $ID", "end it"]],
    load: async () => (await import("./sessions.ts")).close,
  });
  declare(session, host, {
    usage: "kill <ref>",
    summary: "end somebody else's session, by its ref",
    details: [
      "What it held is granted to others when its holder cannot believe in it any more: at the latest when its ttl is",
      "over. Ask its owner first; `session show REF` says who it is.",
    ],
    operands: { ref: "16 hex digits, as `show` and `session ls` print it" },
    options: [
      new Option("--reason <text>", "for whoever finds it gone").makeOptionMandatory(),
      ...connectionOptions(),
    ],
    examples: [["holdfast session kill 3f9a0c11d2e4b765 --reason 'host is gone for good'", "end it"]],
    load: async () => (await import("./sessions.ts")).kill,
  });
}
