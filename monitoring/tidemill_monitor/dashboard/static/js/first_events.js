// Before the first event: a command that works, with plausible values of this model's features.

import { get } from "./api.js";
import { h } from "./dom.js";
import { code } from "./parts.js";

const MOST_ASKED = 80;

let known = null; // a reload of the page asks again

/** A card with three steps: a key, a first prediction, and what happens then. */
export async function firstEvents(signal) {
  known ??= await values(signal);
  return h(
    "section",
    { class: "card wide first", "data-key": "first", "aria-labelledby": "first-title" },
    h("h2", { id: "first-title" }, "Send the first events"),
    h(
      "ol",
      { class: "steps" },
      h(
        "li",
        {},
        h("p", {}, "In the folder of the workspace, make a key that may send events."),
        code(
          'export TIDEMILL_MONITOR_KEY="$(tidemill monitor keys create --name my-app --scope ingest)"',
          "Command that makes a key",
        ),
      ),
      h(
        "li",
        {},
        h(
          "p",
          {},
          "In the same terminal, ask for a prediction. The answer comes from the champion, and the event is kept.",
        ),
        code(command(known), "Command that asks for a prediction"),
      ),
      h(
        "li",
        {},
        h(
          "p",
          {},
          "This page changes by itself. Predictions made elsewhere go to ",
          h("code", {}, "/v1/events"),
          ", outcomes to ",
          h("code", {}, "/v1/labels"),
          ".",
        ),
      ),
    ),
  );
}

async function values(signal) {
  const { items } = await get("/v1/features", {}, signal);
  const asked = items.filter((item) => item.place !== "output").slice(0, MOST_ASKED);
  return Object.fromEntries(await Promise.all(asked.map((item) => typical(item, signal))));
}

async function typical({ name, type }, signal) {
  const feature = await get(`/v1/features/${encodeURIComponent(name)}`, {}, signal);
  return [name, type === "categorical" ? commonest(feature) : middle(feature, type)];
}

/** Categories come by their share; what is last may be "29 others", which is none. */
const commonest = ({ bins = [] }) => bins[0] ?? "a";

function middle({ edges = [] }, type) {
  const value = edges[Math.floor(edges.length / 2)] ?? 0;
  if (type === "datetime") return new Date().toISOString();
  return type === "boolean" ? false : value;
}

function command(features) {
  const body = JSON.stringify({ records: [{ event_id: "first-1", features }] }, null, 2);
  return [
    `curl ${location.origin}/v1/predict \\`,
    `  -H "Authorization: Bearer $TIDEMILL_MONITOR_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d @- <<'END'`,
    body,
    "END",
  ].join("\n");
}
