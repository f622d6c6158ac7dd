// Performance by window: measured, estimated with its band, and where harm begins.

import { h, svg } from "../dom.js";
import { figure, lowerIsBetter, named, stretch } from "../format.js";
import { bandOf, between, spreadOf } from "../levels.js";
import { verdictOf } from "../verdicts.js";
import { crisp, moments, rungs } from "./axes.js";
import { chart } from "./chart.js";
import { mark, markLegend } from "./marks.js";
import { extent, linear, path, ribbon } from "./scale.js";

const LEFT = 46;
const NARROW = 640; // below it there is no room beside the plot
const MARGIN = 92;
const TOP = 14;
const BOTTOM = 58;
const LABEL = 34; // two lines of text
const FRACTIONS = new Set(["roc_auc", "average_precision", "accuracy", "f1", "brier"]);
const SLOT = 10; // narrower than that, marks would touch

/**
 * The chart and its legend.
 *
 * @param {object[]} windows  oldest first
 * @param {{metric: string, harm: ?number, held: ?number}} levels
 */
export function performanceChart({ key, windows, levels, height = 300 }) {
  const label = `${named(levels.metric)} by window, measured and estimated.`;
  return [
    chart({ key, label, height, draw: (width) => draw(windows, levels, width, height) }),
    legend(windows, levels),
  ];
}

function draw(all, levels, width, height) {
  const aside = width >= NARROW;
  const left = LEFT + 8;
  const right = width - (aside ? MARGIN : 8);
  const windows = all.slice(-Math.floor((right - left) / SLOT));
  const bottom = height - BOTTOM;
  const pad = windows.length > 1 ? 8 : (right - left) / 2;
  const x = linear([0, Math.max(1, windows.length - 1)], [left + pad, right - pad]);
  const domain = extent(
    windows
      .flatMap(({ performance: p }) => [p?.measured, p?.estimated, ...bandOf(p), ...spreadOf(p)])
      .concat(levels.harm ?? NaN, levels.held ?? NaN),
    0.06,
  );
  const y = linear(within(domain, levels.metric), [bottom, TOP]);
  const lines = { y, right, aside, push: apart(levels, y) };
  return {
    nodes: [
      rungs({ domain: within(domain, levels.metric), y, left: LEFT, right, n: 6 }),
      successions(windows, x, bottom),
      level("held", "held out", levels.held, lines),
      level("harm", `harm ${lowerIsBetter(levels.metric) ? "above" : "below"}`, levels.harm, lines),
      estimates(windows, x, y),
      measures(windows, x, y),
      windows.map((window, at) => mark(window.verdict, x(at), bottom + 19)),
      moments({ windows, x, width: right - left, y: height - 8 }),
    ],
    stops: windows.map((window, at) => stop(window, x(at), bottom + 28)),
  };
}

/** No figure of these metrics lies beyond 0 and 1, so the picture does not either. */
const within = ([low, high], metric) =>
  FRACTIONS.has(metric) ? [Math.max(0, low), Math.min(1, high)] : [low, high];

/** Names of two lines that nearly touch make room for each other. */
function apart({ held, harm }, y) {
  if (typeof held !== "number" || typeof harm !== "number") return { held: 0, harm: 0 };
  const gap = y(harm) - y(held);
  const push = Math.max(0, LABEL - Math.abs(gap)) / 2;
  return gap > 0 ? { held: -push, harm: push } : { held: push, harm: -push };
}

function estimates(windows, x, y) {
  const of = (name) => (window, at) => [x(at), y(window.performance?.[name] ?? NaN)];
  const inside = (place) => Math.max(TOP, place);
  const band = windows.map(({ performance }, at) => {
    const [low, high] = bandOf(performance);
    return [x(at), inside(y(low ?? NaN)), inside(y(high ?? NaN))];
  });
  return svg(
    "g",
    { class: "estimated" },
    ribbon(band).map((d) => svg("path", { class: "band", d })),
    svg("path", { class: "estimated-line", d: path(windows.map(of("estimated"))) }),
  );
}

function measures(windows, x, y) {
  const points = windows.map((window, at) => [
    x(at),
    y(window.performance?.measured ?? NaN),
    window,
  ]);
  return svg(
    "g",
    { class: "measured" },
    svg("path", { class: "measured-line", d: path(points) }),
    windows.map((window, at) => whisker(spreadOf(window.performance), x(at), y)),
    points
      .filter(([, at]) => Number.isFinite(at))
      .map(([px, py, window]) =>
        svg("circle", {
          cx: px.toFixed(1),
          cy: py.toFixed(1),
          r: 3.5,
          class: window.verdict === "confirmed harm" ? "harmed" : null,
        }),
      ),
  );
}

/** How sure the measured figure is, given its number of labels. */
const whisker = ([low, high], x, y) =>
  typeof low === "number" &&
  svg("path", {
    class: "whisker",
    d: `M${x.toFixed(1)} ${y(low).toFixed(1)}V${y(high).toFixed(1)}`,
  });

/** A line across, named beside the plot where there is room and on it otherwise. */
function level(name, words, value, { y, right, aside, push }) {
  if (typeof value !== "number") return null;
  const at = crisp(y(value));
  const beside = at + push[name];
  const text = (x, row, content, anchor) =>
    svg("text", { x, y: row, "text-anchor": anchor }, content);
  return svg(
    "g",
    { class: `level ${name}` },
    svg("line", { x1: LEFT, x2: right, y1: at, y2: at }),
    aside
      ? [
          text(right + 10, beside - 3, words, "start"),
          text(right + 10, beside + 12, figure(value), "start"),
        ]
      : text(right, name === "held" ? at - 6 : at + 15, `${words} ${figure(value)}`, "end"),
  );
}

/** A hairline where another version took over. */
function successions(windows, x, bottom) {
  return windows.map((window, at) => {
    const before = windows[at - 1]?.model_version;
    if (at === 0 || before === window.model_version) return null;
    const middle = crisp((x(at) + x(at - 1)) / 2);
    return svg(
      "g",
      { class: "succession" },
      svg("line", { x1: middle, x2: middle, y1: TOP, y2: bottom }),
      svg("text", { x: middle + 5, y: TOP + 8 }, `version ${window.model_version}`),
    );
  });
}

function stop(window, x, bottom) {
  const { measured, estimated } = window.performance ?? {};
  const lines = [];
  if (typeof measured === "number") lines.push(["measured", figure(measured), "measured"]);
  if (typeof estimated === "number") lines.push(["estimated", figure(estimated), "estimated"]);
  const band = bandOf(window.performance);
  if (band[0] !== null) lines.push(["its band", between(band)]);
  lines.push(["verdict", verdictOf(window.verdict).word]);
  return {
    x,
    top: TOP,
    bottom,
    title: stretch(window.start, window.end),
    lines,
    href: `/windows/${encodeURIComponent(window.id)}`,
  };
}

function legend(windows, { harm }) {
  const some = (name) => windows.some((window) => typeof window.performance?.[name] === "number");
  return h(
    "div",
    { class: "legends" },
    h(
      "ul",
      { class: "legend" },
      some("measured") && h("li", {}, h("span", { class: "key measured" }), "measured on labels"),
      some("estimated") &&
        h("li", {}, h("span", { class: "key estimated" }), "estimated, with its band"),
      typeof harm === "number" && h("li", {}, h("span", { class: "key harm" }), "harm begins"),
    ),
    markLegend(windows.map((window) => window.verdict)),
  );
}
