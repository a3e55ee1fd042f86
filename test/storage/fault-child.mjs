/**
 * A process that writes durable steps until something ends it, and says on stdout what was reported to it.
 * Usage: fault-child.mjs DIRECTORY. Lines: "opened STEP", "ack STEP LASTINDEX TERM", "error MESSAGE", "again MESSAGE".
 */
import { writeSync } from "node:fs";
import { chainOf, chainStart } from "../../dist/raft/chain.js";
import { openDataDirectory } from "../../dist/storage/data-directory.js";

const [, , path] = process.argv;
const opened = await openDataDirectory({ path, expect: { clusterName: "test", name: "n1" } });
const { storage } = opened;
let log = [...storage.restored.entries];
let hardState = storage.restored.hardState;
writeSync(1, `opened ${storage.step}\n`);
next();

/** Mostly appends; every seventh step is a new term with a vote and a truncation of the last entry. */
function next() {
  const newTerm = storage.step % 7 === 0 || hardState.currentTerm === 0;
  if (newTerm) hardState = { currentTerm: hardState.currentTerm + 1, votedFor: `n${storage.step % 3}@x` };
  const truncateFrom = newTerm && log.length > 1 ? log.length : undefined;
  if (truncateFrom !== undefined) log = log.slice(0, -1);
  const entries = [0, 1].map(() => append());
  storage.write({ hardState: newTerm ? hardState : undefined, truncateFrom, entries }, report);
}

function report(error) {
  if (error === undefined) {
    writeSync(1, `ack ${storage.step} ${log.length} ${hardState.currentTerm}\n`);
    return next();
  }
  writeSync(1, `error ${error.message}\n`);
  storage.write({ hardState: undefined, truncateFrom: undefined, entries: [append()] }, (again) => {
    writeSync(1, `again ${again?.message}\n`);
    process.exit(70);
  });
}

function append() {
  const last = log.at(-1);
  const body = {
    index: (last?.index ?? 0) + 1,
    term: hardState.currentTerm,
    time: log.length,
    kind: "command",
    data: new Uint8Array(100).fill(log.length),
  };
  const entry = { ...body, chain: chainOf(last?.chain ?? chainStart, body) };
  log.push(entry);
  return entry;
}
