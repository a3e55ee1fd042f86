/**
 * The routes as data, and how a raw URL finds its route. Server, client and documentation read this one table.
 *
 *   POST /v1/locks/user%3A42:acquire?…   split first, at the last literal colon, decode after
 *        └ pattern ┘ └ raw ─┘ └ verb ┘
 *
 * Pure: it decides nothing about what is behind a route.
 */
import { splitVerb } from "./names.ts";
import {
  acquireLockBody,
  acquireSemaphoreBody,
  anyQuery,
  batchBody,
  checkBody,
  claimBody,
  keepAliveBody,
  killSessionBody,
  lockListQuery,
  noBody,
  noQuery,
  openSessionBody,
  pollQuery,
  readQuery,
  type Schema,
  semaphoreListQuery,
  sessionBody,
  sessionClaimsQuery,
  sessionListQuery,
  setSemaphoreBody,
  settingsBody,
  shrinkBody,
  transferLeadershipBody,
} from "./schemas.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/**
 * One endpoint. `path` ends in `{name}` (all that follows, slashes and colons too) or has an `{id}` (neither), which
 * more may follow.
 */
export interface Route {
  readonly method: Method;
  readonly path: string;
  /** Of a POST on a thing. */
  readonly verb?: string;
  readonly query: Schema;
  /** Absent: a body would mean nothing and is not read. */
  readonly body?: Schema;
  readonly summary: string;
}

export type RouteId = keyof typeof routes;

export const routes = {
  "open-session": {
    method: "POST",
    path: "/v1/sessions",
    query: noQuery,
    body: openSessionBody,
    summary: "open a session, or renew it when it is there",
  },
  "list-sessions": {
    method: "GET",
    path: "/v1/sessions",
    query: sessionListQuery,
    summary: "live sessions, by ref",
  },
  "get-session": {
    method: "GET",
    path: "/v1/sessions/{id}",
    query: readQuery,
    summary: "one session, by its id or its ref",
  },
  "keep-alive": {
    method: "POST",
    path: "/v1/sessions/{id}",
    verb: "keepalive",
    query: noQuery,
    body: keepAliveBody,
    summary: "renew a session",
  },
  "close-session": {
    method: "DELETE",
    path: "/v1/sessions/{id}",
    query: noQuery,
    body: sessionBody,
    summary: "end a session cleanly: everything is released without delay",
  },
  "kill-session": {
    method: "POST",
    path: "/v1/sessions/{id}",
    verb: "kill",
    query: noQuery,
    body: killSessionBody,
    summary: "an operator's end of a session, by its ref: unclean, with hand-back",
  },
  "get-session-claims": {
    method: "GET",
    path: "/v1/sessions/{id}/claims",
    query: sessionClaimsQuery,
    summary: "one long-poll for all claims of a session: those that changed since a revision",
  },
  "acquire-lock": {
    method: "POST",
    path: "/v1/locks/{name}",
    verb: "acquire",
    query: noQuery,
    body: acquireLockBody,
    summary: "claim a lock",
  },
  "list-locks": {
    method: "GET",
    path: "/v1/locks",
    query: lockListQuery,
    summary: "locks with state, by name",
  },
  "get-lock": {
    method: "GET",
    path: "/v1/locks/{name}",
    query: readQuery,
    summary: "one lock: state, holders, queue",
  },
  "acquire-semaphore": {
    method: "POST",
    path: "/v1/semaphores/{name}",
    verb: "acquire",
    query: noQuery,
    body: acquireSemaphoreBody,
    summary: "claim permits of a semaphore",
  },
  "list-semaphores": {
    method: "GET",
    path: "/v1/semaphores",
    query: semaphoreListQuery,
    summary: "semaphores, by name",
  },
  "get-semaphore": {
    method: "GET",
    path: "/v1/semaphores/{name}",
    query: readQuery,
    summary: "one semaphore: capacity, what is available, holders, queue",
  },
  "set-semaphore": {
    method: "PUT",
    path: "/v1/semaphores/{name}",
    query: noQuery,
    body: setSemaphoreBody,
    summary: "make a semaphore that stays, or give it another capacity",
  },
  "delete-semaphore": {
    method: "DELETE",
    path: "/v1/semaphores/{name}",
    query: noQuery,
    body: noBody,
    summary: "delete a semaphore that nobody uses",
  },
  claim: {
    method: "POST",
    path: "/v1/claims",
    query: noQuery,
    body: claimBody,
    summary: "claim a lock or permits that the body names",
  },
  "get-claim": {
    method: "GET",
    path: "/v1/claims/{id}",
    query: pollQuery,
    summary: "one claim; held until it no longer waits",
  },
  "release-claim": {
    method: "DELETE",
    path: "/v1/claims/{id}",
    query: noQuery,
    body: sessionBody,
    summary: "release or cancel a claim",
  },
  "shrink-claim": {
    method: "POST",
    path: "/v1/claims/{id}",
    verb: "shrink",
    query: noQuery,
    body: shrinkBody,
    summary: "give back some of a claim's permits",
  },
  "check-sequencers": {
    method: "POST",
    path: "/v1/sequencers",
    verb: "check",
    query: noQuery,
    body: checkBody,
    summary: "whether sequencers are still good; anything but `current` means no",
  },
  batch: {
    method: "POST",
    path: "/v1/batch",
    query: noQuery,
    body: batchBody,
    summary: "independent operations in one request, each with its own status; not atomic",
  },
  "get-cluster": {
    method: "GET",
    path: "/v1/cluster",
    query: noQuery,
    summary: "members, leader, settings, counts, as this node sees them",
  },
  "transfer-leadership": {
    method: "POST",
    path: "/v1/cluster",
    verb: "transfer-leadership",
    query: noQuery,
    body: transferLeadershipBody,
    summary: "let another member lead",
  },
  "get-settings": {
    method: "GET",
    path: "/v1/cluster/settings",
    query: readQuery,
    summary: "every number that the state machine uses",
  },
  "put-settings": {
    method: "PUT",
    path: "/v1/cluster/settings",
    query: noQuery,
    body: settingsBody,
    summary: "change some of them, all or none",
  },
  livez: { method: "GET", path: "/livez", query: anyQuery, summary: "200 while the process runs" },
  readyz: {
    method: "GET",
    path: "/readyz",
    query: anyQuery,
    summary: "200 when this node knows a leader and has caught up",
  },
  "get-openapi": {
    method: "GET",
    path: "/openapi.json",
    query: noQuery,
    summary: "this API as an OpenAPI 3.1 document",
  },
} as const satisfies Readonly<Record<string, Route>>;

