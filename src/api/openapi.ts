/**
 * The OpenAPI 3.1 document, made of the route table, the schemas that validate, the catalogue of errors and the shapes
 * of answers; nothing is said here that one of those does not say. Verbs are paths of their own: `/v1/locks/{name}:acquire`.
 * Pure.
 */
import { answerSchemas } from "./answers.ts";
import { type ErrorCode, errorCatalogue, errorEntry } from "./errors.ts";
import { claimIdPattern, lockNameBytesMax, sessionIdPattern } from "./names.ts";
import { codesOf, routeAnswers } from "./route-answers.ts";
import { type Route, type RouteId, routeIds, routeOf } from "./routes.ts";
import { batchMax, batchOperations, type Schema } from "./schemas.ts";

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly headers: Readonly<Record<string, Header>>;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, Response>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>;

export interface Response {
  readonly description: string;
  readonly headers: Readonly<Record<string, { readonly $ref: string }>>;
  readonly content: Content;
}

interface Header {
  readonly description: string;
  readonly schema: Schema;
}

const json = "application/json";
const problemJson = "application/problem+json";

export function openApiDocument(): OpenApiDocument {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const id of routeIds) {
    const route = routeOf(id);
    const path = paths[templateOf(route)] ?? {};
    path[route.method.toLowerCase()] = operationOf(id, route);
    paths[templateOf(route)] = path;
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Holdfast",
      version: "1",
      description:
        "Locks and semaphores that a cluster agrees on. Durations are milliseconds of cluster time.",
    },
    servers: [{ url: "/" }],
    paths,
    components: { schemas: answerSchemas, headers },
  };
}

/** The path as a client writes it, with the verb. */
export function templateOf({ path, verb }: Route): string {
  return verb === undefined ? path : `${path}:${verb}`;
}

