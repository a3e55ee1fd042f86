/**
 * The wish to stop, as a signal of the system or as the end of stdin. The first one is an orderly request; a second
 * one ends the process at once.
 */
import { fstatSync } from "node:fs";

/** Why a command shall stop. */
export interface StopReason {
  readonly signal: "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGQUIT" | undefined;
  /** What a shell shows for it: 128 + n, 0 for the end of stdin. */
  readonly exitCode: number;
}

export interface StopWatch {
  /** Aborted with a StopReason. */
  readonly signal: AbortSignal;
  /** Also when stdin ends, if it is a pipe: a file or /dev/null ends at once and means nothing. */
  watchStdin(): void;
}

const codes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

export function watchForStop(): StopWatch {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      const exitCode = codes[signal];
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort({ signal, exitCode } satisfies StopReason);
    });
  }
  return {
    signal: controller.signal,
    watchStdin: () => {
      if (process.stdin.isTTY || !isPipe(0)) return;
      const stop = () => controller.abort({ signal: undefined, exitCode: 0 } satisfies StopReason);
      process.stdin.on("end", stop).on("close", stop).on("error", stop);
      process.stdin.resume();
    },
  };
}

/** A parent that is a program of Node gives a socket for a pipe. */
function isPipe(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
