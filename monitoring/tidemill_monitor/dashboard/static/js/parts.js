// The pieces that pages are made of.

import { h, icon } from "./dom.js";
import { count, stretch, time } from "./format.js";

/** The page's news: one h1, what leads up to it and what follows. */
export const heading = ({ eyebrow, title, lead, aside }) =>
  h(
    "header",
    { class: "heading", "data-key": "heading" },
    h(
      "div",
      {},
      eyebrow && h("p", { class: "eyebrow" }, eyebrow),
      h("h1", {}, title),
      lead && h("p", { class: "lead" }, lead),
    ),
    aside && h("div", { class: "heading-aside" }, aside),
  );

/** A titled part of a page. */
export const card = ({ key, title, note, link, wide, classes = "" }, ...body) =>
  h(
    "section",
    {
      class: `card ${wide ? "wide" : ""} ${classes}`.trim(),
      "data-key": key,
      "aria-labelledby": `${key}-title`,
    },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: `${key}-title` }, title),
      note && h("p", { class: "card-note" }, note),
      link && h("a", { class: "card-link", href: link.href }, link.word, icon("next")),
    ),
    ...body,
  );

/** One figure with its name and what puts it into proportion. */
export const tile = ({ key, name, value, note, href, tone, picture }) =>
  h(
    href ? "a" : "div",
    { class: "tile", href, "data-key": key, "data-tone": tone },
    h("span", { class: "tile-name" }, name),
    h("span", { class: "tile-value" }, value),
    note && h("span", { class: "tile-note" }, note),
    picture,
  );

/** Nothing there: say why, and what to do next. */
export const empty = ({ title, text, body, icon: name = "waiting" }) =>
  h(
    "div",
    { class: "empty" },
    icon(name, "empty-icon"),
    h("p", { class: "empty-title" }, title),
    text && h("p", {}, text),
    body,
  );

/** Code with a button that copies it. */
export const code = (text, name) =>
  h(
    "div",
    { class: "code" },
    h("pre", { tabindex: "0", role: "region", "aria-label": name }, h("code", {}, text)),
    h(
      "button",
      { type: "button", "data-action": "copy", "aria-label": `Copy: ${name}` },
      icon("copy"),
      h("span", {}, "Copy"),
    ),
  );

/** A table that becomes a list of cards on a phone. Cells are values, nodes or lists of them. */
export function table({ caption, columns, rows, keys = [], classes = "", hideCaption = true }) {
  const cell = (value, at) =>
    h(
      at === 0 ? "th" : "td",
      {
        scope: at === 0 ? "row" : null,
        role: at === 0 ? "rowheader" : "cell",
        class: columns[at].number ? "number" : null,
        "data-label": columns[at].name,
      },
      value,
    );
  return h(
    "table",
    { class: `table ${classes}`.trim(), role: "table" },
    h("caption", { class: hideCaption ? "unseen" : null }, caption),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        columns.map((column) =>
          h(
            "th",
            { scope: "col", role: "columnheader", class: column.number ? "number" : null },
            column.name,
          ),
        ),
      ),
    ),
    h(
      "tbody",
      { role: "rowgroup" },
      rows.map((row, at) => h("tr", { role: "row", "data-key": keys[at] ?? null }, row.map(cell))),
    ),
  );
}

/** The same as a chart, in words and numbers. */
export const inNumbers = (key, content) =>
  h(
    "details",
    { class: "numbers", "data-key": `${key}-numbers` },
    h("summary", {}, "Show as a table"),
    content,
  );

/** A link to a window, named by its time. */
export const windowLink = (window) =>
  h(
    "a",
    { href: `/windows/${encodeURIComponent(window.id)}` },
    window.start && window.end ? stretch(window.start, window.end) : time(window.start),
  );

/** A link that leaves the monitor. */
export const outLink = (href, word) =>
  href
    ? h("a", { class: "out", href, rel: "noreferrer", target: "_blank" }, word, icon("out"))
    : null;

/** Pairs of a name and a value. */
export const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

/** Choices that are links in appearance and buttons in truth. */
export const choices = ({ name, action, chosen, options }) =>
  h(
    "div",
    { class: "choices", role: "group", "aria-label": name },
    options.map(([value, word]) =>
      h(
        "button",
        {
          type: "button",
          "data-action": action,
          "data-value": value,
          "data-key": `${action}-${value}`,
          "aria-pressed": String(value === chosen),
        },
        word,
      ),
    ),
  );

/** A button that asks the monitor to do something; see `send` in page.js. */
export const command = ({ word, path, told, ask, icon: name, kind = "" }) =>
  h(
    "button",
    {
      type: "button",
      class: kind,
      "data-action": "post",
      "data-path": path,
      "data-told": told,
      "data-ask": ask,
    },
    name && icon(name),
    word,
  );

export const rows = (n) => `${count(n)} ${n === 1 ? "row" : "rows"}`;
