/**
 * What clients did, what they were told, and what they believed: the one record that all checkers of this folder judge,
 * whoever wrote it (the simulator, real processes). It holds nothing that a client could not know, but for the one clock
 * that all who write here share. Types only.
 *
 * All times are milliseconds of that clock: true time in simulation, the host's monotonic clock for real processes.
 */

export type Mode = "exclusive" | "shared" | "permits";

/** A name, as one side of a claim. Invariant: `permits` is 1 unless the mode is `permits`. */
export interface Asked {
  readonly name: string;
  readonly mode: Mode;
  readonly permits: number;
}

/** What every operation has. All its repetitions with the same ids are one operation. */
interface Called {
  /** Unique in its history, in the order of `sentAt`. */
  readonly id: number;
  readonly client: string;
  /** The first send. */
  readonly sentAt: number;
  /** The receipt of the answer that decided; undefined: nobody was told, it may or may not have happened. */
  readonly answeredAt: number | undefined;
  /**
   * `Holdfast-Revision` of that answer: the log index of which it speaks. What a write decided, it decided at this entry
   * or before; a read shows the state right after it. Undefined without an answer.
   */
  readonly revision: number | undefined;
}

/** The session is no more: how it ended, and at which entry. `unknown`: 404, nobody remembers. */
export interface Gone {
  readonly kind: "gone";
  readonly reason: "expired" | "closed" | "killed" | "unknown";
  readonly endRevision: number | undefined;
}

/** Any refusal that leaves no claim and changes nothing: `code` of the problem. */
export interface Denied {
  readonly kind: "denied";
  readonly code: string;
}

export interface Open extends Called {
  readonly kind: "open";
  readonly sessionId: string;
  /** Asked for; the answer may raise it. */
  readonly ttlMs: number;
  readonly answer:
    | { readonly kind: "live"; readonly sessionRef: string; readonly ttlMs: number; readonly leaseMs: number }
    | Gone
    | Denied
    | undefined;
}

export interface KeepAlive extends Called {
  readonly kind: "keepalive";
  readonly sessionId: string;
  readonly seen: number | undefined;
  readonly answer:
    | {
        readonly kind: "renewed";
        readonly ttlMs: number;
        readonly leaseMs: number;
        /** Complete, except for what `seen` acknowledged. */
        readonly ended: readonly {
          readonly claimId: string;
          readonly reason: string;
          readonly revision: number;
        }[];
      }
    | Gone
    | Denied
    | undefined;
}

/** Clean end, by its own client. */
export interface Close extends Called {
  readonly kind: "close";
  readonly sessionId: string;
  readonly answer: { readonly kind: "closed"; readonly endRevision: number } | Gone | Denied | undefined;
}

/** Somebody ends somebody's session. */
export interface Kill extends Called {
  readonly kind: "kill";
  readonly sessionRef: string;
  readonly answer: { readonly kind: "killed"; readonly endRevision: number } | Gone | Denied | undefined;
}

/** A claim as an answer shows it. */
export type Shown =
  | {
      readonly kind: "held";
      readonly fence: number;
      /** Of the grant, or of the last shrink. */
      readonly claimRevision: number;
      readonly permits: number;
    }
  | { readonly kind: "waiting" }
  /** `fence` when it was held once. */
  | {
      readonly kind: "ended";
      readonly reason: string;
      readonly fence: number | undefined;
      readonly claimRevision: number;
    };

/**
 * A second acquire of the same claim id, sent after the first was answered, is an operation of its own: it must show
 * the same claim.
 */
export interface Acquire extends Called {
  readonly kind: "acquire";
  readonly sessionId: string;
  readonly claimId: string;
  readonly asked: Asked;
  /** Of the semaphore; undefined: not named. */
  readonly capacity: number | undefined;
  readonly waitMs: number;
  readonly maxHoldMs: number | undefined;
  readonly owner: string | undefined;
  /** Receipt of the first answer that said "waiting": its place in the queue was taken by then. */
  readonly queuedAt: number | undefined;
  /**
   * Not before this the client hung up, or let nobody poll: from then on the server may cancel it for that. Undefined:
   * it never did, or asked to be kept.
   */
  readonly leftAt: number | undefined;
  readonly answer:
    | Shown
    /** 423 at once (`locked`) or out of time (`wait-timeout`). `blockedBy`: claim ids in the way. */
    | {
        readonly kind: "refused";
        readonly code: "locked" | "wait-timeout";
        readonly reason: string;
        readonly blockedBy: readonly string[];
      }
    | Gone
    | Denied
    | undefined;
}

