/**
 * Single keys on a terminal. Without one there are none, and signals do everything.
 */

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

export function hasKeys(): boolean {
  return process.stdin.isTTY === true;
}

/** A raw terminal sends Ctrl-C and Ctrl-D as bytes. */
function act(key: string, { quit, kill, restart }: KeyActions): void {
  if (key === "q" || key === "\u0003" || key === "\u0004") quit();
  else if (key === "k") kill();
  else if (key === "r") restart();
}
