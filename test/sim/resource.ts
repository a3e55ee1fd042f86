/**
 * What the locks protect: a counter behind each name that is read and then written. With fencing it keeps the two marks of
 * SEMANTICS §6 and refuses what is older; without, it takes everything, as most resources in the world do.
 */
import type { Mode, Use } from "../check/history.ts";

interface Counter {
  value: number;
  exclusiveMark: number;
  sharedMark: number;
}

export interface Grip {
  readonly client: string;
  readonly name: string;
  readonly mode: Exclude<Mode, "permits">;
  readonly fence: number;
}

export class Resource {
  readonly #isFenced: boolean;
  readonly #now: () => number;
  readonly #used: (use: Use) => void;
  readonly #counters = new Map<string, Counter>();

  constructor(options: {
    readonly isFenced: boolean;
    readonly now: () => number;
    readonly used: (use: Use) => void;
  }) {
    this.#isFenced = options.isFenced;
    this.#now = options.now;
    this.#used = options.used;
  }

  #counter(name: string): Counter {
    const known = this.#counters.get(name) ?? { value: 0, exclusiveMark: 0, sharedMark: 0 };
    this.#counters.set(name, known);
    return known;
  }

  /** Check and use are one step. False when the fence is too old. */
  #admit({ mode, fence, name }: Grip): boolean {
    if (!this.#isFenced) return true;
    const counter = this.#counter(name);
    const mark =
      mode === "exclusive" ? Math.max(counter.exclusiveMark, counter.sharedMark) : counter.exclusiveMark;
    if (fence < mark) return false;
    if (mode === "exclusive") counter.exclusiveMark = fence;
    else counter.sharedMark = Math.max(counter.sharedMark, fence);
    return true;
  }

  /** The value, or undefined when the fence is too old. */
  read(grip: Grip): number | undefined {
    return this.#admit(grip) ? this.#counter(grip.name).value : undefined;
  }

  /** Writes what follows from the value that was read. False when it was refused. */
  write(grip: Grip, read: number): boolean {
    const { client, name, mode, fence } = grip;
    const accepted = this.#admit(grip);
    const isWrite = mode === "exclusive";
    const wrote = isWrite ? read + 1 : read;
    if (accepted && isWrite) this.#counter(name).value = wrote;
    this.#used({ client, name, mode, fence, at: this.#now(), accepted, read, wrote });
    return accepted;
  }
}
