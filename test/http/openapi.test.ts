/** GET /openapi.json: the generated document, from any node in any state. */
import { describe, expect, it } from "vitest";
import { openApiDocument } from "../../src/api/openapi.ts";
import { serve, startServer, stubNode } from "./harness.ts";

describe("the OpenAPI document over HTTP", () => {
  it.each([
    ["a process without a node", undefined],
    ["a follower", stubNode()],
  ] as const)("comes from %s, never redirected", async (_who, node) => {
    const served = await serve(node);

    const { status, headers, body } = await served.request("GET", "/openapi.json");

    expect([status, headers["content-type"]]).toEqual([200, "application/json; charset=utf-8"]);
    expect(body).toEqual(openApiDocument());
    await served.server.close();
  });

  it("is the same from a leader, and takes no query", async () => {
    const server = await startServer();

    expect((await server.request("GET", "/openapi.json")).body).toEqual(openApiDocument());
    expect((await server.request("GET", "/openapi.json?v=2")).status).toBe(422);
    expect((await server.request("POST", "/openapi.json")).status).toBe(405);
    await server.close();
  });
});
