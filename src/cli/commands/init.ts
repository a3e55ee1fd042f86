/**
 * `holdfast init`: makes the data directory of one node. Fills an empty directory only.
 */
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import { loadNodeConfig, type NodeOptions } from "../node-config.ts";

export async function init({ options, output }: Invocation<NodeOptions>): Promise<number> {
  const { clusterName } = loadNodeConfig(options, output);
  const { initDataDirectory } = await import("../../storage/data-directory.ts");
  const { name, incarnation } = initDataDirectory({ path: options.data, clusterName, name: options.id });
  const value = { id: name, clusterName, data: options.data, incarnation };
  const next = `holdfast server --config ${options.config} --id ${name} --data ${options.data}`;
  output.line(value, `${options.data} is the data directory of ${name} now. Start it with:\n  ${next}`);
  return exitCodes.ok;
}
