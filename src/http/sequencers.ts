/**
 * POST /v1/sequencers:check: whether what holders handed out is still good, answered from a read that a majority
 * confirmed. Anything but `current` means no; and belief never rests on it, for it may be over when the answer arrives.
 */
import type { CheckBody } from "../api/schemas.ts";
import { parseSequencer } from "../api/sequencer.ts";
import type { CheckView } from "../api/types.ts";
import { checkGrant } from "../locks/check.ts";
import type { View } from "../node/contract.ts";
import type { Exchange } from "./exchange.ts";
import { read } from "./reads.ts";

export function checkSequencers(exchange: Exchange): void {
  const { sequencers } = exchange.request.body as CheckBody;
  read(
    exchange,
    (view) => {
      const results = sequencers.map((text) => checkView(text, view));
      exchange.answer(200, { results, revision: view.revision });
    },
    () => false,
  );
}

function checkView(text: string, { state }: View): CheckView {
  const sequencer = parseSequencer(text);
  if (sequencer === undefined) return { status: "malformed" };
  const { name, fence } = sequencer;
  const { status, currentFence } = checkGrant(state, sequencer);
  return { status, name, fence, ...(currentFence === undefined ? undefined : { currentFence }) };
}
