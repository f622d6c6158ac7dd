// One feature: training against a window, and how it came there.

import { get } from "../api.js";
import { historyChart } from "../charts/history.js";
import { sharesChart } from "../charts/shares.js";
import { h } from "../dom.js";
import { figure, named, sentence, share, stretch, time, times } from "../format.js";
import { findingsTable } from "../findings.js";
import { start } from "../page.js";
import { card, empty, heading, inNumbers, table } from "../parts.js";

const name = document.body.dataset.subject;
const ORDER = ["jensen_shannon", "psi", "wasserstein", "ks", "chi_squared"];
const view = { window: new URLSearchParams(location.search).get("window"), test: null };

start({
  async load(signal) {
    const [feature, windows] = await Promise.all([
      get(`/v1/features/${encodeURIComponent(name)}`, { window: view.window }, signal),
      get("/v1/windows", { limit: 60, segment: "", state: "closed" }, signal),
    ]);
    const items = windows.items.filter((window) => !window.segment);
    const shown = view.window ?? feature.window?.id ?? items[0]?.id ?? null;
    const findings = shown
      ? await get(`/v1/windows/${encodeURIComponent(shown)}/findings`, {}, signal)
      : { items: [], window: null };
    return { feature, windows: items, shown, findings };
  },

  render({ feature, windows, shown, findings }) {
    const own = findings.items.filter((finding) => finding.feature === name);
    const title = news(own, shown);
    return {
      title,
      body: [
        h(
          "p",
          { class: "crumbs", "data-key": "crumbs" },
          h("a", { href: "/features" }, "Features"),
          " / ",
          h("span", {}, name),
        ),
        heading({
          eyebrow: feature.type,
          title,
          lead: lead(feature),
          aside: chooser(windows, shown),
        }),
        card(
          {
            key: "shares",
            title: "Training and this window",
            note: findings.window && windowNote(findings.window),
            wide: true,
          },
          sharesChart({ key: "shares-chart", feature }),
          inNumbers("shares", sharesTable(feature)),
        ),
        historyCard(feature, own),
        card(
          { key: "findings", title: "What was tested in this window", wide: true },
          own.length
            ? findingsTable(own, { linked: false })
            : empty({
                title: "Nothing was tested",
                text: "The window is too small, or not closed yet.",
              }),
        ),
      ],
    };
  },

  actions: {
    window(element, _, { refresh }) {
      view.window = element.value;
      history.replaceState(null, "", `?window=${encodeURIComponent(view.window)}`);
      refresh();
    },
    test(element, _, { paint }) {
      view.test = element.value;
      paint();
    },
  },
});

const rank = (test) => (ORDER.includes(test) ? ORDER.indexOf(test) : ORDER.length);

function news(findings, shown) {
  if (!shown) return `${name}: no window to compare with yet`;
  const flagged = findings.filter((finding) => finding.flagged);
  const drift = flagged.sort((a, b) => rank(a.test) - rank(b.test))[0];
  if (!drift) return `${name} looks like training`;
  if (drift.kind === "quality") return `${name}: ${drift.detail || named(drift.test)}`;
  return `${name} drifted: ${times(drift.value / drift.threshold)} its threshold`;
}

function lead(feature) {
  const nulls = feature.nulls ?? {};
  if (typeof nulls.reference !== "number") return null;
  const now = typeof nulls.current === "number" ? `, ${share(nulls.current)} in this window` : "";
  return `Missing values: ${share(nulls.reference)} in training${now}.`;
}

const windowNote = (window) => stretch(window.start, window.end);

const chooser = (windows, shown) =>
  windows.length > 0 &&
  h(
    "label",
    { class: "choose" },
    h("span", {}, "Window"),
    h(
      "select",
      { "data-action": "window", "data-on": "change" },
      windows.map((window) =>
        h(
          "option",
          { value: window.id, selected: String(window.id) === String(shown) },
          `${stretch(window.start, window.end)}${window.verdict ? ` · ${window.verdict}` : ""}`,
        ),
      ),
    ),
  );

function historyCard(feature, findings) {
  const tests = [...new Set((feature.history ?? []).map((entry) => entry.test))].sort(
    (a, b) => rank(a) - rank(b),
  );
  if (!tests.length) return null;
  const flagged = tests.find((one) =>
    findings.some((finding) => finding.flagged && finding.test === one),
  );
  const test = tests.includes(view.test) ? view.test : (flagged ?? tests[0]);
  const entries = feature.history.filter((entry) => entry.test === test);
  return card(
    { key: "history", title: "Distance from training over time", wide: true },
    tests.length > 1 && testChooser(tests, test),
    historyChart({ key: "history-chart", test, history: entries }),
    inNumbers("history", historyTable(entries)),
  );
}

const testChooser = (tests, chosen) =>
  h(
    "label",
    { class: "choose in-card" },
    h("span", {}, "Test"),
    h(
      "select",
      { "data-action": "test", "data-on": "change" },
      tests.map((test) =>
        h("option", { value: test, selected: test === chosen }, sentence(named(test))),
      ),
    ),
  );

const historyTable = (entries) =>
  table({
    caption: "Distance by window, newest first",
    columns: [
      { name: "Window" },
      { name: "Distance", number: true },
      { name: "Threshold", number: true },
      { name: "Finding" },
    ],
    rows: [...entries]
      .reverse()
      .map((entry) => [
        h("a", { href: `/windows/${encodeURIComponent(entry.window)}` }, time(entry.start)),
        figure(entry.value),
        figure(entry.threshold),
        entry.flagged ? "yes" : "no",
      ]),
  });

const sharesTable = (feature) =>
  table({
    caption: `Shares of ${name}`,
    columns: [
      { name: "Values" },
      { name: "Training", number: true },
      { name: "This window", number: true },
    ],
    rows: [
      ...feature.bins.map((bin, at) => [
        bin,
        share(feature.reference?.[at]),
        share(feature.current?.[at]),
      ]),
      ["missing", share(feature.nulls?.reference), share(feature.nulls?.current)],
    ],
  });
