/**
 * HTTP/1.1 responses out of a byte stream, as few steps for each as can be: the load generator shares its processor
 * with what it measures. Pure. Understands what this project's servers send, bodies with Content-Length, and throws
 * ResponseError at everything else; it never guesses where a response ends.
 */

/** The bytes are no response that this parser understands. The connection is of no use any more. */
export class ResponseError extends Error {
  override readonly name = "ResponseError";
}

export interface HttpResponse {
  readonly status: number;
  /** Status line and header lines, without the empty line; `headerOf` looks into it. */
  readonly head: string;
  readonly body: string;
}

/** Bytes of a head and of a body beyond which the stream is taken for garbage. */
export const headBytesMax = 16_384;
export const bodyBytesMax = 1_048_576;

const headEnd = Buffer.from("\r\n\r\n");
const empty = Buffer.alloc(0);

export class ResponseParser {
  #held: Buffer = empty;

  /** Takes the next bytes, whatever they are cut into; returns the responses that are complete now, in order. */
  push(chunk: Buffer): readonly HttpResponse[] {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const responses: HttpResponse[] = [];
    for (;;) {
      const end = bytes.indexOf(headEnd);
      if (end > headBytesMax || (end < 0 && bytes.length > headBytesMax))
        throw new ResponseError(`a head of more than ${headBytesMax} bytes`);
      if (end < 0) {
        checkBeginning(bytes);
        break;
      }
      const head = bytes.toString("latin1", 0, end);
      const { status, length } = readHead(head);
      const bodyStart = end + headEnd.length;
      const bodyEnd = bodyStart + length;
      if (bytes.length < bodyEnd) break;
      responses.push({ status, head, body: bytes.toString("utf8", bodyStart, bodyEnd) });
      bytes = bytes.subarray(bodyEnd);
    }
    this.#held = bytes;
    return responses;
  }

  /** Whether a response has begun and not ended. */
  get isWithin(): boolean {
    return this.#held.length > 0;
  }
}

/** The value of a header, or undefined. `name` is in lower case and holds no character special to patterns. */
export function headerOf({ head }: HttpResponse, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}:[ \\t]*([^\\r]*)`, "i").exec(head)?.[1]?.trimEnd();
}

const lengthPattern = /\r\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r\n|$)/i;
const chunkedPattern = /\r\ntransfer-encoding:/i;

function readHead(head: string): { readonly status: number; readonly length: number } {
  const status = Number(head.slice(9, 12));
  const isStatusLine = head.startsWith("HTTP/1.1 ") && status >= 200 && status <= 599;
  // A status below 200 is interim and this generator asks for none.
  if (!isStatusLine) throw new ResponseError(`no status line: ${JSON.stringify(head.slice(0, 40))}`);
  const length = lengthPattern.exec(head)?.[1];
  if (length !== undefined) {
    if (Number(length) > bodyBytesMax) throw new ResponseError(`a body of ${length} bytes`);
    return { status, length: Number(length) };
  }
  if (status === 204 || status === 304) return { status, length: 0 };
  throw new ResponseError(chunkedPattern.test(head) ? "a chunked body" : "a body without Content-Length");
}

/** Garbage is noticed by its first bytes and not only when it has become too long. */
function checkBeginning(bytes: Buffer): void {
  const beginning = bytes.toString("latin1", 0, 9);
  if (!"HTTP/1.1 ".startsWith(beginning))
    throw new ResponseError(`no status line: ${JSON.stringify(bytes.toString("latin1", 0, 40))}`);
}
