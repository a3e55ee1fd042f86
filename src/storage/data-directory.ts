/**
 * The data directory of one node: made by `init`, opened by `server`, bound to a cluster by founding.
 * This is where identity, anchor and store are held against each other, and where anything that does not fit ends the
 * start. It never creates a directory silently, never repairs one, and never opens one that another process holds.
 *
 *   identity.json  who this is (identity.ts)             anchor    how far it has gone (anchor.ts)
 *   store/         entries and hard state, on `level`    REFUSED   why a start found it damaged; refuses every later one
 *   snapshots/     states that stand for entries (snapshot-files.ts); read by whoever builds the state
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { assert } from "../base/assert.ts";
import { type Identity, memberId, type Roster } from "../base/identity.ts";
import { chainStart } from "../raft/chain.ts";
import { anchorFileName, createAnchorFile, nameBytesMax, openAnchorFile } from "./anchor.ts";
import type { AnchorFile } from "./anchor-slots.ts";
import type { RaftStorage } from "./contract.ts";
import { checkWhole, renewAnchor } from "./directory-check.ts";
import {
  asDirectoryError,
  DamageError,
  DataDirectoryError,
  failure,
  isEnvironmentError,
  isLocked,
  LossError,
  textOf,
} from "./failure.ts";
import { replaceFile, syncDirectory } from "./files.ts";
import { identityFileName, readIdentity, writeIdentity } from "./identity.ts";
import { checkLevelLogs, type TornFiles } from "./level-log.ts";
import { createLevelStorage } from "./level-storage.ts";
import { encodeFounding, encodeHead, foundingKey, headKey, type StoreHead } from "./records.ts";
import {
  isOpenElsewhere,
  openDatabase,
  readComplaints,
  readStore,
  type StoreDatabase,
} from "./store-check.ts";

/** A directory that `init` made and that no cluster has claimed yet. It is locked; nothing in it is promised. */
export interface NewDirectory {
  readonly kind: "new";
  readonly path: string;
  readonly identity: Identity;
  /**
   * Binds the directory to a cluster for ever, durably, in this order: store, anchor, identity. A crash in between
   * leaves it `new`. Once only; this object is then used up. Rejects with DataDirectoryError.
   */
  found(founding: Founding): Promise<FoundedDirectory>;
  /** Releases the lock; only when `found` was not called. */
  close(): Promise<void>;
}

/** A directory that belongs to a cluster, verified whole. Closing the storage releases the lock. */
export interface FoundedDirectory {
  readonly kind: "founded";
  readonly path: string;
  readonly identity: Identity;
  readonly storage: RaftStorage;
  /** The folder of snapshots. */
  readonly snapshotsPath: string;
}

export interface Founding {
  readonly clusterId: string;
  /** Contains this node's own name and incarnation. */
  readonly founders: Roster;
}

export const storeDirectoryName = "store";
export const snapshotsDirectoryName = "snapshots";
export const refusalFileName = "REFUSED";

/**
 * Makes the directory (and its parents) with a fresh incarnation in it, durably, and returns the identity.
 * Throws DataDirectoryError: `not-empty`, `unusable`.
 */
export function initDataDirectory(options: {
  readonly path: string;
  readonly clusterName: string;
  readonly name: string;
}): Identity {
  const { clusterName, name } = options;
  assert(Buffer.byteLength(name) <= nameBytesMax, "the configuration bounds names", { name, nameBytesMax });
  const path = resolve(options.path);
  const identity: Identity = {
    format: 1,
    clusterName,
    name,
    incarnation: randomBytes(16).toString("hex"),
    state: "new",
    clusterId: undefined,
    founders: undefined,
  };
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const found = readdirSync(path);
    if (found.length > 0) {
      const what = `${path} is not empty: it holds ${found.slice(0, 3).join(", ")}${found.length > 3 ? ", …" : ""}`;
      throw new DataDirectoryError({ code: "not-empty", path, what });
    }
    writeIdentity(path, identity);
    syncDirectory(dirname(path));
  } catch (error) {
    if (error instanceof DataDirectoryError) throw error;
    const what = `cannot create the data directory ${path}: ${textOf(error)}`;
    throw new DataDirectoryError({ code: "unusable", path, what }, error);
  }
  return identity;
}

/**
 * Opens, locks and verifies the directory of this very node. Reads the whole log into memory.
 * Rejects with DataDirectoryError; `damaged` and `lost` are then remembered in the directory.
 */
export async function openDataDirectory(options: {
  readonly path: string;
  readonly expect: { readonly clusterName: string; readonly name: string };
}): Promise<NewDirectory | FoundedDirectory> {
  const path = resolve(options.path);
  try {
    checkRefusal(path);
    const identity = identify(path, options.expect);
    if (identity.state === "new") return await openNew(path, identity);
    return await openFounded(path, identity);
  } catch (error) {
    throw asDirectoryError(path, error);
  }
}

/** Throws unless the directory holds the identity of the expected node. */
function identify(path: string, expect: { readonly clusterName: string; readonly name: string }): Identity {
  const identity = readIdentity(path);
  if (identity === undefined) {
    const names = readdirSync(path);
    if (names.includes(storeDirectoryName) || names.includes(anchorFileName)) {
      throw new DamageError(`${identityFileName} has gone`);
    }
    throw failure("missing", path, `${path} is not a data directory: it has no ${identityFileName}`);
  }
  if (identity.clusterName !== expect.clusterName) {
    const what = `${path} belongs to the cluster ${identity.clusterName}, not to ${expect.clusterName}`;
    throw failure("wrong-cluster", path, what);
  }
  if (identity.name !== expect.name) {
    throw failure("wrong-node", path, `${path} belongs to the node ${identity.name}, not to ${expect.name}`);
  }
  return identity;
}

