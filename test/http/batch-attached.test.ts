/** Who is attached to a claim while a batch that asks for it is under way (SEMANTICS §3, connection loss). */
import { expect, it } from "vitest";
import { delegate, rawConnection, startServer, until } from "./harness.ts";

function text(path: string, body: object): string {
  const json = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`;
}

it("another request for the same claim that hangs up does not give it up", async () => {
  let stuck = 0;
  let held = 0;
  const server = await startServer({
    wrap: (node) =>
      delegate(node, {
        propose(proposal, reply) {
          if (proposal.kind === "acquire" && proposal.resources[0]?.name === "stuck") stuck++;
          else node.propose(proposal, reply);
        },
        watchClaim(claimId, listener) {
          held++;
          return node.watchClaim(claimId, listener);
        },
      }),
  });
  const sessionId = await server.openSession();
  await server.request("POST", "/v1/claims", { sessionId, lock: "a" });
  const acquire = { sessionId, claimId: "w", lock: "a", waitMs: 60_000, onDisconnect: "cancel" };
  const operations = [
    { op: "acquire", ...acquire },
    { op: "acquire", sessionId, lock: "stuck" },
  ];
  const batch = rawConnection(server.server.port, text("/v1/batch", { operations }));
  const { claims } = server.node.staleView().state;
  await until(() => stuck === 1 && claims.get("w")?.state === "waiting");
  const single = rawConnection(server.server.port, text("/v1/claims", acquire));
  await until(() => held === 1);

  single.socket.end();
  await single.answer();
  // Whatever its end led to has applied when later requests are answered.
  await server.openSession();
  await server.openSession();
  const whileUnderWay = claims.get("w")?.state;
  batch.socket.destroy();
  await until(() => claims.get("w")?.state === "ended");

  expect(whileUnderWay).toBe("waiting");
  await server.close();
});
