/**
 * What is wrong with a configuration, in words for the person who must correct it. All problems are collected; a
 * reader never stops at the first.
 */

import { unreachable } from "../base/assert.ts";

/** Where a value came from. */
export type Origin =
  | { readonly kind: "default" }
  /** `line` and `column` count from 1; absent when the file could not be read at all. */
  | {
      readonly kind: "file";
      readonly file: string;
      readonly line: number | undefined;
      readonly column: number | undefined;
    }
  | { readonly kind: "environment"; readonly name: string }
  | { readonly kind: "flag"; readonly name: string };

export interface ConfigProblem {
  readonly origin: Origin;
  /** `timing.tickMs`, `members[0].peer`; empty when the whole file is meant. */
  readonly path: string;
  /** What is wrong, as the rest of a sentence that begins with the path. */
  readonly what: string;
  /** What would be right. */
  readonly right: string;
}

/** Carries every problem of one configuration; the process exits with 78. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly exitCode = 78;
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.problems = problems;
  }
}

/** `cluster.yaml:5:9: timing.tickMs must be …: write …` */
export function formatProblem(problem: ConfigProblem): string {
  const subject = problem.path === "" ? "" : `${problem.path} `;
  return `${formatOrigin(problem.origin)}: ${subject}${problem.what}: ${problem.right}`;
}

export function formatOrigin(origin: Origin): string {
  switch (origin.kind) {
    case "file":
      return [origin.file, origin.line, origin.column].filter((part) => part !== undefined).join(":");
    case "environment":
      return `environment ${origin.name}`;
    case "flag":
      return `flag ${origin.name}`;
    case "default":
      return "default";
    default:
      return unreachable(origin);
  }
}
