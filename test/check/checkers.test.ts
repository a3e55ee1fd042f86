import { describe, expect, it } from "vitest";
import { checkHistory } from "./all.ts";
import { latestExpiryMs } from "./expiry.ts";
import { formatFindings, formatOperation } from "./format.ts";
import type {
  Acquire,
  Belief,
  History,
  KeepAlive,
  LookName,
  Open,
  Operation,
  Release,
  Use,
} from "./history.ts";
import { latestCancelMs } from "./unattended.ts";

/** One lock, sessions `a` and `b` of 6 s, an operation every 10 ms; each test adds what it is about. */
function historyOf(operations: readonly Operation[], more: Partial<History> = {}): History {
  return {
    operations,
    beliefs: [],
    uses: [],
    abandoned: [],
    unattended: [],
    healthy: [{ from: 0, to: 100_000 }],
    capacities: new Map([["pool", 2]]),
    drift: 0.1,
    lockDelayMs: 1_000,
    ...more,
  };
}

function called(
  id: number,
  client: string,
  revision: number,
): { readonly [K in "id" | "sentAt" | "answeredAt" | "revision"]: number } & { readonly client: string } {
  return { id, client, sentAt: id * 10, answeredAt: id * 10 + 5, revision };
}

function open(id: number, client: string, revision: number): Open {
  const answer = { kind: "live", sessionRef: `ref-${client}`, ttlMs: 6_000, leaseMs: 5_400 } as const;
  return { ...called(id, client, revision), kind: "open", sessionId: client, ttlMs: 6_000, answer };
}

function acquire(id: number, client: string, revision: number, more: Partial<Acquire> = {}): Acquire {
  return {
    ...called(id, client, revision),
    kind: "acquire",
    sessionId: client,
    claimId: `${client}-1`,
    asked: { name: "lock", mode: "exclusive", permits: 1 },
    capacity: undefined,
    waitMs: 0,
    maxHoldMs: undefined,
    owner: undefined,
    queuedAt: undefined,
    leftAt: undefined,
    answer: { kind: "held", fence: revision, claimRevision: revision, permits: 1 },
    ...more,
  };
}

function release(id: number, client: string, revision: number): Release {
  const answer = { kind: "ended", reason: "released", claimRevision: revision } as const;
  return {
    ...called(id, client, revision),
    kind: "release",
    sessionId: client,
    claimId: `${client}-1`,
    answer,
  };
}

function look(id: number, revision: number, holders: readonly string[]): LookName {
  const shown = holders.map((claimId) => ({ claimId, fence: 2, permits: 1 }));
  const state = holders.length === 0 ? "free" : "held";
  const answer = { kind: "shown", state, holders: shown, queue: [], capacity: undefined } as const;
  return { ...called(id, "observer", revision), kind: "look-name", name: "lock", answer };
}

function rulesOf(history: History): readonly string[] {
  return [...new Set(checkHistory(history).map(({ rule }) => rule))].sort();
}

