/** The OpenAPI document: well-formed by the rules of 3.1, and nothing but the tables. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { errorCodes, errorEntry } from "../../src/api/errors.ts";
import { openApiDocument, operationIdOf, templateOf } from "../../src/api/openapi.ts";
import { codesOf, routeAnswers } from "../../src/api/route-answers.ts";
import { type RouteId, routeIds, routeOf } from "../../src/api/routes.ts";

const document = openApiDocument();

function operationFor(id: RouteId) {
  const route = routeOf(id);
  const operation = document.paths[templateOf(route)]?.[route.method.toLowerCase()];
  if (operation === undefined) throw new Error(`${id} is not in the document`);
  return operation;
}

/** Every value under a key anywhere in the document. */
function valuesOf(key: string, within: unknown = document): unknown[] {
  if (typeof within !== "object" || within === null) return [];
  return Object.entries(within).flatMap(([name, value]) => [
    ...(name === key ? [value] : []),
    ...valuesOf(key, value),
  ]);
}

function resolve(pointer: string): unknown {
  let at: unknown = document;
  for (const key of pointer.replace("#/", "").split("/")) at = (at as Record<string, unknown>)[key];
  return at;
}

describe("the OpenAPI document", () => {
  it("has the operations of the route table, each once, and no other", () => {
    const inDocument = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { operationId }]) => `${method} ${path} ${operationId}`),
    );
    const inTable = routeIds.map((id) => {
      const route = routeOf(id);
      return `${route.method.toLowerCase()} ${templateOf(route)} ${operationIdOf(id)}`;
    });

    expect(inDocument.toSorted()).toEqual(inTable.toSorted());
    expect(new Set(routeIds.map(operationIdOf)).size).toBe(routeIds.length);
  });

  it("is plain JSON: nothing is lost on the way", () => {
    expect(document.openapi).toBe("3.1.0");
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
    expect(JSON.stringify(document)).not.toContain("null");
  });

  it.each(routeIds)("says of %s what its tables say", (id) => {
    const { summary, query, body, path } = routeOf(id);
    const { parameters, requestBody, responses, ...operation } = operationFor(id);

    const named = (where: string) => parameters.filter((each) => each.in === where).map(({ name }) => name);
    expect(operation.summary).toBe(summary);
    expect(named("path")).toEqual([...path.matchAll(/\{([a-z]+)\}/g)].map((match) => match[1]));
    expect(named("query")).toEqual(Object.keys(query.properties ?? {}));
    expect(named("header")).toEqual(routeAnswers[id].session === undefined ? [] : ["Holdfast-Session"]);
    for (const parameter of parameters) {
      if (parameter.in === "path") expect(parameter.required).toBe(true);
      if (parameter.in !== "query") continue;
      const { description, ...schema } = query.properties?.[parameter.name] ?? {};
      expect([parameter.schema, parameter.description]).toEqual([schema, description]);
    }
    if (id !== "batch" && requestBody !== undefined)
      expect(requestBody.content["application/json"]?.schema).toEqual(body);
    expect(requestBody === undefined).toBe(
      body === undefined ||
        (Object.keys(body.properties ?? {}).length === 0 && body.minProperties === undefined),
    );
    const problems = new Set(codesOf(id).map((code) => errorEntry(code).status));
    const statuses = [
      ...Object.keys(routeAnswers[id].ok).map(Number),
      ...problems,
      ...(id === "readyz" ? [503] : []),
    ];
    expect(Object.keys(responses).map(Number)).toEqual(statuses.toSorted((a, b) => a - b));
    for (const response of Object.values(responses)) expect(response.description).not.toBe("");
  });

  it("names only what it has, and has only what it names", () => {
    const refs = new Set(valuesOf("$ref") as string[]);

    for (const ref of refs) expect([ref, typeof resolve(ref)]).toEqual([ref, "object"]);
    for (const kind of ["schemas", "headers"] as const) {
      for (const name of Object.keys(document.components[kind])) {
        expect([name, refs.has(`#/components/${kind}/${name}`)]).toEqual([name, true]);
      }
    }
  });

  it("has only schemas of JSON Schema 2020-12", () => {
    const ajv = new Ajv2020({ strict: true, strictTypes: false });
    ajv.addVocabulary(["components"]);
    ajv.addSchema({ $id: "api", components: document.components });

    for (const name of Object.keys(document.components.schemas)) {
      expect(() => ajv.compile({ $ref: `api#/components/schemas/${name}` })).not.toThrow();
    }
    for (const schema of valuesOf("schema", document.paths)) {
      const text = JSON.stringify(schema).replaceAll('"#/', '"api#/');
      expect(() => ajv.compile(JSON.parse(text))).not.toThrow();
    }
  });

  it("names every code of the catalogue, but for what is no route", () => {
    const found = new Set(routeIds.flatMap((id) => codesOf(id)));

    expect(errorCodes.filter((code) => !found.has(code))).toEqual(["method-not-allowed"]);
  });
});
