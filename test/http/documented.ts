/**
 * Holds answers to the OpenAPI document: the status, the code and every field must be in it, for the route that was asked.
 * Stricter than the document, which lets later versions add fields: a field that it does not name is an error here.
 * Never for answers to what is no route (404, 405): the document has nothing to say about those.
 */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { openApiDocument, templateOf } from "../../src/api/openapi.ts";
import { matchRoute, type RouteId, routeOf } from "../../src/api/routes.ts";
import type { Schema } from "../../src/api/schemas.ts";

const document = openApiDocument();

const ajv = new Ajv2020({ strict: true, strictTypes: false, allErrors: true });
ajv.addVocabulary(["components"]);
ajv.addSchema(closed({ $id: "api", components: document.components }) as object);

const validators = new Map<string, ValidateFunction>();
const met = new Set<string>();

/** What the tests of this process have met: `route status code`. */
export function metAnswers(): ReadonlySet<string> {
  return met;
}

/** Throws when the document does not say that this route answers so. */
export function expectDocumented(
  method: string,
  target: string,
  { status, body }: { readonly status: number; readonly body: Readonly<Record<string, unknown>> },
): void {
  const path = target.replace(/^https?:\/\/[^/?]*/i, "").split("?")[0] ?? "";
  const match = matchRoute(method, path);
  if (match.kind !== "route") return;
  expectShape(match.id, status, body);
  // Each part of a batch is answered as the operation alone would be.
  for (const result of (body["results"] ?? []) as {
    status: number;
    body?: Readonly<Record<string, unknown>>;
  }[]) {
    if (match.id !== "batch" || result.body === undefined) continue;
    const isShown = batchRoutes.some((id) => isDocumented(id, result.status, result.body ?? {}));
    if (!isShown)
      throw new Error(`no operation of a batch is documented to answer ${JSON.stringify(result)}`);
  }
}

const batchRoutes = ["claim", "release-claim", "keep-alive", "get-claim"] as const;

function isDocumented(id: RouteId, status: number, body: Readonly<Record<string, unknown>>): boolean {
  try {
    expectShape(id, status, body);
    return true;
  } catch {
    return false;
  }
}

function expectShape(id: RouteId, status: number, body: Readonly<Record<string, unknown>>): void {
  const route = routeOf(id);
  const response = document.paths[templateOf(route)]?.[route.method.toLowerCase()]?.responses[status];
  const schema = Object.values(response?.content ?? {})[0]?.schema;
  const code = String(body["code"] ?? "");
  if (schema === undefined) throw new Error(`${id} is not documented to answer ${status} ${code}`);
  met.add(`${id} ${status} ${code}`.trim());
  const isProblem = "code" in body;
  const codes = schema.allOf?.[1]?.properties?.["code"]?.enum;
  if (isProblem && !codes?.includes(code))
    throw new Error(`${id} is not documented to answer ${status} ${code}`);
  const named = isProblem ? "#/components/schemas/Problem" : (schema.$ref ?? "");
  const validate = validators.get(named) ?? ajv.compile({ $ref: `api${named}` });
  validators.set(named, validate);
  if (validate(body)) return;
  throw new Error(
    `${id} ${status}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(body).slice(0, 500)}`,
  );
}

/** The same schemas, with every object that names its fields closed. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, closed(inner)]));
  const { type, properties, additionalProperties } = value as Schema;
  const isClosed = type === "object" && properties !== undefined && additionalProperties === undefined;
  return isClosed && !("openapi" in properties) ? { ...copy, additionalProperties: false } : copy;
}
