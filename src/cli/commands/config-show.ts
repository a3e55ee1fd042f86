/**
 * `holdfast config show` and `config schema`: what a cluster file comes to once defaults, environment and flags are in,
 * where each value is from, and what may be written.
 */
import { formatAddress } from "../../config/address.ts";
import { loadClusterFile } from "../../config/cluster-file.ts";
import { clusterFileSchema, clusterFileSchemaText } from "../../config/json-schema.ts";
import { formatOrigin, type Origin } from "../../config/problems.ts";
import { fields } from "../../config/schema.ts";
import type { ClusterConfig, HostPort } from "../../config/types.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import type { ConfigOptions } from "../options.ts";
import { aligned } from "../output.ts";

export interface ConfigShowOptions extends ConfigOptions {
  readonly origin?: boolean;
}

type Shown = string | number | boolean;

interface Entry {
  readonly path: string;
  readonly value: Shown;
  readonly origin: Origin;
}

export async function configShow({
  operands,
  options,
  output,
}: Invocation<ConfigShowOptions>): Promise<number> {
  const file = operands[0] ?? "";
  const flags = options.set ?? new Map();
  const { config, warnings, origins } = loadClusterFile(file, { environment: process.env, flags });
  for (const warning of warnings) output.note("warning", `warning: ${warning}`);
  const entries = valuesOf(config).map(
    ([path, value]): Entry => ({ path, value, origin: origins.get(path) ?? { kind: "default" } }),
  );
  const rows = entries.map(({ path, value, origin }) =>
    options.origin === true ? [path, String(value), formatOrigin(origin)] : [path, String(value)],
  );
  const values = entries.map(({ path, value, origin }) =>
    options.origin === true
      ? { path, value, origin: { ...origin, text: formatOrigin(origin) } }
      : { path, value },
  );
  const text = aligned(rows).join("\n");
  if (output.format === "ndjson") for (const value of values) output.line(value, text);
  else output.data({ text: JSON.stringify({ file, values }), body: { file, values } }, text);
  return exitCodes.ok;
}

/** Every value that counts, in the order in which a file is written. */
function valuesOf(config: ClusterConfig): readonly (readonly [path: string, value: Shown])[] {
  const members = config.members.flatMap(({ id, peer, http }, index) => [
    [`members[${index}].id`, id] as const,
    [`members[${index}].peer`, formatAddress(peer)] as const,
    [`members[${index}].http`, formatAddress(http)] as const,
  ]);
  const others = fields.flatMap(({ path }) => {
    const value = valueAt(config, path);
    return value === undefined ? [] : [[path, value] as const];
  });
  const [first, ...rest] = others;
  return [...(first === undefined ? [] : [first]), ...members, ...rest];
}

/** Undefined: nobody gave it and it has no default. */
function valueAt(config: ClusterConfig, path: string): Shown | undefined {
  let at: unknown = config;
  for (const key of path.split(".")) at = (at as Readonly<Record<string, unknown>>)[key];
  if (at === undefined) return undefined;
  return typeof at === "object" ? formatAddress(at as HostPort) : (at as Shown);
}

export async function configSchema({ output }: Invocation<object>): Promise<number> {
  output.data({ text: clusterFileSchemaText(), body: clusterFileSchema() }, clusterFileSchemaText());
  return exitCodes.ok;
}
