// The overview's figures: champion, traffic, alerts, retraining; and what the monitor cannot do.

import { bars } from "./charts/bars.js";
import { h, icon } from "./dom.js";
import { compact, count, figure, named, time } from "./format.js";
import { tile } from "./parts.js";

/** What the monitor cannot do at the moment; nothing where all is well. */
export function readiness(status) {
  const parts = status.readiness?.parts ?? [];
  const bad = parts.filter((part) => part.ok === false);
  const trouble = status.champion?.trouble;
  if (!bad.length && !trouble) return null;
  const line = (name, detail, remedy) =>
    h(
      "li",
      { "data-key": `part-${name}` },
      h("b", {}, name),
      " ",
      detail,
      remedy && h("span", { class: "remedy" }, remedy),
    );
  return h(
    "section",
    { class: "unready", "data-key": "unready", "aria-labelledby": "unready-title" },
    icon("suspected"),
    h(
      "div",
      {},
      h("h2", { id: "unready-title" }, "What the monitor cannot do right now"),
      h(
        "ul",
        {},
        trouble &&
          line(
            "champion",
            `${trouble} The version before goes on serving.`,
            status.champion.trouble_remedy,
          ),
        bad.map((part) => line(part.name, part.detail ?? "does not answer", part.remedy)),
      ),
    ),
  );
}

/** The four figures of the overview. */
export function tiles({ status, windows }) {
  const { champion, traffic } = status;
  const unfolded = (status.unfolded?.rows ?? 0) + (status.unfolded?.labels ?? 0);
  const held = champion?.held;
  return h(
    "div",
    { class: "tiles", "data-key": "tiles" },
    tile({
      key: "tile-champion",
      name: "Champion",
      href: "/models",
      value: champion ? `Version ${champion.version}` : "None",
      note: champion
        ? [
            typeof held === "number" && `${named(champion.metric)} ${figure(held)} held out · `,
            "serves since ",
            time(champion.since),
          ]
        : "no version serves",
    }),
    tile({
      key: "tile-traffic",
      name: "Traffic",
      value: [compact(traffic?.rows_last_hour ?? 0), h("small", {}, " rows in the last hour")],
      note: [
        `${count(traffic?.rows_total ?? 0)} in all`,
        unfolded > 0 && ` · ${count(unfolded)} could not be folded`,
      ],
      picture:
        windows.length > 1 &&
        bars({
          key: "traffic",
          label: "Rows in each window, oldest first.",
          values: windows.map((window) => window.rows),
          open: windows.at(-1).state === "open",
        }),
    }),
    tile({
      key: "tile-alerts",
      name: "Open alerts",
      href: "/alerts",
      value: count(status.open_alerts ?? 0),
      note: status.open_alerts ? "somebody should look" : "nobody needs to act",
      tone: status.open_alerts ? "bad" : null,
    }),
    decisionTile(status.open_decision),
  );
}

const DOING = {
  "awaiting approval": ["To approve", "a retraining waits for you"],
  approved: ["Approved", "Prefect will start it"],
  started: ["Running", "a challenger is being trained"],
};

function decisionTile(open) {
  const [value, note] =
    DOING[open?.state] ??
    (open ? [open.state, open.reason] : ["None open", "no reason to retrain"]);
  return tile({
    key: "tile-decision",
    name: "Retraining",
    href: "/decisions",
    value,
    note,
    tone: open?.state === "awaiting approval" ? "warn" : null,
  });
}
