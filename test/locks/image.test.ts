/** A machine built from an image goes on as the one that it was taken of. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeImageRecord, encodeImageRecord } from "../../src/codec/image.ts";
import { stateHash } from "../../src/locks/canonical.ts";
import { ImageError, ImageReader, type ImageRecord, imageOf } from "../../src/locks/image.ts";
import { apply, createLockState } from "../../src/locks/machine.ts";
import type { LockState } from "../../src/locks/records.ts";
import { check } from "../prop.ts";
import { busy, history, play } from "./histories.ts";

/** Through bytes, as a file would: nothing can be shared with the state that it was taken of. */
function copyOf(records: Iterable<ImageRecord>): readonly ImageRecord[] {
  return [...records].map((record) => decodeImageRecord(Uint8Array.from(encodeImageRecord(record))));
}

function built(records: Iterable<ImageRecord>): LockState {
  const reader = new ImageReader();
  for (const record of records) reader.add(record);
  return reader.end();
}

/** All that an outcome says, without the records that it points to. */
function said(outcome: unknown): string {
  const seen = new Set<unknown>();
  return JSON.stringify(outcome, (key, value: unknown) => {
    if (key === "session" || key === "resources" || key === "holders" || key === "queue") return undefined;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    if (seen.size === seen.add(value).size) return "again";
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

describe("an image", () => {
  it("gives the same state back, which then says the same to whatever comes (I12)", () => {
    check(
      fc.property(history, fc.nat(), (steps, at) => {
        const { bench } = play(steps, { sweepBudget: 1 + (at % 7), rememberedClaimsPerSession: 3 });
        const first = createLockState();
        const cut = at % (bench.log.length + 1);
        for (const entry of bench.log.slice(0, cut)) apply(first, entry);

        const second = built(copyOf(imageOf(first)));

        expect(stateHash(second)).toBe(stateHash(first));
        for (const entry of bench.log.slice(cut)) {
          const before = apply(first, entry);
          const after = apply(second, entry);
          expect(said(after.outcome)).toBe(said(before.outcome));
          expect(after.changes.map(({ claim, state }) => [claim.id, state])).toEqual(
            before.changes.map(({ claim, state }) => [claim.id, state]),
          );
        }
        expect(stateHash(second)).toBe(stateHash(first));
        expect(copyOf(imageOf(second))).toEqual(copyOf(imageOf(first)));
      }),
      400,
    );
  });

  it("gives sessions and claims the shape that the machine gives them: their fields in one order", () => {
    const shapes = (state: LockState): readonly string[] => {
      const sessions = [...state.sessions.values(), ...state.tombstones.values()];
      const records = [...sessions, ...state.claims.values()];
      return [...new Set(records.map((record) => Object.keys(record).join(" ")))];
    };
    check(
      fc.property(history, (steps) => {
        const { bench } = play(steps, { rememberedClaimsPerSession: 3 });
        const made = shapes(bench.state);

        expect(made.length).toBeLessThanOrEqual(2);
        expect([...shapes(built(copyOf(imageOf(bench.state))))].sort()).toEqual([...made].sort());
      }),
    );
  });

  it("of a long queue is in many records, and keeps its order", () => {
    const { bench } = play([], { claimsPerSession: 10_000, waitersPerName: 10_000 });
    for (let i = 0; i < 1_100; i++) bench.acquire("s0", `w${i}`, { lock: "long", waitMs: 60_000 });

    const records = copyOf(imageOf(bench.state));

    const shares = records.flatMap((record) => (record.kind === "queue" ? [record.claimIds.length] : []));
    expect(shares).toEqual([1_000, 99]);
    const ids = Array.from(built(records).resources.get("long")?.queue ?? [], ({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 1_099 }, (_, i) => `w${i + 1}`));
  });

  it("with a record too few, too many or out of order is refused, or is the same state", () => {
    const state = busy();
    const records = copyOf(imageOf(state));
    expect(new Set(records.map(({ kind }) => kind))).toEqual(
      new Set(["head", "lock", "semaphore", "session", "claim", "remembered", "holders", "queue", "barrier"]),
    );
    let refused = 0;
    const judge = (changed: readonly ImageRecord[], what: string): void => {
      try {
        expect(stateHash(built(changed)), what).not.toBe("");
      } catch (error) {
        expect(error, what).toBeInstanceOf(ImageError);
        refused++;
      }
    };
    records.forEach((record, i) => {
      judge(records.toSpliced(i, 1), `without ${i} ${record.kind}`);
      judge(records.toSpliced(i, 0, record), `twice ${i} ${record.kind}`);
      judge([...records.toSpliced(i, 1), record], `late ${i} ${record.kind}`);
    });
    expect(refused).toBeGreaterThan(records.length);
  });
});
