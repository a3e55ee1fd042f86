/**
 * The words of the commands about the cluster as a whole.
 */
import { type Command, Option } from "commander";
import { declare, declareGroup, type Host } from "../declare.ts";
import { connectionOptions } from "../options.ts";

export function declareClusterCommands(program: Command, host: Host): void {
  program.commandsGroup("Cluster:");
  const cluster = declareGroup(program, {
    name: "cluster",
    summary: "look after the cluster",
    examples: [
      ["holdfast cluster status", "members, leader, how far each has come"],
      ["holdfast cluster transfer-leadership --to n2", "let n2 lead"],
    ],
  });
  declare(cluster, host, {
    usage: "status",
    summary: "members, leader, and how far each has come",
    details: ["Answered by any node, by the leader if it can be reached. Exits with 69 when nobody leads."],
    options: connectionOptions(),
    examples: [
      ["holdfast cluster status", "ask the node on this machine"],
      ["holdfast cluster status --endpoint http://10.0.3.7:7400 -o json", "ask another one, for a program"],
    ],
    load: async () => (await import("./cluster.ts")).status,
  });
  declare(cluster, host, {
    usage: "transfer-leadership",
    summary: "hand leadership to another member, before maintenance",
    options: [
      new Option("--to <id>", "the member that shall lead (default: the one that is furthest)"),
      ...connectionOptions(),
    ],
    examples: [
      ["holdfast cluster transfer-leadership", "to the best one"],
      ["holdfast cluster transfer-leadership --to n3", "to n3"],
    ],
    load: async () => (await import("./cluster.ts")).transferLeadership,
  });
  const settings = declare(cluster, host, {
    usage: "settings",
    summary: "the numbers that the whole cluster uses, and how to change one",
    details: [
      "They are taken from the first leader's file when the cluster is founded, and changed only here.",
    ],
    options: connectionOptions(),
    examples: [
      ["holdfast cluster settings", "all of them, and what they are"],
      ["holdfast cluster settings set lockDelayMs 2s", "change one"],
    ],
    load: async () => (await import("./settings.ts")).showSettings,
  });
  declare(settings, host, {
    usage: "set <key> <value>",
    summary: "change one setting, on every node at once",
    details: ["What was granted stays granted; a lowered limit refuses newcomers and ends nothing."],
    operands: { key: "its name, as lockDelayMs", value: "a whole number; times also as 250ms, 10s, 1h" },
    options: connectionOptions(),
    examples: [["holdfast cluster settings set defaultTtlMs 30s", "sessions that name no ttl"]],
    load: async () => (await import("./settings.ts")).setSetting,
  });
}
