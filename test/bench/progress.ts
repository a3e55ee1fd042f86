/**
 * What a person sees while the bench runs, on standard error: which step of how many, and about how long it will take.
 * Knows the plan beforehand, so that the time left is more than a guess.
 */

export interface Step {
  readonly title: string;
  /** Expected. */
  readonly seconds: number;
}

export class Progress {
  readonly #write: (line: string) => void;
  #left: Step[];
  readonly #count: number;

  constructor(plan: readonly Step[], write: (line: string) => void) {
    this.#left = [...plan];
    this.#count = plan.length;
    this.#write = write;
  }

  /** The next step of the plan begins. */
  begin(): void {
    const [step, ...rest] = this.#left;
    if (step === undefined) return;
    const seconds = this.#left.reduce((sum, { seconds }) => sum + seconds, 0);
    this.#left = rest;
    const number = this.#count - rest.length;
    this.#write(`bench ${number}/${this.#count} ${step.title} (about ${durationText(seconds)} left)`);
  }

  note(text: string): void {
    this.#write(`      ${text}`);
  }
}

export function durationText(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
