/**
 * Signals that reach `holdfast run`: before there is a command they stop the waiting, while there is one they are its,
 * afterwards they stop the releasing. Every one of them is caught, always: nothing ends this process behind its back.
 */
import type { StopReason } from "../signals.ts";
import { signalExitCode } from "./plan.ts";

export const forwarded = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;
export type ForwardedSignal = (typeof forwarded)[number];

type EndingSignal = Exclude<ForwardedSignal, "SIGUSR1" | "SIGUSR2">;

/** The others mean nothing to somebody who only waits. */
function asksToEnd(signal: ForwardedSignal): signal is EndingSignal {
  return signal !== "SIGUSR1" && signal !== "SIGUSR2";
}

/** Who gets the signals while there is a command. */
export interface SignalReceiver {
  forward(signal: ForwardedSignal): void;
  /** This process is about to be stopped (TSTP). */
  stopping(): void;
  /** It goes on, after whatever stopped it. */
  continued(): void;
}

export interface RunSignals {
  /** A new one, aborted with a StopReason by the next signal that asks to end; the one after that ends the process. */
  untilStopped(): AbortSignal;
  /** From now on all of them go there. */
  forwardTo(receiver: SignalReceiver): void;
}

export function watchRunSignals(): RunSignals {
  let controller = new AbortController();
  let receiver: SignalReceiver | undefined;
  for (const signal of forwarded) {
    process.on(signal, () => {
      if (receiver !== undefined) return receiver.forward(signal);
      if (!asksToEnd(signal)) return;
      const exitCode = signalExitCode(signal);
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort({ signal, exitCode } satisfies StopReason);
    });
  }
  // Caught from the beginning: a default action in the moment of the start would stop us without the command.
  process.on("SIGTSTP", () => {
    receiver?.stopping();
    process.kill(process.pid, "SIGSTOP");
  });
  process.on("SIGCONT", () => receiver?.continued());
  return {
    untilStopped: () => {
      receiver = undefined;
      controller = new AbortController();
      return controller.signal;
    },
    forwardTo: (next) => {
      receiver = next;
    },
  };
}
