/**
 * The HTTP server: listens, and stops without leaving anybody unanswered.
 */
import { randomBytes } from "node:crypto";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { createApp } from "./app.ts";
import type { HttpServer, HttpServerOptions } from "./contract.ts";
import type { HttpContext, HttpHost } from "./exchange.ts";
import { defaultLimits, type HttpLimits } from "./limits.ts";

/** The address cannot be used. The message is for a person; the process ends with exit code 71. */
export class HttpListenError extends Error {
  override readonly name = "HttpListenError";
  /** Of the system call: EADDRINUSE, EACCES… */
  readonly code: string;

  constructor(message: string, cause: NodeJS.ErrnoException) {
    super(message, { cause });
    this.code = cause.code ?? "UNKNOWN";
  }
}

/** Rejects with HttpListenError. */
export async function createHttpServer(
  options: HttpServerOptions,
  limits: HttpLimits = defaultLimits,
): Promise<HttpServer> {
  const context = createContext(options, limits);
  const app = createApp(context);
  await app.ready();
  app.server.maxConnections = options.connections;
  // An expectation that is not understood may be ignored (RFC 9110 §10.1.1); the request is answered as any other.
  app.server.on("checkExpectation", (request, response) => app.server.emit("request", request, response));
  await listen(app, options.listen);
  return new RunningServer(context, app);
}

const realHost: HttpHost = {
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  randomHex: (bytes) => randomBytes(bytes).toString("hex"),
};

export function createContext(
  options: HttpServerOptions,
  limits: HttpLimits = defaultLimits,
  host: HttpHost = realHost,
): HttpContext {
  return {
    options,
    limits,
    host,
    underWay: new Set(),
    connections: new WeakMap(),
    isClosing: false,
  };
}

function listen({ server }: FastifyInstance, { host, port }: HttpServerOptions["listen"]): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
      reject(new HttpListenError(`cannot listen on ${at}: ${reasonOf(error)}`, error));
    });
    server.listen({ host, port }, resolve);
  });
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "the port is in use by another process";
    case "EACCES":
      return "this user may not use that port";
    case "EADDRNOTAVAIL":
      return "this machine has no such address";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name cannot be resolved";
    default:
      return error.message;
  }
}

class RunningServer implements HttpServer {
  readonly port: number;
  readonly #context: HttpContext;
  readonly #app: FastifyInstance;
  #closing: Promise<void> | undefined;

  constructor(context: HttpContext, app: FastifyInstance) {
    this.#context = context;
    this.#app = app;
    this.port = (app.server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Held requests are answered at once; writes under way get a moment to learn their fate, then the honest doubt. */
  async #close(): Promise<void> {
    const { underWay, limits } = this.#context;
    const { server } = this.#app;
    this.#context.isClosing = true;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const exchange of underWay) if (!exchange.isWriting) exchange.sendShuttingDown();
    server.closeIdleConnections();
    await this.#writesEnd(limits.closeGraceMs);
    for (const exchange of underWay) exchange.sendShuttingDown();
    await withTimeout(closed, limits.closeGraceMs / 2);
    server.closeAllConnections();
    await closed;
    await this.#app.close();
  }

  async #writesEnd(graceMs: number): Promise<void> {
    const { underWay } = this.#context;
    for (let waited = 0; waited < graceMs && underWay.size > 0; waited += closeStepMs) {
      await new Promise((resolve) => setTimeout(resolve, closeStepMs));
    }
  }
}

const closeStepMs = 10;

function withTimeout(promise: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