describe("what is concluded, and what is not", () => {
  it("a hold after a release is right", () => {
    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), release(3, "a", 3), acquire(4, "b", 4)]);

    expect(checkHistory(history)).toStrictEqual([]);
  });

  it("a hold after a hold that nobody released is seen by times alone", () => {
    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), acquire(4, "b", 4)]);

    expect(rulesOf(history)).toStrictEqual(["L5-linearizability"]);
  });

  it("the same is right when the session may have expired before", () => {
    const late = { sentAt: 5_420, answeredAt: 5_425 };

    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), acquire(4, "b", 4, late)]);

    expect(checkHistory(history)).toStrictEqual([]);
  });

  it("the same is wrong when the session was renewed since", () => {
    const late = { sentAt: 5_420, answeredAt: 5_425 };
    const keepAlive: KeepAlive = {
      ...called(3, "a", 3),
      kind: "keepalive",
      sessionId: "a",
      seen: undefined,
      answer: { kind: "renewed", ttlMs: 6_000, leaseMs: 5_400, ended: [] },
    };

    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), keepAlive, acquire(4, "b", 4, late)]);

    expect(rulesOf(history)).toStrictEqual(["L5-linearizability"]);
  });

  it("a release without an answer may have happened, or not", () => {
    const lost = { ...release(3, "a", 3), answeredAt: undefined, revision: undefined, answer: undefined };
    const refused = { kind: "refused", code: "locked", reason: "held", blockedBy: ["a-1"] } as const;

    const happened = historyOf([open(1, "a", 1), acquire(2, "a", 2), lost, acquire(4, "b", 4)]);
    const not = historyOf([
      open(1, "a", 1),
      acquire(2, "a", 2),
      lost,
      acquire(4, "b", 4, { answer: refused }),
    ]);

    expect(checkHistory(happened)).toStrictEqual([]);
    expect(checkHistory(not)).toStrictEqual([]);
  });

  it("a holder that is shown after its release is seen by revision and by time", () => {
    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), release(3, "a", 3), look(4, 3, ["a-1"])]);

    expect(rulesOf(history)).toStrictEqual([
      "I4-one-end",
      "L5-linearizability",
      "witness-claim",
      "witness-look",
    ]);
  });

  it("what is under way at the same time may come in either order", () => {
    const early = { ...look(4, 2, ["a-1"]), sentAt: 25 };

    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), release(3, "a", 3), early]);

    expect(checkHistory(history)).toStrictEqual([]);
  });

  it("beliefs that touch do not overlap", () => {
    const asked = { name: "lock", mode: "exclusive", permits: 1 } as const;
    const first: Belief = { client: "a", sessionId: "a", claimId: "a-1", asked, fence: 1, from: 0, to: 10 };
    const second: Belief = {
      client: "b",
      sessionId: "b",
      claimId: "b-1",
      asked,
      fence: 2,
      from: 10,
      to: Infinity,
    };

    expect(rulesOf(historyOf([], { beliefs: [first, second] }))).toStrictEqual([]);
    expect(rulesOf(historyOf([], { beliefs: [{ ...first, to: 11 }, second] }))).toStrictEqual(["I10-belief"]);
  });

  it("a shared use behind a later exclusive one is stale, behind a shared one it is not", () => {
    const use: Use = {
      client: "a",
      name: "lock",
      mode: "shared",
      fence: 5,
      at: 1,
      accepted: true,
      read: 0,
      wrote: 0,
    };
    const exclusive: Use = { ...use, mode: "exclusive", read: 0, wrote: 1 };

    expect(rulesOf(historyOf([], { uses: [use, { ...use, fence: 4 }] }))).toStrictEqual([]);
    expect(rulesOf(historyOf([], { uses: [exclusive, { ...use, fence: 4 }] }))).toStrictEqual(["I11-fenced"]);
  });

  it("a dead session may be shown until its bound in well times, and no longer", () => {
    const abandoned = [{ sessionId: "a", at: 25 }];
    const bound = 25 + latestExpiryMs(6_000, 0.1);
    const shownAt = (sentAt: number): Operation => ({
      ...look(4, 2, ["a-1"]),
      sentAt,
      answeredAt: sentAt + 5,
    });
    const operations = [open(1, "a", 1), acquire(2, "a", 2)];

    expect(rulesOf(historyOf([...operations, shownAt(bound)], { abandoned }))).toStrictEqual([]);
    expect(rulesOf(historyOf([...operations, shownAt(bound + 1)], { abandoned }))).toStrictEqual([
      "L10-never-late",
    ]);
    const healthy = [{ from: 100, to: 200 }];
    expect(rulesOf(historyOf([...operations, shownAt(bound + 1)], { abandoned, healthy }))).toStrictEqual([]);
  });

  it("a claim that nobody attends may wait for its grace in well times, and no longer", () => {
    const waiting = {
      ...look(4, 3, ["a-1"]),
      kind: "look-claim",
      claimId: "b-1",
      answer: { kind: "waiting" },
    } as const;
    const unattended = [{ claimId: "b-1", at: 45, graceMs: 1_000 }];
    const bound = 45 + latestCancelMs(1_000, 0.1);
    const shownAt = (sentAt: number): Operation => ({ ...waiting, sentAt, answeredAt: sentAt + 5 });
    const operations = [open(1, "a", 1), acquire(2, "a", 2), open(3, "b", 3)];

    expect(rulesOf(historyOf([...operations, shownAt(bound)], { unattended }))).toStrictEqual([]);
    expect(rulesOf(historyOf([...operations, shownAt(bound + 1)], { unattended }))).toStrictEqual([
      "L11-never-unattended",
    ]);
    const healthy = [{ from: 100, to: 200 }];
    expect(rulesOf(historyOf([...operations, shownAt(bound + 1)], { unattended, healthy }))).toStrictEqual(
      [],
    );
  });

  it("a finding is shown with its operations and what stands next to them", () => {
    const history = historyOf([open(1, "a", 1), acquire(2, "a", 2), acquire(4, "b", 4)]);

    const text = formatFindings(history, checkHistory(history));

    expect(text).toContain("L5-linearizability: lock: grant of b-1 between 40 and 45 fits no order");
    expect(text).toContain(`> ${formatOperation(acquire(4, "b", 4))}`);
    expect(text).toContain(`  ${formatOperation(open(1, "a", 1))}`);
  });
});
