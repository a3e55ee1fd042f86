import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { crc32 } from "../../src/base/hash.ts";
import type { Identity } from "../../src/base/identity.ts";
import { DamageError, NewerFormatError } from "../../src/storage/failure.ts";
import {
  decodeIdentity,
  encodeIdentity,
  identityFileName,
  readIdentity,
  writeIdentity,
} from "../../src/storage/identity.ts";
import { type TemporaryDirectory, temporaryDirectory } from "./log-builder.ts";

const fresh: Identity = {
  format: 1,
  clusterName: 'quotes " and ünïcode',
  name: "n1",
  incarnation: "0123456789abcdef0123456789abcdef",
  state: "new",
  clusterId: undefined,
  founders: undefined,
};
const founded: Identity = {
  ...fresh,
  state: "founded",
  clusterId: "00aa11bb22cc33",
  founders: { n1: fresh.incarnation, n2: "f".repeat(32) },
};

let temporary: TemporaryDirectory;

beforeEach(() => {
  temporary = temporaryDirectory();
});

afterEach(() => temporary.remove());

test.each([fresh, founded])("an identity comes back as it was written ($state)", (identity) => {
  writeIdentity(temporary.path, identity);

  expect(readIdentity(temporary.path)).toEqual(identity);
  expect(readdirSync(temporary.path)).toEqual([identityFileName]);
});

test("a directory without an identity has none", () => {
  expect(readIdentity(temporary.path)).toBeUndefined();
});

test("a half-written new identity does not touch the old one", () => {
  writeIdentity(temporary.path, fresh);
  writeFileSync(join(temporary.path, `${identityFileName}.tmp`), encodeIdentity(founded).subarray(0, 50));

  expect(readIdentity(temporary.path)).toEqual(fresh);
  writeIdentity(temporary.path, founded);
  expect(readIdentity(temporary.path)).toEqual(founded);
  expect(existsSync(join(temporary.path, `${identityFileName}.tmp`))).toBe(false);
});

test("every flipped bit and every truncation of the file is found", () => {
  const bytes = encodeIdentity(founded);

  for (let offset = 0; offset < bytes.length; offset++) {
    expect(() => decodeIdentity(bytes.subarray(0, offset))).toThrow(DamageError);
    for (let bit = 0; bit < 8; bit++) {
      const flipped = bytes.slice();
      flipped[offset] = (flipped[offset] as number) ^ (1 << bit);
      expect(() => decodeIdentity(flipped)).toThrow(DamageError);
    }
  }
});

test("a later format with a right CRC is recognised as such", () => {
  const body =
    new TextDecoder().decode(encodeIdentity(fresh)).split(',\n  "crc"')[0]?.replace("1", "2") ?? "";
  const crc = crc32(new TextEncoder().encode(body)).toString(16).padStart(8, "0");

  expect(() => decodeIdentity(new TextEncoder().encode(`${body},\n  "crc": "${crc}"\n}\n`))).toThrow(
    NewerFormatError,
  );
});

test("the file is readable text that names its node", () => {
  writeIdentity(temporary.path, fresh);

  expect(readFileSync(join(temporary.path, identityFileName), "utf8")).toContain('"name": "n1"');
});
