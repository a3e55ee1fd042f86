/** Runs a fast-check property with `FC_SEED` and `FC_RUNS` from the environment; a failure prints its seed. */
import fc from "fast-check";

export function check<T>(property: fc.IRawProperty<T>, runs = 100): void {
  const seed = process.env["FC_SEED"];
  fc.assert(property, {
    numRuns: Number(process.env["FC_RUNS"] ?? runs),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  });
}
