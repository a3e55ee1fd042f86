/**
 * The one clock of a chaos run: milliseconds of the host's monotonic clock. Processes of one host read the same one, so
 * that times of different clients can be compared; nothing else may date what goes into a history.
 */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
