/**
 * The words of the commands that make and run nodes: `dev`, `init`, `server`, `config …`.
 */
import { type Command, Option } from "commander";
import { declare, declareGroup, type Host } from "../declare.ts";
import { configOption, integerOption, nodeOptions, setOption } from "../options.ts";

export function declareNodeCommands(program: Command, host: Host): void {
  program.commandsGroup("Nodes:");
  declare(program, host, {
    usage: "dev",
    summary: "run a whole cluster on this machine, to develop against",
    details: [
      "Starts the nodes as processes of their own, waits for a leader and says how to go on. Data is kept between",
      "starts. On a terminal q stops everything, k kills the leader, r starts what is down again.",
      "HTTP is on PORT and the ports after it, traffic between the nodes on PORT + 10 and after it.",
    ],
    options: [
      integerOption("--nodes <count>", "how many nodes (default: 3, or as many as the data has)", {
        min: 1,
        max: 9,
      }),
      new Option("--data <dir>", "where their data is kept").default("./.holdfast-dev"),
      integerOption("--port <port>", "HTTP port of the first node (default: 7400, or as before)", {
        min: 1,
        max: 65_500,
      }),
      new Option("--fresh", "begin with empty data: removes what an earlier `dev` left there"),
    ],
    examples: [
      ["holdfast dev", "three nodes on ports 7400, 7401 and 7402"],
      ["holdfast dev --nodes 5 --port 7500 --fresh", "five new ones elsewhere"],
      ["holdfast dev -o json", "one JSON object a line: ready, leader, node-down"],
    ],
    load: async () => (await import("./dev.ts")).dev,
  });
  declare(program, host, {
    usage: "init",
    summary: "create the data directory of one node",
    details: ["Once for each node, before its first start. `server` never does this by itself."],
    options: [configOption(), ...nodeOptions(), setOption()],
    examples: [
      ["holdfast init --config cluster.yaml --id n1 --data /var/lib/holdfast", "make n1's directory"],
    ],
    load: async () => (await import("./init.ts")).init,
  });
  declare(program, host, {
    usage: "server",
    summary: "run one node",
    details: [
      "Runs in the foreground and logs on stderr, one line an event. TERM and INT stop it in good order.",
      "Keys of the cluster file can be given in the environment too: HOLDFAST_TIMING_TICK_MS=20.",
    ],
    options: [
      configOption(),
      ...nodeOptions(),
      setOption(),
      new Option("--until-stdin-ends", "end when stdin does, and leave INT to the parent").hideHelp(),
    ],
    examples: [
      ["holdfast server --config cluster.yaml --id n1 --data /var/lib/holdfast", "run n1"],
      ["holdfast server --config cluster.yaml --id n1 --data d1 -o ndjson", "log in JSON"],
    ],
    load: async () => (await import("./server.ts")).server,
  });
  const config = declareGroup(program, {
    name: "config",
    summary: "look at cluster files",
    examples: [["holdfast config check cluster.yaml", "say everything that is wrong with it"]],
  });
  declare(config, host, {
    usage: "check <file>",
    summary: "say everything that is wrong with a cluster file, and where",
    details: [
      "Counts the environment (HOLDFAST_…) and --set in, as `server` does. Exits with 78 if it is wrong.",
    ],
    operands: { file: "the cluster file" },
    options: [setOption()],
    examples: [
      ["holdfast config check cluster.yaml", "check it"],
      ["holdfast config check cluster.yaml --set timing.tickMs=20", "check it with another tick"],
    ],
    load: async () => (await import("./config-check.ts")).configCheck,
  });
  declare(config, host, {
    usage: "show <file>",
    summary: "print every value that a cluster file comes to",
    details: ["With defaults, the environment (HOLDFAST_…) and --set counted in, as `server` does."],
    operands: { file: "the cluster file" },
    options: [
      new Option("--origin", "say where each value is from: default, file:line:column, environment, flag"),
      setOption(),
    ],
    examples: [["holdfast config show cluster.yaml --origin", "what counts, and why"]],
    load: async () => (await import("./config-show.ts")).configShow,
  });
  declare(config, host, {
    usage: "schema",
    summary: "print the JSON Schema of the cluster file, for editors",
    examples: [["holdfast config schema > cluster.schema.json", "keep it beside the file"]],
    load: async () => (await import("./config-show.ts")).configSchema,
  });
}
