/**
 * What `holdfast run` says of itself, on stderr alone: nothing unless asked or wrong, a line for each thing with -v, one
 * JSON object a line with --json. stdout is the command's.
 */
import type { CliFailure } from "../exit-codes.ts";
import { createOutput, type Output } from "../output.ts";

export interface RunReport {
  /** With -v or as an event. */
  tell(event: string, text: string, facts?: Readonly<Record<string, unknown>>): void;
  /** Always: somebody must know. */
  warn(event: string, text: string, facts?: Readonly<Record<string, unknown>>): void;
  failure(failure: CliFailure): void;
}

export function createRunReport(
  output: Output,
  options: { readonly verbose?: boolean | undefined; readonly json?: boolean | undefined },
): RunReport {
  const isJson = options.json === true || output.format !== "text";
  const events = createOutput(isJson ? "ndjson" : "text");
  const say: RunReport["tell"] = (event, text, facts) =>
    events.note(event, isJson ? text : `holdfast: ${text}`, facts);
  return {
    tell: (event, text, facts) => {
      if (isJson || options.verbose === true) say(event, text, facts);
    },
    warn: say,
    failure: (failure) => {
      if (!isJson) return events.failure(failure);
      const { code, exitCode, detail, facts } = failure;
      const reasons = reasonsIn(failure.body);
      events.note("failed", detail, { code, exitCode, detail, ...reasons, ...facts });
    },
  };
}

/** What a program wants of a refusal. */
function reasonsIn(body: string | undefined): Readonly<Record<string, unknown>> {
  if (body === undefined) return {};
  try {
    const { reason, blockedBy } = JSON.parse(body) as Readonly<Record<string, unknown>>;
    return { reason, blockedBy };
  } catch {
    return {};
  }
}
