/**
 * The cluster file as JSON Schema (draft 2020-12), for editors that complete and check while somebody writes. Made from
 * the one table of keys; says less than `config check`, which also knows what must hold between values. Pure.
 */
import { unreachable } from "../base/assert.ts";
import { type Field, type FieldType, fields, groupNames, membersMax } from "./schema.ts";
import { namePattern, nameRule } from "./values.ts";

export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

export const clusterSchemaId = "urn:holdfast:schema:cluster-file";

const address: JsonSchema = {
  type: "string",
  pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[^\\s:\\[\\]/]+):[0-9]{1,5}$",
  description: "host:port",
};

const name: JsonSchema = { type: "string", pattern: namePattern.source };

/** The whole document; the same object every time. */
export function clusterFileSchema(): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: clusterSchemaId,
    title: "Holdfast cluster file",
    type: "object",
    additionalProperties: false,
    required: ["clusterName", "members"],
    properties: {
      ...propertiesOf(""),
      members: membersSchema,
      ...Object.fromEntries(groupNames.map((group) => [group, groupSchema(group)])),
    },
  };
}

/** As it is printed and published. */
export function clusterFileSchemaText(): string {
  return `${JSON.stringify(clusterFileSchema(), undefined, 2)}\n`;
}

const membersSchema: JsonSchema = {
  description: "The founding members, the same on every node.",
  type: "array",
  minItems: 1,
  maxItems: membersMax,
  items: {
    type: "object",
    additionalProperties: false,
    required: ["id", "peer", "http"],
    properties: {
      id: { ...name, description: `Name of the member: ${nameRule}.` },
      peer: { ...address, description: "Where the other members dial it, host:port." },
      http: { ...address, description: "Where clients reach it, host:port." },
    },
  },
};

function groupSchema(group: string): JsonSchema {
  // A group with nothing below it is as good as none.
  return { type: ["object", "null"], additionalProperties: false, properties: propertiesOf(group) };
}

function propertiesOf(group: string): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    fields.flatMap((field) => {
      const dot = field.path.indexOf(".");
      const owner = dot < 0 ? "" : field.path.slice(0, dot);
      return owner === group ? [[field.path.slice(dot + 1), fieldSchema(field)]] : [];
    }),
  );
}

function fieldSchema({ type, doc }: Field): JsonSchema {
  return { ...typeSchema(type), description: doc };
}

function typeSchema(type: FieldType): JsonSchema {
  switch (type.kind) {
    case "integer":
      return { type: "integer", minimum: type.min, maximum: type.max, default: type.fallback };
    case "boolean":
      return { type: "boolean", default: type.fallback };
    case "address":
      return address;
    case "name":
      return name;
    default:
      return unreachable(type);
  }
}
