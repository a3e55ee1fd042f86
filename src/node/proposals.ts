/**
 * What waits to be put into the log: proposals in their order, and keepalives, many of which make one entry.
 * Knows nothing of logs and leaders; the driver takes batches from it.
 */
import { assert } from "../base/assert.ts";
import type { KeepAliveItem } from "../locks/commands.ts";
import type { KeepAliveOutcome, Outcome } from "../locks/outcomes.ts";
import type { Proposal } from "./contract.ts";
import type { Fate, Waiter } from "./pending.ts";

export interface QueuedProposal {
  readonly proposal: Proposal;
  readonly waiter: Waiter;
}

/** What became of one session's renewal. */
export type RenewalFate =
  | { readonly kind: "applied"; readonly outcome: KeepAliveOutcome; readonly revision: number }
  | Exclude<Fate, { kind: "applied" }>;

interface QueuedKeepAlive {
  readonly item: KeepAliveItem;
  readonly waiter: (fate: RenewalFate) => void;
}

/** Sessions renewed by one entry at most. */
const keepAliveItemsMax = 1_000;

export class ProposalQueue {
  #proposals: QueuedProposal[] = [];
  #keepAlives: QueuedKeepAlive[] = [];
  /** A tick passed since the oldest keepalive came: it waits no longer for company. */
  #isKeepAliveDue = false;

  /** Of proposals. */
  get size(): number {
    return this.#proposals.length;
  }

  add(proposal: Proposal, waiter: Waiter): void {
    this.#proposals.push({ proposal, waiter });
  }

  addFirst(proposal: Proposal, waiter: Waiter): void {
    this.#proposals.unshift({ proposal, waiter });
  }

  /** It waits for the next tick, or for whatever entry goes first (SEMANTICS rule 3). */
  addKeepAlive(item: KeepAliveItem, waiter: (fate: RenewalFate) => void): void {
    if (this.#keepAlives.length === 0) this.#isKeepAliveDue = false;
    this.#keepAlives.push({ item, waiter });
  }

  noteTick(): void {
    this.#isKeepAliveDue = true;
  }

  /** Everything that may go now, renewals in front: time must not pass over one that was there first (rule 5). */
  takeBatch(): readonly QueuedProposal[] {
    const queue = this.#proposals;
    this.#proposals = [];
    if (this.#keepAlives.length === 0 || (queue.length === 0 && !this.#isKeepAliveDue)) return queue;
    const renewals: QueuedProposal[] = [];
    for (let i = 0; i < this.#keepAlives.length; i += keepAliveItemsMax) {
      renewals.push(renewal(this.#keepAlives.slice(i, i + keepAliveItemsMax)));
    }
    this.#keepAlives = [];
    this.#isKeepAliveDue = false;
    return [...renewals, ...queue];
  }

  /** The proposal that founds the cluster, and nothing else: before it no command is accepted. */
  takeFounding(): readonly QueuedProposal[] {
    const founding = this.#proposals.filter(({ proposal }) => proposal.kind === "found");
    this.#proposals = this.#proposals.filter(({ proposal }) => proposal.kind !== "found");
    return founding;
  }

  /** They could not go and keep their place. */
  putBack(batch: readonly QueuedProposal[]): void {
    this.#proposals = [...batch, ...this.#proposals];
  }

  /** Leadership ended: nothing in here was ever appended. */
  dropAll(): void {
    const proposals = this.#proposals;
    const keepAlives = this.#keepAlives;
    this.#proposals = [];
    this.#keepAlives = [];
    for (const { waiter } of keepAlives) waiter({ kind: "never" });
    for (const { waiter } of proposals) waiter({ kind: "never" });
  }
}

/** One entry for many sessions, and the outcome of each to whoever asked for it. */
function renewal(batch: readonly QueuedKeepAlive[]): QueuedProposal {
  return {
    proposal: { kind: "keep-alive", items: batch.map(({ item }) => item) },
    waiter: (fate) => {
      for (const [i, { waiter }] of batch.entries()) {
        waiter(fate.kind === "applied" ? { ...fate, outcome: outcomeAt(fate.outcome, i) } : fate);
      }
    },
  };
}

function outcomeAt(outcome: Outcome, i: number): KeepAliveOutcome {
  assert(outcome.kind === "keep-alive", "a renewal has its own outcome", { kind: outcome.kind });
  const item = outcome.items[i];
  assert(item !== undefined, "every keepalive has an outcome");
  return item;
}