/** A database that opens clears its own traces, so a refusal once spoken has to outlive the next start. */
function checkRefusal(path: string): void {
  if (!statSync(path).isDirectory()) throw failure("unusable", path, `${path} is not a directory`);
  let text: string;
  try {
    text = readFileSync(join(path, refusalFileName), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const code = text.startsWith("lost") ? "lost" : "damaged";
  throw failure(code, path, `${path} was refused before (${join(path, refusalFileName)}): ${text.trim()}`);
}

async function openNew(path: string, identity: Identity): Promise<NewDirectory> {
  const db = await openUnpromised(join(path, storeDirectoryName));
  if (readIdentity(path)?.state !== "new") {
    await db.close();
    throw failure("in-use", path, `${path} was founded by another process just now`);
  }
  return {
    kind: "new",
    path,
    identity,
    found: async (founding) => {
      try {
        return await found(path, identity, db, founding);
      } catch (error) {
        await db.close();
        throw asDirectoryError(path, error);
      }
    },
    close: () => db.close(),
  };
}

/** The lock lies in the store, so it is opened early. What a `new` node's store holds was never promised to anybody. */
async function openUnpromised(path: string): Promise<StoreDatabase> {
  try {
    return await openDatabase(path, true);
  } catch (error) {
    if (isLocked(error) || isEnvironmentError(error)) throw error;
    rmSync(path, { recursive: true, force: true });
    return openDatabase(path, true);
  }
}

async function found(
  path: string,
  before: Identity,
  db: StoreDatabase,
  founding: Founding,
): Promise<FoundedDirectory> {
  const { clusterId, founders } = founding;
  assert(founders[before.name] === before.incarnation, "a founder is in its own roster", { founders });
  const member = memberId(before.name, before.incarnation);
  const hardState = { currentTerm: 0, votedFor: undefined };
  const head: StoreHead = { hardState, lastIndex: 0, lastTerm: 0, lastChain: chainStart, step: 1 };
  const batch = db.batch();
  for await (const key of db.keys()) batch.del(key);
  batch.put(foundingKey, encodeFounding({ clusterId, memberId: member, founders }));
  batch.put(headKey, encodeHead(head));
  await batch.write({ sync: true });
  syncDirectory(join(path, storeDirectoryName));

  const anchor = createAnchorFile(join(path, anchorFileName), {
    clusterId,
    memberId: member,
    term: 0,
    vote: undefined,
    step: 1,
  });
  const identity: Identity = { ...before, state: "founded", clusterId, founders };
  writeIdentity(path, identity);
  const storage = createLevelStorage({
    db,
    anchor,
    clusterId,
    memberId: member,
    head,
    start: undefined,
    entries: [],
    stale: [],
  });
  return { kind: "founded", path, identity, storage, snapshotsPath: join(path, snapshotsDirectoryName) };
}

async function openFounded(path: string, identity: Identity): Promise<FoundedDirectory> {
  const storePath = join(path, storeDirectoryName);
  let db: StoreDatabase | undefined;
  let anchor: AnchorFile | undefined;
  try {
    const torn = await checkLogs(storePath);
    db = await openDatabase(storePath, false);
    anchor = openAnchorFile(join(path, anchorFileName));
    const content = await readStore(db);
    const head = checkWhole(identity, anchor, content);
    const complaints = readComplaints(storePath, torn);
    if (complaints.length > 0) throw new DamageError(`LevelDB left something out: ${complaints.join("; ")}`);
    await renewed(anchor, head);
    const { clusterId, memberId: member } = anchor.state;
    const { start, entries, stale } = content;
    const parts = { db, anchor, clusterId, memberId: member };
    const storage = createLevelStorage({ ...parts, head, start, entries, stale });
    return { kind: "founded", path, identity, storage, snapshotsPath: join(path, snapshotsDirectoryName) };
  } catch (error) {
    anchor?.close();
    await db?.close();
    const refusal = asDirectoryError(path, lossWhenMissing(error, db !== undefined));
    if (refusal.code === "damaged" || refusal.code === "lost") rememberRefusal(path, refusal);
    throw refusal;
  }
}

function renewed(anchor: AnchorFile, head: StoreHead): Promise<void> {
  return new Promise((fulfil, reject) => {
    renewAnchor(anchor, head, (error) => {
      if (error === undefined) fulfil();
      else reject(error);
    });
  });
}

/** Looks at the files of a store that is not locked yet: what another process changes meanwhile is no damage. */
async function checkLogs(storePath: string): Promise<TornFiles> {
  try {
    return checkLevelLogs(storePath);
  } catch (error) {
    if (existsSync(storePath) && (await isOpenElsewhere(storePath)))
      throw failure("in-use", storePath, `${storePath} is open in another process`);
    throw error;
  }
}

/** A founded directory without its store or its anchor has lost them; the system's words for it are too meek. */
function lossWhenMissing(error: unknown, hasStore: boolean): unknown {
  const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
  if (absent && hasStore) return new LossError("the anchor has gone");
  const { cause } = error as Error;
  if (absent || /does not exist/.test(String(cause))) return new LossError("the store has gone");
  return error;
}

/** Best effort: the refusal stands with or without the file. */
function rememberRefusal(path: string, refusal: DataDirectoryError): void {
  try {
    const what = refusal.message.split("\n")[0];
    replaceFile(join(path, refusalFileName), Buffer.from(`${refusal.code}: ${what}\n`));
  } catch {
    // The disk that cannot take this file is the trouble that the refusal already names.
  }
}
