/**
 * Whether a refusal ends this node. A stranger on one member's address must not stop a member of a standing cluster,
 * so what may be the other side's mistake counts only when this node knows no leader and a majority of the other
 * members says the same. A node that has founded nothing yet loses nothing by stopping.
 */
import type { RefusalCode } from "./contract.ts";

export interface RefusalWeight {
  /** `final`: stop with the refusal's exit code. `warn`: say so and go on dialling. */
  weigh(input: {
    readonly from: string;
    readonly code: RefusalCode;
    readonly state: "new" | "founded";
    readonly knowsLeader: boolean;
  }): "final" | "warn";
  /** `from` accepted this node: what it said before no longer holds. */
  clear(from: string): void;
}

const mayBeTheirMistake: ReadonlySet<RefusalCode> = new Set<RefusalCode>([
  "protocol",
  "wrong-name",
  "wrong-target",
  "wrong-cluster",
]);

/** `others`: the names of the other members; a refusal from anyone else never counts towards the majority. */
export function createRefusalWeight(others: readonly string[]): RefusalWeight {
  const said = new Map<string, RefusalCode>();
  return {
    weigh({ from, code, state, knowsLeader }) {
      if (state === "new" || !mayBeTheirMistake.has(code)) return "final";
      if (others.includes(from)) said.set(from, code);
      const same = [...said.values()].filter((other) => other === code).length;
      return !knowsLeader && same * 2 > others.length ? "final" : "warn";
    },
    clear: (from) => void said.delete(from),
  };
}
