/**
 * Assertions: the one way the code says "this cannot happen".
 * They stay on in production. A failed one is a bug, never an expected outcome: it ends the process, and
 * nothing between here and the composition root may catch it.
 */

/** Thrown when an invariant is broken. The process must stop: its state can no longer be trusted. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws an InvariantError with `message` and, as JSON, the `facts` that show what was wrong. */
export function assert(
  condition: boolean,
  message: string,
  facts?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (condition) return;
  throw new InvariantError(facts === undefined ? message : `${message} ${JSON.stringify(facts)}`);
}

/** Closes a `switch` over a union: the compiler proves that no kind is missing, the run time that none came in. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable kind ${JSON.stringify(value)}`);
}

/** The value, when it must be there. `what` names it in the error. */
export function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new InvariantError(`missing ${what}`);
  return value;
}

/** Asserts that `value` is an integer that a double holds exactly, and at least `minimum`. */
export function assertInteger(value: number, what: string, minimum = 0): void {
  if (!Number.isSafeInteger(value) || value < minimum) {
    throw new InvariantError(`${what} must be a safe integer >= ${minimum}, is ${value}`);
  }
}
