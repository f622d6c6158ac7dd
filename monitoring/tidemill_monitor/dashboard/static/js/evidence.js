// The evidence of a decision: its figures, the windows that it leans on, the policy of that day.

import { h } from "./dom.js";
import { count, figure, named, sentence, time } from "./format.js";
import { facts, table, windowLink } from "./parts.js";
import { verdictBadge } from "./verdicts.js";

/** @param {object} evidence  any JSON object; what is known is told better than what is not */
export function evidenceOf(evidence) {
  const {
    verdicts,
    policy,
    windows,
    harmed,
    needed,
    of,
    accused,
    labels_after,
    labels_through,
    ...rest
  } = evidence;
  const counted = Array.isArray(harmed) && Array.isArray(windows);
  return h(
    "div",
    { class: "evidence-body" },
    facts([
      ["Harmed windows", counted ? `${harmed.length} of the last ${windows.length}` : null],
      ["Needed", needed && of ? `${needed} of ${of}` : null],
      ["Confirmed by", Array.isArray(accused) && sentence(accused.map(named).join(", "))],
      ...Object.entries(rest)
        .filter(([, value]) => !Array.isArray(value) || value.length)
        .map(([name, value]) => [sentence(named(name)), told(value)]),
    ]),
    Array.isArray(verdicts) && verdicts.length > 0 && windowTable(verdicts),
    policy && [
      h("p", { class: "evidence-title" }, "The policy of that day"),
      facts(Object.entries(policy).map(([name, value]) => [sentence(named(name)), told(value)])),
    ],
  );
}

function windowTable(verdicts) {
  const metric = named(verdicts[0].metric);
  return table({
    caption: `${sentence(metric) || "Figures"} of the windows that the decision leans on`,
    hideCaption: false,
    columns: [
      { name: "Window" },
      { name: "Verdict" },
      { name: "Measured", number: true },
      { name: "Estimated", number: true },
      { name: "Labelled", number: true },
    ],
    rows: verdicts.map((window) => [
      windowLink(window),
      verdictBadge(window.verdict),
      figure(window.measured),
      figure(window.estimated),
      count(window.labelled_rows),
    ]),
  });
}

/** A value in words; what is nested stays JSON. */
function told(value) {
  if (Array.isArray(value)) return value.length ? value.map(plain).join(", ") : "none";
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)) return time(value);
  return plain(value);
}

function plain(value) {
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : figure(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return value === null || value === undefined || value === "" ? "–" : String(value);
}
