import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseEndSignal } from "../../src/cli/run/end-signals.ts";
import {
  childExitCode,
  clipGrace,
  killAtMs,
  maxHoldTimes,
  planRun,
  refusalExitCode,
  spawnExitCode,
} from "../../src/cli/run/plan.ts";
import { livingIn, membersOf, parsePs, parseStat, readProcesses } from "../../src/cli/run/processes.ts";
import type { Standing } from "../../src/client/lease.ts";

function planned(options: object, ...words: readonly string[]) {
  const dashes = words.indexOf("--");
  const operands = dashes < 0 ? words : [...words.slice(0, dashes), ...words.slice(dashes + 1)];
  return planRun({ timeout: 1, ...options }, operands, ["run", ...words]);
}

describe("a plan", () => {
  test("is an exclusive lock and a wait without limit, unless told otherwise", () => {
    expect(planned({}, "a", "--", "cmd", "-x", "--", "y")).toEqual({
      target: { kind: "lock", name: "a", mode: "exclusive" },
      file: "cmd",
      args: ["-x", "--", "y"],
      waitMs: undefined,
      conflictCode: 75,
      onLost: "TERM",
      graceMs: 5000,
      isGraceGiven: false,
      maxHoldMs: undefined,
    });
  });

  test.each([
    [{ shared: true }, { target: { kind: "lock", name: "a", mode: "shared" } }],
    [{ permits: 2, capacity: 5 }, { target: { kind: "semaphore", name: "a", permits: 2, capacity: 5 } }],
    [
      { nonblock: true, conflictExitCode: 9 },
      { waitMs: 0, conflictCode: 9 },
    ],
    [{ wait: 10 }, { waitMs: 10, conflictCode: 75 }],
    [{ ifHeld: "skip" }, { waitMs: 0, conflictCode: 0 }],
    [{ ifHeld: "fail" }, { waitMs: 0, conflictCode: 75 }],
    [{ grace: 0 }, { graceMs: 0, isGraceGiven: true }],
  ])("of %j has %j", (options, parts) => {
    expect(planned(options, "a", "--", "cmd")).toMatchObject(parts);
  });

  test("with -c is a shell's", () => {
    expect(planned({ command: "a | b" }, "a")).toMatchObject({ file: "/bin/sh", args: ["-c", "a | b"] });
  });

  test.each([
    [{ exclusive: true, shared: true }, ["a", "--", "c"], /-x and -s exclude each other/],
    [{ shared: true, permits: 1 }, ["a", "--", "c"], /--permits asks for a semaphore/],
    [{ capacity: 1 }, ["a", "--", "c"], /add --permits 1/],
    [{ nonblock: true, wait: 1 }, ["a", "--", "c"], /-n does not wait/],
    [{ ifHeld: "skip", wait: 1 }, ["a", "--", "c"], /--if-held does not wait/],
    [{ ifHeld: "skip", conflictExitCode: 1 }, ["a", "--", "c"], /leave out -E/],
    [{ maxHold: 0 }, ["a", "--", "c"], /before it starts/],
    [{}, ["a"], /the command is missing: holdfast run a -- COMMAND/],
    [{}, ["a", "--"], /the command is missing/],
    [{}, ["a", "ls", "x"], /put -- before the command: holdfast run a -- ls x/],
    [{}, ["a", "b", "--", "ls"], /put -- before the command/],
    [{ command: "x" }, ["a", "--", "ls"], /-c is the whole command/],
    [{}, ["a//b", "--", "ls"], /must not/],
  ])("%j %j is refused", (options, words, text) => {
    expect(() => planned(options, ...words)).toThrow(text);
  });
});

test.each([
  ["TERM", "TERM"],
  ["sigusr1", "USR1"],
  ["9", "KILL"],
  ["15", "TERM"],
])("the signal %s is %s", (text, signal) => {
  expect(parseEndSignal(text)).toBe(signal);
});

test.each(["STOP", "CONT", "TREM", "", "0", "99"])("%j is no signal to end with", (text) => {
  expect(() => parseEndSignal(text)).toThrow(/Write one of TERM, HUP/);
});

describe("exit codes", () => {
  test.each([
    [{ code: 0, signal: null }, 0],
    [{ code: 255, signal: null }, 255],
    [{ code: null, signal: "SIGKILL" as const }, 137],
    [{ code: null, signal: "SIGTERM" as const }, 143],
  ])("%j is %i", (ended, code) => {
    expect(childExitCode(ended)).toBe(code);
  });

  test.each([
    ["ENOENT", 127],
    ["ENOTDIR", 127],
    ["EACCES", 126],
    ["E2BIG", 126],
    [undefined, 126],
  ])("a command that fails with %s is %i", (code, exitCode) => {
    expect(spawnExitCode(code)).toBe(exitCode);
  });

  test.each([
    [75, "locked", 9],
    [75, "deadlock", 9],
    [69, "unreachable", 69],
    [69, "lapsed", 69],
    [64, "usage", 64],
    [1, "capacity-conflict", 64],
    [1, "kind-mismatch", 64],
    [1, "not-found", 64],
    [1, "session-expired", 75],
    [90, "claim-lost", 75],
    [1, "already-waiting", 9],
    [1, "quota", 69],
    [77, "not-holder", 77],
    [1, "internal", 70],
    [126, "command-not-executable", 126],
    [127, "command-not-found", 127],
  ])("before the command: %i %s is %i", (exitCode, code, expected) => {
    expect(refusalExitCode({ exitCode, code, detail: "" }, 9)).toBe(expected);
  });
});

