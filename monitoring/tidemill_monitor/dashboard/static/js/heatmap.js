// The heat map is a table of links: one stop for the tab key, arrow keys inside.

import { mark } from "./charts/marks.js";
import { h, svg } from "./dom.js";
import { clockOf, hour, shortDay, stretch, times } from "./format.js";
import { verdictOf } from "./verdicts.js";

const MARK_EVERY = 3;

/**
 * @param {object} map  {windows, features, values, test}
 * @param {{name: string, values: number[]}[]} rows
 * @param {{columns: number, active: ?string, roomy: boolean}} options  how many of the newest
 *   windows fit; the cell that the tab key reaches, as "feature/window"; whether cells may be broad
 */
export function heatmap(map, rows, { columns, active, roomy }) {
  const from = Math.max(0, map.windows.length - columns);
  const windows = map.windows.slice(from);
  const here = rows.some((row) => windows.some((window) => active === cellKey(row.name, window)))
    ? active
    : cellKey(rows[0].name, windows.at(-1));
  return [
    h(
      "div",
      { class: "heat-box" },
      h(
        "table",
        {
          class: roomy ? "heat roomy" : "heat",
          role: "grid",
          "aria-label": "Features by windows; arrow keys move, Enter opens the feature",
        },
        h("thead", {}, headRow(windows, roomy ? 1 : MARK_EVERY)),
        h(
          "tbody",
          {},
          rows.map((row) =>
            h(
              "tr",
              { "data-key": `heat-${row.name}` },
              h(
                "th",
                { scope: "row" },
                h(
                  "a",
                  { href: featureAddress(row.name), title: row.name, tabindex: "-1" },
                  row.name,
                ),
              ),
              windows.map((window, at) => cell(row, row.values[from + at], window, here)),
            ),
          ),
        ),
      ),
    ),
    scale(),
  ];
}

const cellKey = (name, window) => `${name}/${window.id}`;
const featureAddress = (name, window) =>
  `/features/${encodeURIComponent(name)}${window ? `?window=${encodeURIComponent(window.id)}` : ""}`;

function headRow(windows, every) {
  const tell = clockOf(windows);
  let day = shortDay(new Date());
  return h(
    "tr",
    {},
    h("th", { scope: "col", class: "heat-corner" }, h("span", { class: "unseen" }, "Feature")),
    windows.map((window, at) => {
      const date = shortDay(window.start);
      const fromEnd = windows.length - 1 - at;
      const text = fromEnd % every === 0 ? (date === day ? tell(window.start) : date) : "";
      if (text) day = date;
      const words = `${window.end ? stretch(window.start, window.end) : `${date} ${hour(window.start)}`}: ${verdictOf(window.verdict).word}`;
      return h(
        "th",
        { scope: "col", title: words, "data-key": `head-${window.id}` },
        h("span", { class: "heat-time", "aria-hidden": "true" }, text),
        svg(
          "svg",
          { viewBox: "0 0 14 14", class: "heat-mark", role: "img", "aria-label": words },
          mark(window.verdict, 7, 7),
        ),
      );
    }),
  );
}

/** Quarters of the threshold below it; up to 2, up to 4 and more times it beyond. */
export function level(value) {
  if (value === null || value === undefined) return "none";
  if (value <= 1) return `b${Math.min(4, Math.max(1, Math.ceil(value * 4)))}`;
  return value <= 2 ? "f1" : value <= 4 ? "f2" : "f3";
}

function cell(row, value, window, active) {
  const key = cellKey(row.name, window);
  const beyond = value > 1;
  const told =
    value === null || value === undefined ? "not compared" : `${times(value)} the threshold`;
  return h(
    "td",
    { "data-key": `td-${key}`, "data-level": level(value) },
    h(
      "a",
      {
        href: featureAddress(row.name, window),
        tabindex: key === active ? "0" : "-1",
        "data-cell": key,
        title: `${row.name}: ${told}`,
        "aria-label": `${row.name}, ${shortDay(window.start)} ${hour(window.start)}: ${told}${beyond ? ", a finding" : ""}`,
      },
      beyond ? (value >= 10 ? "9+" : value.toFixed(1)) : "",
    ),
  );
}

const scale = () =>
  h(
    "ul",
    { class: "legend heat-scale" },
    [
      ["b1", "like training"],
      ["b4", "close to the threshold"],
      ["f1", "beyond: 1×"],
      ["f2", "2×"],
      ["f3", "4× and more"],
      ["none", "not compared"],
    ].map(([name, words]) =>
      h("li", {}, h("span", { class: "swatch", "data-level": name }), words),
    ),
  );

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Move between cells; the cell that was left stays the one that the tab key reaches. */
export function heatmapKeys(event, view, paint) {
  const from = event.target.closest?.("[data-cell]");
  const move = MOVES[event.key] ?? { Home: [0, -Infinity], End: [0, Infinity] }[event.key];
  if (!from || !move) return;
  event.preventDefault();
  const lines = [...from.closest("tbody").rows].map((row) => [
    ...row.querySelectorAll("[data-cell]"),
  ]);
  const row = lines.findIndex((line) => line.includes(from));
  const bounded = (value, n) => Math.max(0, Math.min(n - 1, value));
  const line = lines[bounded(row + move[0], lines.length)];
  const to = line[bounded(lines[row].indexOf(from) + move[1], line.length)];
  view.cell = to.dataset.cell;
  paint();
  document.querySelector(`[data-cell="${CSS.escape(to.dataset.cell)}"]`)?.focus();
}
