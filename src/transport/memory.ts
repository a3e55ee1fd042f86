/**
 * What this node remembers of the members it met since it started: their boot ids and the steps they announced.
 * It finds a directory that lies behind what it had said, and a process that has taken the place of another.
 * Kept in memory only: after a restart of all that saw the higher step, an older copy is not found (docs/FAILURES.md).
 */

export interface MemberMemory {
  /** The highest step that `member` announced under boot ids other than this one; 0 when none. */
  stepFloor(member: string, bootId: string): number;
  /**
   * Notes an accepted HELLO. True when the member was known and never under this boot id: the process known before
   * has ended. Steps of one boot are compared with nothing: its HELLOs may arrive in any order.
   */
  meet(member: string, bootId: string, step: number): boolean;
}

interface Met {
  /** Boot id → highest step, oldest boot first. */
  readonly boots: Map<string, number>;
  /** Highest step of boots that are no longer listed. */
  forgottenStep: number;
}

const membersMax = 256;
const bootsMax = 16;

export function createMemberMemory(): MemberMemory {
  const members = new Map<string, Met>();
  return {
    stepFloor(member, bootId) {
      const met = members.get(member);
      if (met === undefined) return 0;
      let floor = met.forgottenStep;
      for (const [boot, step] of met.boots) if (boot !== bootId) floor = Math.max(floor, step);
      return floor;
    },
    meet(member, bootId, step) {
      let met = members.get(member);
      if (met === undefined) {
        met = { boots: new Map(), forgottenStep: 0 };
        members.set(member, met);
        dropOldest(members, membersMax);
      }
      const isAnother = met.boots.size > 0 && !met.boots.has(bootId);
      met.boots.set(bootId, Math.max(step, met.boots.get(bootId) ?? 0));
      const dropped = dropOldest(met.boots, bootsMax);
      if (dropped !== undefined) met.forgottenStep = Math.max(met.forgottenStep, dropped);
      return isAnother;
    },
  };
}

/** Removes and returns the oldest value when there are more than `max`. */
function dropOldest<T>(map: Map<string, T>, max: number): T | undefined {
  if (map.size <= max) return undefined;
  for (const [key, value] of map) {
    map.delete(key);
    return value;
  }
  return undefined;
}
