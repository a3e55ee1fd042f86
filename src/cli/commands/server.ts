/**
 * `holdfast server`: runs one node until it is told to stop or cannot go on. Never creates a data directory.
 */
import type { ServerFailure } from "../../server.ts";
import type { Invocation } from "../declare.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { loadNodeConfig, type NodeOptions } from "../node-config.ts";
import { createServerLog, type ServerLog } from "../server-log.ts";

export interface ServerCommandOptions extends NodeOptions {
  readonly untilStdinEnds?: boolean;
}

/** A close that hangs longer than this is given up. */
const closeMsMax = 10_000;

type Ending =
  | { readonly kind: "stop"; readonly why: string }
  | { readonly kind: "failed"; readonly failure: ServerFailure };

export async function server({ options, output }: Invocation<ServerCommandOptions>): Promise<number> {
  const config = loadNodeConfig(options, output);
  const log = createServerLog(output.format);
  const { startServer } = await import("../../server.ts");
  let end: (ending: Ending) => void = () => {};
  const ended = new Promise<Ending>((resolve) => {
    end = resolve;
  });
  watchForTheEnd(options, end);
  const starting = startServer({
    config,
    id: options.id,
    dataPath: options.data,
    log,
    fail: (failure) => end({ kind: "failed", failure }),
  });
  // A failure may come before the start is over, and then the start may never be.
  const early = await Promise.race([starting.then(() => undefined), ended]);
  const ending = early?.kind === "failed" ? early : await starting.then(() => ended);
  // After a failure nothing may be written any more, not even a goodbye.
  if (ending.kind === "failed") throw failureOf(ending.failure);
  log("info", "stopping", { why: ending.why });
  await withinLimit((await starting).close(), log);
  log("info", "stopped", {});
  return exitCodes.ok;
}

function watchForTheEnd(options: ServerCommandOptions, end: (ending: Ending) => void): void {
  process.on("SIGTERM", () => end({ kind: "stop", why: "SIGTERM" }));
  process.on("SIGINT", () => {
    // On a terminal every process of the group gets it; the parent says when its nodes stop.
    if (options.untilStdinEnds !== true) end({ kind: "stop", why: "SIGINT" });
  });
  if (options.untilStdinEnds === true) {
    const stop = () => end({ kind: "stop", why: "the parent process has gone" });
    process.stdin.on("end", stop).on("close", stop).on("error", stop);
    process.stdin.resume();
  }
  process.on("uncaughtException", (error) => {
    const text = `an internal error: ${error.stack ?? error.message}`;
    end({ kind: "failed", failure: { exitCode: exitCodes.fault, text } });
  });
}

function failureOf({ exitCode, text }: ServerFailure): CliError {
  const code = exitCode === exitCodes.fault ? "fault" : "refused";
  return new CliError({ exitCode, code, detail: text });
}

async function withinLimit(closing: Promise<void>, log: ServerLog): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log("warn", "stopping", { text: `not everything was closed within ${closeMsMax} ms` });
      resolve();
    }, closeMsMax);
  });
  await Promise.race([closing, late]);
  clearTimeout(timer);
}
