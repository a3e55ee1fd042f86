import { describe, expect, test } from "vitest";
import { createElapsedClock } from "../../src/client/elapsed-clock.ts";
import type { Lease, LeaseGrant } from "../../src/client/lease.ts";
import {
  createLeaseKeeper,
  type KeepAliveReply,
  type KeepAliveRequest,
} from "../../src/client/lease-keeper.ts";

const grant: LeaseGrant = { leaseMs: 60_000, ttlMs: 61_000, renewAfterMs: 1, revision: 1, ended: [] };

/** Clocks that go on with real time, and by `skip` more. */
function clocks() {
  let skippedMs = 0;
  const clock = createElapsedClock(() => ({
    monotonicMs: performance.now(),
    wallMs: performance.now() + skippedMs,
  }));
  return { clock, skip: (ms: number) => (skippedMs += ms) };
}

function keeperWith(
  ask: (request: KeepAliveRequest) => Promise<KeepAliveReply>,
  parts: Partial<LeaseGrant> = {},
) {
  const { clock, skip } = clocks();
  const keeper = createLeaseKeeper({ clock, grant: { ...grant, ...parts }, sentAtMs: 0, ask });
  return { keeper, skip };
}

const silence = ({ signal }: KeepAliveRequest) =>
  new Promise<KeepAliveReply>((_resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
  });

describe("a kept lease", () => {
  test("lapses by a suspend although the request under way is never answered, and that request is given up", async () => {
    let isGivenUp = false;
    const { keeper, skip } = keeperWith((request) => {
      skip(70_000);
      request.signal?.addEventListener("abort", () => (isGivenUp = true));
      return silence(request);
    });

    const lease = await keeper.keep(new AbortController().signal, () => {});

    expect(lease.phase).toBe("unknown");
    expect(isGivenUp).toBe(true);
  });

  test("is observed at its own deadline when nobody answers", async () => {
    const phases: Lease["phase"][] = [];
    const { keeper } = keeperWith(async () => ({ kind: "unanswered" }), { leaseMs: 300 });

    await keeper.keep(new AbortController().signal, ({ phase }) => phases.push(phase));

    expect([...new Set(phases)]).toEqual(["healthy", "jeopardy", "unknown"]);
  });

  test("goes on from one keeper to the next after an abort, and ends with a bug of its transport", async () => {
    let count = 0;
    const { keeper } = keeperWith(async (request) => {
      count++;
      if (count === 1) return silence(request);
      if (count === 2) return { kind: "granted", grant: { ...grant, renewAfterMs: 1 } };
      throw new Error("a bug");
    });
    const controller = new AbortController();
    const first = keeper.keep(controller.signal, () => {
      if (count === 1) controller.abort();
    });
    expect((await first).phase).toBe("healthy");

    await expect(keeper.keep(new AbortController().signal, () => {})).rejects.toThrow("a bug");
    expect(count).toBe(3);
  });

  test("is renewed with what was seen, and once over not at all", async () => {
    const asked: (number | undefined)[] = [];
    const { keeper } = keeperWith(async ({ seen }) => {
      asked.push(seen);
      return { kind: "gone", detail: "Gone." };
    });

    expect((await keeper.renew({ seen: 5 })).phase).toBe("lost");
    expect((await keeper.renew()).phase).toBe("lost");
    expect(asked).toEqual([5]);
  });
});
