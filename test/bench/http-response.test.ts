/** The load generator's response parser: whatever the bytes are cut into, and whatever they are. */
import { describe, expect, it } from "vitest";
import { bodyBytesMax, headBytesMax, headerOf, ResponseError, ResponseParser } from "./http-response.ts";

// The body of the first holds a letter of two bytes: it has 23 bytes in 22 characters.
const stream = Buffer.from(
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 23\r\nConnection: keep-alive\r\n\r\n{"state":"held","ö":1}' +
    "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:7400/v1/x\r\nContent-Length: 0\r\n\r\n" +
    "HTTP/1.1 204 No Content\r\n\r\n",
);

function statusesOf(chunks: readonly Buffer[]): readonly (readonly [number, string])[] {
  const parser = new ResponseParser();
  const found = chunks.flatMap((chunk) => parser.push(chunk));
  expect(parser.isWithin).toBe(false);
  return found.map(({ status, body }) => [status, body] as const);
}

const expected = [
  [200, '{"state":"held","ö":1}'],
  [307, ""],
  [204, ""],
];

describe("a stream of responses", () => {
  it("is the same in one piece and byte by byte", () => {
    expect(statusesOf([stream])).toEqual(expected);
    expect(statusesOf(Array.from(stream, (byte) => Buffer.from([byte])))).toEqual(expected);
  });

  it("is the same wherever it is cut in two", () => {
    for (let cut = 1; cut < stream.length; cut++)
      expect(statusesOf([stream.subarray(0, cut), stream.subarray(cut)])).toEqual(expected);
  });

  it("gives headers by name, in any case, and nothing for what is not there", () => {
    const [, redirect] = new ResponseParser().push(stream);
    if (redirect === undefined) throw new Error("no second response");

    expect(headerOf(redirect, "location")).toBe("http://127.0.0.1:7400/v1/x");
    expect(headerOf(redirect, "retry-after")).toBeUndefined();
  });

  it("that stops in the middle is not over", () => {
    const parser = new ResponseParser();

    expect(parser.push(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1234"))).toEqual([]);
    expect(parser.isWithin).toBe(true);
    expect(parser.push(Buffer.from("5")).map(({ body }) => body)).toEqual(["12345"]);
  });
});

describe("garbage", () => {
  const garbage = [
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status that is none", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"],
    ["an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["a body without a length", "HTTP/1.1 200 OK\r\n\r\n"],
    ["a body that is too long", `HTTP/1.1 200 OK\r\nContent-Length: ${bodyBytesMax + 1}\r\n\r\n`],
    ["a head without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(headBytesMax)}`],
  ] as const;

  for (const [what, text] of garbage)
    it(`${what} is refused, in one piece and byte by byte`, () => {
      expect(() => new ResponseParser().push(Buffer.from(text))).toThrow(ResponseError);
      const parser = new ResponseParser();
      expect(() => {
        for (const byte of Buffer.from(text)) parser.push(Buffer.from([byte]));
      }).toThrow(ResponseError);
    });

  it("is noticed by its first bytes", () => {
    expect(() => new ResponseParser().push(Buffer.from("HTP"))).toThrow(ResponseError);
  });

  it("behind a good response is refused", () => {
    const parser = new ResponseParser();

    expect(() => parser.push(Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}junk"))).toThrow(
      ResponseError,
    );
  });
});