export const routeIds = Object.keys(routes) as readonly RouteId[];

export function routeOf(id: RouteId): Route {
  return routes[id];
}

/** What a method and a raw path come to. */
export type RouteMatch =
  /** `param` is the undecoded `{name}` or `{id}`; "" when the path has none. */
  | { readonly kind: "route"; readonly id: RouteId; readonly param: string }
  /** The thing is there, the verb is missing or unknown. */
  | { readonly kind: "unknown-verb"; readonly verbs: readonly string[] }
  | { readonly kind: "wrong-method"; readonly allow: readonly string[] }
  | { readonly kind: "none" };

/** All routes of one path. */
interface Place {
  readonly prefix: string;
  /** What follows an `{id}`. */
  readonly suffix: string;
  readonly param: "name" | "id" | undefined;
  readonly plain: ReadonlyMap<string, RouteId>;
  readonly verbs: ReadonlyMap<string, RouteId>;
  readonly allow: readonly string[];
}

const places: readonly Place[] = buildPlaces();

function buildPlaces(): readonly Place[] {
  const paths = [...new Set(routeIds.map((id) => routes[id].path))];
  return paths.map((path) => {
    const own = routeIds.filter((id) => routes[id].path === path);
    const plain = new Map(
      own.filter((id) => routeOf(id).verb === undefined).map((id) => [routes[id].method, id]),
    );
    const verbs = new Map(own.flatMap((id) => [[routeOf(id).verb, id] as const]).filter(hasVerb));
    const methods = new Set<string>([...plain.keys(), ...(verbs.size > 0 ? ["POST"] : [])]);
    const brace = path.indexOf("{");
    return {
      prefix: brace < 0 ? path : path.slice(0, brace),
      suffix: brace < 0 ? "" : path.slice(path.indexOf("}") + 1),
      param: brace < 0 ? undefined : path.endsWith("{name}") ? "name" : "id",
      plain,
      verbs,
      allow: [...methods].sort(),
    };
  });
}

function hasVerb(pair: readonly [string | undefined, RouteId]): pair is readonly [string, RouteId] {
  return pair[0] !== undefined;
}

/** `rawPath` is the path as it came, without the query. */
export function matchRoute(method: string, rawPath: string): RouteMatch {
  const whole = findPlace(rawPath);
  const plain = whole?.place.plain.get(method);
  if (whole !== undefined && plain !== undefined) return { kind: "route", id: plain, param: whole.param };
  const split = splitVerb(rawPath);
  const thing = split === undefined ? undefined : findPlace(split.path);
  const verb = split === undefined ? undefined : thing?.place.verbs.get(split.verb);
  if (thing !== undefined && verb !== undefined) {
    if (method === "POST") return { kind: "route", id: verb, param: thing.param };
    if (whole === undefined) return { kind: "wrong-method", allow: ["POST"] };
  }
  const verbs = [...((whole ?? thing)?.place.verbs.keys() ?? [])];
  if (method === "POST" && verbs.length > 0) return { kind: "unknown-verb", verbs };
  return whole === undefined ? { kind: "none" } : { kind: "wrong-method", allow: whole.place.allow };
}

function findPlace(rawPath: string): { readonly place: Place; readonly param: string } | undefined {
  for (const place of places) {
    if (place.param === undefined) {
      if (rawPath === place.prefix) return { place, param: "" };
    } else if (rawPath.startsWith(place.prefix) && rawPath.endsWith(place.suffix)) {
      const param = rawPath.slice(place.prefix.length, rawPath.length - place.suffix.length);
      if (place.param === "name" || (param !== "" && !/[/:]/.test(param))) return { place, param };
    }
  }
  return undefined;
}
