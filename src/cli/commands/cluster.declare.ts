/** Later in this change. */
import type { Command } from "commander";
import type { Host } from "../declare.ts";

export function declareClusterCommands(_program: Command, _host: Host): void {}
