/**
 * Which function answers which route. Nothing of fastify is in here or below: the simulator calls these very handlers.
 */
import type { RouteId } from "../api/routes.ts";
import { batch } from "./batch.ts";
import { acquireLock, acquireSemaphore, claim, getClaim, releaseClaim, shrinkClaim } from "./claims.ts";
import { getCluster, transferLeadership } from "./cluster.ts";
import type { Exchange } from "./exchange.ts";
import {
  deleteSemaphore,
  getLock,
  getSemaphore,
  listLocks,
  listSemaphores,
  setSemaphore,
} from "./resources.ts";
import { checkSequencers } from "./sequencers.ts";
import { getSessionClaims } from "./session-claims.ts";
import { closeSession, getSession, keepAlive, killSession, listSessions, openSession } from "./sessions.ts";
import { getSettings, putSettings } from "./settings.ts";

/** All but those that the process answers itself, whether it has a node or not. */
export type NodeRoute = Exclude<RouteId, "livez" | "readyz" | "get-openapi">;

export const handlers: Readonly<Record<NodeRoute, (exchange: Exchange) => void>> = {
  "open-session": openSession,
  "list-sessions": listSessions,
  "get-session": getSession,
  "keep-alive": keepAlive,
  "close-session": closeSession,
  "kill-session": killSession,
  "get-session-claims": getSessionClaims,
  "acquire-lock": acquireLock,
  "list-locks": listLocks,
  "get-lock": getLock,
  "acquire-semaphore": acquireSemaphore,
  "list-semaphores": listSemaphores,
  "get-semaphore": getSemaphore,
  "set-semaphore": setSemaphore,
  "delete-semaphore": deleteSemaphore,
  claim,
  "get-claim": getClaim,
  "release-claim": releaseClaim,
  "shrink-claim": shrinkClaim,
  "check-sequencers": checkSequencers,
  batch,
  "get-cluster": getCluster,
  "get-settings": getSettings,
  "put-settings": putSettings,
  "transfer-leadership": transferLeadership,
};
