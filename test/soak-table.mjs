// The figures of a soak as the table of docs/TESTING.md. Pure: the page is held to the result file by a test.

/** `soak`: what `npm run soak` writes. */
export function soakTable({ minutes, from, sim, chaos }) {
  const hours = (sim.simulatedMs / 3_600_000).toFixed(1);
  const share = (part, whole) => `${((100 * part) / Math.max(1, whole)).toFixed(2)} %`;
  const perSecond = ({ operations, ms }) => (operations / Math.max(1, ms / 1_000)).toFixed(0);
  const { runs } = chaos;
  const sum = (of) => runs.reduce((total, run) => total + of(run), 0);
  const installed = sum(({ faults }) => Object.values(faults).reduce((n, each) => n + each.installed, 0));
  const skippedFaults = sum(({ faults }) => Object.values(faults).reduce((n, each) => n + each.skipped, 0));
  const operations = sum(({ figures }) => figures.operations);
  const unknown = sum(({ figures }) => figures.unknown);
  const longest = Math.max(0, ...runs.map(({ figures }) => figures.longestOutageMs));
  const rows = [
    ["time", `${minutes} minutes on ${sim.speed.cores} cores, seeds from ${from}`],
    [
      "simulated seeds",
      `${sim.seeds}, ${hours} h of cluster time, ${sim.faults} faults, ${sim.events} events`,
    ],
    [
      "simulator speed",
      `${sim.speed.timesRealTime} × real time and ${sim.speed.eventsPerSecond} events/s a core`,
    ],
    [
      "simulated operations",
      `${sim.operations}, ${share(sim.unknown, sim.operations)} of unknown outcome; ` +
        `${perSecond(sim.calm)}/s before faults, ${perSecond(sim.quorumSafe)}/s in quorum-safe windows`,
    ],
    ["simulated runs that broke a promise", String(sim.failed.length)],
    ["real clusters", `${runs.length}, ${installed} faults installed, ${skippedFaults} skipped`],
    ["real operations", `${operations}, ${share(unknown, operations)} of unknown outcome`],
    ["longest time without an answer", `${longest} ms`],
    ["broken promises and missed floors of real clusters", String(chaos.failed)],
  ];
  return [
    "| measure | result |",
    "|---|---|",
    ...rows.map(([what, result]) => `| ${what} | ${result} |`),
  ].join("\n");
}
