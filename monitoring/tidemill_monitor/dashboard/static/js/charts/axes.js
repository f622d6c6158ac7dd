// Grid lines, their labels and times along the bottom.

import { svg } from "../dom.js";
import { clockOf, figure, shortDay } from "../format.js";
import { thinned, ticks } from "./scale.js";

const LABEL_WIDTH = 60;

/** Horizontal lines at round values, with their labels at the left. */
export function rungs({ domain, y, left, right, n = 4, tell = figure }) {
  return ticks(...domain, n).map((value) =>
    svg(
      "g",
      { class: "rung" },
      svg("line", { x1: left, x2: right, y1: crisp(y(value)), y2: crisp(y(value)) }),
      svg(
        "text",
        { x: left - 8, y: y(value), dy: "0.32em", "text-anchor": "end" },
        short(tell(value)),
      ),
    ),
  );
}

const short = (text) => text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");

/** Hairlines are sharp on half pixels. */
export const crisp = (value) => Math.round(value) + 0.5;

/** Times of windows along the bottom, as many as fit; a new day is named. */
export function moments({ windows, x, width, y }) {
  const tell = clockOf(windows);
  const step = thinned(windows.length, width, LABEL_WIDTH);
  const last = windows.length - 1;
  const first = last % step;
  // The last one ends at its window, so it reaches further to the left than the others.
  const touches = (at) => at !== last && last - at <= step && x(last) - x(at) < 1.5 * LABEL_WIDTH;
  let day = "";
  return windows.map((window, at) => {
    if (at % step !== first || touches(at)) return null;
    const date = shortDay(window.start);
    const text = date === day || (day === "" && isToday(window)) ? tell(window.start) : date;
    day = date;
    return svg(
      "text",
      { class: "moment", x: x(at), y, "text-anchor": anchor(at, windows.length) },
      text,
    );
  });
}

const isToday = (window) => new Date(window.start).toDateString() === new Date().toDateString();
const anchor = (at, n) => (n > 1 && at === n - 1 ? "end" : at === 0 && n > 1 ? "start" : "middle");
