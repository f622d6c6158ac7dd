// One window: its verdict, the sentence that says why, and every finding.

import { get } from "../api.js";
import { h, icon } from "../dom.js";
import { count, figure, named, stretch, time } from "../format.js";
import { findingsTable } from "../findings.js";
import { bandOf, between, spreadOf } from "../levels.js";
import { start } from "../page.js";
import { card, choices, empty, facts, heading } from "../parts.js";
import { headline, verdictBadge } from "../verdicts.js";

const id = document.body.dataset.subject;
const view = { kind: "flagged" };

start({
  async load(signal) {
    return get(`/v1/windows/${encodeURIComponent(id)}/findings`, { limit: 5000 }, signal);
  },

  render({ window, items }) {
    const title =
      window.state === "open" ? "This window is still filling" : headline(window, items);
    const shown = view.kind === "flagged" ? items.filter((finding) => finding.flagged) : items;
    return {
      title,
      body: [
        h(
          "p",
          { class: "crumbs", "data-key": "crumbs" },
          h("a", { href: "/performance" }, "Windows"),
          " / ",
          stretch(window.start, window.end),
        ),
        heading({
          eyebrow: verdictBadge(window.verdict),
          title,
          lead: window.sentence || why(window),
        }),
        card({ key: "facts", title: "The window", wide: true }, about(window)),
        card(
          {
            key: "findings",
            title: "Findings",
            note: `${count(items.filter((f) => f.flagged).length)} of ${count(items.length)} tests`,
            wide: true,
          },
          items.length > 0 &&
            choices({
              name: "Which findings",
              action: "kind",
              chosen: view.kind,
              options: [
                ["flagged", "Beyond the threshold"],
                ["all", "All tests"],
              ],
            }),
          shown.length ? findingsTable(shown) : none(items),
        ),
      ],
    };
  },

  actions: {
    kind(element, _, { paint }) {
      view.kind = element.dataset.value;
      paint();
    },
  },
});

const why = (window) =>
  window.state === "open"
    ? "It is judged when it closes."
    : "Nothing is concluded: the window has too few rows (monitoring.window.min_rows).";

function about(window) {
  const { metric, measured, estimated, harm } = window.performance ?? {};
  const within = (range) => (range[0] === null ? "" : ` (${between(range)})`);
  return facts([
    ["Began", time(window.start)],
    ["Ended", time(window.end)],
    ["Closed", window.closed_at ? time(window.closed_at) : "still open"],
    ["Traffic", window.segment || "all"],
    ["Champion", window.model_version && `version ${window.model_version}`],
    ["Rows", count(window.rows)],
    ["Came too late", window.late_rows ? count(window.late_rows) : null],
    ["Labelled", count(window.labelled_rows)],
    [
      `${named(metric)} measured`,
      typeof measured === "number" ? figure(measured) + within(spreadOf(window.performance)) : null,
    ],
    [
      `${named(metric)} estimated`,
      typeof estimated === "number" ? figure(estimated) + within(bandOf(window.performance)) : null,
    ],
    ["Harm begins at", typeof harm === "number" ? figure(harm) : null],
  ]);
}

const none = (items) =>
  items.length
    ? empty({
        icon: "healthy",
        title: "Nothing beyond its threshold",
        text: "All tests of this window are fine.",
      })
    : empty({
        title: "Nothing was tested",
        text: "The window is still open, or too small to conclude anything.",
      });
