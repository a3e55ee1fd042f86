/**
 * What the controller and its client processes say to each other. Types only.
 */
import type { Abandoned, Belief, Mode, Operation } from "../check/history.ts";

export interface WorkloadSpec {
  readonly seed: number;
  /** Of the API, one for each member, as clients reach it. */
  readonly urls: readonly string[];
  /** Names of the clients that this process plays; none: it only takes orders. */
  readonly clients: readonly string[];
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly locks: readonly string[];
  /** Semaphores and their capacities; made before the clients begin. */
  readonly semaphores: readonly (readonly [name: string, capacity: number])[];
  /** Mean pause of a client between two pieces of work. */
  readonly thinkMs: number;
}

/** An operation as its client wrote it down; numbered when the history is put together. */
export type Noted = Operation;

export type ToWorkload =
  | { readonly kind: "begin"; readonly spec: WorkloadSpec }
  /** Take the lock, stop this very process between the look at the lease and the write, write when woken. */
  | { readonly kind: "sleep"; readonly name: string; readonly client: string }
  /** Take the lock when it can be had, use it, give it back. */
  | { readonly kind: "rival"; readonly name: string; readonly client: string }
  | { readonly kind: "used"; readonly id: number; readonly accepted: boolean; readonly counter: number }
  /** Finish what is under way, begin nothing. */
  | { readonly kind: "drain" }
  /** Hand over everything that was written down. */
  | { readonly kind: "report" };

export type FromWorkload =
  | { readonly kind: "ready" }
  | {
      readonly kind: "use";
      readonly id: number;
      readonly client: string;
      readonly name: string;
      readonly mode: Mode;
      readonly fence: number;
      /** Undefined: take the resource, that is, read it under this fence. */
      readonly value: { readonly read: number; readonly wrote: number } | undefined;
    }
  /** Twice a second: answered so far, and answered not at all. */
  | { readonly kind: "count"; readonly answered: number; readonly unknown: number }
  /** It holds the lock, believes in it, and stops itself right after this message. */
  | { readonly kind: "asleep"; readonly name: string; readonly fence: number }
  | { readonly kind: "slept"; readonly name: string; readonly outcome: SleepOutcome }
  | { readonly kind: "rivalled"; readonly name: string; readonly fence: number | undefined }
  | { readonly kind: "drained" }
  | { readonly kind: "report"; readonly report: WorkloadReport };

export type SleepOutcome =
  /** Nobody knows a hold: the cluster did not grant it in time. */
  | { readonly kind: "no-hold" }
  | { readonly kind: "wrote"; readonly accepted: boolean; readonly believedAfter: boolean };

export interface WorkloadReport {
  readonly operations: readonly Noted[];
  readonly beliefs: readonly Belief[];
  readonly abandoned: readonly Abandoned[];
  /** What the API never says, and said; what the lease machine never does, and did. */
  readonly complaints: readonly string[];
}
