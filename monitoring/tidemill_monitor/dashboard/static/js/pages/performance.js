// Performance: what labels measured, what was estimated before they came, and where harm begins.

import { get } from "../api.js";
import { performanceChart } from "../charts/performance.js";
import { h } from "../dom.js";
import { figure, lowerIsBetter, named, sentence, several } from "../format.js";
import { bandOf, between, levels, performanceTable, spreadOf } from "../levels.js";
import { start } from "../page.js";
import { card, empty, heading, tile } from "../parts.js";

const LIMIT = 200;
const SHOWN = 60;
const FEW = 20;
const view = { segment: "", all: false };

start({
  async load(signal) {
    const [whole, every] = await Promise.all([
      get("/v1/windows", { limit: SHOWN, segment: view.segment, state: "closed" }, signal),
      get("/v1/windows", { limit: LIMIT, state: "closed" }, signal),
    ]);
    return {
      windows: whole.items.filter((window) => (window.segment ?? "") === view.segment).reverse(),
      segments: [...new Set(every.items.map((window) => window.segment ?? ""))].sort(),
    };
  },

  render({ windows, segments }) {
    const at = levels(windows);
    const title = news(windows, at);
    return {
      title,
      body: [
        heading({ eyebrow: "Performance", title, lead: lead(at), aside: chooser(segments) }),
        windows.length ? tiles(windows) : nothing(),
        windows.length > 0 &&
          card(
            {
              key: "chart",
              title: at.metric ? `${named(at.metric)} by window` : "Windows",
              note: several(windows.length, "window"),
              wide: true,
            },
            performanceChart({ key: "performance-chart", windows, levels: at, height: 360 }),
          ),
        windows.length > 0 &&
          card(
            { key: "table", title: "Window by window", wide: true },
            performanceTable(view.all ? windows : windows.slice(-FEW)),
            windows.length > FEW &&
              !view.all &&
              h(
                "button",
                { type: "button", class: "more", "data-action": "all" },
                `Show all ${windows.length} windows`,
              ),
          ),
      ],
    };
  },

  actions: {
    all(_, __, { paint }) {
      view.all = true;
      paint();
    },
    segment(element, _, { refresh }) {
      view.segment = element.value;
      refresh();
    },
  },
});

const newest = (windows, name) =>
  [...windows].reverse().find((window) => typeof window.performance?.[name] === "number");

function news(windows, { metric }) {
  if (!windows.length) return "No window has been judged yet";
  const window = newest(windows, "measured");
  if (!window) {
    const guess = newest(windows, "estimated");
    return guess
      ? `No labels yet; ${named(metric)} is estimated at ${figure(guess.performance.estimated)}`
      : labelled(windows)
        ? "Labels have come, and no window has enough of them"
        : "No labels yet, and no estimate";
  }
  const { measured } = window.performance;
  const verdict = window.verdict === "broken feed" ? window.harm : window.verdict;
  if (verdict === "suspected harm")
    return `${sentence(named(metric))} is ${figure(measured)}, and harm is suspected`;
  if (verdict !== "confirmed harm")
    return `${sentence(named(metric))} holds at ${figure(measured)}`;
  return `${sentence(named(metric))} ${lowerIsBetter(metric) ? "rose" : "fell"} to ${figure(measured)}: beyond the level of harm`;
}

const labelled = (windows) => windows.some((window) => window.labelled_rows > 0);

const lead = ({ metric, held, harm }) =>
  metric && typeof held === "number"
    ? `On held-out rows the champion reached ${figure(held)}. ${lowerIsBetter(metric) ? "Above" : "Below"} ${figure(harm)} a window counts as harmed (monitoring.harm.max_loss).`
    : "Labels are matched with predictions by event id; until they come, the figure is estimated from the scores.";

/** Outputs beyond known territory, or an estimate that was wrong too often. */
const doubted = (window) =>
  window.performance.estimate_trusted === false ? ", not trusted" : "";

function tiles(windows) {
  const measured = newest(windows, "measured");
  const estimated = newest(windows, "estimated");
  const bad = windows.filter((window) => window.verdict === "confirmed harm").length;
  const spread = spreadOf(measured?.performance);
  const band = bandOf(estimated?.performance);
  return h(
    "div",
    { class: "tiles three", "data-key": "tiles" },
    tile({
      key: "measured",
      name: "Measured last",
      value: figure(measured?.performance.measured),
      note: measured
        ? `${spread[0] === null ? "" : `${between(spread)} `}on ${several(measured.labelled_rows, "labelled row")}`
        : labelled(windows)
          ? "too few labels in every window"
          : "labels have not come",
    }),
    tile({
      key: "estimated",
      name: "Estimated last",
      value: figure(estimated?.performance.estimated),
      note: band[0] === null ? "no estimate" : `${between(band)}${doubted(estimated)}`,
    }),
    tile({
      key: "harmed",
      name: "Harmed windows",
      value: String(bad),
      note: `of ${windows.length} shown`,
      tone: bad ? "bad" : null,
    }),
  );
}

const chooser = (segments) =>
  segments.length > 1 &&
  h(
    "label",
    { class: "choose" },
    h("span", {}, "Traffic"),
    h(
      "select",
      { "data-action": "segment", "data-on": "change" },
      segments.map((segment) =>
        h("option", { value: segment, selected: segment === view.segment }, segment || "all"),
      ),
    ),
  );

const nothing = () =>
  h(
    "section",
    { class: "card", "data-key": "nothing" },
    empty({
      icon: "performance",
      title: "Nothing to measure yet",
      text: "Performance is measured when labels arrive: POST /v1/labels with the event's id and the truth.",
      body: h("a", { class: "button", href: "/" }, "How to send the first events"),
    }),
  );
