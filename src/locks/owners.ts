/**
 * Owners: threads of control inside a session. One that asks again for what it holds would wait for itself, and one
 * that waits cannot ask for something else, so both are refused at once. SEMANTICS §3 (`owner`).
 * An index that follows from the claims; never part of the state hash.
 */
import { assert } from "../base/assert.ts";
import type { AcquireCommand } from "./commands.ts";
import type { Claim, ClaimedLock, Denial, Owner, Session } from "./records.ts";

/** Why this owner may not ask for that now. Permits have no owner to be shared with: each claim is its own. */
export function ownerConflict(session: Session, command: AcquireCommand): Denial | undefined {
  if (command.owner === undefined) return undefined;
  const owner = session.owners.get(command.owner);
  if (owner === undefined) return undefined;
  if (owner.waiting !== undefined) return { kind: "already-waiting", claimId: owner.waiting.id };
  for (const request of command.resources) {
    if (request.kind !== "lock") continue;
    const claim = owner.held.get(request.name);
    if (claim !== undefined && covers(claim, request.name, request.mode))
      return { kind: "already-held", claimId: claim.id };
  }
  return undefined;
}

function covers(claim: Claim, name: string, mode: ClaimedLock["mode"]): boolean {
  return claim.resources.some(
    (held) => held.resource.name === name && (held.mode === "exclusive" || held.mode === mode),
  );
}

/** A claim with an owner begins to wait. */
export function noteOwnerWait(claim: Claim): void {
  if (claim.owner === undefined) return;
  const { owners } = claim.session;
  const owner: Owner = owners.get(claim.owner) ?? { waiting: undefined, held: new Map() };
  assert(owner.waiting === undefined, "an owner waits for one thing at a time", { claim: claim.id });
  owner.waiting = claim;
  owners.set(claim.owner, owner);
}

/** The claim it waited for was granted. */
export function noteOwnerGrant(claim: Claim): void {
  const owner = ownerOf(claim);
  if (owner === undefined) return;
  owner.waiting = undefined;
  for (const { resource, mode } of claim.resources)
    if (mode !== "permits") owner.held.set(resource.name, claim);
  dropIfIdle(claim, owner);
}

/** To be called while the claim is still waiting or held. */
export function noteOwnerEnd(claim: Claim): void {
  const owner = ownerOf(claim);
  if (owner === undefined) return;
  if (owner.waiting === claim) owner.waiting = undefined;
  for (const { resource } of claim.resources) {
    if (owner.held.get(resource.name) === claim) owner.held.delete(resource.name);
  }
  dropIfIdle(claim, owner);
}

function ownerOf({ owner, session }: Claim): Owner | undefined {
  return owner === undefined ? undefined : session.owners.get(owner);
}

function dropIfIdle({ owner, session }: Claim, record: Owner): void {
  if (owner !== undefined && record.waiting === undefined && record.held.size === 0)
    session.owners.delete(owner);
}
