/**
 * Options that several commands share, and how their values are read. Environment variables and defaults show in
 * the help because commander is told of both.
 */
import { InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../config/duration.ts";
import { type OutputFormat, outputFormats } from "./output.ts";

/** The nearest use of `-o` on the command line, else the environment, else text. Also right when parsing failed. */
export function outputFormatOf(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): OutputFormat {
  const words = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : argv.length);
  let asked = environment["HOLDFAST_OUTPUT"];
  words.forEach((word, index) => {
    if (word === "-o" || word === "--output") asked = words[index + 1];
    else if (word.startsWith("--output=")) asked = word.slice("--output=".length);
    else if (/^-o[^-]/.test(word)) asked = word.slice(2).replace(/^=/, "");
  });
  return outputFormats.find((format) => format === asked) ?? "text";
}

export function outputOption(): Option {
  return new Option("-o, --output <format>", "what to print: for people, or for programs")
    .choices([...outputFormats])
    .default("text")
    .env("HOLDFAST_OUTPUT");
}

/** A duration in milliseconds. */
export function durationOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(durationArgument);
}

export function durationArgument(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined)
    throw new InvalidArgumentError("Write a duration, as 250ms, 10s, 5m, 1h30m; a bare number is seconds.");
  return ms;
}

export function integerOption(
  flags: string,
  description: string,
  range: { readonly min: number; readonly max: number },
): Option {
  const { min, max } = range;
  return new Option(flags, description).argParser((text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Write a whole number from ${min} to ${max}.`);
  });
}

/** What every command that talks to a cluster has. */
export interface ConnectionOptions {
  readonly endpoint?: readonly string[];
  /** Milliseconds. */
  readonly timeout: number;
}

export const defaultEndpoint = "http://127.0.0.1:7400";
export const defaultTimeoutMs = 30_000;

export function connectionOptions(): readonly Option[] {
  return [
    new Option("--endpoint <url>", `a node of the cluster; may be repeated (default: ${defaultEndpoint})`)
      .argParser(collectEndpoints)
      .env("HOLDFAST_ENDPOINTS")
      .helpGroup("Connection:"),
    durationOption("--timeout <duration>", "how long to try to get an answer")
      .default(defaultTimeoutMs, "30s")
      .helpGroup("Connection:"),
  ];
}

/** Commas separate them, as in the environment variable. */
function collectEndpoints(text: string, previous: readonly string[] | undefined): readonly string[] {
  const urls = text.split(",").flatMap((part) => (part.trim() === "" ? [] : [endpointUrl(part.trim())]));
  if (urls.length === 0) throw new InvalidArgumentError("Write a URL, as http://127.0.0.1:7400.");
  return [...(previous ?? []), ...urls];
}

/** The origin only: the API lies at the root of every node. */
function endpointUrl(text: string): string {
  try {
    const url = new URL(text.includes("://") ? text : `http://${text}`);
    if (/^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "") return url.origin;
  } catch {
    // Falls through to the one message for everything that is no such URL.
  }
  throw new InvalidArgumentError("Write a URL, as http://127.0.0.1:7400.");
}

export const claimGroup = "What is claimed:";

/** A lock in one of its modes, or permits of a semaphore; letters as in flock(1). */
export function targetOptions(): readonly Option[] {
  const count = { min: 1, max: 1_000_000_000 };
  return [
    new Option("-x, --exclusive", "the lock for itself alone (the default)"),
    new Option("-s, --shared", "the lock together with others that want it shared"),
    integerOption("--permits <count>", "that many permits of a semaphore instead of a lock", count),
    integerOption("--capacity <count>", "of the semaphore, if it is not there yet", count),
  ].map((option) => option.helpGroup(claimGroup));
}

/** What `init`, `server` and `config check` read the cluster file by. */
export interface ConfigOptions {
  readonly set?: ReadonlyMap<string, string>;
}

export function configOption(): Option {
  return new Option("--config <file>", "the cluster file").env("HOLDFAST_CONFIG").makeOptionMandatory();
}

export function setOption(): Option {
  return new Option(
    "--set <key=value>",
    "a key of the cluster file, stronger than file and environment; may be repeated",
  ).argParser(
    (text: string, previous: ReadonlyMap<string, string> | undefined): ReadonlyMap<string, string> => {
      const equals = text.indexOf("=");
      if (equals < 1) throw new InvalidArgumentError("Write KEY=VALUE, as timing.tickMs=20.");
      return new Map([...(previous ?? []), [text.slice(0, equals), text.slice(equals + 1)]]);
    },
  );
}

/** One node's own name and place. */
export function nodeOptions(): readonly Option[] {
  return [
    new Option("--id <id>", "which member of the cluster file this is")
      .env("HOLDFAST_ID")
      .makeOptionMandatory(),
    new Option("--data <dir>", "this node's data directory").env("HOLDFAST_DATA").makeOptionMandatory(),
  ];
}

export function pageOptions(): readonly Option[] {
  return [
    integerOption("--limit <count>", "one page of that many (default: everything; as JSON a page of 1000)", {
      min: 1,
      max: 1000,
    }),
    new Option("--cursor <cursor>", "go on after an earlier page"),
  ];
}
