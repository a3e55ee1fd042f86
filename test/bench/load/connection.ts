/**
 * One keep-alive connection with one request under way at a time, on `node:net`: as little of a client as can be, so
 * that what is measured is the server. Also the text of requests. Retries nothing and follows nothing.
 */
import { connect, type Socket } from "node:net";
import { type HttpResponse, ResponseParser } from "../http-response.ts";

export interface Answered {
  readonly response: (response: HttpResponse) => void;
  /** The connection broke, or what came was no response; called at most once, and no response follows. */
  readonly broken: (error: Error) => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #parser = new ResponseParser();
  #answered: Answered | undefined;
  #broken: Error | undefined;

  /** `endpoint` is `host:port`. What is sent before the connection stands leaves as soon as it does. */
  constructor(endpoint: string) {
    const colon = endpoint.lastIndexOf(":");
    this.#socket = connect({ host: endpoint.slice(0, colon), port: Number(endpoint.slice(colon + 1)) });
    this.#socket.setNoDelay(true);
    this.#socket.on("data", (chunk) => this.#take(chunk));
    this.#socket.on("error", (error) => this.#break(error));
    this.#socket.on("close", () => this.#break(new Error("the connection was closed")));
  }

  get isBroken(): boolean {
    return this.#broken !== undefined;
  }

  /** `request` is the whole request, ASCII only. The answer to the one before must have come. */
  send(request: string, answered: Answered): void {
    if (this.#broken !== undefined) return answered.broken(this.#broken);
    if (this.#answered !== undefined) throw new Error("a request is under way on this connection");
    this.#answered = answered;
    this.#socket.write(request, "latin1");
  }

  /** Nothing is called any more. */
  destroy(): void {
    this.#answered = undefined;
    this.#broken ??= new Error("destroyed here");
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    try {
      for (const response of this.#parser.push(chunk)) {
        const answered = this.#answered;
        this.#answered = undefined;
        if (answered === undefined) throw new Error(`an answer that nobody asked for: ${response.head}`);
        answered.response(response);
      }
    } catch (error) {
      this.#break(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #break(error: Error): void {
    if (this.#broken !== undefined) return;
    this.#broken = error;
    this.#socket.destroy();
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.broken(error);
  }
}

export interface Request {
  readonly method: "POST" | "DELETE";
  readonly path: string;
  /** Session id for the header `Holdfast-Session`. */
  readonly session?: string;
  /** JSON, ASCII only. */
  readonly body?: string;
}

export function requestText({ method, path, session, body }: Request, endpoint: string): string {
  const credentials = session === undefined ? "" : `Holdfast-Session: ${session}\r\n`;
  const content =
    body === undefined ? "" : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: ${endpoint}\r\n${credentials}${content}\r\n${body ?? ""}`;
}
