/**
 * The tables of a result, for a terminal and for docs/BENCHMARKS.md alike. Pure; rounds, and says "–" for what was not
 * measured.
 */
import { idleBucket } from "./profile.ts";
import type { BenchResult, BesideResult, BesideRow, WindowRow } from "./result.ts";
import { median, pairRows, ratios } from "./stats.ts";

export interface Section {
  readonly title: string;
  /** That measures this again. */
  readonly command: string;
  readonly text?: string;
  readonly table: string;
}

export function sectionsOf(result: BenchResult): readonly Section[] {
  return [
    ...(result.windows.length > 0 ? [windowsSection(result)] : []),
    ...result.beside.map((other) => ratioSection(result, other)),
    ...(result.failovers.length > 0 ? [failoverSection(result)] : []),
    ...(result.breakdown === undefined ? [] : [breakdownSection(result)]),
  ];
}

/** A Markdown table whose columns line up. The first column is text, the others are figures. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((cell, i) =>
    Math.max(3, cell.length, ...rows.map((row) => (row[i] ?? "").length)),
  );
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, i) => (i === 0 ? (row[i] ?? "").padEnd(width) : (row[i] ?? "").padStart(width))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}

export function figure(value: number | undefined, digits = 0): string {
  return value === undefined
    ? "–"
    : value.toFixed(digits).replace(/\B(?=(\d{3})+$)/g, digits === 0 ? " " : "");
}

function mib(bytes: number | undefined): string {
  return bytes === undefined ? "–" : figure(bytes / 2 ** 20);
}

interface ShownRow {
  readonly name: string;
  readonly row: Omit<WindowRow, "via" | "windowMs" | "clientCpuMicrosPerPair"> | BesideRow;
}

function windowsSection({ windows, beside, isQuick }: BenchResult): Section {
  const ours = windows.map((row) => ({ name: row.via === "net" ? "Holdfast" : "Holdfast, fetch", row }));
  const theirs = beside.flatMap(({ name, windows: rows }) => rows.map((row) => ({ name, row })));
  const shown: readonly ShownRow[] = [...ours, ...theirs].sort(
    (a, b) => a.row.clients - b.row.clients || a.row.round - b.row.round,
  );
  return {
    title: "W1a: uncontended acquire and release",
    command: `npm run bench -- --only W1a${isQuick ? " --quick" : ""}`,
    table: markdownTable(
      [
        "system",
        "clients",
        "window",
        "pairs/s",
        "acquire p50 ms",
        "p99",
        "max",
        "pair p50 ms",
        "p99",
        "max",
        "server CPU µs/pair",
        "client CPU µs/pair",
        "server RSS MiB",
        "other load, cores",
      ],
      shown.map(({ name, row }) => [
        name,
        String(row.clients),
        String(row.round),
        figure(row.pairsPerSecond),
        ...[row.acquireMs, row.pairMs].flatMap((ms) => [
          figure(ms?.p50, 2),
          figure(ms?.p99, 2),
          figure(ms?.max, 1),
        ]),
        figure(row.serverCpuMicrosPerPair),
        figure((row as BesideRow).clientCpuMicrosPerPair),
        mib(row.peakRssBytes),
        figure(row.otherCores, 2),
      ]),
    ),
  };
}

/** Each window of ours divided by theirs that came right after it. */
function ratioSection({ windows, isQuick }: BenchResult, other: BesideResult): Section {
  const pairs = pairRows(
    windows.filter(({ via }) => via === "net"),
    other.windows,
  );
  const rows = [...new Set(pairs.map(({ ours }) => ours.clients))].map((clients) => {
    const own = pairs.filter(({ ours }) => ours.clients === clients);
    const columns = [
      ratios(
        own,
        ({ pairsPerSecond }) => pairsPerSecond,
        ({ pairsPerSecond }) => pairsPerSecond,
      ),
      ratios(
        own,
        ({ pairMs }) => pairMs.p99,
        ({ pairMs }) => pairMs?.p99,
      ),
      ratios(
        own,
        ({ serverCpuMicrosPerPair: cpu }) => cpu,
        ({ serverCpuMicrosPerPair: cpu }) => cpu,
      ),
    ];
    return [
      String(clients),
      ...columns.flatMap((values) => [
        values.length === 0 ? "–" : `${figure(median(values), 2)} ×`,
        values.map((value) => figure(value, 2)).join(" "),
      ]),
    ];
  });
  return {
    title: `Holdfast / ${other.name}`,
    command: `npm run bench -- --only W1a${isQuick ? " --quick" : ""} --beside ${other.name}=COMMAND`,
    text: `${other.name} ${other.version}: ${other.description}. The median first, then window by window.`,
    table: markdownTable(
      ["clients", "pairs/s", "windows", "pair p99", "windows", "server CPU a pair", "windows"],
      rows,
    ),
  };
}

