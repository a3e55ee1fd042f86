/** The tables and the arguments of the bench. */
import { describe, expect, it } from "vitest";
import { readBesideRow } from "./beside.ts";
import { parseOptions, UsageError } from "./options.ts";
import { durationText, Progress } from "./progress.ts";
import { type BenchResult, resultFormat } from "./result.ts";
import { figure, markdownTable, sectionsOf } from "./tables.ts";

const latency = { count: 10, p50: 1.234, p99: 5, max: 9.99 };
const row = { via: "net", clients: 64, windowMs: 3_000, acquireMs: latency, pairMs: latency } as const;

const result: BenchResult = {
  format: resultFormat,
  date: "2026-01-02T03:04:05.000Z",
  command: "",
  isQuick: false,
  version: "0.1.0",
  machine: { node: "v20", system: "Linux", cores: 2, cpu: "cpu", memoryGiB: 4, hasProc: true },
  disk: { ...latency, perSecond: 3_000, fileSystem: "ext4" },
  windows: [
    { ...row, round: 1, pairsPerSecond: 12_000, clientCpuMicrosPerPair: 40, serverCpuMicrosPerPair: 100 },
    { ...row, round: 2, pairsPerSecond: 9_000, clientCpuMicrosPerPair: 40, serverCpuMicrosPerPair: 100 },
    { ...row, via: "fetch", round: 1, pairsPerSecond: 5_000, clientCpuMicrosPerPair: 400 },
  ],
  beside: [
    {
      name: "Other",
      description: "as it comes",
      version: "1.2",
      windows: [
        { clients: 64, round: 1, pairsPerSecond: 3_000, serverCpuMicrosPerPair: 400 },
        { clients: 64, round: 2, pairsPerSecond: 4_500, serverCpuMicrosPerPair: 500 },
      ],
    },
  ],
  failovers: [
    {
      fault: "kill",
      clients: 16,
      attemptMs: 250,
      repetitions: [70, 60, 100].map((nobodyMs) => ({
        nobodyMs,
        worstClientMs: 2 * nobodyMs,
        failedAttempts: 1,
        acquires: 2,
      })),
    },
  ],
};

function linesOf(title: string): readonly string[] {
  const section = sectionsOf(result).find((each) => each.title === title);
  return (section?.table ?? "").split("\n").map((line) => line.replace(/ +/g, " "));
}

describe("tables", () => {
  it("line up, text to the left and figures to the right", () => {
    expect(markdownTable(["a", "figure"], [["long text", "1"]])).toBe(
      "| a         | figure |\n|-----------|-------:|\n| long text |      1 |",
    );
  });

  it("group thousands and say what was not measured", () => {
    expect(figure(1_234_567.8)).toBe("1 234 568");
    expect(figure(1_234.5678, 3)).toBe("1234.568");
    expect(figure(999)).toBe("999");
    expect(figure(undefined)).toBe("–");
  });

  it("show every window, fetch and the other system too", () => {
    const lines = linesOf("W1a: uncontended acquire and release");

    expect(lines.length).toBe(2 + 5);
    expect(lines[2]).toBe(
      "| Holdfast | 64 | 1 | 12 000 | 1.23 | 5.00 | 10.0 | 1.23 | 5.00 | 10.0 | 100 | 40 | – | – |",
    );
    expect(lines.filter((line) => line.startsWith("| Other"))[0]).toBe(
      "| Other | 64 | 1 | 3 000 | – | – | – | – | – | – | 400 | – | – | – |",
    );
  });

  it("show the median of the ratios of neighbouring windows, never of fetch", () => {
    expect(linesOf("Holdfast / Other")[2]).toBe("| 64 | 3.00 × | 4.00 2.00 | – | | 0.23 × | 0.25 0.20 |");
  });

  it("show the spread of a fault", () => {
    expect(linesOf("W4: nobody acquires")[2]).toBe(
      "| is killed (SIGKILL) | 3 | 16 | 60 | 70 | 100 | 120 | 140 | 200 |",
    );
  });

  it("say where the processor time of a pair goes, idle time left out", () => {
    const windows = result.windows.map((each) => ({
      ...each,
      leaderCpuMicrosPerPair: 70,
      leaderMainThreadMicrosPerPair: 50,
    }));
    const buckets = [
      { bucket: "raft", leader: 30, follower: 5 },
      { bucket: "JSON", leader: 10, follower: 0 },
      { bucket: "idle", leader: 60, follower: 95 },
    ];
    const breakdown = { clients: 64, windowMs: 3_000, pairsPerSecond: 8_000, buckets };

    const section = sectionsOf({ ...result, windows, breakdown }).find(({ title }) =>
      title.startsWith("Where"),
    );

    expect(section?.text).toMatch(/100 µs of processor time: 50 in .* 20 in .* 30 in the two followers/);
    expect(section?.table.replace(/ +/g, " ").split("\n").slice(2)).toEqual([
      "| raft | 30.0 | 75 % | 5.0 |",
      "| JSON | 10.0 | 25 % | 0.0 |",
      "| all but idle | 40.0 | 100 % | 5.0 |",
    ]);
  });

  it("leave out what a run did not measure", () => {
    expect(sectionsOf({ ...result, windows: [], beside: [], failovers: [] })).toEqual([]);
  });
});

describe("arguments", () => {
  it("have the full run for a default, and a quick one", () => {
    expect(parseOptions([])).toMatchObject({
      workloads: ["W1a", "W4"],
      clients: [1, 16, 64, 256],
      windowMs: 8_000,
      repetitions: 20,
    });
    expect(parseOptions(["--quick", "--reps", "3"])).toMatchObject({ windowMs: 3_000, repetitions: 3 });
  });

  it("take commands of other systems with anything in them", () => {
    expect(parseOptions(["--beside", "A=x --y=z"]).beside).toEqual([{ name: "A", command: "x --y=z" }]);
  });

  it("that are wrong are said to be", () => {
    for (const wrong of [
      ["--only", "W9"],
      ["--clients", "0"],
      ["--beside", "A="],
      ["--nope"],
      ["--reps", "x"],
    ])
      expect(() => parseOptions(wrong)).toThrow(UsageError);
  });
});

describe("an answer of another system", () => {
  it("is taken with what it knows", () => {
    const answer = {
      pairsPerSecond: 5,
      pairMs: { p50: 1, p99: 2, max: 3 },
      acquireMs: { p50: 1 },
      more: "x",
    };

    expect(readBesideRow(answer, 16, 2)).toEqual({
      clients: 16,
      round: 2,
      pairsPerSecond: 5,
      pairMs: { p50: 1, p99: 2, max: 3 },
    });
  });

  it("without a rate is an error", () => {
    expect(() => readBesideRow({ pairsPerSecond: 0 }, 16, 2)).toThrow(/pairsPerSecond/);
  });
});

it("progress says which step of how many, and the time left", () => {
  const lines: string[] = [];
  const progress = new Progress(
    [
      { title: "one", seconds: 30 },
      { title: "two", seconds: 90 },
    ],
    (line) => lines.push(line),
  );

  progress.begin();
  progress.begin();
  progress.begin();

  expect(lines).toEqual(["bench 1/2 one (about 2 min left)", "bench 2/2 two (about 2 min left)"]);
  expect(durationText(12.2)).toBe("13 s");
});
