// Charts of our own: crisp SVG at the width that there is, a cursor for mouse and arrow keys.

import { h, morph, svg } from "../dom.js";

const drawings = new Map();
const cursors = new WeakMap();

/**
 * Reserve the place of a chart; `layOut` draws it when its width is known.
 *
 * @param {object} chart
 * @param {string} chart.key  its name on the page
 * @param {string} chart.label  what it shows, in a sentence
 * @param {number} chart.height  in pixels
 * @param {(width: number) => {nodes: Node[], stops: Stop[], height?: number}} chart.draw
 *   stops are where the cursor can stand: {x, top, bottom, title, lines, href}
 */
export function chart({ key, label, height, draw, still = false }) {
  drawings.set(key, { label, height, draw });
  return h("div", {
    class: "chart",
    "data-key": key,
    "data-own": true,
    "data-chart": key,
    tabindex: still ? null : "0",
    role: "group",
    "aria-label": still ? label : `${label} Arrow keys walk through it, Enter opens.`,
  });
}

/** Draw every chart below `root` at its present width. */
export function layOut(root) {
  for (const place of root.querySelectorAll("[data-chart]")) {
    const drawing = drawings.get(place.dataset.chart);
    if (drawing && place.clientWidth) draw(place, drawing);
  }
}

function draw(place, { label, height, draw: make }) {
  const width = place.clientWidth;
  const made = make(width);
  const tall = made.height ?? height;
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${tall}`, width, height: tall, role: "img", "aria-label": label },
    made.nodes,
  );
  if (place.firstElementChild) morph(place.firstElementChild, picture);
  else place.append(picture);
  const cursor = cursors.get(place) ?? follow(place);
  cursor.stops = made.stops ?? [];
  if (cursor.at !== null) show(place, Math.min(cursor.at, cursor.stops.length - 1));
}

function follow(place) {
  const line = h("div", { class: "cursor", hidden: true });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  const cursor = { stops: [], at: null, line, tip };
  place.append(line, tip);
  cursors.set(place, cursor);
  place.addEventListener("pointermove", (event) => show(place, nearest(place, event)));
  place.addEventListener("pointerleave", () => show(place, null));
  place.addEventListener("blur", () => show(place, null));
  place.addEventListener("click", () => open(cursor));
  place.addEventListener("keydown", (event) => walk(place, event));
  return cursor;
}

function nearest(place, event) {
  const x = event.clientX - place.getBoundingClientRect().left;
  const { stops } = cursors.get(place);
  let best = null;
  stops.forEach((stop, at) => {
    if (best === null || Math.abs(stop.x - x) < Math.abs(stops[best].x - x)) best = at;
  });
  return best;
}

function walk(place, event) {
  const cursor = cursors.get(place);
  const last = cursor.stops.length - 1;
  const at = cursor.at ?? last + (event.key === "ArrowLeft" ? 1 : 0);
  const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, Escape: null };
  if (event.key === "Enter") return open(cursor);
  if (!(event.key in steps)) return;
  event.preventDefault();
  const to = steps[event.key];
  show(place, to === null ? null : Math.max(0, Math.min(last, to)));
}

function open(cursor) {
  const href = cursor.at === null ? null : cursor.stops[cursor.at]?.href;
  if (href) location.assign(href);
}

function show(place, at) {
  const cursor = cursors.get(place);
  const stop = at === null || at < 0 ? null : cursor.stops[at];
  cursor.at = stop ? at : null;
  cursor.line.hidden = cursor.tip.hidden = !stop;
  if (!stop) return;
  place.classList.toggle("opens", Boolean(stop.href));
  cursor.line.style.left = `${stop.x}px`;
  cursor.line.style.top = `${stop.top}px`;
  cursor.line.style.height = `${stop.bottom - stop.top}px`;
  cursor.tip.replaceChildren(
    h("p", { class: "tip-title" }, stop.title),
    ...stop.lines.map(([name, value, mark]) =>
      h(
        "p",
        { class: "tip-line" },
        h("span", { class: mark ? `key ${mark}` : null }, name),
        h("b", {}, value),
      ),
    ),
  );
  const space = place.clientWidth - cursor.tip.offsetWidth;
  cursor.tip.style.left = `${Math.max(0, Math.min(space, stop.x - cursor.tip.offsetWidth / 2))}px`;
}
