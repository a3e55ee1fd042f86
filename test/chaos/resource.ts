/**
 * The resource that locks protect: a counter for each name, guarded by the rule of two marks (SEMANTICS §6), or not
 * guarded at all for the positive control. It knows nothing of sessions and leases: the fence is all that it has.
 */
import type { Mode, Use } from "../check/history.ts";

export interface UseRequest {
  readonly client: string;
  readonly name: string;
  readonly mode: Mode;
  readonly fence: number;
  /** Undefined: read it. That is a use too, and writes what is there: from then on no older fence may write. */
  readonly value: { readonly read: number; readonly wrote: number } | undefined;
}

interface State {
  exclusiveMark: number;
  sharedMark: number;
  counter: number;
}

export class Resource {
  readonly #states = new Map<string, State>();
  readonly #unfenced: ReadonlySet<string>;
  readonly #now: () => number;
  readonly uses: Use[] = [];

  constructor(unfenced: readonly string[], now: () => number) {
    this.#unfenced = new Set(unfenced);
    this.#now = now;
  }

  /** Check and use are one step. */
  use({ client, name, mode, fence, value }: UseRequest): {
    readonly accepted: boolean;
    readonly counter: number;
  } {
    const state = this.#states.get(name) ?? { exclusiveMark: 0, sharedMark: 0, counter: 0 };
    this.#states.set(name, state);
    const { counter } = state;
    const { read, wrote } = value ?? { read: counter, wrote: counter };
    const accepted = this.#unfenced.has(name) || passes(state, mode, fence);
    if (accepted && mode !== "shared") state.counter = wrote;
    this.uses.push({ client, name, mode, fence, at: this.#now(), accepted, read, wrote });
    return { accepted, counter };
  }
}

function passes(state: State, mode: Mode, fence: number): boolean {
  if (mode === "shared") {
    if (fence < state.exclusiveMark) return false;
    state.sharedMark = Math.max(state.sharedMark, fence);
    return true;
  }
  if (fence < Math.max(state.exclusiveMark, state.sharedMark)) return false;
  state.exclusiveMark = fence;
  return true;
}
