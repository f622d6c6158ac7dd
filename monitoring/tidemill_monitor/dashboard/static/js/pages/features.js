// Features by windows: how far each was from training, relative to its threshold.

import { get } from "../api.js";
import { heatmap, heatmapKeys } from "../heatmap.js";
import { h } from "../dom.js";
import { listed, several } from "../format.js";
import { start } from "../page.js";
import { card, choices, empty, heading } from "../parts.js";
import { tooSmall } from "../verdicts.js";

const LABEL = 190;
const CELL = 30;
const ROOMY = 60;
const ROWS = 60;
const view = { only: "all", text: "", all: false, cell: null };

start({
  wide: true,

  async load(signal) {
    const map = await get("/v1/heatmap", { limit: 60, test: "furthest" }, signal);
    if (map.values.some((row) => row.some(isCompared))) return { map, windows: [] };
    const closed = { limit: 60, segment: "", state: "closed" };
    return { map, windows: (await get("/v1/windows", closed, signal)).items };
  },

  render({ map, windows }) {
    const title = news(map);
    if (!map.windows.length || tooSmall(windows))
      return { title, body: [heading({ title }), nothing(windows)] };
    const main = document.getElementById("main");
    const width = main.clientWidth - parseFloat(getComputedStyle(main).paddingLeft) * 2;
    const longest = Math.max(...map.features.map((name) => name.length));
    const label = Math.min(width < 560 ? 104 : LABEL, 20 + longest * 7);
    const room = width - label - (width < 560 ? 38 : 64);
    const columns = Math.max(4, Math.floor(room / CELL));
    const found = order(map).filter((row) => wanted(row));
    const shown = view.all ? found : found.slice(0, ROWS);
    return {
      title,
      body: [
        heading({
          eyebrow: "Features",
          title,
          lead: "Each cell is a feature in a window: how far it is from training, beside its threshold. Beyond 1× it is a finding.",
        }),
        card(
          {
            key: "map",
            title: "Features by windows",
            note: several(map.windows.length, "window"),
            wide: true,
          },
          filters(map),
          shown.length
            ? heatmap(map, shown, {
                columns,
                active: view.cell,
                roomy: room / map.windows.length >= ROOMY,
              })
            : empty({
                icon: "healthy",
                title: "No feature fits",
                text: "Choose all features, or another word.",
              }),
          found.length > shown.length &&
            h(
              "button",
              { type: "button", class: "more", "data-action": "all" },
              `Show all ${found.length} features`,
            ),
        ),
      ],
    };
  },

  actions: {
    only(element, _, { paint }) {
      view.only = element.dataset.value;
      paint();
    },
    find(element, _, { paint }) {
      view.text = element.value.toLowerCase();
      paint();
    },
    all(_, __, { paint }) {
      view.all = true;
      paint();
    },
  },

  keys: (event, { paint }) => heatmapKeys(event, view, paint),
});

const last = (row) => row.values.at(-1);

const isCompared = (cell) => typeof cell === "number";

function news(map) {
  if (!map.windows.length) return "No window to compare with training yet";
  const beyond = map.features.filter((_, at) => (map.values[at].at(-1) ?? 0) > 1);
  const compared = map.values.filter((row) => isCompared(row.at(-1))).length;
  if (!compared) return "No column is compared in the last window";
  if (!beyond.length) return `${several(compared, "column")} compared, all look like training`;
  return `${listed(beyond)} ${beyond.length === 1 ? "has" : "have"} drifted in the last window`;
}

/** First what is beyond its threshold now, then what was, then the rest; the furthest first. */
function order(map) {
  return map.features
    .map((name, at) => ({ name, values: map.values[at] }))
    .sort((a, b) => rank(b) - rank(a) || a.name.localeCompare(b.name));
}

function rank(row) {
  const now = last(row) ?? -1;
  const most = Math.max(...row.values.map((value) => value ?? -1));
  return now > 1 ? 2000 + now : most > 1 ? 1000 + Math.min(most, 900) : now;
}

const wanted = (row) =>
  row.name.toLowerCase().includes(view.text) &&
  (view.only === "all" || row.values.some((value) => value > 1));

const filters = (map) =>
  h(
    "div",
    { class: "filters" },
    h(
      "label",
      { class: "find" },
      h("span", { class: "unseen" }, "Find a feature"),
      h("input", {
        type: "search",
        "data-action": "find",
        "data-on": "input",
        placeholder: `Find one of ${map.features.length} features`,
      }),
    ),
    choices({
      name: "Which features",
      action: "only",
      chosen: view.only,
      options: [
        ["all", "All"],
        ["flagged", "Beyond the threshold"],
      ],
    }),
  );

const nothing = (windows) =>
  h(
    "section",
    { class: "card", "data-key": "nothing" },
    empty({
      title: tooSmall(windows)?.title ?? "The first window is not closed yet",
      text:
        tooSmall(windows)?.text ??
        "Send events; when a window closes, every feature is compared with what the champion was trained on.",
      body: h("a", { class: "button", href: "/" }, "How to send the first events"),
    }),
  );
