// A small row of bars inside a tile.

import { svg } from "../dom.js";
import { chart } from "./chart.js";
import { linear } from "./scale.js";

/** @param {number[]} values  oldest first; the last may be a window still filling */
export function bars({ key, label, values, open = false, height = 36 }) {
  return chart({
    key,
    label,
    height,
    still: true,
    draw: (width) => draw(values, open, width, height),
  });
}

function draw(all, open, width, height) {
  const values = all.slice(-Math.floor(width / 6));
  const y = linear([0, Math.max(...values, 1)], [0, height - 2]);
  const slot = Math.min(14, width / Math.max(values.length, 1));
  return {
    nodes: values.map((value, at) => {
      const tall = Math.max(1.5, y(value));
      return svg("rect", {
        class: open && at === values.length - 1 ? "spark filling" : "spark",
        x: (at * slot).toFixed(1),
        y: (height - tall).toFixed(1),
        width: Math.max(1, slot - 2).toFixed(1),
        height: tall.toFixed(1),
        rx: 1,
      });
    }),
  };
}