describe("the end of a group", () => {
  type Over = Standing & { readonly kind: "over" };
  const lapsed: Over = { kind: "over", over: { kind: "lapsed" }, knownUntilMs: 1000 };
  const forced: Over = { kind: "over", over: { kind: "claim-ended", reason: "forced" }, knownUntilMs: 1000 };

  test("by a lapse comes a grace after the deadline, whenever that was noticed", () => {
    expect(killAtMs(lapsed, { nowMs: 1000, graceMs: 300, lockDelayMs: 5000 })).toBe(1300);
    expect(killAtMs(lapsed, { nowMs: 90_000, graceMs: 300, lockDelayMs: 5000 })).toBe(1300);
    expect(killAtMs(lapsed, { nowMs: 1000, graceMs: 5000, lockDelayMs: 200 })).toBe(1200);
  });

  test("by a notice comes a grace later, never past the deadline that was known before", () => {
    expect(killAtMs(forced, { nowMs: 400, graceMs: 300, lockDelayMs: 0 })).toBe(700);
    expect(killAtMs(forced, { nowMs: 900, graceMs: 300, lockDelayMs: 0 })).toBe(1000);
  });

  test("never comes after the lock-delay or hand-back that keeps others out", () => {
    const any = fc.integer({ min: 0, max: 100_000 });
    fc.assert(
      fc.property(any, any, any, any, (knownUntilMs, nowMs, graceMs, lockDelayMs) => {
        const times = { nowMs, graceMs, lockDelayMs };

        expect(killAtMs({ ...lapsed, knownUntilMs }, times)).toBeLessThanOrEqual(knownUntilMs + lockDelayMs);
        expect(killAtMs({ ...forced, knownUntilMs }, times)).toBeLessThanOrEqual(knownUntilMs);
        expect(clipGrace(graceMs, lockDelayMs)).toBeLessThanOrEqual(lockDelayMs);
      }),
    );
  });

  test("by max-hold leaves a grace, at most half of the hold, and comes before its end", () => {
    expect(maxHoldTimes({ untilMs: 60_000, maxHoldMs: 60_000, graceMs: 5000 })).toEqual({
      signalAtMs: 54_500,
      killAtMs: 59_500,
    });
    expect(maxHoldTimes({ untilMs: 2000, maxHoldMs: 2000, graceMs: 5000 })).toEqual({
      signalAtMs: 800,
      killAtMs: 1800,
    });
  });
});

describe("the processes of a command in a group that it shares", () => {
  const row = (pid: number, ppid: number, pgid: number, isZombie = false) => ({ pid, ppid, pgid, isZombie });
  /** A shell (1000) started us (10) and the next stage of a pipe (11) as one job; we started 20. */
  const job = [row(1000, 1, 1000), row(10, 1000, 10), row(11, 1000, 10), row(20, 10, 10)];
  const of = { child: 20, pgid: 10, self: 10, before: new Set([10, 11]) };

  test("are its descendants, in whatever group", () => {
    const rows = [...job, row(21, 20, 10), row(22, 21, 22), row(23, 22, 22)];

    expect(membersOf(rows, of)).toEqual([20, 21, 22, 23]);
  });

  test("are its orphans too, and not what other stages of the pipe start", () => {
    const rows = [...job, row(30, 1, 10), row(31, 30, 31), row(40, 11, 10), row(50, 1, 50)];

    expect(membersOf(rows, of)).toEqual([20, 30, 31]);
  });

  test("are the children of one that has ended, and not that one", () => {
    const rows = [...job.slice(0, 3), row(20, 10, 10, true), row(21, 20, 10)];

    expect(membersOf(rows, of)).toEqual([21]);
  });

  test("are none when all have ended", () => {
    expect(membersOf(job.slice(0, 3), of)).toEqual([]);
  });

  test("in one of its own are those that live", () => {
    expect(livingIn([row(5, 1, 5, true), row(6, 5, 5), row(7, 5, 7)], 5)).toEqual([6]);
  });
});

describe("the table of processes", () => {
  test("is read from /proc, whatever a process calls itself", () => {
    expect(parseStat("12 (a) b (c) Z) S 3 4 4 0 -1\n")).toEqual({
      pid: 12,
      ppid: 3,
      pgid: 4,
      isZombie: false,
    });
    expect(parseStat("12 (x) Z 3 4 4\n")).toMatchObject({ isZombie: true });
    expect(parseStat("")).toBeUndefined();
  });

  test("is read from ps", () => {
    expect(parsePs("    1     0     1 Ss\n  12     1    12 Z+\n\n")).toEqual([
      { pid: 1, ppid: 0, pgid: 1, isZombie: false },
      { pid: 12, ppid: 1, pgid: 12, isZombie: true },
    ]);
  });

  test("has this very process in it", () => {
    expect(readProcesses()?.find(({ pid }) => pid === process.pid)).toMatchObject({ ppid: process.ppid });
  });
});
