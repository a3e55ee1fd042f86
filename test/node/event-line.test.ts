import { describe, expect, it } from "vitest";
import { eventLine } from "../../src/node/event-line.ts";

describe("the log says of an event", () => {
  it.each([
    { kind: "snapshot-dropped", index: 7, why: "the log is gone" },
    { kind: "fetch-dropped", index: 7, why: "what came is damaged: a sum" },
  ] as const)("a warning when work was lost: %s", (event) => {
    const { kind, ...facts } = event;
    expect(eventLine(event)).toEqual({ level: "warn", event: kind, facts });
  });

  it.each([
    { kind: "snapshot-made", index: 7, bytes: 100, ms: 3 },
    { kind: "install", snapshot: 7, lost: 0 },
    { kind: "role", role: "follower", term: 3, leader: undefined, reason: "a higher term" },
  ] as const)("a line without alarm: %s", (event) => {
    const { kind, ...facts } = event;
    expect(eventLine(event)).toEqual({ level: "info", event: kind, facts });
  });

  it("leaders by the name that people gave them", () => {
    const hint = { kind: "leader-lost", leader: "n2@123", term: 4 } as const;
    expect(eventLine(hint)).toEqual({
      level: "info",
      event: "leader-lost",
      facts: { leader: "n2", term: 4 },
    });
  });

  it("nothing of the single steps of an election", () => {
    expect(eventLine({ kind: "mismatch", member: "n2@1", next: 3 })).toBeUndefined();
    expect(eventLine({ kind: "campaign", phase: "vote", term: 3, reason: "time" })).toBeUndefined();
  });
});
