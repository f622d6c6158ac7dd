// How far a feature was from training, window by window, with the line where a finding begins.

import { svg } from "../dom.js";
import { figure, named, stretch, time, times } from "../format.js";
import { moments, rungs } from "./axes.js";
import { chart } from "./chart.js";
import { linear, path } from "./scale.js";

const LEFT = 46;
const RIGHT = 10;
const TOP = 26; // the threshold is named above the plot
const BOTTOM = 34;
const LABEL = 126; // pixels of a name and its key

/** @param {object[]} history  of one test, oldest first: {window, start, value, threshold, flagged} */
export function historyChart({ key, test, history, height = 230 }) {
  const label = `${named(test)} from training by window, and its threshold.`;
  return chart({ key, label, height, draw: (width) => draw(test, history, width, height) });
}

function draw(test, all, width, height) {
  const history = all.slice(-Math.floor((width - LEFT - RIGHT) / 9));
  const right = width - RIGHT;
  const bottom = height - BOTTOM;
  const pad = history.length > 1 ? 8 : (right - LEFT) / 2;
  const x = linear([0, Math.max(1, history.length - 1)], [LEFT + 8 + pad, right - pad]);
  const most = Math.max(...history.flatMap((h) => [h.value ?? 0, h.threshold ?? 0]), 1e-6) * 1.15;
  const y = linear([0, most], [bottom, TOP]);
  const points = history.map((h, at) => [x(at), y(h.value ?? NaN), h]);
  return {
    nodes: [
      rungs({ domain: [0, most], y, left: LEFT, right, n: 3 }),
      svg("path", { class: "threshold-line", d: steps(history, x, y, LEFT, right) }),
      thresholdLabel(history, right),
      svg("path", { class: "distance-line", d: path(points) }),
      points.map(([px, py, h]) => Number.isFinite(py) && point(px, py, h.flagged)).filter(Boolean),
      moments({ windows: history, x, width: right - LEFT, y: height - 8 }),
    ],
    stops: history.map((h, at) => stop(h, x(at), bottom)),
  };
}

/** Thresholds differ with the window's rows and the champion: a step for each. */
function steps(history, x, y, left, right) {
  let text = "";
  history.forEach((h, at) => {
    if (typeof h.threshold !== "number") return;
    const from = at === 0 ? left : (x(at) + x(at - 1)) / 2;
    const to = at === history.length - 1 ? right : (x(at) + x(at + 1)) / 2;
    text += `${text ? "L" : "M"}${from.toFixed(1)} ${y(h.threshold).toFixed(1)}H${to.toFixed(1)}`;
  });
  return text;
}

/** Above the plot, off the points: the newest window's threshold. */
function thresholdLabel(history, right) {
  const last = history.at(-1)?.threshold;
  if (typeof last !== "number") return null;
  return svg(
    "g",
    { class: "threshold-name" },
    svg("path", { class: "threshold-key", d: `M${right - LABEL} ${TOP - 14}h14` }),
    svg(
      "text",
      { class: "threshold-label", x: right, y: TOP - 10, "text-anchor": "end" },
      `threshold ${figure(last)}`,
    ),
  );
}

const point = (x, y, flagged) =>
  flagged
    ? svg("path", {
        class: "point flagged",
        d: `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z`,
      })
    : svg("circle", { class: "point", cx: x, cy: y, r: 3 });

function stop(entry, x, bottom) {
  return {
    x,
    top: TOP,
    bottom,
    title: entry.end ? stretch(entry.start, entry.end) : time(entry.start),
    lines: [
      ["distance", figure(entry.value), "current"],
      ["threshold", figure(entry.threshold)],
      ["of the threshold", times(entry.threshold ? entry.value / entry.threshold : null)],
    ],
    href: `/windows/${encodeURIComponent(entry.window)}`,
  };
}
