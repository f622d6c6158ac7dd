// One feature: the reference's shares as broad quiet bars, the window's as slim ones over them.

import { h, svg } from "../dom.js";
import { dayOf, figure, share } from "../format.js";
import { crisp, rungs } from "./axes.js";
import { chart } from "./chart.js";
import { linear, thinned } from "./scale.js";

const LEFT = 46;
const TOP = 12;
const BOTTOM = 40;
const ROW = 34;
const MISSING = 54; // pixels for the bar of missing values

/**
 * The chart and its legend; numbers stand up, categories lie down.
 *
 * @param {object} feature  {type, bins, edges, reference, current, nulls}
 */
export function sharesChart({ key, feature, height = 280 }) {
  const label = `Shares of ${feature.name} in training and in this window.`;
  const numeric = (feature.edges ?? []).length > 0;
  return [
    chart({
      key,
      label,
      height,
      draw: (width) => (numeric ? standing(feature, width, height) : lying(feature, width)),
    }),
    h(
      "ul",
      { class: "legend" },
      h("li", {}, h("span", { class: "key reference" }), "training"),
      feature.current && h("li", {}, h("span", { class: "key current" }), "this window"),
    ),
  ];
}

const known = (values) => (values ?? []).map((value) => value ?? 0);

function standing(feature, width, height) {
  const reference = known(feature.reference);
  const current = known(feature.current);
  const nulls = missing(feature);
  const right = width - 8 - (nulls ? MISSING : 0);
  const bottom = height - BOTTOM;
  const most = Math.max(...reference, ...current, nulls?.reference ?? 0, nulls?.current ?? 0, 0.01);
  const y = linear([0, most * 1.06], [bottom, TOP]);
  const slot = (right - LEFT) / Math.max(1, feature.bins.length);
  const pair = (at, x, wide) => [
    bar("bar-reference", x + wide * 0.06, y(reference[at] ?? 0), wide * 0.88, bottom),
    feature.current &&
      bar("bar-current", x + wide * 0.27, y(current[at] ?? 0), wide * 0.46, bottom),
  ];
  const nodes = [
    rungs({ domain: [0, most], y, left: LEFT, right: width - 8, tell: share }),
    feature.bins.map((_, at) => pair(at, LEFT + at * slot, slot)),
    edgeLabels(feature, LEFT, slot, right, bottom),
  ];
  const stops = feature.bins.map((_, at) => stop(feature, at, LEFT + (at + 0.5) * slot, bottom));
  if (nulls) {
    const x = width - 8 - MISSING + 12;
    nodes.push(
      bar("bar-reference", x, y(nulls.reference), MISSING - 16, bottom),
      feature.current && bar("bar-current", x + 9, y(nulls.current), MISSING - 34, bottom),
      svg(
        "text",
        { class: "moment", x: width - 8, y: bottom + 20, "text-anchor": "end" },
        "missing",
      ),
    );
    stops.push({
      ...stopOf("missing", nulls.reference, feature.current && nulls.current),
      x: x + 19,
      top: TOP,
      bottom,
    });
  }
  nodes.push(
    svg("line", { class: "floor", x1: LEFT, x2: width - 8, y1: crisp(bottom), y2: crisp(bottom) }),
  );
  return { nodes, stops };
}

const bar = (name, x, y, width, bottom) =>
  svg("rect", {
    class: name,
    x: x.toFixed(1),
    y: y.toFixed(1),
    width: Math.max(1, width).toFixed(1),
    height: Math.max(0, bottom - y).toFixed(1),
    rx: Math.min(2, width / 4).toFixed(1),
  });

/** Edges stand between bins; as many as fit. */
function edgeLabels({ edges, type }, left, slot, right, bottom) {
  const tell = type === "datetime" ? (edge) => dayOf(edge * 1000) : brief;
  const step = thinned(edges.length, right - left, 58);
  return edges.map((edge, at) =>
    at % step === Math.floor(step / 2)
      ? svg(
          "text",
          {
            class: "moment",
            x: (left + (at + 1) * slot).toFixed(1),
            y: bottom + 20,
            "text-anchor": "middle",
          },
          tell(edge),
        )
      : null,
  );
}

const brief = (edge) =>
  figure(edge)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");

function lying(feature, width) {
  const reference = known(feature.reference);
  const current = known(feature.current);
  const nulls = missing(feature);
  const bins = feature.bins.map((name, at) => [name, reference[at], current[at]]);
  if (nulls) bins.push(["missing", nulls.reference, nulls.current]);
  const room = Math.min(220, Math.max(96, width * 0.28));
  const right = width - 108;
  const most = Math.max(...bins.flatMap(([, a, b]) => [a ?? 0, b ?? 0]), 0.01);
  const x = linear([0, most], [room, right]);
  const nodes = bins.map(([name, was, is], at) => {
    const y = at * ROW + 6;
    return svg(
      "g",
      { class: "lying" },
      svg("title", {}, name),
      svg(
        "text",
        { x: room - 12, y: y + 15, "text-anchor": "end", class: "category" },
        clipped(name, room - 16),
      ),
      lyingBar("bar-reference", room, y, x(was ?? 0) - room, 22),
      feature.current && lyingBar("bar-current", room, y + 6, x(is ?? 0) - room, 10),
      svg(
        "text",
        { x: width, y: y + 15, "text-anchor": "end", class: "amount" },
        feature.current ? `${share(was)} → ${share(is)}` : share(was),
      ),
    );
  });
  return { nodes, stops: [], height: bins.length * ROW + 4 };
}

const lyingBar = (name, x, y, width, height) =>
  svg("rect", { class: name, x, y, width: Math.max(width, 1).toFixed(1), height, rx: 3 });

/** A name as long as there is room for, measured in the page's own letters. */
function clipped(name, room) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  const fits = (text) => pen.measureText(text).width <= room;
  if (fits(name)) return name;
  let most = name.length;
  while (most > 1 && !fits(`${name.slice(0, most)}…`)) most -= 1;
  return `${name.slice(0, most)}…`;
}

const missing = ({ nulls }) =>
  nulls && ((nulls.reference ?? 0) > 0 || (nulls.current ?? 0) > 0)
    ? { reference: nulls.reference ?? 0, current: nulls.current ?? 0 }
    : null;

const stop = (feature, at, x, bottom) => ({
  ...stopOf(feature.bins[at], feature.reference?.[at], feature.current?.[at]),
  x,
  top: TOP,
  bottom,
});

const stopOf = (title, was, is) => ({
  title,
  lines: [
    ["training", share(was), "reference"],
    ...(is === null || is === undefined ? [] : [["this window", share(is), "current"]]),
  ],
});
