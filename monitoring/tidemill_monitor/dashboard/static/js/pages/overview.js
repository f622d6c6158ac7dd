// The overview: how is the model, what happened, what is to be done.

import { get } from "../api.js";
import { performanceChart } from "../charts/performance.js";
import { h, icon } from "../dom.js";
import { ago, count, named, several, time } from "../format.js";
import { firstEvents } from "../first_events.js";
import { alertRow, decisionRow } from "../items.js";
import { levels, performanceTable } from "../levels.js";
import { start } from "../page.js";
import { card, code, empty, inNumbers, rows, windowLink } from "../parts.js";
import { readiness, tiles } from "../tiles.js";
import { headline, telling, tooSmall, verdictBadge, verdictOf } from "../verdicts.js";

const WINDOWS = 60;

start({
  async load(signal, status) {
    const [listed, alerts, decisions] = await Promise.all([
      get("/v1/windows", { limit: WINDOWS, segment: "" }, signal),
      get("/v1/alerts", { state: "open", limit: 5 }, signal),
      get("/v1/decisions", { limit: 4 }, signal),
    ]);
    const windows = listed.items.filter((window) => !window.segment).reverse();
    const about = telling(status.verdict, windows);
    const found = about
      ? await get(`/v1/windows/${encodeURIComponent(about.id)}/findings`, { flagged: true }, signal)
      : null;
    const quiet = !status.traffic?.rows_total;
    return {
      windows,
      about,
      alerts: alerts.items,
      decisions: decisions.items,
      findings: found?.items ?? [],
      example: quiet && status.champion ? await firstEvents(signal) : null,
    };
  },

  render(data) {
    const { status, windows } = data;
    const title = news(data);
    const judged = windows.filter((window) => window.state === "closed");
    return {
      title,
      body: [
        hero(data, title),
        question(status.new_normal),
        readiness(status),
        tiles(data),
        data.example ?? filling(status, judged),
        judged.length > 0 && performance(judged),
        h("div", { class: "columns", "data-key": "lists" }, alerts(data), decisions(data)),
      ],
    };
  },
});

function news({ status, windows, about, findings }) {
  if (!status.champion) return "There is no champion to watch yet";
  if (about) return headline(about, findings);
  if (status.serving?.returned)
    return `Version ${status.serving.version} serves again, its first window fills`;
  if (!status.traffic?.rows_total) return "Ready for the first events";
  return tooSmall(windows)?.title ?? "Collecting the first window";
}

function hero({ status, windows, about: window }, title) {
  const { tone, icon: name } = verdictOf(window?.verdict);
  return h(
    "header",
    { class: "hero", "data-key": "heading", "data-tone": tone },
    h("div", { class: "hero-icon" }, icon(name)),
    h(
      "div",
      { class: "hero-text" },
      h(
        "p",
        { class: "eyebrow" },
        status.model?.name ?? status.model ?? "model",
        window && verdictBadge(window.verdict),
      ),
      h("h1", {}, title),
      h("p", { class: "lead" }, window ? window.sentence : introduction(status, windows)),
      window &&
        h(
          "p",
          { class: "hero-meta" },
          windowLink(window),
          h("span", {}, rows(window.rows)),
          h(
            "span",
            {},
            window.labelled_rows ? `${count(window.labelled_rows)} labelled` : "no labels yet",
          ),
          window.judged_at && h("span", {}, "judged ", time(window.judged_at, ago)),
          status.serving?.returned &&
            h(
              "span",
              {},
              `version ${status.serving.version} serves again since `,
              time(status.serving.since, ago),
            ),
          window.id !== status.verdict.id && h("span", {}, "newer windows wait for labels"),
          succeeded(status, window) &&
            h(
              "span",
              {},
              `about version ${window.model_version}; version ${status.champion.version} serves now`,
            ),
        ),
    ),
  );
}

/** A break that persists: is it the new normal? With the two commands that answer. */
function question(asked) {
  if (!asked || asked.state !== "asked") return null;
  return card(
    { key: "new-normal", title: "Is this the new normal?" },
    h(
      "p",
      {},
      `The feed has looked broken for ${several(asked.windows, "window")} in a row. `,
      ...asked.faults.slice(0, 3).map((fault) => `${fault.detail} `),
    ),
    asked.acceptable && h("p", {}, "If it is, in the folder of the workspace:"),
    asked.acceptable && code(asked.commands.accept, "Command that accepts it"),
    h(
      "p",
      {},
      asked.acceptable ? "If it is not:" : "Until it is mended, in the folder of the workspace:",
    ),
    code(asked.commands.hold, "Command that holds it"),
  );
}

/** Whether another version serves than the one that the window speaks of. */
const succeeded = (status, window) =>
  status.champion && status.champion.version !== window.model_version;

const introduction = (status, windows) =>
  status.champion
    ? tooSmall(windows)?.text ??
      "A verdict follows when the first window closes: the live traffic is then compared with what the champion was trained on."
    : "Run the pipeline once (tidemill run): the first model that it registers becomes the champion.";

function filling(status, judged) {
  const open = status.open_window;
  if (judged.length || !status.champion) return null;
  return h(
    "section",
    { class: "card", "data-key": "filling" },
    empty({
      title: open ? `The first window holds ${rows(open.rows)}` : "Waiting for the first window",
      text: open?.min_rows
        ? `Below ${rows(open.min_rows)} nothing is concluded. It closes when it is full or its time is over.`
        : "It closes when it is full or its time is over (monitoring.window in params.yaml).",
    }),
  );
}

function performance(windows) {
  const at = levels(windows);
  return card(
    {
      key: "performance",
      title: at.metric ? `${named(at.metric)} by window` : "Windows",
      link: { href: "/performance", word: "Performance" },
      wide: true,
    },
    performanceChart({ key: "performance-chart", windows, levels: at, height: 280 }),
    inNumbers("performance", performanceTable(windows)),
  );
}

const alerts = ({ alerts: items, status }) =>
  card(
    {
      key: "alerts",
      title: status.open_alerts ? several(status.open_alerts, "open alert") : "No open alerts",
      link: { href: "/alerts", word: "All alerts" },
    },
    items.length
      ? h(
          "ul",
          { class: "items" },
          items.map((item) => alertRow(item, { brief: true })),
        )
      : empty({
          icon: "healthy",
          title: "All quiet",
          text: "Rules in params.yaml (monitoring.alerts) say what is worth an alert.",
        }),
  );

const decisions = ({ decisions: items }) =>
  card(
    {
      key: "decisions",
      title: "Last decisions",
      link: { href: "/decisions", word: "All decisions" },
    },
    items.length
      ? h(
          "ul",
          { class: "items" },
          items.map((item) => decisionRow(item, { brief: true })),
        )
      : empty({
          icon: "decisions",
          title: "Nothing decided yet",
          text: "Harm in enough windows leads to a decision; drift alone does not.",
        }),
  );
