/**
 * What HTTP lets through must be readable by every replica: an entry that is committed and cannot be decoded would end
 * all of them, at every start. Schemas count characters, the log's format counts UTF-16 code units.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { decodeCommand, encodeCommand } from "../../src/codec/command.ts";
import type { Command } from "../../src/locks/commands.ts";
import type { Proposal } from "../../src/node/contract.ts";
import { delegate, type Running, startServer } from "./harness.ts";

let server: Running;
let proposals: Proposal[] = [];

beforeAll(async () => {
  server = await startServer({
    // Only noted: the driver would refuse to write it, and this is about the door.
    wrap: (node) =>
      delegate(node, {
        propose(proposal, reply) {
          proposals.push(proposal);
          reply({ kind: "overloaded", reason: "queue" });
        },
      }),
  });
});

afterAll(() => server.close());

/** Half of them take two UTF-16 units a character, all of them are legal JSON. */
const characters = ["x", "ä", "漢", "😀", "\u{10ffff}"];
const lengths = [1, 64, 65, 127, 128, 129, 255, 256, 257, 512];

it.each([
  ["owner", (text: string) => ["/v1/locks/a:acquire", { owner: text }] as const],
  ["label", (text: string) => ["/v1/sessions", { label: text }] as const],
  ["metadata", (text: string) => ["/v1/locks/a:acquire", { metadata: { [text]: text } }] as const],
  ["lock", (text: string) => ["/v1/claims", { lock: text }] as const],
  ["semaphore", (text: string) => ["/v1/claims", { semaphore: text, capacity: 1 }] as const],
  ["reason", (text: string) => ["/v1/sessions/0123456789abcdef:kill", { reason: text }] as const],
])("%s: refused at the door, or readable by every replica", async (_, request) => {
  proposals = [];
  let refused = 0;
  for (const character of characters) {
    for (const length of lengths) {
      const [path, body] = request(character.repeat(length));
      const sessionId =
        path === "/v1/sessions" || path.endsWith(":kill") ? {} : { sessionId: "some-session-of-mine" };
      const { status } = await server.request("POST", path, { ...sessionId, ...body });
      expect([422, 503]).toContain(status);
      if (status === 422) refused++;
    }
  }

  expect(proposals.length + refused).toBe(characters.length * lengths.length);
  expect(proposals.length).toBeGreaterThan(5);
  for (const proposal of proposals) {
    const command = { ...proposal, wallMs: 1 } as Command;
    expect(decodeCommand(encodeCommand(command))).toEqual(command);
  }
});
