/**
 * Who a node is: its identity record, its member id, the roster of a cluster. Types and arithmetic on names only;
 * `storage/` keeps the record on disk, `transport/` shows it to the others.
 */

/** Names to incarnations of the founding members; an incarnation is 32 hex digits (128 random bits made by `init`). */
export type Roster = Readonly<Record<string, string>>;

/**
 * The identity of one data directory. `new`: made by `init`, never voted. `founded`: bound to one cluster for ever.
 * Invariant: `clusterId` and `founders` are present exactly when the state is not `new`.
 */
export interface Identity {
  readonly format: 1;
  readonly clusterName: string;
  readonly name: string;
  readonly incarnation: string;
  readonly state: "new" | "founded";
  readonly clusterId: string | undefined;
  readonly founders: Roster | undefined;
}

/** `name@incarnation`, the only form in which votes and acknowledgements name a node. */
export function memberId(name: string, incarnation: string): string {
  return `${name}@${incarnation}`;
}

/** The name part of a member id. */
export function memberName(id: string): string {
  const at = id.indexOf("@");
  return at < 0 ? id : id.slice(0, at);
}

/** All member ids of a roster, by name. */
export function rosterMembers(roster: Roster): readonly string[] {
  return Object.keys(roster)
    .sort()
    .map((name) => memberId(name, roster[name] as string));
}
