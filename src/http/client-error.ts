/**
 * Bytes that are no request, or too slow, or too many: answered on the bare socket, then closed.
 * A socket on which a complete request still awaits its answer is closed without one: a 400 would be read as the fate
 * of that request.
 */

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { HttpContext } from "./exchange.ts";
import { commonHeaders, type Problem, problemBody, problemType } from "./problems.ts";

let count = 0;

interface Unanswered {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** The newest requests of each connection, answered ones among them until the next one comes. */
const requests = new WeakMap<Socket, readonly Unanswered[]>();

/** Every request is noted when its headers have arrived, also one that never reaches a handler. */
export function noteRequest(request: IncomingMessage, response: ServerResponse): void {
  const before = requests.get(request.socket)?.filter(({ response: { writableEnded } }) => !writableEnded);
  requests.set(request.socket, [...(before ?? []), { request, response }]);
}

/** True while a request that arrived as a whole awaits its answer. The last one may be what could not be read. */
function isAwaited(socket: Socket): boolean {
  const known = requests.get(socket) ?? [];
  return known.some(({ request, response }) => request.complete && !response.writableEnded);
}

export function handleClientError(context: HttpContext, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  if (isAwaited(socket)) return void socket.destroy();
  const requestId = `raw-${(++count).toString(36)}`;
  const body = problemBody(problemOf(error, context), requestId);
  const text = JSON.stringify(body);
  const headers = {
    ...commonHeaders(context.options, requestId),
    "content-type": problemType,
    "content-length": String(Buffer.byteLength(text)),
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}\r\n${lines.join("")}\r\n${text}`);
  socket.destroySoon();
}

function problemOf({ code }: NodeJS.ErrnoException, { limits }: HttpContext): Problem {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return {
      code: "request-timeout",
      detail: `Headers must arrive within ${limits.headersMs} ms, the whole request within ${limits.requestMs} ms.`,
    };
  if (code === "HPE_HEADER_OVERFLOW")
    return { code: "headers-too-large", detail: `The headers have more than ${limits.headerBytes} bytes.` };
  return { code: "bad-request", detail: "These bytes are not an HTTP/1.1 request." };
}
