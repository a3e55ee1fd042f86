import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Identity } from "../../src/base/identity.ts";
import { createAnchorFile, openAnchorFile } from "../../src/storage/anchor.ts";
import {
  initDataDirectory,
  type NewDirectory,
  openDataDirectory,
  refusalFileName,
} from "../../src/storage/data-directory.ts";
import { type DataDirectoryCode, DataDirectoryError } from "../../src/storage/failure.ts";
import { encodeIdentity, readIdentity, writeIdentity } from "../../src/storage/identity.ts";
import {
  clusterId,
  entriesAfter,
  expected,
  foundAt,
  foundingOf,
  hardState,
  mustWrite,
  plain,
  reopenAt,
  type TemporaryDirectory,
  temporaryDirectory,
} from "./log-builder.ts";

let temporary: TemporaryDirectory;
let path: string;

beforeEach(() => {
  temporary = temporaryDirectory();
  path = join(temporary.path, "data");
});

afterEach(() => temporary.remove());

async function openNew(): Promise<NewDirectory> {
  const opened = await openDataDirectory({ path, expect: expected });
  if (opened.kind !== "new") throw new Error("expected a new directory");
  return opened;
}

async function expectRefusal(
  code: DataDirectoryCode,
  options: { readonly exitCode: number; readonly text?: RegExp; readonly expect?: typeof expected },
): Promise<void> {
  const error: unknown = await openDataDirectory({ path, expect: options.expect ?? expected }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataDirectoryError);
  if (!(error instanceof DataDirectoryError)) return;
  expect({ code: error.code, exitCode: error.exitCode }).toEqual({ code, exitCode: options.exitCode });
  expect(error.message).toContain(path);
  if (options.text !== undefined) expect(error.message).toMatch(options.text);
}

/** A founded directory with some history, closed. */
async function withHistory(): Promise<void> {
  const { storage } = await foundAt(path);
  await mustWrite(storage, {
    hardState: hardState(1, "n1@a"),
    entries: entriesAfter(undefined, { count: 4, term: 1 }),
  });
  await mustWrite(storage, { hardState: hardState(2, "n2@b") });
  await storage.close();
}

describe("init", () => {
  test("makes a directory, with its parents, that opens as new", async () => {
    path = join(path, "deep", "er");
    const identity = initDataDirectory({ path, ...expected });

    const opened = await openNew();

    expect(opened.identity).toEqual(identity);
    expect(identity).toMatchObject({ ...expected, format: 1, state: "new" });
    expect(identity.incarnation).toMatch(/^[0-9a-f]{32}$/);
    await opened.close();
  });

  test("fills an empty directory that is there, never with the same incarnation", () => {
    const incarnations = [1, 2, 3].map((n) => {
      mkdirSync(`${path}${n}`);
      return initDataDirectory({ path: `${path}${n}`, ...expected }).incarnation;
    });

    expect(new Set(incarnations).size).toBe(3);
  });

  test("refuses a directory with anything in it, above all one that was initialised", () => {
    const first = initDataDirectory({ path, ...expected });

    expect(() => initDataDirectory({ path, ...expected })).toThrow(
      expect.objectContaining({ code: "not-empty", exitCode: 73 }),
    );

    expect(readIdentity(path)).toEqual(first);
  });

  test("refuses a path that leads through a file", () => {
    writeFileSync(path, "");

    for (const there of [path, join(path, "below")]) {
      expect(() => initDataDirectory({ path: there, ...expected })).toThrow(
        expect.objectContaining({ code: "unusable", exitCode: 73 }),
      );
    }
  });
});

