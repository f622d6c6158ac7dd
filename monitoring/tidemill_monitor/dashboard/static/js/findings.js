// Findings of a window: what was tested, how far it went, and the threshold as a line.

import { h, icon, svg } from "./dom.js";
import { figure, named } from "./format.js";
import { table } from "./parts.js";

const KINDS = {
  quality: "Feed",
  territory: "New territory",
  repeats: "Sent again",
  drift: "Drift",
  "output drift": "Output drift",
  "label drift": "Label drift",
  performance: "Performance",
  estimate: "Estimated performance",
  change: "Change of errors",
};

/** Flagged ones first, then the furthest. */
export function findingsTable(findings, { linked = true } = {}) {
  const sorted = [...findings].sort((a, b) => b.flagged - a.flagged || reach(b) - reach(a));
  return table({
    caption: "Findings, the furthest beyond their threshold first",
    columns: [
      { name: linked ? "Feature" : "Test" },
      { name: linked ? "Test" : "Kind" },
      { name: "Found" },
      { name: "Value", number: true },
      { name: "Threshold", number: true },
      { name: "In words" },
    ],
    keys: sorted.map((finding) => `finding-${finding.kind}-${finding.feature}-${finding.test}`),
    rows: sorted.map((finding) => [
      linked ? subject(finding) : named(finding.test),
      linked
        ? [named(finding.test), h("small", {}, KINDS[finding.kind] ?? finding.kind)]
        : (KINDS[finding.kind] ?? finding.kind),
      gauge(finding),
      figure(finding.value),
      figure(finding.threshold),
      finding.detail,
    ]),
  });
}

const subject = ({ feature, kind }) =>
  feature && kind !== "performance"
    ? h("a", { href: `/features/${encodeURIComponent(feature)}` }, feature)
    : feature || "whole window";

const reach = ({ value, threshold }) => (threshold ? Math.abs(value / threshold) : 0);

/** A bar whose middle is the threshold; a word says the same. */
function gauge(finding) {
  const far = Math.min(2, reach(finding));
  return h(
    "span",
    { class: "gauge", "data-flagged": finding.flagged ? "yes" : "no" },
    svg(
      "svg",
      { viewBox: "0 0 64 10", class: "gauge-bar", "aria-hidden": "true" },
      svg("rect", { class: "gauge-way", x: 0, y: 3, width: 64, height: 4, rx: 2 }),
      svg("rect", {
        class: "gauge-fill",
        x: 0,
        y: 3,
        width: (far * 32).toFixed(1),
        height: 4,
        rx: 2,
      }),
      svg("rect", { class: "gauge-line", x: 31.5, y: 0, width: 1.5, height: 10 }),
    ),
    h("span", {}, finding.flagged ? [icon("suspected"), "finding"] : "fine"),
  );
}
