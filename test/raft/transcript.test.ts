/**
 * Transcripts: scenarios as commands with their recorded output, to be read as a story and reviewed as a diff.
 * `UPDATE=1 npx vitest run test/raft/transcript.test.ts` records them anew.
 *
 *   group 3 [n1=1,1,2@4 …] [inflight=1]   members, logs as terms, current term      slow n1 / fast n1   its disk
 *   campaign n1      its timer runs out   tick n1 3     three ticks of one member   run 5               of all
 *   propose n1 a     read n1 1            transfer n1 n2                            lost n2 n1          evidence
 *   output n1        take its output      write n1      its disk finishes           settle              all of it
 *   deliver n1>n2    drop n1>n2           cut n1>n2     heal                        restart n1          crash, start
 *   snapshot n1 4    its state after entry 4 is durable    fetched n1      what it was offered is durable
 *   state            one line a member
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { Message, TraceEvent } from "../../src/raft/types.ts";
import { Group } from "./group.ts";

const folder = new URL("testdata/", import.meta.url);

function describeMessage(message: Message): string {
  switch (message.kind) {
    case "pre-vote":
      return `pre-vote next=${message.nextTerm} last=${message.lastLogTerm}/${message.lastLogIndex}`;
    case "pre-vote-response":
      return `pre-vote-response term=${message.term} next=${message.nextTerm} granted=${message.granted}`;
    case "vote":
      return `vote term=${message.term} last=${message.lastLogTerm}/${message.lastLogIndex}${message.transfer ? " transfer" : ""}`;
    case "vote-response":
      return `vote-response term=${message.term} granted=${message.granted}`;
    case "append": {
      const entries = message.entries.map((entry) => `${entry.term}/${entry.index}`).join(" ");
      return `append term=${message.term} prev=${message.prevLogTerm}/${message.prevLogIndex} commit=${message.leaderCommit} [${entries}]`;
    }
    case "append-response":
      return message.result.kind === "matched"
        ? `append-response term=${message.term} matched=${message.result.matchIndex}`
        : `append-response term=${message.term} mismatch=${message.result.prevLogIndex} hint=${message.result.hintTerm}/${message.result.hintIndex}`;
    case "snapshot-offer":
      return `snapshot-offer term=${message.term} last=${message.last.term}/${message.last.index}`;
    case "heartbeat":
      return `heartbeat term=${message.term} commit=${message.leaderCommit} round=${message.echo.round}`;
    case "heartbeat-response":
      return `heartbeat-response term=${message.term} round=${message.echo.round}`;
    case "term-over":
      return `term-over term=${message.term}`;
    case "timeout-now":
      return `timeout-now term=${message.term}`;
  }
}

function describeEvent(event: TraceEvent): string {
  const { kind, ...facts } = event;
  return `${kind} ${Object.entries(facts)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(" ")}`;
}

class Player {
  #group = new Group({ size: 1 });
  readonly #shown = new Map<string, number>();

  play(line: string): string {
    const [verb, ...words] = line.split(" ") as [string, ...string[]];
    const out: string[] = [];
    this.#perform(verb, words, out);
    this.#showTraces(out);
    return out.join("\n");
  }

  #perform(verb: string, words: readonly string[], out: string[]): void {
    const [first = "", second = ""] = words;
    const group = this.#group;
    switch (verb) {
      case "group":
        this.#group = createGroup(words);
        this.#shown.clear();
        return;
      case "campaign":
        return group.campaign(first);
      case "tick":
        return group.tick(first, Number(second || 1));
      case "run":
        return group.run(Number(first));
      case "propose":
        out.push(JSON.stringify(group.propose(first, second)));
        return;
      case "read":
        out.push(`registered ${group.raft(first).readIndex(Number(second))}`);
        return;
      case "transfer":
        out.push(JSON.stringify(group.raft(first).transferLeadership(second)));
        return;
      case "lost":
        return group.raft(first).leaderLost(second);
      case "output":
        return this.#output(first, out);
      case "write": {
        const before = group.wire.length;
        group.finishWrite(first);
        for (const { from, to, message } of group.wire.slice(before))
          out.push(`${from}>${to} ${describeMessage(message)}`);
        return;
      }
      case "settle":
        return group.settle();
      case "deliver":
      case "drop": {
        const taken = group.take(({ from, to }) => `${from}>${to}` === first);
        out.push(`${taken.length} ${verb === "drop" ? "dropped" : "delivered"}`);
        if (verb === "deliver") for (const packet of taken) group.deliver(packet);
        return;
      }
      case "cut":
        for (const link of words) group.cuts.add(link);
        return;
      case "heal":
        return group.heal();
      case "slow":
        group.slowDisks.add(first);
        return;
      case "fast":
        group.slowDisks.delete(first);
        return;
      case "snapshot":
        return group.takeSnapshot(first, Number(second));
      case "fetched":
        return group.finishFetch(first);
      case "restart":
        this.#shown.set(first, 0);
        group.at(first).trace = [];
        return group.at(first).restart();
      case "state":
        for (const [id, member] of group.members) out.push(this.#state(id, member.reads.length));
        return;
      default:
        throw new Error(`unknown command ${verb}`);
    }
  }

  #output(id: string, out: string[]): void {
    const output = this.#group.drain(id);
    for (const { to, message } of output.send) out.push(`${id}>${to} ${describeMessage(message)}`);
    if (output.write !== undefined) {
      const { hardState, truncateFrom, entries, snapshot, thenSend } = output.write;
      const parts = [
        hardState === undefined ? "" : ` term=${hardState.currentTerm} vote=${hardState.votedFor ?? "-"}`,
        truncateFrom === undefined ? "" : ` truncate=${truncateFrom}`,
        entries.length === 0 ? "" : ` [${entries.map((entry) => `${entry.term}/${entry.index}`).join(" ")}]`,
        snapshot === undefined
          ? ""
          : ` ${snapshot.isInstalled ? "in place of all: " : ""}log from ${snapshot.boundary.index + 1}, snapshot ${snapshot.last.index}`,
      ];
      out.push(`${id} writes${parts.join("")}`);
      for (const { to, message } of thenSend) out.push(`  then ${id}>${to} ${describeMessage(message)}`);
    }
    if (output.committed.length > 0)
      out.push(`${id} commits ${output.committed.map((entry) => entry.index).join(" ")}`);
    for (const { readId, index } of output.reads) out.push(`${id} confirms read ${readId} at ${index}`);
    for (const readId of output.readsDropped) out.push(`${id} drops read ${readId}`);
    if (output.fetch !== undefined)
      out.push(`${id} fetches ${output.fetch.last.index} of ${output.fetch.from}`);
    if (output.install !== undefined) out.push(`${id} installs ${output.install.index}`);
    if (output.probe !== undefined) out.push(`${id} probes ${output.probe}`);
  }

  #state(id: string, reads: number): string {
    const { role, currentTerm, leader, commitIndex, durableIndex } = this.#group.raft(id).status();
    const { boundary } = this.#group.at(id);
    const log = `${boundary.index > 0 ? `(${boundary.term}/${boundary.index})` : ""}${this.#group.terms(id).join(",")}`;
    return `${id} ${role} term=${currentTerm} leader=${leader ?? "-"} commit=${commitIndex} durable=${durableIndex} reads=${reads} log=${log}`;
  }

  #showTraces(out: string[]): void {
    for (const [id, member] of this.#group.members) {
      const shown = this.#shown.get(id) ?? 0;
      for (const event of member.trace.slice(shown)) out.push(`${id} ${describeEvent(event)}`);
      this.#shown.set(id, member.trace.length);
    }
  }
}

function createGroup(words: readonly string[]): Group {
  const start: Record<string, { log: readonly number[]; term: number }> = {};
  let inflightMessagesMax = 64;
  for (const word of words.slice(1)) {
    const [name = "", value = ""] = word.split("=");
    if (name === "inflight") {
      inflightMessagesMax = Number(value);
      continue;
    }
    const [terms = "", term = "0"] = value.split("@");
    start[name] = { log: terms === "" ? [] : terms.split(",").map(Number), term: Number(term) };
  }
  return new Group({ size: Number(words[0]), start, config: { inflightMessagesMax } });
}

/** Commands are lines that are neither blank, comments, nor output (indented). */
function replay(text: string): string {
  const player = new Player();
  const lines: string[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("  ")) continue;
    lines.push(line);
    if (line === "" || line.startsWith("#")) continue;
    const output = player.play(line);
    if (output !== "") lines.push(...output.split("\n").map((shown) => `  ${shown}`));
  }
  return lines.join("\n");
}

const names = readdirSync(folder).filter((name) => name.endsWith(".txt"));

it("there are scenarios", () => {
  expect(names.length).toBeGreaterThanOrEqual(9);
});

for (const name of names) {
  it(`replays ${name}`, () => {
    const file = new URL(name, folder);
    const recorded = readFileSync(file, "utf8");
    const played = replay(recorded);

    if (process.env["UPDATE"] === "1") writeFileSync(file, played);
    else expect(played).toBe(recorded);
  });
}
