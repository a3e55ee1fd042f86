import { describe, expect, test } from "vitest";
import {
  canonicalAddress,
  formatAddress,
  isLoopback,
  isWildcard,
  readAddress,
} from "../../src/config/address.ts";
import { closest } from "../../src/config/closest.ts";
import { formatDuration, parseDuration } from "../../src/config/duration.ts";

describe("durations", () => {
  test.each([
    ["250ms", 250],
    ["10s", 10_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1h2m3s4ms", 3_723_004],
    ["0", 0],
    ["0s", 0],
    ["10", 10_000],
    ["0.25", 250],
    ["1.5s", 1500],
    ["1.1s", 1100],
    ["0.5h", 1_800_000],
    ["90m", 5_400_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    "",
    "s",
    "-1s",
    "1d",
    "10 s",
    "s10",
    "1s1m",
    "1m1m",
    "1e3",
    "1,5s",
    "0.5ms",
    "0.0001",
    "∞",
    "9007199254740993",
  ])("%j is no duration", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test.each([
    [0, "0s"],
    [-5, "0s"],
    [250, "250ms"],
    [10_000, "10s"],
    [5_400_000, "1h30m"],
    [61_250, "1m1s250ms"],
  ])("%d ms is shown as %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test("what is shown is read back as the same", () => {
    for (const ms of [1, 999, 1000, 59_999, 3_600_001, 86_399_999]) {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }
  });
});

describe("addresses", () => {
  test.each([
    ["127.0.0.1:7400", "127.0.0.1", 7400],
    ["[::1]:7400", "::1", 7400],
    ["node-1.example.com:1", "node-1.example.com", 1],
    ["localhost:65535", "localhost", 65_535],
  ])("%s", (text, host, port) => {
    const reading = readAddress(text);

    expect(reading).toEqual({ kind: "address", address: { host, port } });
    if (reading.kind === "address") expect(formatAddress(reading.address)).toBe(text);
  });

  test.each([
    ["127.0.0.1", /host:port/],
    ["127.0.0.1:", /the port is a number/],
    [":7400", /host:port/],
    ["127.0.0.1:0", /between 1 and 65535/],
    ["127.0.0.1:65536", /between 1 and 65535/],
    ["127.0.0.1:74x", /number/],
    ["256.0.0.1:7400", /host:port/],
    ["127.1:7400", /host:port/],
    ["::1", /brackets and quotes: "\[::1\]:7400"/],
    ["[127.0.0.1]:7400", /brackets are for IPv6/],
    ["http://127.0.0.1:7400", /127\.0\.0\.1:7400 without http/],
    ["a b:7400", /host:port/],
    ["-a:7400", /host:port/],
    ["", /host:port/],
  ])("%j is refused", (text, right) => {
    const reading = readAddress(text);

    expect(reading.kind).toBe("wrong");
    if (reading.kind === "wrong") expect(reading.right).toMatch(right);
  });

  test("only what no other machine can reach is loopback", () => {
    const loopback = [
      "127.0.0.1",
      "127.9.9.9",
      "localhost",
      "LOCALHOST",
      "::1",
      "0:0:0:0:0:0:0:1",
      "::ffff:127.0.0.1",
    ];
    const open = [
      "0.0.0.0",
      "::",
      "10.0.0.1",
      "128.0.0.1",
      "example.com",
      "localhost.example.com",
      "::2",
      "127.example.com",
    ];

    expect(loopback.filter((host) => !isLoopback(host))).toEqual([]);
    expect(open.filter((host) => isLoopback(host))).toEqual([]);
    expect(["0.0.0.0", "::", "0::0", "::1", "1.0.0.0"].map(isWildcard)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test("two spellings of one address are the same", () => {
    expect(canonicalAddress({ host: "0:0::1", port: 1 })).toBe(canonicalAddress({ host: "::1", port: 1 }));
    expect(canonicalAddress({ host: "A.example", port: 1 })).toBe(
      canonicalAddress({ host: "a.example", port: 1 }),
    );
    expect(canonicalAddress({ host: "::1", port: 1 })).not.toBe(canonicalAddress({ host: "::1", port: 11 }));
  });
});

test("a wrong word finds the one that was meant, and a strange one none", () => {
  const words = ["tickMs", "heartbeatMs", "electionTimeoutMs"];

  expect(closest("ticMs", words)).toBe("tickMs");
  expect(closest("electiontimeoutms", words)).toBe("electionTimeoutMs");
  expect(closest("hartbeatMs", words)).toBe("heartbeatMs");
  expect(closest("colour", words)).toBeUndefined();
});
