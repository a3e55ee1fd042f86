/**
 * The YAML text of a cluster file as maps with positions. Syntax, unknown keys and shapes are judged here; what the
 * values mean is not. Never evaluates tags and follows an alias only where a value is asked for.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { closest } from "./closest.ts";
import type { ConfigProblem, Origin } from "./problems.ts";

/** One value in the file and where it stands. */
export interface YamlValue {
  readonly node: Node | null;
  readonly origin: Origin;
}

/** The keys of one map. */
export interface YamlMap {
  readonly origin: Origin;
  readonly values: ReadonlyMap<string, YamlValue>;
}

export interface YamlReader {
  readonly top: YamlMap;
  readonly problems: ConfigProblem[];
  /** The map at `value`; an empty value is an empty map. Undefined when it is something else. Reports unknown keys. */
  map(value: YamlValue, path: string, keys: readonly string[]): YamlMap | undefined;
  /** The items of a list; undefined when it is none. */
  list(value: YamlValue, path: string): readonly YamlValue[] | undefined;
  /** A scalar's value; undefined when it is none or empty. */
  scalar(value: YamlValue, path: string): string | number | boolean | undefined;
}

/** What is wrong and right about keys that people write and that cannot be there, by path. */
export type KnownMistakes = Readonly<Record<string, { readonly what: string; readonly right: string }>>;

/** Reports what is no YAML; the reader then gives what could be understood. */
export function readYaml(options: {
  readonly text: string;
  readonly file: string;
  readonly topKeys: readonly string[];
  readonly mistakes: KnownMistakes;
}): YamlReader {
  const lines = new LineCounter();
  const document = parseDocument(options.text, {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    merge: false,
  });
  return new Reader(options, document, lines);
}

class Reader implements YamlReader {
  readonly problems: ConfigProblem[] = [];
  readonly top: YamlMap;
  readonly #file: string;
  readonly #mistakes: KnownMistakes;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  constructor(
    options: { readonly file: string; readonly topKeys: readonly string[]; readonly mistakes: KnownMistakes },
    document: Document.Parsed,
    lines: LineCounter,
  ) {
    this.#file = options.file;
    this.#mistakes = options.mistakes;
    this.#document = document;
    this.#lines = lines;
    for (const { message, pos, code } of [...document.errors, ...document.warnings]) {
      const right = code === "DUPLICATE_KEY" ? "give each key once" : "correct the YAML here";
      this.problems.push({
        origin: this.#at(pos[0]),
        path: "",
        what: lowerFirst(oneLine(message)),
        right,
      });
    }
    const root = { node: document.contents, origin: this.#at(document.contents?.range[0] ?? 0) };
    this.top = this.map(root, "", options.topKeys) ?? { origin: root.origin, values: new Map() };
  }

  #at(offset: number): Origin {
    const { line, col } = this.#lines.linePos(offset);
    return { kind: "file", file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #value(node: Node | null, fallback: Origin): YamlValue {
    return { node, origin: node?.range ? this.#at(node.range[0]) : fallback };
  }

  #resolved(node: Node | null): Node | null | undefined {
    return isAlias(node) ? node.resolve(this.#document) : node;
  }

  map(value: YamlValue, path: string, keys: readonly string[]): YamlMap | undefined {
    const node = this.#resolved(value.node);
    if (isEmpty(node)) return { origin: value.origin, values: new Map() };
    if (!isMap(node)) {
      const right = `write keys below it (${keys.slice(0, 3).join(", ")}…)`;
      this.#report(value, path, `must be a map, is ${describe(node)}`, right);
      return undefined;
    }
    const values = new Map<string, YamlValue>();
    for (const pair of node.items) {
      const keyNode = pair.key as Node | null;
      const key = isScalar(keyNode) ? String(keyNode.value) : undefined;
      const at = this.#value(keyNode, value.origin);
      if (key === undefined || !keys.includes(key)) this.#unknownKey(at, path, key ?? "?", keys);
      else values.set(key, this.#value(pair.value as Node | null, at.origin));
    }
    return { origin: value.origin, values };
  }

  #unknownKey(at: YamlValue, path: string, key: string, keys: readonly string[]): void {
    const full = path === "" ? key : `${path}.${key}`;
    const known = this.#mistakes[full];
    const near = closest(key, keys);
    const right = near === undefined ? `known here: ${keys.join(", ")}` : `did you mean ${near}?`;
    this.#report(at, full, known?.what ?? "is not known", known?.right ?? right);
  }

  list(value: YamlValue, path: string): readonly YamlValue[] | undefined {
    const node = this.#resolved(value.node);
    if (isSeq(node)) return node.items.map((item) => this.#value(item as Node | null, value.origin));
    this.#report(value, path, `must be a list, is ${describe(node)}`, 'begin each item with "- "');
    return undefined;
  }

  scalar(value: YamlValue, path: string): string | number | boolean | undefined {
    const node = this.#resolved(value.node);
    const content: unknown = isScalar(node) ? node.value : undefined;
    if (typeof content === "string" || typeof content === "number" || typeof content === "boolean")
      return content;
    if (isEmpty(node)) this.#report(value, path, "has no value", "write one or remove the key");
    else this.#report(value, path, `must be one value, is ${describe(node)}`, "write a single value");
    return undefined;
  }

  #report(at: YamlValue, path: string, what: string, right: string): void {
    this.problems.push({ origin: at.origin, path, what: path === "" ? `the file ${what}` : what, right });
  }
}

function isEmpty(node: Node | null | undefined): boolean {
  return node === null || node === undefined || (isScalar(node) && node.value === null);
}

function describe(node: Node | null | undefined): string {
  if (isMap(node)) return "a map";
  if (isSeq(node)) return "a list";
  return isEmpty(node) ? "empty" : "a single value";
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
