// Elements from values. Text becomes text nodes and nothing is ever parsed as HTML, so a hostile
// feature name is only ever a name.

const SVG = "http://www.w3.org/2000/svg";
const SPRITE = new URL("../icons.svg", import.meta.url).href;

/** Make an HTML element; null, undefined and false leave a property or a child out. */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** Make an SVG element. */
export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/** One of the icons of icons.svg; it is decoration, words stand beside it. */
export function icon(name, classes = "") {
  return svg(
    "svg",
    { class: `icon ${classes}`.trim(), "aria-hidden": "true" },
    svg("use", { href: `${SPRITE}#${name}` }),
  );
}

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") || name === "style") throw new TypeError(`${name} is not for h()`);
    if (name === "href" && !addressable(value)) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : String(child));
  }
}

/** True of addresses that a link may have: http, https, or a place here. */
export function addressable(value) {
  try {
    return ["http:", "https:"].includes(new URL(String(value), location.href).protocol);
  } catch {
    return false;
  }
}

const key = (node) => node.dataset?.key ?? "";
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

/**
 * Change `live` into `next`, keeping every node that can stay.
 *
 * Focus, scroll, opened details and what was typed survive. Children with `data-key` are told
 * apart by it; what lies inside `data-own` belongs to somebody else (a chart) and is left alone.
 */
export function morph(live, next) {
  const focused = document.activeElement;
  change(live, next);
  if (focused?.isConnected && focused !== document.activeElement) {
    focused.focus({ preventScroll: true });
  }
}

function change(live, next) {
  if (live.nodeType === Node.TEXT_NODE) {
    if (live.data !== next.data) live.data = next.data;
    return;
  }
  attributes(live, next);
  if (!next.hasAttribute("data-own")) descend(live, next);
}

function attributes(live, next) {
  for (const { name } of [...live.attributes]) {
    if (name === "open" || next.hasAttribute(name)) continue; // the reader opened it
    live.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (live.getAttribute(name) !== value) live.setAttribute(name, value);
  }
}

function descend(live, next) {
  const wanted = new Set([...next.children].map(key).filter(Boolean));
  for (const child of [...live.children]) {
    if (key(child) && !wanted.has(key(child))) child.remove();
  }
  const known = new Map([...live.children].map((child) => [key(child), child]));
  let cursor = live.firstChild;
  for (const want of [...next.childNodes]) {
    const same = key(want) ? known.get(key(want)) : cursor;
    if (same && alike(same, want)) {
      if (same === cursor) cursor = cursor.nextSibling;
      else live.insertBefore(same, cursor);
      change(same, want);
    } else {
      live.insertBefore(want, cursor);
    }
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}