export interface Release extends Called {
  readonly kind: "release";
  readonly sessionId: string;
  readonly claimId: string;
  /** `ended` also tells what it had been: `released`, `cancelled`, … ; `lost`: 409 claim-lost. */
  readonly answer:
    | { readonly kind: "ended"; readonly reason: string; readonly claimRevision: number }
    | { readonly kind: "lost"; readonly reason: string; readonly claimRevision: number }
    | Gone
    | Denied
    | undefined;
}

export interface Shrink extends Called {
  readonly kind: "shrink";
  readonly sessionId: string;
  readonly claimId: string;
  /** What it keeps. */
  readonly permits: number;
  readonly answer: Shown | Gone | Denied | undefined;
}

/** GET of a claim. */
export interface LookClaim extends Called {
  readonly kind: "look-claim";
  readonly claimId: string;
  readonly answer: Shown | Denied | undefined;
}

/** GET of a lock or semaphore, confirmed by a majority. `holders` is complete; `queue` the first of those who wait. */
export interface LookName extends Called {
  readonly kind: "look-name";
  readonly name: string;
  readonly answer:
    | {
        readonly kind: "shown";
        readonly state: string;
        readonly holders: readonly {
          readonly claimId: string;
          readonly fence: number;
          readonly permits: number;
        }[];
        readonly queue: readonly string[];
        readonly capacity: number | undefined;
      }
    | Denied
    | undefined;
}

/** A sequencer was checked: of which claim, on which name. */
export interface Check extends Called {
  readonly kind: "check";
  readonly claimId: string;
  readonly name: string;
  readonly fence: number;
  readonly answer: { readonly kind: "checked"; readonly status: string } | Denied | undefined;
}

export type Operation =
  | Open
  | KeepAlive
  | Close
  | Kill
  | Acquire
  | Release
  | Shrink
  | LookClaim
  | LookName
  | Check;

/** While a client acted on a hold: SEMANTICS, "Belief". `to` is exclusive; infinite while the run ended under it. */
export interface Belief {
  readonly client: string;
  readonly sessionId: string;
  readonly claimId: string;
  readonly asked: Asked;
  readonly fence: number;
  readonly from: number;
  readonly to: number;
}

/** What somebody who holds (or believes to hold) did to the resource behind a name. In the order of the resource. */
export interface Use {
  readonly client: string;
  readonly name: string;
  readonly mode: Mode;
  readonly fence: number;
  /** When the resource took or refused it. */
  readonly at: number;
  readonly accepted: boolean;
  /** Exclusive uses only: a read of the counter and the value written from it, so that an interleaving shows. */
  readonly read: number;
  readonly wrote: number;
}

/** Somebody stopped to renew, for ever: crashed, cut off for good, or told to. */
export interface Abandoned {
  readonly sessionId: string;
  /** Nothing that renews it was sent after this. */
  readonly at: number;
}

/** A claim that said "waiting", and of which nothing was ever sent again, although its session lives on. */
export interface Unattended {
  readonly claimId: string;
  readonly at: number;
  /** How long the server may let it wait (`disconnectGraceMs`), at most. */
  readonly graceMs: number;
}

/** While this lasted a majority was up, connected and unpaused, with no fault under way. */
export interface Healthy {
  readonly from: number;
  readonly to: number;
}

export interface History {
  readonly operations: readonly Operation[];
  readonly beliefs: readonly Belief[];
  readonly uses: readonly Use[];
  readonly abandoned: readonly Abandoned[];
  readonly unattended: readonly Unattended[];
  readonly healthy: readonly Healthy[];
  /** Capacity of every semaphore while the history lasts. */
  readonly capacities: ReadonlyMap<string, number>;
  /** Clock rates of clients and servers differ by no more than this share (0.1: ten per cent). */
  readonly drift: number;
  /** Every lock-delay asked for is at least this long. */
  readonly lockDelayMs: number;
  /** Ended claims that are remembered for a session, at least; 1 024 when it is not said. */
  readonly remembered?: number;
}

/** A promise that the history breaks. `rule`: the invariant's name (`I1-exclusion`…), as docs/TESTING.md lists it. */
export interface Finding {
  readonly rule: string;
  /** For a person: claims, names, revisions, times. */
  readonly detail: string;
  /** Ids of the operations that contradict each other. */
  readonly operations: readonly number[];
}

/** Judges a whole history. No findings: the history keeps what this checker is for. Never throws for a bad history. */
export type Checker = (history: History) => readonly Finding[];
