/**
 * What a command says. stdout is data, stderr is talk; as text for people, as JSON or NDJSON for programs.
 * `json` prints the body of an answer unchanged; `ndjson` one line for each thing. Failures have the same two forms,
 * on stderr.
 */
import { styleText } from "node:util";
import type { CliFailure } from "./exit-codes.ts";

export const outputFormats = ["text", "json", "ndjson"] as const;
export type OutputFormat = (typeof outputFormats)[number];

export interface Output {
  readonly format: OutputFormat;
  /** Data. `text` is what people see, without a final line break; empty prints nothing. */
  data(answer: { readonly text: string; readonly body: unknown }, text: string): void;
  /** One line of data: NDJSON for programs whatever the format, else `text`. */
  line(value: Readonly<Record<string, unknown>>, text: string): void;
  /** Talk. `event` and `facts` are for programs. */
  note(event: string, text: string, facts?: Readonly<Record<string, unknown>>): void;
  failure(failure: CliFailure): void;
}

export function createOutput(format: OutputFormat): Output {
  const isText = format === "text";
  return {
    format,
    data: (answer, text) => {
      if (format === "json") write(process.stdout, answer.text);
      else write(process.stdout, isText ? text : JSON.stringify(answer.body));
    },
    line: (value, text) => write(process.stdout, isText ? text : JSON.stringify(value)),
    note: (event, text, facts = {}) => {
      write(process.stderr, isText ? text : JSON.stringify({ event, ...facts, text }));
    },
    failure: (failure) => write(process.stderr, isText ? failureText(failure) : failureJson(failure)),
  };
}

function write(stream: NodeJS.WriteStream, text: string): void {
  if (text !== "") stream.write(text.endsWith("\n") ? text : `${text}\n`);
}

function failureText({ detail, code }: CliFailure): string {
  if (code === "configuration") return detail;
  return `${paint("red", "holdfast:", process.stderr)} ${detail}`;
}

function failureJson({ body, code, detail, exitCode, facts }: CliFailure): string {
  return body ?? JSON.stringify({ type: `urn:holdfast:error:${code}`, code, detail, exitCode, ...facts });
}

/** Colour only on a terminal, and never against NO_COLOR. */
export function paint(
  style: "red" | "green" | "yellow" | "bold" | "dim",
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  const { NO_COLOR: noColor } = process.env;
  if (!stream.isTTY || (noColor !== undefined && noColor !== "")) return text;
  return styleText(style, text);
}

/**
 * Rows under a head: aligned and with the head on a terminal, plain columns with tabs and without one otherwise.
 * An empty cell is `-`, so that columns can be counted.
 */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (cell === "" ? "-" : printable(cell))));
  if (!process.stdout.isTTY) return cells.map((row) => row.join("\t")).join("\n");
  return aligned([head.map((word) => word.toUpperCase()), ...cells])
    .map((line, index) => (index === 0 ? paint("bold", line) : line))
    .join("\n");
}

/** `name  value` lines; pairs without a value are left out. */
export function properties(pairs: readonly (readonly [string, string | number | undefined])[]): string {
  const rows = pairs.flatMap(([name, value]) =>
    value === undefined ? [] : [[name, printable(String(value))]],
  );
  return aligned(rows).join("\n");
}

export function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Labels and owners are text of other people: control characters in them must not reach the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");
}
