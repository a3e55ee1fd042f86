/**
 * Single keys on a terminal. Without one there are none, and signals do everything.
 */
import { readFileSync } from "node:fs";

export interface KeyActions {
  readonly quit: () => void;
  readonly kill: () => void;
  readonly restart: () => void;
}

/** Begins to read keys; returns how to give the terminal back, which may be called twice. */
export function watchKeys(actions: KeyActions): () => void {
  if (!hasKeys()) return () => {};
  const { stdin } = process;
  const read = (bytes: Buffer) => {
    for (const key of bytes.toString("latin1")) act(key, actions);
  };
  stdin.setRawMode(true);
  stdin.on("data", read);
  stdin.resume();
  return () => {
    stdin.off("data", read);
    stdin.setRawMode(false);
    stdin.pause();
  };
}

/** False in the background of a terminal: touching its modes from there would stop the process. */
export function hasKeys(): boolean {
  return process.stdin.isTTY === true && isForeground();
}

/** Where the system tells: field 5 is our process group, field 8 the one that the terminal belongs to. */
function isForeground(): boolean {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[2] === fields[5];
  } catch {
    return true;
  }
}

/** A raw terminal sends Ctrl-C and Ctrl-D as bytes. */
function act(key: string, { quit, kill, restart }: KeyActions): void {
  if (key === "q" || key === "\u0003" || key === "\u0004") quit();
  else if (key === "k") kill();
  else if (key === "r") restart();
}
