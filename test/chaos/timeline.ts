/**
 * What happened in a run, in order: faults, what members said, what the controller found. Text for a person; nothing is
 * judged by it.
 */
export interface Moment {
  /** Of the shared clock. */
  readonly at: number;
  readonly who: string;
  readonly text: string;
}

export class Timeline {
  readonly #now: () => number;
  readonly moments: Moment[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  add(who: string, text: string): void {
    this.moments.push({ at: this.#now(), who, text });
  }

  addLines(who: string, text: string): void {
    for (const line of text.split("\n")) if (line !== "") this.add(who, line);
  }
}
