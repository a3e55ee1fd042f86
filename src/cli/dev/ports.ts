/**
 * Whether the ports of a local cluster are free, asked before any node is started.
 */
import { createServer } from "node:net";

export const devHost = "127.0.0.1";

/** The first of `ports` that cannot be listened on, and why. */
export async function takenPort(
  ports: readonly number[],
): Promise<{ readonly port: number; readonly why: string } | undefined> {
  for (const port of ports) {
    const why = await whyTaken(port);
    if (why !== undefined) return { port, why };
  }
  return undefined;
}

function whyTaken(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", ({ code, message }: NodeJS.ErrnoException) => {
      resolve(code === "EADDRINUSE" ? "is in use by another process" : `cannot be used: ${message}`);
    });
    probe.listen({ port, host: devHost, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
