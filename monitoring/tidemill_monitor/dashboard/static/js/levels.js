// The metric that is followed, the level it had on held-out rows and where harm begins.

import { count, figure, named } from "./format.js";
import { table, windowLink } from "./parts.js";
import { verdictBadge } from "./verdicts.js";

/** From the newest window that knows them. */
export function levels(windows) {
  const known =
    [...windows].reverse().find((window) => window.performance?.metric)?.performance ?? {};
  return { metric: known.metric ?? "", harm: known.harm ?? null, held: known.held ?? null };
}

/** Between what the estimate lies; before labels come, that is the only band there is. */
export function bandOf(performance) {
  const { measured, low, high, estimated_low: from, estimated_high: to } = performance ?? {};
  if (typeof from === "number" && typeof to === "number") return [from, to];
  const only = typeof measured !== "number" && typeof low === "number" && typeof high === "number";
  return only ? [low, high] : [null, null];
}

/** Between what the measured figure lies, given the number of labels. */
export function spreadOf(performance) {
  const { measured, low, high } = performance ?? {};
  const known = [measured, low, high].every((value) => typeof value === "number");
  return known ? [low, high] : [null, null];
}

/** "0.690 – 0.734", or a dash. */
export const between = ([low, high]) =>
  typeof low === "number" ? `${figure(low)} – ${figure(high)}` : "–";

/** Windows with what was measured and estimated, newest first. */
export function performanceTable(windows) {
  const metric = named(levels(windows).metric) || "figure";
  return table({
    caption: `${metric} by window, newest first; estimates in brackets are not trusted`,
    columns: [
      { name: "Window" },
      { name: "Verdict" },
      { name: "Measured", number: true },
      { name: "Estimated", number: true },
      { name: "Band", number: true },
      { name: "Rows", number: true },
      { name: "Labelled", number: true },
    ],
    keys: [...windows].reverse().map((window) => `row-${window.id}`),
    rows: [...windows].reverse().map((window) => {
      const { measured, estimated, estimate_trusted: trusted } = window.performance ?? {};
      return [
        windowLink(window),
        verdictBadge(window.verdict),
        figure(measured),
        trusted === false ? `(${figure(estimated)})` : figure(estimated),
        between(bandOf(window.performance)),
        count(window.rows),
        count(window.labelled_rows),
      ];
    }),
  });
}
