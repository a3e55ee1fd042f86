/**
 * `holdfast cluster status`, `transfer-leadership`.
 */
import type { ClusterView } from "../../api/types.ts";
import { sleep } from "../../client/abort.ts";
import { apiFailure, mustSucceed } from "../api-failure.ts";
import { connect } from "../connect.ts";
import type { Invocation } from "../declare.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type ApiAnswer, createHttpClient, type HttpClient } from "../http-client.ts";
import type { ConnectionOptions } from "../options.ts";
import { properties, table } from "../output.ts";
import { age } from "../wording.ts";

/** Any node answers; the leader knows more, so it is asked when it can be. 69 when the cluster has none. */
export async function status({ options, output }: Invocation<ConnectionOptions>): Promise<number> {
  const answer = await leadersView(connect(options), options.timeout);
  const cluster = answer.body as unknown as ClusterView;
  const { name, clusterId, leader, term, revision, counts, members } = cluster;
  const rows = members.map(({ id, role, state, http, lagEntries, lastContactMs }) => [
    id,
    role,
    state,
    http ?? "",
    lagEntries === undefined ? "" : String(lagEntries),
    lastContactMs === undefined ? "" : `${age(lastContactMs)} ago`,
  ]);
  const lines = [
    properties([
      ["cluster", name],
      ["id", clusterId],
      ["leader", leader ?? "none"],
      ["term", term],
      ["revision", revision],
      ["sessions", counts.sessions],
      ["claims", `${counts.claimsHeld} held, ${counts.claimsWaiting} waiting`],
      ["log", `${counts.logBytes} bytes`],
    ]),
    "",
    table(["node", "role", "state", "http", "lag", "contact"], rows),
  ];
  output.data(answer, lines.join("\n"));
  if (leader !== undefined) return exitCodes.ok;
  output.note("no-leader", "the cluster has no leader at this moment, as this node sees it");
  return exitCodes.unavailable;
}

async function leadersView(client: HttpClient, timeoutMs: number): Promise<ApiAnswer> {
  const request = { method: "GET", path: "/v1/cluster" } as const;
  const answer = mustSucceed(await client.request(request));
  const { node, leader, members } = answer.body as unknown as ClusterView;
  const url = members.find(({ id }) => id === leader)?.http;
  if (leader === undefined || leader === node || url === undefined) return answer;
  const leaderClient = createHttpClient({ endpoints: [url], timeoutMs: Math.min(timeoutMs, 1000) });
  return leaderClient.request(request).then(mustSucceed, () => answer);
}

export interface TransferOptions extends ConnectionOptions {
  readonly to?: string;
}

/** How long a hand-over may take until it is called off in words; the core gives up much sooner. */
const transferMsMax = 10_000;
const askEveryMs = 100;

export async function transferLeadership({ options, output }: Invocation<TransferOptions>): Promise<number> {
  const client = connect(options);
  const body = options.to === undefined ? {} : { to: options.to };
  const path = "/v1/cluster:transfer-leadership";
  const answer = mustSucceed(await client.request({ method: "POST", path, body }));
  const target = String(answer.body["target"]);
  const leader = await newLeader(client, target);
  output.data(answer, leader === target ? `${target} leads` : "");
  if (leader === target) return exitCodes.ok;
  const detail = `the hand-over to ${target} did not take place: ${leader ?? "nobody"} leads`;
  throw new CliError({ exitCode: exitCodes.failed, code: "not-transferred", detail });
}

/** Who leads, as soon as it is `target`, at the latest when a hand-over cannot be under way any more. */
async function newLeader(client: HttpClient, target: string): Promise<string | undefined> {
  const startedMs = performance.now();
  for (;;) {
    const answer = await client.request({ method: "GET", path: "/v1/cluster" });
    if (answer.status !== 200) throw apiFailure(answer);
    const { leader } = answer.body as unknown as ClusterView;
    if (leader === target || performance.now() - startedMs > transferMsMax) return leader;
    await sleep(askEveryMs);
  }
}
