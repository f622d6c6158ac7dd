// One alert and one decision, as rows of lists.

import { mayOperate } from "./api.js";
import { h } from "./dom.js";
import { evidenceOf } from "./evidence.js";
import { ago, sentence, time } from "./format.js";
import { command, facts, outLink } from "./parts.js";
import { stateBadge } from "./verdicts.js";

/** An alert; with buttons unless it is resolved. */
export function alertRow(alert, { brief = false } = {}) {
  const open = alert.state !== "resolved";
  const path = (verb) => `/v1/alerts/${encodeURIComponent(alert.id)}/${verb}`;
  return h(
    "li",
    { class: "item", "data-key": `alert-${alert.id}`, "data-form": true },
    h(
      "div",
      { class: "item-top" },
      stateBadge(open ? alert.severity : "resolved"),
      alert.state === "acknowledged" && stateBadge("acknowledged"),
      h("span", { class: "item-name" }, alert.rule, alert.segment && ` · ${alert.segment}`),
      h("span", { class: "item-time" }, time(alert.opened_at, ago)),
    ),
    h("p", { class: "item-text" }, alert.sentence ?? alert.title),
    !brief && alertFacts(alert),
    h(
      "div",
      { class: "item-do" },
      open && mayOperate() && !brief && noteField(alert.id),
      open && mayOperate() && h("div", { class: "buttons" }, alertButtons(alert, path)),
      brief && alert.window_id && windowOf(alert),
    ),
  );
}

const windowOf = (item) =>
  h("a", { href: `/windows/${encodeURIComponent(item.window_id)}` }, "See the window");

const alertButtons = (alert, path) => [
  alert.state === "open" &&
    command({
      word: "Acknowledge",
      icon: "done",
      path: path("acknowledge"),
      told: "Alert acknowledged",
    }),
  command({ word: "Resolve", path: path("resolve"), told: "Alert resolved" }),
];

const alertFacts = (alert) =>
  facts([
    ["Since", time(alert.opened_at)],
    ["Window", alert.window_id && windowOf(alert)],
    [
      "Acknowledged",
      alert.acknowledged_at && [time(alert.acknowledged_at), by(alert.acknowledged_by)],
    ],
    ["Resolved", alert.resolved_at && [time(alert.resolved_at), by(alert.resolved_by)]],
    ["Note", alert.note],
  ]);

const by = (who) => (who ? ` by ${who}` : "");

const noteField = (id) =>
  h(
    "label",
    { class: "note", "data-key": `note-${id}` },
    h("span", {}, "Note"),
    h("input", { type: "text", maxlength: "500", placeholder: "optional" }),
  );

/** A decision; in full with its evidence, and buttons while a person can change its course. */
export function decisionRow(decision, { brief = false } = {}) {
  const buttons = mayOperate() ? decisionButtons(decision) : [];
  return h(
    "li",
    { class: "item", "data-key": `decision-${decision.id}`, "data-form": true },
    h(
      "div",
      { class: "item-top" },
      stateBadge(decision.state),
      h("span", { class: "item-name" }, action(decision)),
      h("span", { class: "item-time" }, time(decision.opened_at, ago)),
    ),
    h("p", { class: "item-text" }, sentence(decision.reason)),
    outcome(decision.outcome),
    !brief && decisionFacts(decision),
    !brief && evidence(decision),
    buttons.length > 0 &&
      h(
        "div",
        { class: "item-do" },
        !brief && noteField(decision.id),
        h("div", { class: "buttons" }, buttons),
      ),
  );
}

const ACTIONS = { fire: "Retrain", hold: "Hold", suppress: "Do not retrain" };
const action = ({ action: name, champion_version: version }) =>
  `${ACTIONS[name] ?? name}${version ? ` · champion version ${version}` : ""}`;

function outcome(value) {
  const text = typeof value === "string" ? value : (value?.said ?? value?.sentence ?? value?.error);
  return text ? h("p", { class: "item-outcome" }, sentence(text)) : null;
}

function decisionButtons(decision) {
  const path = (verb) => `/v1/decisions/${encodeURIComponent(decision.id)}/${verb}`;
  if (decision.state === "approved" || decision.state === "started")
    return [
      command({
        word: "Stop retraining",
        path: path("stop"),
        told: "Retraining stopped; Prefect calls its flow run off",
        ask: "Stop this retraining? Its flow run is called off and not tried again; its labelled rows go to the next one.",
      }),
    ];
  if (decision.state !== "awaiting approval") return [];
  return [
    command({
      word: "Approve retraining",
      icon: "done",
      kind: "primary",
      path: path("approve"),
      told: "Approved; Prefect starts the retraining",
      ask: "Start the retraining? Its challenger takes over only if it proves better on labelled live rows and holds on the frozen test rows.",
    }),
    command({
      word: "Reject",
      path: path("reject"),
      told: "Decision rejected",
      ask: "Reject this retraining? The champion stays as it is.",
    }),
  ];
}

const decisionFacts = (decision) =>
  facts([
    ["Opened", time(decision.opened_at)],
    ["Closed", decision.closed_at && time(decision.closed_at)],
    ["Challenger", decision.challenger_version && `version ${decision.challenger_version}`],
    [
      "Promoted",
      typeof decision.promoted === "boolean"
        ? decision.promoted
          ? "yes"
          : "no, the champion stays"
        : null,
    ],
    ["Attempt", decision.attempt > 1 ? decision.attempt : null],
    ["By", decision.decided_by],
    ["Note", decision.note],
    ["Flow run", decision.flow_run_url && outLink(decision.flow_run_url, "Open in Prefect")],
  ]);

function evidence({ id, evidence: value }) {
  if (!value || !Object.keys(value).length) return null;
  return h(
    "details",
    { class: "evidence", "data-key": `evidence-${id}` },
    h("summary", {}, "Evidence"),
    evidenceOf(value),
  );
}
