/**
 * /v1/cluster, /livez, /readyz: this node's own view of itself and the cluster, never redirected.
 */
import type { TransferLeadershipBody } from "../api/schemas.ts";
import type { ClusterView, MemberView } from "../api/types.ts";
import { unreachable } from "../base/assert.ts";
import type { HoldfastNode, NodeStatus } from "../node/contract.ts";
import type { HttpServerOptions } from "./contract.ts";
import type { Exchange } from "./exchange.ts";
import { invalid } from "./problems.ts";
import { readConfirmed } from "./reads.ts";

export function getCluster(exchange: Exchange): void {
  exchange.answer(200, clusterView(exchange.context.options, exchange.node));
}

function clusterView(options: HttpServerOptions, node: HoldfastNode): ClusterView {
  const status = node.status();
  const { state, clusterTimeMs, revision } = node.staleView();
  return {
    ...(status.clusterId === undefined ? undefined : { clusterId: status.clusterId }),
    ...(options.clusterName === undefined ? undefined : { name: options.clusterName }),
    node: status.name,
    term: status.term,
    ...(status.leader === undefined ? undefined : { leader: status.leader }),
    members: memberViews(options, status),
    clusterTimeMs,
    revision,
    ...(state.settings === undefined ? undefined : { settings: { ...state.settings } }),
    counts: {
      sessions: state.sessions.size,
      claimsHeld: state.heldCount,
      claimsWaiting: state.waitingCount,
      locks: state.resources.size - state.semaphoreCount,
      semaphores: state.semaphoreCount,
      logBytes: status.logBytes,
    },
  };
}

function memberViews(options: HttpServerOptions, { members, lastIndex }: NodeStatus): readonly MemberView[] {
  return members.map(({ name, role, state, matchIndex, lastContactMs }) => {
    const url = options.members.find(({ id }) => id === name)?.url;
    return {
      id: name,
      ...(url === undefined ? undefined : { http: url }),
      role,
      state,
      ...(matchIndex === undefined
        ? undefined
        : { match: matchIndex, lagEntries: Math.max(0, lastIndex - matchIndex) }),
      ...(lastContactMs === undefined ? undefined : { lastContactMs: Math.round(lastContactMs) }),
    };
  });
}

/**
 * Starts a hand-over and says to whom; when it took place, `GET /v1/cluster` names the new leader. Asked after a
 * confirmed read, so that no deposed leader refuses what another one would do.
 */
export function transferLeadership(exchange: Exchange): void {
  const { to } = exchange.request.body as TransferLeadershipBody;
  const { members } = exchange.context.options;
  if (to !== undefined && !members.some(({ id }) => id === to))
    throw invalid("/to", `must be one of ${members.map(({ id }) => id).join(", ")}`);
  const { node } = exchange;
  readConfirmed(exchange, () => {
    if (to === node.status().name) return exchange.answer(200, { state: "done", target: to });
    const result = node.transferLeadership(to);
    switch (result.kind) {
      case "started":
        return exchange.answer(202, { state: "started", target: result.target });
      case "not-leader":
        return exchange.sendToLeader(result);
      case "refused":
        return exchange.refuse("config-conflict", `No hand-over now: ${result.reason}.`, {
          reason: result.reason,
        });
      default:
        return unreachable(result);
    }
  });
}

/** Why this node should get no requests; empty when it is ready. */
export function unreadyReasons(options: HttpServerOptions, isClosing: boolean): readonly string[] {
  if (isClosing) return ["this node is stopping"];
  const node = options.node();
  if (node === undefined) return [options.starting()];
  const { leader, isFounded, role, isServing, appliedIndex, commitIndex } = node.status();
  const reasons: string[] = [];
  if (leader === undefined) reasons.push("no leader is known");
  if (!isFounded) reasons.push("the cluster's settings have not arrived yet");
  else if (role === "leader" && !isServing) reasons.push("this leader has not committed in its term yet");
  if (appliedIndex < commitIndex)
    reasons.push(`${commitIndex - appliedIndex} committed entries are not applied yet`);
  return reasons;
}
