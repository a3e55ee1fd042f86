/**
 * One value of a field: from YAML, from the environment or from a flag to what the field's type says.
 * Judges values one at a time; `relations.ts` holds them against each other.
 */
import { unreachable } from "../base/assert.ts";
import { readAddress } from "./address.ts";
import { parseDuration } from "./duration.ts";
import type { FieldType } from "./schema.ts";
import type { HostPort } from "./types.ts";

export type FieldValue = number | boolean | string | HostPort;

export type ValueReading =
  | { readonly kind: "value"; readonly value: FieldValue }
  | { readonly kind: "wrong"; readonly what: string; readonly right: string };

export const namePattern = /^[A-Za-z0-9._-]{1,64}$/;
export const nameRule = "write 1 to 64 letters, digits, dots, underscores or hyphens";

/** `raw` is a scalar of the file: numbers and booleans have their types there. */
export function readFileValue(type: FieldType, raw: string | number | boolean): ValueReading {
  switch (type.kind) {
    case "integer":
      return typeof raw === "number" ? inRange(type, raw) : notInteger(type, raw);
    case "boolean":
      if (typeof raw === "boolean") return { kind: "value", value: raw };
      return wrong(`must be true or false, is ${shown(raw)}`, "write true or false");
    case "address":
      return readAddressValue(raw);
    case "name":
      return readName(raw);
    default:
      return unreachable(type);
  }
}

/** `text` is from the environment or a flag, where everything is text. */
export function readTextValue(type: FieldType, text: string): ValueReading {
  if (type.kind === "integer") {
    return /^-?\d+$/.test(text) ? inRange(type, Number(text)) : notInteger(type, text);
  }
  if (type.kind === "boolean" && (text === "true" || text === "false")) {
    return { kind: "value", value: text === "true" };
  }
  return readFileValue(type, text);
}

export function readAddressValue(raw: string | number | boolean): ValueReading {
  const reading = readAddress(String(raw));
  if (reading.kind === "wrong") return wrong(`must be an address, is ${shown(raw)}`, reading.right);
  return { kind: "value", value: reading.address };
}

/** A name may look like a number in YAML; one that does is taken as it is written only in quotes. */
export function readName(raw: string | number | boolean): ValueReading {
  if (typeof raw !== "string")
    return wrong(`must be text, is the ${typeof raw} ${raw}`, `put it in quotes: "${raw}"`);
  if (namePattern.test(raw)) return { kind: "value", value: raw };
  return wrong(`must be a name, is ${shown(raw)}`, nameRule);
}

type IntegerType = Extract<FieldType, { kind: "integer" }>;

function inRange(type: IntegerType, value: number): ValueReading {
  const { min, max } = type;
  if (!Number.isSafeInteger(value)) return notInteger(type, value);
  if (value >= min && value <= max) return { kind: "value", value: value === 0 ? 0 : value };
  const right = `write a number from ${min} to ${max}`;
  return wrong(`must be between ${min} and ${max} ${type.unit}, is ${value}`, right);
}

function notInteger(type: IntegerType, raw: string | number | boolean): ValueReading {
  const meant = typeof raw === "string" ? meantNumber(type, raw) : undefined;
  const right = meant === undefined ? `write a number from ${type.min} to ${type.max}` : `write ${meant}`;
  const unit = type.unit === "count" ? "" : ` of ${type.unit}`;
  return wrong(`must be a whole number${unit}, is ${shown(raw)}`, right);
}

/** What somebody meant who wrote `"750"`, `1_000` or, for milliseconds, `10s`. */
function meantNumber(type: IntegerType, raw: string): number | undefined {
  const plain = raw.replaceAll("_", "");
  if (/^\d+$/.test(plain)) return Number(plain);
  return type.unit === "milliseconds" ? parseDuration(raw) : undefined;
}

function shown(raw: string | number | boolean): string {
  if (typeof raw !== "string") return String(raw);
  return `the text ${JSON.stringify(raw.length > 60 ? `${raw.slice(0, 60)}…` : raw)}`;
}

function wrong(what: string, right: string): ValueReading {
  return { kind: "wrong", what, right };
}
