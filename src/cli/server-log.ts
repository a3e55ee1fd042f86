/**
 * The log of a running node: one line an event on stderr, for people or as NDJSON for collectors.
 */
import type { OutputFormat } from "./output.ts";
import { printable } from "./output.ts";

export type LogLevel = "info" | "warn" | "error";
export type ServerLog = (level: LogLevel, event: string, facts: Readonly<Record<string, unknown>>) => void;

export function createServerLog(format: OutputFormat): ServerLog {
  return (level, event, facts) => {
    const time = new Date().toISOString();
    const line =
      format === "text"
        ? textLine(time, level, event, facts)
        : JSON.stringify({ time, level, event, ...facts });
    process.stderr.write(`${line}\n`);
  };
}

/** `2026-05-01T10:00:00.000Z info  listening http=7400 data=/var/lib/holdfast` */
function textLine(
  time: string,
  level: LogLevel,
  event: string,
  facts: Readonly<Record<string, unknown>>,
): string {
  const { text, ...others } = facts;
  const words = Object.entries(others).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${shown(value)}`],
  );
  const tail = typeof text === "string" ? [printable(text)] : [];
  return [time, level.padEnd(5), event, ...words, ...tail].join(" ");
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[\w./:@+-]+$/.test(text) || typeof value !== "string" ? text : JSON.stringify(text);
}
