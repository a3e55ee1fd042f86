/**
 * Fields of a positional array, taken one after the other, each with the type and bound that it must have; and those
 * that commands and snapshots have in common. Whatever is not as it should be is a DecodeError.
 */
import { compareText } from "../base/order.ts";
import type { LockMode, Metadata, ResourceRequest } from "../locks/commands.ts";
import { type Settings, settingNames } from "../locks/settings.ts";
import { DecodeError, safeInteger } from "./entry.ts";

/** How a claim stands to a lock, or that it is for permits. */
const modeCodes = { exclusive: 0, shared: 1 } as const satisfies Record<LockMode, number>;
const permitsCode = 2;

/** Takes the fields of an array one after the other, each with the type it must have. */
export class Fields {
  readonly #values: readonly unknown[];
  #at = 0;

  constructor(values: readonly unknown[]) {
    this.#values = values;
  }

  isAtEnd(): boolean {
    return this.#at >= this.#values.length;
  }

  end(): void {
    if (!this.isAtEnd()) throw new DecodeError("there are fields too many");
  }

  #next(what: string): unknown {
    if (this.isAtEnd()) throw new DecodeError(`${what} is missing`);
    return this.#values[this.#at++];
  }

  integer(what: string, minimum = 0): number {
    return safeInteger(this.#next(what), what, minimum);
  }

  optionalInteger(what: string, minimum = 0): number | undefined {
    const value = this.#next(what);
    return value === null ? undefined : safeInteger(value, what, minimum);
  }

  optionalText(what: string, lengthMax: number): string | undefined {
    if (this.#values[this.#at] !== null) return this.text(what, lengthMax);
    this.#at++;
    return undefined;
  }

  /** `lengthMax` in UTF-16 code units. */
  text(what: string, lengthMax: number): string {
    const value = this.#next(what);
    if (typeof value !== "string" || value.length > lengthMax)
      throw new DecodeError(`${what} is not a short string`);
    return value;
  }

  flag(what: string): boolean {
    const value = this.#next(what);
    if (typeof value !== "boolean") throw new DecodeError(`${what} is not a boolean`);
    return value;
  }

  optionalList(what: string): Fields | undefined {
    if (this.#values[this.#at] !== null) return this.list(what);
    this.#at++;
    return undefined;
  }

  list(what: string): Fields {
    const value = this.#next(what);
    if (!Array.isArray(value)) throw new DecodeError(`${what} is not an array`);
    return new Fields(value);
  }
}

/** Keys sorted and distinct, as the proposer must have written them. */
export function readMetadata(fields: Fields): Metadata {
  const pairs: [string, string][] = [];
  while (!fields.isAtEnd()) {
    const key = fields.text("metadata key", 65_536);
    const previous = pairs[pairs.length - 1];
    if (previous !== undefined && compareText(previous[0], key) >= 0) {
      throw new DecodeError("metadata keys are not sorted");
    }
    pairs.push([key, fields.text("metadata value", 65_536)]);
  }
  return pairs;
}

/** `[mode, name]` of a lock, `[2, name, permits, capacity or null]` of a semaphore. */
export function resourceFields(request: ResourceRequest): readonly (string | number | null)[] {
  return request.kind === "lock"
    ? [modeCodes[request.mode], request.name]
    : [permitsCode, request.name, request.permits, request.capacity ?? null];
}

export function readResource(fields: Fields): ResourceRequest {
  const code = fields.integer("mode");
  const name = readName(fields);
  switch (code) {
    case modeCodes.exclusive:
      return { kind: "lock", name, mode: "exclusive" };
    case modeCodes.shared:
      return { kind: "lock", name, mode: "shared" };
    case permitsCode: {
      const permits = fields.integer("permits", 1);
      return { kind: "semaphore", name, permits, capacity: fields.optionalInteger("capacity") };
    }
    default:
      throw new DecodeError(`mode ${code} is unknown`);
  }
}

export function readName(fields: Fields): string {
  const name = fields.text("name", 512);
  if (name.length === 0) throw new DecodeError("a lock or semaphore needs a name");
  return name;
}

export function readSettings(fields: Fields): Settings {
  const settings: Partial<Record<keyof Settings, number>> = {};
  for (const name of settingNames) settings[name] = fields.integer(name);
  fields.end();
  return settings as Settings;
}
