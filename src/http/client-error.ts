/**
 * Bytes that are no request, or too slow, or too many: answered on the bare socket, then closed.
 * A socket on which a complete request still awaits its answer is closed without one: a 400 would be read as the fate
 * of that request.
 */

import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { HttpContext } from "./exchange.ts";
import { commonHeaders, type Problem, problemBody, problemType } from "./problems.ts";

let count = 0;

export function handleClientError(context: HttpContext, error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  if ((context.connections.get(socket)?.size ?? 0) > 0) return void socket.destroy();
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
