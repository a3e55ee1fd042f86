/**
 * Grants that nobody heard of and that are being given back ("doomed"): until that applied no answer may name them, or
 * somebody would believe in a hold that is about to end. SEMANTICS §3 (connection loss).
 */
export class Dooms {
  readonly #doomed = new Set<string>();
  #answersHeldBack: (() => void)[] = [];
  /** Abandoned while answers waited for earlier dooms: looked at again when those were given. */
  #abandonedLater: string[] = [];

  get isEmpty(): boolean {
    return this.#doomed.size === 0;
  }

  has(claimId: string): boolean {
    return this.#doomed.has(claimId);
  }

  /**
   * False when it must wait: answers already wait for earlier ones, and impatient clients could keep everybody waiting
   * for ever. `isAnswerWaiting` says whether any other than those in here does.
   */
  add(claimId: string, isAnswerWaiting: boolean): boolean {
    if (!this.isEmpty && (isAnswerWaiting || this.#answersHeldBack.length > 0)) {
      this.#abandonedLater.push(claimId);
      return false;
    }
    this.#doomed.add(claimId);
    return true;
  }

  remove(claimId: string): void {
    this.#doomed.delete(claimId);
  }

  holdBack(answer: () => void): void {
    this.#answersHeldBack.push(answer);
  }

  /** What may be answered now. */
  takeAnswers(): readonly (() => void)[] {
    const answers = this.#answersHeldBack;
    this.#answersHeldBack = [];
    return answers;
  }

  takeAbandoned(): readonly string[] {
    const abandoned = this.#abandonedLater;
    this.#abandonedLater = [];
    return abandoned;
  }

  /** Leadership ended. The answers that are held back remain to be taken. */
  clear(): void {
    this.#doomed.clear();
    this.#abandonedLater = [];
  }
}