/** `get-lock` is `getLock`. */
export function operationIdOf(id: RouteId): string {
  return id.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

function operationOf(id: RouteId, route: Route): Operation {
  const body = requestBodyOf(id, route);
  return {
    operationId: operationIdOf(id),
    summary: route.summary,
    parameters: [...pathParameters(id, route), ...queryParameters(route), ...sessionParameters(id, route)],
    ...(body === undefined ? undefined : { requestBody: body }),
    responses: responsesOf(id),
  };
}

// ---- what is sent --------------------------------------------------------------------------------------------------

function pathParameters(id: RouteId, { path }: Route): readonly Parameter[] {
  const name = /\{([a-z]+)\}/.exec(path)?.[1];
  if (name === undefined) return [];
  const common = { name, in: "path", required: true } as const;
  if (name === "name") {
    const description = `percent-encoded UTF-8, at most ${lockNameBytesMax} bytes; "/" and ":" may stand raw`;
    return [{ ...common, description, schema: { type: "string", minLength: 1 } }];
  }
  const pattern = path.startsWith("/v1/claims/") ? claimIdPattern : sessionIdPattern;
  const isRef =
    id === "kill-session" ? "a session's ref" : id === "get-session" ? "its id or its ref" : undefined;
  return [
    {
      ...common,
      ...(isRef === undefined ? undefined : { description: isRef }),
      schema: { type: "string", pattern },
    },
  ];
}

function queryParameters({ query }: Route): readonly Parameter[] {
  return Object.entries(query.properties ?? {}).map(([name, { description, ...schema }]) => ({
    name,
    in: "query" as const,
    required: query.required?.includes(name) ?? false,
    ...(description === undefined ? undefined : { description }),
    schema,
  }));
}

function sessionParameters(id: RouteId, { body }: Route): readonly Parameter[] {
  const { session } = routeAnswers[id];
  if (session === undefined) return [];
  const isInBody = body?.properties?.["sessionId"] !== undefined;
  const description =
    session === "taken"
      ? "the session that asks, if it says so"
      : "the session that asks; a secret of its client. Here or in the body";
  const required = session === "needed" && !isInBody;
  return [
    {
      name: "Holdfast-Session",
      in: "header",
      required,
      description,
      schema: { type: "string", pattern: sessionIdPattern },
    },
  ];
}

function requestBodyOf(id: RouteId, { body }: Route): Operation["requestBody"] {
  if (body === undefined || isEmpty(body)) return undefined;
  const required = (body.required?.length ?? 0) > 0 || (body.minProperties ?? 0) > 0;
  return { required, content: { [json]: { schema: id === "batch" ? batchSchema(body) : body } } };
}

function isEmpty({ properties, additionalProperties }: Schema): boolean {
  return additionalProperties === false && Object.keys(properties ?? {}).length === 0;
}

/** Each operation of a batch is checked by itself, so the schema that validates the whole does not name them. */
function batchSchema(body: Schema): Schema {
  const operations = Object.entries(batchOperations).map(([op, schema]) => ({
    ...schema,
    properties: { ...schema.properties, op: { type: "string" as const, enum: [op] } },
  }));
  const list = { ...body.properties?.["operations"], maxItems: batchMax, items: { oneOf: operations } };
  return { ...body, properties: { operations: list } };
}

// ---- what is answered ----------------------------------------------------------------------------------------------

const headers: OpenApiDocument["components"]["headers"] = {
  Node: { description: "the node that answers", schema: { type: "string" } },
  RequestId: { description: "also `instance` of a problem", schema: { type: "string" } },
  Term: { description: "of a node that takes part in a cluster", schema: { type: "integer" } },
  Revision: { description: "the last entry that the node has applied", schema: { type: "integer" } },
  Location: { description: "where to ask next", schema: { type: "string" } },
  Leader: { description: "public URL of the leader", schema: { type: "string" } },
  RetryAfter: { description: "whole seconds; the body has milliseconds", schema: { type: "integer" } },
  Staleness: {
    description: "of a stale read: how long nothing was heard of a leader",
    schema: { type: "integer" },
  },
};

function responsesOf(id: RouteId): Readonly<Record<string, Response>> {
  const { ok } = routeAnswers[id];
  const responses: Record<string, Response> = {};
  for (const [status, name] of Object.entries(ok)) {
    responses[status] = {
      description: okText[status] ?? "done",
      headers: headersOf(id, Number(status)),
      content: { [json]: { schema: { $ref: `#/components/schemas/${name}` } } },
    };
  }
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codesOf(id)) {
    const { status } = errorEntry(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  for (const [status, codes] of byStatus) {
    responses[String(status)] = {
      description: codes.map((code) => `${code}: ${errorCatalogue[code].title}`).join("; "),
      headers: headersOf(id, status),
      content: { [problemJson]: { schema: problemSchema(codes) } },
    };
  }
  // No problem, but what a load balancer wants to see.
  if (id === "readyz") {
    const schema: Schema = { $ref: "#/components/schemas/Unready" };
    responses["503"] = {
      description: "not ready",
      headers: headersOf(id, 200),
      content: { [json]: { schema } },
    };
  }
  return responses;
}

const okText: Readonly<Record<string, string>> = {
  200: "done, or as it is",
  201: "made",
  202: "under way: not decided yet",
};

function problemSchema(codes: readonly ErrorCode[]): Schema {
  return {
    allOf: [
      { $ref: "#/components/schemas/Problem" },
      { type: "object", properties: { code: { type: "string", enum: codes } } },
    ],
  };
}

function headersOf(id: RouteId, status: number): Response["headers"] {
  const { by } = routeAnswers[id];
  const named: [string, string][] = [
    ["Holdfast-Node", "Node"],
    ["Holdfast-Request-Id", "RequestId"],
    ["Holdfast-Term", "Term"],
    ["Holdfast-Revision", "Revision"],
  ];
  if (status === 307) named.push(["Location", "Location"], ["Holdfast-Leader", "Leader"]);
  if (status === 202 && id !== "transfer-leadership") named.push(["Location", "Location"]);
  if (status === 503 || status === 429) named.push(["Retry-After", "RetryAfter"]);
  const isStale = by === "read" && routeOf(id).query.properties?.["consistency"] !== undefined;
  if (status === 200 && isStale) named.push(["Holdfast-Staleness-Ms", "Staleness"]);
  return Object.fromEntries(named.map(([name, key]) => [name, { $ref: `#/components/headers/${key}` }]));
}
