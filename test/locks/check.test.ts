/** SEMANTICS §6: what a resource is told of a grant. Anything but `current` means no. */
import { describe, expect, it } from "vitest";
import { checkGrant, type GrantAsked } from "../../src/locks/check.ts";
import { Bench } from "./bench.ts";

const wait = { waitMs: 60_000 } as const;

function bench(): Bench {
  const made = new Bench();
  for (const id of ["s", "t", "u"]) made.open(id, { ttlMs: 20_000, lockDelayMs: 0 });
  return made;
}

/** The grant of a claim, as its holder could show it. */
function grantOf(b: Bench, claimId: string, mode: GrantAsked["mode"] = "exclusive", name = "a"): GrantAsked {
  const fence = b.claim(claimId).grant?.fence ?? 0;
  return { clusterId: "test", name, mode, fence, claimId };
}

describe("a grant is", () => {
  it("current while that claim holds that name in that mode under that fence, and not otherwise", () => {
    const b = bench();
    b.acquire("s", "c");
    const grant = grantOf(b, "c");

    expect(checkGrant(b.state, grant)).toEqual({ status: "current", currentFence: grant.fence });
    for (const other of [
      { ...grant, name: "b" },
      { ...grant, mode: "shared" as const },
      { ...grant, fence: grant.fence + 1 },
      { ...grant, claimId: "d" },
      { ...grant, clusterId: "another" },
    ]) {
      expect(checkGrant(b.state, other).status).not.toBe("current");
    }
  });

  it("unknown in another cluster, and when nothing is remembered of it", () => {
    const b = bench();
    b.acquire("s", "c");

    expect(checkGrant(b.state, { ...grantOf(b, "c"), clusterId: "another" })).toEqual({
      status: "unknown",
      currentFence: undefined,
    });
    expect(checkGrant(b.state, { ...grantOf(b, "c"), claimId: "never", fence: 1, name: "b" }).status).toBe(
      "unknown",
    );
  });

  it("superseded when a later grant that excludes it is known, and the newest fence is shown", () => {
    const b = bench();
    b.acquire("s", "c");
    const first = grantOf(b, "c");
    b.acquire("t", "d", wait);
    b.release("s", "c");
    const second = grantOf(b, "d");

    expect(checkGrant(b.state, first)).toEqual({ status: "superseded", currentFence: second.fence });
    expect(checkGrant(b.state, second).status).toBe("current");
  });

  it("of a reader superseded by a later writer, not by another reader", () => {
    const b = bench();
    b.acquire("s", "r1", { mode: "shared" });
    b.acquire("t", "r2", { mode: "shared" });
    const [r1, r2] = [grantOf(b, "r1", "shared"), grantOf(b, "r2", "shared")];
    b.release("s", "r1");
    expect(checkGrant(b.state, r1)).toEqual({ status: "released", currentFence: r2.fence });
    b.acquire("u", "w", wait);
    b.release("t", "r2");

    expect(checkGrant(b.state, r1).status).toBe("superseded");
    expect(checkGrant(b.state, r2).status).toBe("superseded");
  });

  it("of a writer superseded by later readers", () => {
    const b = bench();
    b.acquire("s", "w");
    const writer = grantOf(b, "w");
    b.acquire("t", "r", { mode: "shared", ...wait });
    b.release("s", "w");

    expect(checkGrant(b.state, writer).status).toBe("superseded");
  });

  it("released when its holder let it go, expired when it was taken", () => {
    const b = bench();
    b.acquire("s", "released", { lock: "l1" });
    b.acquire("s", "max", { lock: "l2", maxHoldMs: 1_000 });
    b.acquire("t", "closed", { lock: "l3" });
    b.acquire("u", "killed", { lock: "l4" });
    const grants = ["released", "max", "closed", "killed"].map((id, i) =>
      grantOf(b, id, "exclusive", `l${i + 1}`),
    );
    b.release("s", "released");
    b.pass(1_000);
    b.close("t");
    b.kill("u");

    expect(grants.map((grant) => checkGrant(b.state, grant).status)).toEqual([
      "released",
      "expired",
      "released",
      "expired",
    ]);
  });

  it("of permits never superseded: their holders have no order", () => {
    const b = bench();
    b.semaphore("a", 1);
    b.acquire("s", "c", { semaphore: "a" });
    const first = grantOf(b, "c", "permits");
    b.acquire("t", "d", { semaphore: "a", ...wait });
    expect(checkGrant(b.state, first).status).toBe("current");
    b.release("s", "c");

    expect(checkGrant(b.state, first)).toEqual({ status: "released", currentFence: first.fence + 1 });
  });
});