function failoverSection({ failovers, isQuick }: BenchResult): Section {
  return {
    title: "W4: nobody acquires",
    command: `npm run bench -- --only W4${isQuick ? " --quick" : ""}`,
    table: markdownTable(
      [
        "the leader",
        "times",
        "clients",
        "nobody acquired, ms min",
        "median",
        "max",
        "worst single client, ms min",
        "median",
        "max",
      ],
      failovers.map(({ fault, clients, repetitions }) => [
        fault === "kill" ? "is killed (SIGKILL)" : "hangs (SIGSTOP)",
        String(repetitions.length),
        String(clients),
        ...spread(repetitions.map(({ nobodyMs }) => nobodyMs)),
        ...spread(repetitions.map(({ worstClientMs }) => worstClientMs)),
      ]),
    ),
  };
}

function spread(values: readonly number[]): readonly string[] {
  return [Math.min(...values), median(values), Math.max(...values)].map((value) => figure(value));
}

/** Of the windows with as many clients as the breakdown has; without a profiler, so these are the true ones. */
function processorText({ windows, breakdown }: BenchResult): string {
  const rows = windows.filter(({ via, clients }) => via === "net" && clients === breakdown?.clients);
  const of = (pick: (row: WindowRow) => number | undefined) => {
    const values = rows.flatMap((row) => pick(row) ?? []);
    return values.length === 0 ? undefined : median(values);
  };
  const all = of((row) => row.serverCpuMicrosPerPair);
  const leader = of((row) => row.leaderCpuMicrosPerPair);
  const main = of((row) => row.leaderMainThreadMicrosPerPair);
  if (all === undefined || leader === undefined || main === undefined) return "";
  return (
    `Without a profiler a pair costs ${figure(all)} µs of processor time: ${figure(main)} in the leader's main thread, ` +
    `${figure(leader - main)} in its other threads (the disk, garbage collection), ${figure(all - leader)} in the two followers. `
  );
}

function breakdownSection(result: BenchResult): Section {
  const { breakdown, isQuick } = result;
  const { buckets, clients, pairsPerSecond } = breakdown ?? { buckets: [], clients: 0, pairsPerSecond: 0 };
  const busy = buckets.filter(({ bucket }) => bucket !== idleBucket);
  const sum = (key: "leader" | "follower") => busy.reduce((total, row) => total + row[key], 0);
  const share = (value: number) => `${figure((value / sum("leader")) * 100)} %`;
  return {
    title: "Where the time goes",
    command: `npm run bench -- --only W1a${isQuick ? " --quick" : ""}`,
    text:
      processorText(result) +
      `The table has self time of the main thread, from a CPU profile of a run of its own with ${clients} clients ` +
      `(${figure(pairsPerSecond)} pairs/s while profiled, so a little dearer). A profile counts by the wall clock: where ` +
      "processes share cores, a write that wakes another process may be charged for what that one does.",
    table: markdownTable(
      ["part", "leader µs/pair", "of its work", "one follower µs/pair"],
      [
        ...busy.map(({ bucket, leader, follower }) => [
          bucket,
          figure(leader, 1),
          share(leader),
          figure(follower, 1),
        ]),
        ["all but idle", figure(sum("leader"), 1), "100 %", figure(sum("follower"), 1)],
      ],
    ),
  };
}
