/**
 * `holdfast config check`: everything that is wrong with a cluster file, as data.
 */
import { loadClusterFile } from "../../config/cluster-file.ts";
import { ConfigError, formatProblem } from "../../config/problems.ts";
import type { Invocation } from "../declare.ts";
import { exitCodes } from "../exit-codes.ts";
import type { ConfigOptions } from "../options.ts";

export async function configCheck({ operands, options, output }: Invocation<ConfigOptions>): Promise<number> {
  const file = operands[0] ?? "";
  try {
    const { config, warnings } = loadClusterFile(file, {
      environment: process.env,
      flags: options.set ?? new Map(),
    });
    const members = config.members.map(({ id }) => id);
    const lines = [`${file} is right: ${config.clusterName}, members ${members.join(", ")}`];
    output.line(
      { file, valid: true, clusterName: config.clusterName, members, warnings, problems: [] },
      [...lines, ...warnings.map((warning) => `warning: ${warning}`)].join("\n"),
    );
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map(({ origin, path, what, right }) => ({
      ...origin,
      path,
      what,
      right,
    }));
    output.line({ file, valid: false, warnings: [], problems }, error.problems.map(formatProblem).join("\n"));
    const count = problems.length;
    if (output.format === "text") output.note("invalid", `${count} ${count === 1 ? "problem" : "problems"}`);
    return exitCodes.configuration;
  }
}
