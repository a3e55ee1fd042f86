/**
 * Whether a grant is still good: what a resource asks before it lets the holder of a sequencer in. Reads only, changes
 * nothing; what it says is true at the revision of the state that it was asked of. SEMANTICS §6.
 */
import type { ResourceRequest } from "./commands.ts";
import { isLost } from "./endings.ts";
import type { Claim, ClaimedResource, LockState, Resource } from "./records.ts";

/** A grant as somebody remembers it. */
export interface GrantAsked {
  readonly clusterId: string;
  readonly name: string;
  readonly mode: ClaimedResource["mode"];
  readonly fence: number;
  readonly claimId: string;
}

export type GrantStatus = "current" | "superseded" | "released" | "expired" | "unknown";

/** Anything but `current` means no. `currentFence`: the newest grant of that name that is held now. */
export function checkGrant(
  state: Readonly<LockState>,
  asked: GrantAsked,
): { readonly status: GrantStatus; readonly currentFence: number | undefined } {
  if (asked.clusterId !== state.clusterId) return { status: "unknown", currentFence: undefined };
  const resource = state.resources.get(asked.name);
  const currentFence = resource === undefined ? undefined : newestFence(resource);
  const claim = state.claims.get(asked.claimId);
  const isKnown = claim !== undefined && isThatGrant(claim, asked);
  if (isKnown && claim.state === "held") return { status: "current", currentFence };
  if (resource !== undefined && isSuperseded(resource, asked)) return { status: "superseded", currentFence };
  if (!isKnown) return { status: "unknown", currentFence };
  return { status: isLost(claim) ? "expired" : "released", currentFence };
}

function isThatGrant(claim: Claim, { fence, name, mode }: GrantAsked): boolean {
  const isAsked = (asked: ResourceRequest): boolean =>
    asked.name === name && mode === (asked.kind === "lock" ? asked.mode : "permits");
  return claim.grant?.fence === fence && claim.asked.some(isAsked);
}

/** A later grant that excludes this one is known. Permits exclude nobody. */
function isSuperseded(resource: Resource, { mode, fence }: GrantAsked): boolean {
  if (resource.kind !== "lock" || mode === "permits") return false;
  return resource.exclusiveMark > fence || (mode === "exclusive" && resource.sharedMark > fence);
}

function newestFence({ holders }: Resource): number | undefined {
  let newest: number | undefined;
  for (const { grant } of holders) {
    if (grant !== undefined && grant.fence > (newest ?? 0)) newest = grant.fence;
  }
  return newest;
}
