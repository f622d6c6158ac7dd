// Decisions: why a retraining was started, or was not, with the evidence of the moment.

import { get } from "../api.js";
import { h } from "../dom.js";
import { decisionRow } from "../items.js";
import { start } from "../page.js";
import { empty, heading } from "../parts.js";

const view = { before: [] };

start({
  async load(signal) {
    const first = await get("/v1/decisions", { limit: 30 }, signal);
    const items = [...first.items];
    let next = first.next;
    for (let page = 0; next && page < view.before.length; page += 1) {
      const more = await get("/v1/decisions", { limit: 30, before: next }, signal);
      items.push(...more.items);
      next = more.next;
    }
    return { decisions: items, next };
  },

  render({ decisions, next, status }) {
    const title = news(status.open_decision, decisions);
    return {
      title,
      body: [
        heading({
          eyebrow: "Decisions",
          title,
          lead: "Harm in enough windows opens one decision for a champion. A retrained challenger takes over only if it proves better on live rows that it never learnt from.",
        }),
        h(
          "section",
          { class: "card wide", "data-key": "decisions", "aria-label": "Decisions" },
          decisions.length
            ? h(
                "ul",
                { class: "items" },
                decisions.map((decision) => decisionRow(decision)),
              )
            : nothing(),
          next &&
            h(
              "button",
              { type: "button", class: "more", "data-action": "more" },
              "Show older ones",
            ),
        ),
      ],
    };
  },

  actions: {
    more(_, __, { refresh }) {
      view.before.push(true);
      refresh();
    },
  },
});

const NEWS = {
  "awaiting approval": "A retraining waits for approval",
  approved: "A retraining is approved and about to start",
  started: "A challenger is being trained",
};

function news(open, decisions) {
  if (open) return NEWS[open.state] ?? "A decision is open";
  const last = decisions[0];
  if (!last) return "Nothing has been decided yet";
  if (last.state === "finished" && last.promoted)
    return `Version ${last.challenger_version} took over after the last retraining`;
  if (last.state === "finished") return "The last retraining is finished";
  if (last.state === "failed") return "The last retraining failed";
  if (last.state === "stopped") return "The last retraining was stopped";
  return "No decision is open";
}

const nothing = () =>
  empty({
    icon: "decisions",
    title: "No reason to retrain so far",
    text: "The policy stands in params.yaml (monitoring.retraining): how many harmed windows, how many labels, and whether a person approves.",
  });
