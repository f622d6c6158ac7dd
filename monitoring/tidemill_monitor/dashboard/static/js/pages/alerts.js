// Alerts: one line an incident, acknowledged or resolved here.

import { get } from "../api.js";
import { h } from "../dom.js";
import { several } from "../format.js";
import { alertRow } from "../items.js";
import { start } from "../page.js";
import { choices, empty, heading } from "../parts.js";

const view = { state: "open" };

start({
  async load(signal) {
    const state = view.state === "all" ? null : view.state;
    return { alerts: (await get("/v1/alerts", { state, limit: 100 }, signal)).items };
  },

  render({ alerts, status }) {
    const open = status.open_alerts ?? 0;
    const title = open
      ? `${several(open, "alert")} ${open === 1 ? "is" : "are"} open`
      : "No alert is open";
    return {
      title,
      body: [
        heading({
          eyebrow: "Alerts",
          title,
          lead: "One incident is told once. Acknowledge what you look after; it resolves by itself when the windows recover.",
          aside: choices({
            name: "Which alerts",
            action: "state",
            chosen: view.state,
            options: [
              ["open", "Open"],
              ["resolved", "Resolved"],
              ["all", "All"],
            ],
          }),
        }),
        h(
          "section",
          { class: "card wide", "data-key": "alerts", "aria-label": "Alerts" },
          alerts.length
            ? h(
                "ul",
                { class: "items" },
                alerts.map((alert) => alertRow(alert)),
              )
            : nothing(),
        ),
      ],
    };
  },

  actions: {
    state(element, _, { refresh }) {
      view.state = element.dataset.value;
      refresh();
    },
  },
});

const nothing = () =>
  empty({
    icon: "healthy",
    title: view.state === "open" ? "All quiet" : "None here",
    text: "What is worth an alert, and who hears of it, is told by monitoring.alerts in params.yaml.",
  });
