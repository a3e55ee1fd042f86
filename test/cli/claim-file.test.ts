import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type ClaimRecord,
  createClaimFile,
  readClaimFile,
  removeClaimFile,
  replaceClaimFile,
} from "../../src/cli/claim-file.ts";
import { CliError } from "../../src/cli/exit-codes.ts";
import { temporaryDirectory } from "./process.ts";

let temporary: ReturnType<typeof temporaryDirectory>;
let path: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  path = join(temporary.path, "claim");
});

afterEach(() => temporary.remove());

const record: ClaimRecord = {
  lock: "a/b",
  claimId: "3f9a_1",
  sessionId: "0123456789abcdef",
  ownSession: true,
  endpoints: ["http://127.0.0.1:7400"],
};

function exitCodeOf(work: () => unknown): number | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof CliError) return error.failure.exitCode;
    throw error;
  }
}

test("what was written is read, by its owner only", () => {
  createClaimFile(path, record);
  replaceClaimFile(path, { ...record, fence: 7 });

  expect(readClaimFile(path)).toMatchObject({ ...record, fence: 7 });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readdirSync(temporary.path)).toEqual(["claim"]);
  removeClaimFile(path);
  removeClaimFile(path);
  expect(existsSync(path)).toBe(false);
});

test("a file that is there is never written over: it may be all that is left of a held claim", () => {
  createClaimFile(path, record);

  expect(exitCodeOf(() => createClaimFile(path, { ...record, lock: "other" }))).toBe(73);
  expect(readClaimFile(path).lock).toBe("a/b");
});

test("one that cannot be written or read is 73, one that is something else 64", () => {
  expect(exitCodeOf(() => createClaimFile(join(temporary.path, "no", "claim"), record))).toBe(73);
  expect(exitCodeOf(() => readClaimFile(path))).toBe(73);
  mkdirSync(join(temporary.path, "directory"));
  expect(exitCodeOf(() => readClaimFile(join(temporary.path, "directory")))).toBe(73);
  for (const text of [
    "",
    "{}",
    "[]",
    "null",
    '{"lock":"a","claimId":"../x","sessionId":"0123456789abcdef"}',
  ]) {
    writeFileSync(path, text);
    expect(
      exitCodeOf(() => readClaimFile(path)),
      text,
    ).toBe(64);
  }
});
