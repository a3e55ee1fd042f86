/**
 * A history for people (one line for each operation, in the order of sending) and for files (JSON lines). Both are pure:
 * who calls them writes.
 */
import type { Finding, History, Operation } from "./history.ts";

/** Lines of an excerpt before and after each operation that a finding names. */
const around = 3;

/** Each finding with the operations it names and what stands next to them. */
export function formatFindings(history: History, findings: readonly Finding[]): string {
  return findings.map((finding) => `${formatFinding(finding)}\n${excerpt(history, finding)}`).join("\n");
}

export function formatFinding({ rule, detail }: Finding): string {
  return `${rule}: ${detail}`;
}

/** The operations of the finding, marked with `>`, and their neighbours. */
export function excerpt({ operations }: History, finding: Finding): string {
  const ordered = operations.toSorted((a, b) => a.sentAt - b.sentAt || a.id - b.id);
  const named = new Set(finding.operations);
  const shown = new Set<number>();
  ordered.forEach(({ id }, i) => {
    if (!named.has(id)) return;
    for (let j = Math.max(0, i - around); j <= Math.min(ordered.length - 1, i + around); j++) shown.add(j);
  });
  return ordered
    .flatMap((operation, i) =>
      shown.has(i) ? [`${named.has(operation.id) ? ">" : " "} ${formatOperation(operation)}`] : [],
    )
    .join("\n");
}

/** `#7 anna 12.000…15.250 acquire {"claimId":"c-1"} -> r40 {"kind":"held"}`. */
export function formatOperation(operation: Operation): string {
  const { id, client, sentAt, answeredAt, revision, kind, answer, ...asked } = operation;
  const until = answeredAt === undefined ? "?" : answeredAt.toFixed(3);
  const said = answer === undefined ? "no answer" : `r${revision ?? "?"} ${JSON.stringify(answer)}`;
  return `#${id} ${client} ${sentAt.toFixed(3)}…${until} ${kind} ${JSON.stringify(asked)} -> ${said}`;
}

// ---- files ---------------------------------------------------------------------------------------------------------

const lists = ["operations", "beliefs", "uses", "abandoned", "unattended", "healthy"] as const;

/** One JSON value a line: the head, then every record with the list it belongs to. */
export function encodeHistory(history: History): string {
  const { capacities, drift, lockDelayMs, remembered } = history;
  const head = { capacities: [...capacities], drift, lockDelayMs, remembered };
  const lines = [JSON.stringify(head)];
  for (const list of lists) {
    for (const record of history[list]) lines.push(JSON.stringify([list, record], encodeValue));
  }
  return `${lines.join("\n")}\n`;
}

/** The opposite. Throws for what `encodeHistory` did not write. */
export function decodeHistory(text: string): History {
  const [head = "", ...lines] = text.split("\n").filter((line) => line !== "");
  const { capacities, drift, lockDelayMs, remembered } = JSON.parse(head) as {
    readonly capacities: readonly (readonly [string, number])[];
    readonly drift: number;
    readonly lockDelayMs: number;
    readonly remembered?: number;
  };
  const records: Record<(typeof lists)[number], unknown[]> = {
    operations: [],
    beliefs: [],
    uses: [],
    abandoned: [],
    unattended: [],
    healthy: [],
  };
  for (const line of lines) {
    const [list, record] = JSON.parse(line) as readonly [(typeof lists)[number], unknown];
    records[list].push(decodeValue(record));
  }
  const facts = { capacities: new Map(capacities), drift, lockDelayMs };
  return {
    ...(records as unknown as History),
    ...facts,
    ...(remembered === undefined ? {} : { remembered }),
  };
}

const infinities: ReadonlyMap<number, string> = new Map([
  [Infinity, "+"],
  [-Infinity, "-"],
]);

function encodeValue(_key: string, value: unknown): unknown {
  if (value === undefined) return { $: "undefined" };
  const sign = typeof value === "number" ? infinities.get(value) : undefined;
  return sign === undefined ? value : { $: sign };
}

/** Not a reviver: those leave out what becomes undefined. */
function decodeValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decodeValue);
  if (typeof value !== "object" || value === null) return value;
  if ("$" in value) return value.$ === "undefined" ? undefined : value.$ === "+" ? Infinity : -Infinity;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decodeValue(inner)]));
}
