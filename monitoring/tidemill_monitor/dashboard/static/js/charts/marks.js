// A shape for each verdict: told apart without colour.

import { h, svg } from "../dom.js";
import { verdictOf } from "../verdicts.js";

const SHAPES = {
  good: (x, y, r) => svg("circle", { cx: x, cy: y, r: r * 0.72 }),
  drift: (x, y, r) =>
    svg("path", { d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z` }),
  feed: (x, y, r) =>
    svg("path", {
      class: "line-only",
      d: `M${x - r} ${y - r}L${x + r} ${y + r}M${x + r} ${y - r}L${x - r} ${y + r}`,
    }),
  warn: (x, y, r) => svg("path", { class: "line-only", d: triangle(x, y, r * 0.95) }),
  bad: (x, y, r) => svg("path", { d: triangle(x, y, r * 1.15) }),
  calm: (x, y, r) => svg("path", { class: "line-only", d: `M${x - r * 0.7} ${y}h${r * 1.4}` }),
};

const triangle = (x, y, r) => `M${x} ${y - r}L${x + r} ${y + r * 0.8}L${x - r} ${y + r * 0.8}Z`;

/** The verdict's mark around (x, y), `r` pixels to each side. */
export function mark(verdict, x, y, r = 5) {
  const { tone } = verdictOf(verdict);
  return svg("g", { class: "mark-of", "data-tone": tone }, SHAPES[tone](x, y, r));
}

/** What the marks in a chart mean; only those that occur. */
export function markLegend(verdicts) {
  const names = [...new Set(verdicts.map((name) => name ?? null))];
  return h(
    "ul",
    { class: "legend" },
    names.map((name) =>
      h(
        "li",
        {},
        svg(
          "svg",
          { viewBox: "0 0 14 14", class: "legend-mark", "aria-hidden": "true" },
          mark(name, 7, 7),
        ),
        verdictOf(name).word,
      ),
    ),
  );
}
