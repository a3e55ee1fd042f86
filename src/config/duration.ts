/**
 * Durations as people write them on a command line: `250ms`, `10s`, `5m`, `1h30m`; a bare number is seconds, as in
 * flock(1). The cluster file holds integers in milliseconds instead; it uses this to say what would have been right.
 */

/** Whole milliseconds, 0 … 2^53 − 1, or undefined when `text` is no duration. Units go from large to small, each once. */
export function parseDuration(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text)) return wholeMs(Number(text) * 1000);
  const match = durationPattern.exec(text);
  if (match === null || text === "") return undefined;
  const [, hours, minutes, seconds, milliseconds] = match.map((part) => Number(part ?? 0));
  return wholeMs(
    (hours ?? 0) * 3_600_000 + (minutes ?? 0) * 60_000 + (seconds ?? 0) * 1000 + (milliseconds ?? 0),
  );
}

/** The shortest exact form: `0s`, `250ms`, `1h30m`, `1m0.25s` never. Negative values count as 0. */
export function formatDuration(ms: number): string {
  let rest = Math.max(0, Math.round(ms));
  let text = "";
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === "" ? "0s" : text;
}

const units = [
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
] as const;

const number = "(\\d+(?:\\.\\d+)?)";
const durationPattern = new RegExp(`^(?:${number}h)?(?:${number}m(?!s))?(?:${number}s)?(?:${number}ms)?$`);

/** Binary fractions (`1.1s`) are rounded to the millisecond that was meant; half a millisecond is none. */
function wholeMs(ms: number): number | undefined {
  const whole = Math.round(ms);
  return Math.abs(whole - ms) < 1e-6 && Number.isSafeInteger(whole) ? whole : undefined;
}
