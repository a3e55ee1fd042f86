/** A wrong answer fails the bench: what is taken for right, and what is not. */
import { describe, expect, it } from "vitest";
import { requestText } from "./load/connection.ts";
import { Script } from "./load/requests.ts";

const held = (claimId: string, fence: number) => ({
  status: 200,
  body: JSON.stringify({ claimId, state: "held", fence }),
});

describe("the script of a client", () => {
  it("opens, acquires, releases, and takes the right answers", () => {
    const script = new Script("bench-1", 3);

    const opened = { status: 201, body: JSON.stringify({ sessionId: script.session, renewAfterMs: 9_000 }) };
    expect(script.checkOpened(opened)).toBe(9_000);
    expect(script.acquire().path).toBe("/v1/locks/bench-1/3:acquire");
    script.checkAcquired(held("bench-1-3-1", 7));
    expect(script.release()).toEqual({
      method: "DELETE",
      path: "/v1/claims/bench-1-3-1",
      session: script.session,
    });
    script.checkReleased({
      status: 200,
      body: JSON.stringify({ claimId: "bench-1-3-1", state: "ended", reason: "released" }),
    });
    expect(script.acquire().body).toContain('"bench-1-3-2"');
    expect(script.acquireAgain()).toEqual(script.acquireAgain());
  });

  it("refuses an acquire that is not held, not its own, or not newer", () => {
    const script = new Script("bench-1", 0);
    script.acquire();
    script.checkAcquired(held("bench-1-0-1", 7));
    script.acquire();

    for (const answer of [
      { ...held("bench-1-0-2", 8), status: 202 },
      { status: 200, body: JSON.stringify({ claimId: "bench-1-0-2", state: "waiting" }) },
      held("bench-1-0-1", 8),
      held("bench-1-0-2", 7),
      { status: 200, body: "held" },
      { status: 307, body: "{}" },
    ])
      expect(() => script.checkAcquired(answer)).toThrow(/a wrong answer/);
  });

  it("refuses a release that released nothing", () => {
    const script = new Script("bench-1", 0);
    script.acquire();

    for (const reason of ["cancelled", "expired"]) {
      const body = JSON.stringify({ claimId: "bench-1-0-1", state: "ended", reason });
      expect(() => script.checkReleased({ status: 200, body })).toThrow(/a wrong answer/);
    }
  });
});

it("a request is what HTTP/1.1 wants", () => {
  const body = '{"a":1}';

  expect(requestText({ method: "POST", path: "/x", body }, "127.0.0.1:1")).toBe(
    'POST /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
  );
  expect(requestText({ method: "DELETE", path: "/y", session: "s" }, "127.0.0.1:1")).toBe(
    "DELETE /y HTTP/1.1\r\nHost: 127.0.0.1:1\r\nHoldfast-Session: s\r\n\r\n",
  );
});