describe("founding", () => {
  test("binds the directory for ever and starts at step 1", async () => {
    initDataDirectory({ path, ...expected });
    const opened = await openNew();
    const founded = await opened.found(foundingOf(opened.identity));

    expect(founded.storage.step).toBe(1);
    expect(founded.identity).toEqual({
      ...opened.identity,
      state: "founded",
      ...foundingOf(opened.identity),
    });
    await founded.storage.close();
    const again = await openDataDirectory({ path, expect: expected });
    expect(again).toMatchObject({ kind: "founded", identity: founded.identity });
    if (again.kind === "founded") await again.storage.close();
  });

  test("after a crash before the identity was written the directory is new and founds once more", async () => {
    initDataDirectory({ path, ...expected });
    const opened = await openNew();
    const { storage } = await opened.found(foundingOf(opened.identity));
    await mustWrite(storage, {
      hardState: hardState(9, "n3@c"),
      entries: entriesAfter(undefined, { count: 3, term: 9 }),
    });
    await storage.close();
    writeIdentity(path, opened.identity);

    const again = await openNew();
    const founded = await again.found({ ...foundingOf(again.identity), clusterId: "another" });
    await founded.storage.close();
    const final = await reopenAt(path);

    expect(final.restored).toMatchObject({ hardState: { currentTerm: 0 }, entries: [], step: 1 });
    expect(final.logBytes).toBe(0);
    await final.close();
  });

  test("a new directory whose store is rubble founds all the same: nothing in it was promised", async () => {
    const identity = initDataDirectory({ path, ...expected });
    mkdirSync(join(path, "store"));
    writeFileSync(join(path, "store", "CURRENT"), "rubble");
    writeFileSync(join(path, "anchor"), "rubble");

    const opened = await openNew();
    const founded = await opened.found(foundingOf(identity));

    expect(founded.storage.step).toBe(1);
    await founded.storage.close();
    await (await reopenAt(path)).close();
  });

  test("a roster without this node's own incarnation is a bug", async () => {
    initDataDirectory({ path, ...expected });
    const opened = await openNew();

    const founding = { clusterId, founders: { n1: "9".repeat(32) } };

    await expect(opened.found(founding)).rejects.toThrow("founder");
  });
});

