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
const STRIP = 16; // above the plot, for names of versions
const BOTTOM = 58;
const LABEL = 34; // two lines of text
const FRACTIONS = new Set(["roc_auc", "average_precision", "accuracy", "f1", "brier"]);
const LETTER = 7; // pixels of a character
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
  const top = TOP + (changes(windows).length ? STRIP : 0);
  const pad = windows.length > 1 ? 8 : (right - left) / 2;
  const x = linear([0, Math.max(1, windows.length - 1)], [left + pad, right - pad]);
  const domain = extent(
    windows
      .flatMap(({ performance: p }) => [p?.measured, p?.estimated, ...bandOf(p), ...spreadOf(p)])
      .concat(levels.harm ?? NaN, levels.held ?? NaN),
    0.06,
  );
  const y = linear(within(domain, levels.metric), [bottom, top]);
  const lines = { y, right, aside, push: apart(levels, y) };
  return {
    nodes: [
      rungs({ domain: within(domain, levels.metric), y, left: LEFT, right, n: 6 }),
      successions(windows, { x, top, bottom, right }),
      level("held", "held out", levels.held, lines),
      level("harm", `harm ${lowerIsBetter(levels.metric) ? "above" : "below"}`, levels.harm, lines),
      estimates(windows, x, y, top),
      measures(windows, x, y),
      windows.map((window, at) => mark(window.verdict, x(at), bottom + 19)),
      moments({ windows, x, width: right - left, y: height - 8 }),
    ],
    stops: windows.map((window, at) => stop(window, x(at), top, bottom + 28)),
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

function estimates(windows, x, y, top) {
  const of = (name) => (window, at) => [x(at), y(window.performance?.[name] ?? NaN)];
  const inside = (place) => Math.max(top, place);
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

/** A line across; named beside the plot where there is room, else in the legend alone. */
function level(name, words, value, { y, right, aside, push }) {
  if (typeof value !== "number") return null;
  const at = crisp(y(value));
  const beside = at + push[name];
  const text = (row, content) => svg("text", { x: right + 10, y: row }, content);
  return svg(
    "g",
    { class: `level ${name}` },
    svg("line", { x1: LEFT, x2: right, y1: at, y2: at }),
    aside && [text(beside - 3, words), text(beside + 12, figure(value))],
  );
}

/** Where another version took over: the places of the first windows of each. */
const changes = (windows) =>
  windows.flatMap((window, at) =>
    at > 0 && windows[at - 1].model_version !== window.model_version ? [at] : [],
  );

/** A hairline where another version took over, named above the plot where there is room. */
function successions(windows, { x, top, bottom, right }) {
  let free = LEFT;
  return changes(windows).map((at) => {
    const { model_version: version } = windows[at];
    const middle = crisp((x(at) + x(at - 1)) / 2);
    const again = windows.slice(0, at).some((window) => window.model_version === version);
    const names = again ? [`version ${version} again`, `v${version}`] : [`version ${version}`, `v${version}`];
    const words = names.find((name) => {
      const wide = name.length * LETTER;
      return middle + wide <= right + (right - LEFT < NARROW ? 0 : MARGIN) && middle >= free;
    });
    if (words) free = middle + words.length * LETTER + LETTER;
    return svg(
      "g",
      { class: "succession" },
      svg("title", {}, again ? `version ${version} serves again` : `version ${version} took over`),
      svg("line", { x1: middle, x2: middle, y1: top - STRIP + 4, y2: bottom }),
      words && svg("text", { x: middle + 5, y: top - 5 }, words),
    );
  });
}

function stop(window, x, top, bottom) {
  const { measured, estimated } = window.performance ?? {};
  const lines = [];
  if (typeof measured === "number") lines.push(["measured", figure(measured), "measured"]);
  if (typeof estimated === "number") lines.push(["estimated", figure(estimated), "estimated"]);
  const band = bandOf(window.performance);
  if (band[0] !== null) lines.push(["its band", between(band)]);
  lines.push(["verdict", verdictOf(window.verdict).word]);
  if (window.model_version) lines.push(["version", String(window.model_version)]);
  return {
    x,
    top,
    bottom,
    title: stretch(window.start, window.end),
    lines,
    href: `/windows/${encodeURIComponent(window.id)}`,
  };
}

function legend(windows, { harm, held, metric }) {
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
      typeof held === "number" &&
        h("li", {}, h("span", { class: "key held" }), `held out ${figure(held)}`),
      typeof harm === "number" &&
        h(
          "li",
          {},
          h("span", { class: "key harm" }),
          `harm begins ${lowerIsBetter(metric) ? "above" : "below"} ${figure(harm)}`,
        ),
    ),
    markLegend(windows.map((window) => window.verdict)),
  );
}
