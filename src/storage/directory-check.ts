/**
 * Whether the three parts of a founded directory (identity, anchor, store) tell one story.
 * The anchor may lag behind the store, by the steps of the last moments before a crash; never the other way round.
 */
import { assert } from "../base/assert.ts";
import { type Identity, memberId } from "../base/identity.ts";
import type { AnchorFile } from "./anchor-slots.ts";
import { DamageError, LossError } from "./failure.ts";
import { isFounding, type StoreHead } from "./records.ts";
import type { StoreContent } from "./store-reader.ts";

/** Returns the head that the node goes on from. Throws DamageError, LossError, DecodeError or NewerFormatError. */
export function checkWhole(identity: Identity, anchor: AnchorFile, content: StoreContent): StoreHead {
  const { clusterId, founders } = identity;
  assert(clusterId !== undefined && founders !== undefined, "a founded identity names its cluster");
  const self = memberId(identity.name, identity.incarnation);
  const { state } = anchor;
  if (state.clusterId !== clusterId || state.memberId !== self) {
    throw new DamageError(`the anchor is of ${state.memberId} in cluster ${state.clusterId}`);
  }
  const { head, founding } = content;
  if (head === undefined || founding === undefined) throw new LossError("the store is empty");
  if (!isFounding(founding, { clusterId, memberId: self, founders })) {
    throw new DamageError("the store belongs to another node");
  }
  const { currentTerm, votedFor } = head.hardState;
  if (head.step < state.step) {
    throw new LossError(`the store stands at step ${head.step}; step ${state.step} was acknowledged`);
  }
  const forgotVote = state.term === currentTerm && state.vote !== undefined && state.vote !== votedFor;
  if (state.term > currentTerm || forgotVote) {
    throw new LossError(
      `the store stands in term ${currentTerm} with the vote ${String(votedFor)}; ` +
        `term ${state.term} with the vote ${String(state.vote)} was acknowledged`,
    );
  }
  if (head.step === state.step && (currentTerm !== state.term || votedFor !== state.vote)) {
    throw new DamageError(`store and anchor disagree about term and vote in step ${head.step}`);
  }
  return head;
}

/** Also when it is equal: it mends a torn slot, and it shows that the file can be written before anyone relies on it. */
export function renewAnchor(
  anchor: AnchorFile,
  head: StoreHead,
  done: (error: Error | undefined) => void,
): void {
  const { currentTerm: term, votedFor: vote } = head.hardState;
  anchor.write({ ...anchor.state, term, vote, step: head.step }, done);
}