describe("open refuses", () => {
  test("a path where nothing is", async () => {
    await expectRefusal("missing", { exitCode: 73, text: /holdfast init/ });
  });

  test("an empty directory, and does not fill it", async () => {
    mkdirSync(path);

    await expectRefusal("missing", { exitCode: 73, text: /unmounted/ });

    expect(readdirSync(path)).toEqual([]);
  });

  test("a file", async () => {
    writeFileSync(path, "");

    await expectRefusal("unusable", { exitCode: 73 });
  });

  test("the directory of another node", async () => {
    await withHistory();

    await expectRefusal("wrong-node", { exitCode: 78, expect: { ...expected, name: "n2" } });
  });

  test("the directory of another cluster", async () => {
    await withHistory();

    await expectRefusal("wrong-cluster", { exitCode: 78, expect: { ...expected, clusterName: "prod" } });
  });

  test("a directory that this process has open, new or founded", async () => {
    initDataDirectory({ path, ...expected });
    const opened = await openNew();
    await expectRefusal("in-use", { exitCode: 73 });
    const { storage } = await opened.found(foundingOf(opened.identity));

    await expectRefusal("in-use", { exitCode: 73 });

    await mustWrite(storage, { hardState: hardState(1) });
    await storage.close();
    const again = await reopenAt(path);
    expect(again.restored.hardState.currentTerm).toBe(1);
    await again.close();
  });

  test("a directory that another process has open", async () => {
    const { storage } = await foundAt(path);
    const script = `
      import { openDataDirectory } from ${JSON.stringify(join(process.cwd(), "dist/storage/data-directory.js"))};
      const options = ${JSON.stringify({ path, expect: expected })};
      await openDataDirectory(options).catch((error) => console.log(error.code, error.exitCode));`;

    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });

    expect(child.stdout).toBe("in-use 73\n");
    await storage.close();
  });

  test("an identity of a later format", async () => {
    await withHistory();
    const identity = readIdentity(path) as Identity;
    writeFileSync(join(path, "identity.json"), encodeIdentity({ ...identity, format: 2 as 1 }));

    await expectRefusal("newer-format", { exitCode: 78 });
  });

  test("a directory whose identity has gone, or is damaged", async () => {
    await withHistory();
    writeFileSync(join(path, "identity.json"), "{}");
    await expectRefusal("damaged", { exitCode: 70 });

    rmSync(join(path, "identity.json"));

    await expectRefusal("damaged", { exitCode: 70, text: /has gone/ });
  });

  test.each(["anchor", "store"])("a founded directory whose %s has gone", async (part) => {
    await withHistory();
    rmSync(join(path, part), { recursive: true });

    await expectRefusal("lost", { exitCode: 70, text: /Never just delete/ });
  });

  test("a founded directory whose store is empty", async () => {
    await withHistory();
    rmSync(join(path, "store"), { recursive: true });
    mkdirSync(join(path, "store"));

    await expectRefusal("lost", { exitCode: 70 });
  });

  test("an older copy of the store under the newer anchor, now and for ever", async () => {
    await withHistory();
    cpSync(join(path, "store"), join(temporary.path, "old"), { recursive: true });
    const storage = await reopenAt(path);
    await mustWrite(storage, {
      entries: entriesAfter(storage.restored.entries.at(-1), { count: 1, term: 2 }),
    });
    await storage.close();
    rmSync(join(path, "store"), { recursive: true });
    cpSync(join(temporary.path, "old"), join(path, "store"), { recursive: true });

    await expectRefusal("lost", { exitCode: 70, text: /step 3; step 4 was acknowledged/ });
    rmSync(join(path, "anchor"));
    await expectRefusal("lost", { exitCode: 70, text: /refused before/ });

    expect(readFileSync(join(path, refusalFileName), "utf8")).toContain("step 4");
  });

  test("an anchor that knows a newer term or vote than the store", async () => {
    await withHistory();
    const opened = openAnchorFile(join(path, "anchor"));
    opened.close();
    const { state } = opened;
    const newer = [{ term: 3, vote: undefined }, { vote: "n3@c" }];

    for (const change of newer) {
      createAnchorFile(join(path, "anchor"), { ...state, ...change });
      await expectRefusal("lost", { exitCode: 70, text: /with the vote/ });
      rmSync(join(path, refusalFileName));
    }
  });

  test("a store or an anchor of another node put in place", async () => {
    await withHistory();
    const other = join(temporary.path, "other");
    await (await foundAt(other)).storage.close();
    cpSync(path, join(temporary.path, "copy"), { recursive: true });
    rmSync(join(path, "store"), { recursive: true });
    cpSync(join(other, "store"), join(path, "store"), { recursive: true });
    await expectRefusal("damaged", { exitCode: 70, text: /another node/ });

    path = join(temporary.path, "copy");
    cpSync(join(other, "anchor"), join(path, "anchor"));

    await expectRefusal("damaged", { exitCode: 70, text: /the anchor is of/ });
  });
});

describe("open accepts", () => {
  test("a store that is ahead of the anchor: an ordinary crash, and the anchor follows before it opens", async () => {
    await withHistory();
    cpSync(join(path, "anchor"), join(temporary.path, "anchor"));
    const storage = await reopenAt(path);
    const entries = entriesAfter(storage.restored.entries.at(-1), { count: 2, term: 7 });
    await mustWrite(storage, { hardState: hardState(7, "n2@b"), entries });
    await storage.close();
    cpSync(join(temporary.path, "anchor"), join(path, "anchor"));

    const again = await reopenAt(path);

    expect(plain(again.restored.entries.slice(-2))).toEqual(plain(entries));
    expect(again.step).toBe(4);
    const anchor = openAnchorFile(join(path, "anchor"));
    expect(anchor.state).toMatchObject({ term: 7, vote: "n2@b", step: 4 });
    anchor.close();
    await again.close();
  });

  test("nothing new: opening and closing takes no step", async () => {
    await withHistory();
    for (let i = 0; i < 3; i++) {
      const storage = await reopenAt(path);
      expect(storage.step).toBe(3);
      await storage.close();
    }
  });
});
