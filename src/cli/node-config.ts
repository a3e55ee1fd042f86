/**
 * The cluster file for a command that makes or runs one node: loaded, its warnings said, the node found in it.
 */
import { loadClusterFile } from "../config/cluster-file.ts";
import type { ClusterConfig } from "../config/types.ts";
import { CliError, exitCodes } from "./exit-codes.ts";
import type { ConfigOptions } from "./options.ts";
import type { Output } from "./output.ts";

export interface NodeOptions extends ConfigOptions {
  readonly config: string;
  readonly id: string;
  readonly data: string;
}

/** Throws ConfigError, or CliError (78) when the file does not know the node. */
export function loadNodeConfig(options: NodeOptions, output: Output): ClusterConfig {
  const flags = options.set ?? new Map();
  const { config, warnings } = loadClusterFile(options.config, { environment: process.env, flags });
  for (const warning of warnings) output.note("warning", `warning: ${warning}`);
  if (config.members.some(({ id }) => id === options.id)) return config;
  const known = config.members.map(({ id }) => id).join(", ");
  const detail = `${options.config}: ${options.id} is not among its members: name one of ${known} with --id`;
  throw new CliError({ exitCode: exitCodes.configuration, code: "configuration", detail });
}
