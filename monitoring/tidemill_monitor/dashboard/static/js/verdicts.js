// Verdicts and states: a word, an icon and a tone each, so that colour is never the only sign.

import { h, icon } from "./dom.js";
import { figure, listed, lowerIsBetter, named, sentence, several } from "./format.js";

export const VERDICTS = {
  healthy: { word: "Healthy", icon: "healthy", tone: "good" },
  "harmless drift": { word: "Harmless drift", icon: "drift", tone: "drift" },
  "broken feed": { word: "Broken feed", icon: "feed", tone: "feed" },
  "suspected harm": { word: "Suspected harm", icon: "suspected", tone: "warn" },
  "confirmed harm": { word: "Confirmed harm", icon: "stop", tone: "bad" },
};
const NONE = { word: "Not judged", icon: "waiting", tone: "calm" };

const STATES = {
  open: { word: "Open", icon: "alerts", tone: "bad" },
  firing: { word: "Open", icon: "alerts", tone: "bad" },
  acknowledged: { word: "Acknowledged", icon: "waiting", tone: "warn" },
  resolved: { word: "Resolved", icon: "done", tone: "good" },
  recovered: { word: "Recovered", icon: "done", tone: "good" },
  "awaiting approval": { word: "Awaiting approval", icon: "waiting", tone: "warn" },
  approved: { word: "Approved", icon: "done", tone: "drift" },
  rejected: { word: "Rejected", icon: "no", tone: "calm" },
  started: { word: "Retraining", icon: "again", tone: "drift" },
  finished: { word: "Finished", icon: "done", tone: "good" },
  failed: { word: "Failed", icon: "stop", tone: "bad" },
  stopped: { word: "Stopped", icon: "no", tone: "calm" },
  superseded: { word: "Superseded", icon: "no", tone: "calm" },
  suppressed: { word: "Suppressed", icon: "no", tone: "calm" },
  critical: { word: "Critical", icon: "stop", tone: "bad" },
  warning: { word: "Warning", icon: "suspected", tone: "warn" },
  info: { word: "Info", icon: "info", tone: "drift" },
};

export const verdictOf = (name) => VERDICTS[name] ?? NONE;

const badge = ({ word, icon: name, tone }) =>
  h("span", { class: "badge", "data-tone": tone }, icon(name), word);

export const verdictBadge = (name) => badge(verdictOf(name));
export const stateBadge = (name) =>
  badge(STATES[name] ?? { word: String(name ?? "unknown"), icon: "info", tone: "calm" });

/**
 * The window that the news is about: the newest, unless it cannot tell.
 *
 * Windows without labels do not end a harm that labels have confirmed; they only do not know.
 *
 * @param {object} newest  the newest judged window
 * @param {object[]} windows  oldest first
 */
export function telling(newest, windows) {
  if (!newest || !QUIET.has(newest.verdict)) return newest;
  const known = windows.filter(
    (window) => window.verdict && window.model_version === newest.model_version,
  );
  const measured = known.findLast((window) => typeof window.performance?.measured === "number");
  return measured?.verdict === "confirmed harm" ? measured : newest;
}

const QUIET = new Set(["healthy", "harmless drift"]);

const flaggedOf = (findings, kind) => findings.filter((f) => f.flagged && f.kind === kind);
const featuresOf = (findings, kind) =>
  new Set(flaggedOf(findings, kind).map((f) => f.feature)).size;

function drifted(findings) {
  const features = featuresOf(findings, "drift");
  const parts = [
    features > 0 && several(features, "feature"),
    flaggedOf(findings, "output drift").length > 0 && "the predictions",
    flaggedOf(findings, "label drift").length > 0 && "the outcomes",
  ].filter(Boolean);
  const left = featuresOf(findings, "territory");
  const news = left > 0 && `${several(left, "feature")} left known territory`;
  if (parts.length === 0 && news) return sentence(news);
  return [`${sentence(listed(parts) || "something")} drifted`, news].filter(Boolean).join(", ");
}

function harmless({ measured, estimated, estimate_trusted: trusted } = {}) {
  if (typeof measured === "number") return "no harm measured";
  const told = typeof estimated === "number" && trusted !== false;
  return told ? "no harm estimated" : "harm unknown until labels come";
}

/** Beside a broken feed: what labels, or an estimate, say of the model all the same. */
function beside(harm) {
  return harm ? `; beside it ${harm}` : "";
}

/** Windows were closed, and none had rows enough for a verdict: what to say, or null. */
export function tooSmall(windows) {
  const closed = windows.filter((window) => window.state === "closed");
  if (!closed.length || closed.some((one) => one.verdict || one.note !== "too small")) return null;
  const most = Math.max(...closed.map((window) => window.rows));
  return {
    title: "Every window so far had too few rows",
    text: `Of ${several(closed.length, "closed window")} the largest has ${several(most, "row")}; below monitoring.window.min_rows nothing is concluded. Make windows larger (monitoring.window in params.yaml) and start the monitor again.`,
  };
}

/** The news of a judged window in one line. */
export function headline(window, findings = []) {
  const broken = featuresOf(findings, "quality");
  const { metric, measured, estimated, estimate_trusted: trusted } = window.performance ?? {};
  const way = lowerIsBetter(metric) ? "rose" : "fell";
  switch (window.verdict) {
    case "healthy":
      return typeof measured === "number"
        ? `Healthy: ${named(metric)} holds at ${figure(measured)}`
        : "Healthy: live traffic looks like training";
    case "harmless drift":
      return `${drifted(findings)}, ${harmless(window.performance ?? {})}`;
    case "broken feed":
      return `The feed is broken${broken ? `: ${several(broken, "column")} to mend` : ""}${beside(window.harm)}`;
    case "suspected harm":
      if (typeof measured === "number")
        return `Harm is suspected: ${named(metric)} at ${figure(measured)}`;
      if (flaggedOf(findings, "change").length)
        return "Harm is suspected: errors have grown, over more windows than this one";
      return typeof estimated === "number" && trusted !== false
        ? `Harm is suspected: ${named(metric)} estimated at ${figure(estimated)}`
        : "Harm is suspected, labels will tell";
    case "confirmed harm":
      return typeof measured === "number"
        ? `Harm is confirmed: ${named(metric)} ${way} to ${figure(measured)}`
        : "Harm is confirmed";
    default:
      return "This window is not judged yet";
  }
}
