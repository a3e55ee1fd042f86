import { describe, expect, it } from "vitest";
import { matchRoute, routeIds, routeOf } from "../../src/api/routes.ts";

describe("finding the route", () => {
  it.each([
    ["POST", "/v1/sessions", "open-session", ""],
    ["GET", "/v1/sessions", "list-sessions", ""],
    ["GET", "/v1/sessions/abc", "get-session", "abc"],
    ["POST", "/v1/sessions/abc:keepalive", "keep-alive", "abc"],
    ["DELETE", "/v1/sessions/abc", "close-session", "abc"],
    ["POST", "/v1/locks/user:42:acquire", "acquire-lock", "user:42"],
    ["POST", "/v1/locks/user%3A42:acquire", "acquire-lock", "user%3A42"],
    ["POST", "/v1/locks/a/b/c:acquire", "acquire-lock", "a/b/c"],
    ["POST", "/v1/locks/x:acquire:acquire", "acquire-lock", "x:acquire"],
    ["POST", "/v1/locks/x%3Aacquire:acquire", "acquire-lock", "x%3Aacquire"],
    ["GET", "/v1/locks/user:42", "get-lock", "user:42"],
    ["GET", "/v1/locks/x:acquire", "get-lock", "x:acquire"],
    ["GET", "/v1/locks/a//b", "get-lock", "a//b"],
    ["GET", "/v1/locks/", "get-lock", ""],
    ["GET", "/v1/locks", "list-locks", ""],
    ["POST", "/v1/claims", "claim", ""],
    ["GET", "/v1/claims/c_1", "get-claim", "c_1"],
    ["DELETE", "/v1/claims/c_1", "release-claim", "c_1"],
    ["GET", "/v1/cluster", "get-cluster", ""],
    ["POST", "/v1/cluster:transfer-leadership", "transfer-leadership", ""],
    ["GET", "/livez", "livez", ""],
    ["GET", "/readyz", "readyz", ""],
    ["GET", "/openapi.json", "get-openapi", ""],
  ])("%s %s is %s", (method, path, id, param) => {
    expect(matchRoute(method, path)).toEqual({ kind: "route", id, param });
  });

  it.each([
    ["/v1/locks/x", ["acquire"]],
    ["/v1/locks/x:frobnicate", ["acquire"]],
    ["/v1/locks/x:acquire/y", ["acquire"]],
    // An encoded colon belongs to the name, so there is no verb here.
    ["/v1/locks/x%3Aacquire", ["acquire"]],
    ["/v1/locks/x:Acquire", ["acquire"]],
    ["/v1/locks/x:acquir%65", ["acquire"]],
    ["/v1/sessions/abc", ["keepalive", "kill"]],
    ["/v1/sessions/abc:revoke", ["keepalive", "kill"]],
    ["/v1/claims/c_1", ["shrink"]],
    ["/v1/claims/c_1:convert", ["shrink"]],
    ["/v1/sequencers", ["check"]],
    ["/v1/cluster", ["transfer-leadership"]],
    ["/v1/cluster:snapshot", ["transfer-leadership"]],
  ])("POST %s has no such verb, and the answer lists those there are", (path, verbs) => {
    expect(matchRoute("POST", path)).toEqual({ kind: "unknown-verb", verbs });
  });

  it.each([
    ["PUT", "/v1/locks/x", ["GET", "POST"]],
    ["HEAD", "/v1/locks/x", ["GET", "POST"]],
    ["DELETE", "/v1/locks", ["GET"]],
    ["POST", "/v1/locks", ["GET"]],
    ["PATCH", "/v1/sessions", ["GET", "POST"]],
    ["PUT", "/v1/sessions/abc", ["DELETE", "GET", "POST"]],
    ["GET", "/v1/sessions/abc:keepalive", ["POST"]],
    ["GET", "/v1/cluster:transfer-leadership", ["POST"]],
    ["PUT", "/v1/claims/c_1", ["DELETE", "GET", "POST"]],
    ["GET", "/v1/batch", ["POST"]],
    ["DELETE", "/v1/cluster/settings", ["GET", "PUT"]],
    ["POST", "/v1/sessions/abc/claims", ["GET"]],
    ["POST", "/livez", ["GET"]],
    ["OPTIONS", "/readyz", ["GET"]],
  ])("%s %s is refused with the methods that there are", (method, path, allow) => {
    expect(matchRoute(method, path)).toEqual({ kind: "wrong-method", allow });
  });

  it.each([
    ["GET", "/"],
    ["GET", ""],
    ["GET", "*"],
    ["GET", "/v1"],
    ["GET", "/v1/"],
    ["GET", "/v1/lock"],
    ["GET", "/V1/locks"],
    ["GET", "/v1/sessions/"],
    ["GET", "/v1/sessions/a/b"],
    ["GET", "/v1/claims/"],
    ["GET", "/v1/claims/a/b"],
    ["GET", "/v1/sessions//claims"],
    ["GET", "/v1/sessions/a/claims/b"],
    ["GET", "/v1/sessions/a:b/claims"],
    ["GET", "/v1/watch"],
    ["GET", "/metrics"],
    ["POST", "/openapi.json/x"],
    ["GET", "//v1/locks"],
    ["GET", "/acquire-lock"],
    ["GET", "/livez/"],
  ])("%s %s is nothing", (method, path) => {
    expect(matchRoute(method, path)).toEqual({ kind: "none" });
  });
});

describe("the route table", () => {
  it("finds every route by its own path", () => {
    for (const id of routeIds) {
      const { method, path, verb } = routeOf(id);
      const raw = path.replace(/\{[^}]*\}/, "some-thing") + (verb === undefined ? "" : `:${verb}`);

      expect(matchRoute(method, raw)).toMatchObject({ kind: "route", id });
    }
  });

  it("gives a verb to POST alone, and a body to no GET", () => {
    for (const id of routeIds) {
      const { method, verb, body } = routeOf(id);

      if (verb !== undefined) expect([id, method]).toEqual([id, "POST"]);
      if (method === "GET") expect([id, body]).toEqual([id, undefined]);
    }
  });

  it("refuses unknown fields in every body and, health checks aside, in every query", () => {
    for (const id of routeIds) {
      const { body, query } = routeOf(id);

      // Settings are named by a table of their own.
      if (body !== undefined && id !== "put-settings")
        expect([id, body.additionalProperties]).toEqual([id, false]);
      if (id !== "livez" && id !== "readyz") expect([id, query.additionalProperties]).toEqual([id, false]);
    }
  });
});
