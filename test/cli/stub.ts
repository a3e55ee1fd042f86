/**
 * A server that says what a test tells it to, and remembers what it was asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly session: string | undefined;
}

export type StubAnswer =
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  /** Never answers. */
  | "silence"
  /** Closes the connection. */
  | "hang-up";

export interface Stub {
  readonly origin: string;
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

export async function createStub(answer: (asked: Asked, count: number) => StubAnswer): Promise<Stub> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => void serve(request, response));
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const { method = "", url = "", headers } = request;
    const one: Asked = { method, url, body, session: headers["holdfast-session"] as string | undefined };
    asked.push(one);
    const said = answer(one, asked.length);
    if (said === "silence") return;
    if (said === "hang-up") {
      request.socket.destroy();
      return;
    }
    response.writeHead(said.status, { "content-type": "application/json", ...said.headers });
    response.end(typeof said.body === "string" ? said.body : JSON.stringify(said.body ?? {}));
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: originOf(server), asked, close: () => closed(server) };
}

/** An origin where nobody listens. */
export async function nobodyAt(): Promise<string> {
  const stub = await createStub(() => "silence");
  await stub.close();
  return stub.origin;
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
