/**
 * What `acquire` and `run` claim: a lock in one of its modes, or permits of a semaphore, as the flags say.
 */
import type { ClaimTarget } from "./claiming.ts";
import { usageError } from "./exit-codes.ts";

export interface TargetOptions {
  readonly exclusive?: boolean;
  readonly shared?: boolean;
  readonly permits?: number;
  readonly capacity?: number;
}

/** Throws usage errors. */
export function checkTarget({ exclusive, shared, permits, capacity }: TargetOptions): void {
  if (exclusive === true && shared === true) throw usageError("-x and -s exclude each other: leave out one");
  if (permits !== undefined && (exclusive === true || shared === true)) {
    throw usageError("--permits asks for a semaphore, -x and -s for a lock: leave out one");
  }
  if (capacity !== undefined && permits === undefined) {
    throw usageError("--capacity belongs to a semaphore: add --permits 1");
  }
}

export function targetOf(name: string, { shared, permits, capacity }: TargetOptions): ClaimTarget {
  return permits === undefined
    ? { kind: "lock", name, mode: shared === true ? "shared" : "exclusive" }
    : { kind: "semaphore", name, permits, capacity };
}
