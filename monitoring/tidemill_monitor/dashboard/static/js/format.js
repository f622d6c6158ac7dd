// Numbers and times for people. Times are told in the reader's zone; UTC stands in the title.

import { h } from "./dom.js";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const TIME = new Intl.DateTimeFormat("en-GB", CLOCK);
const SECONDS = new Intl.DateTimeFormat("en-GB", { ...CLOCK, second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

const NAMES = {
  roc_auc: "ROC AUC",
  average_precision: "average precision",
  log_loss: "log loss",
  f1: "F1",
  brier: "Brier score",
  mae: "mean absolute error",
  rmse: "RMSE",
  r2: "R²",
  bias: "mean signed error",
  psi: "PSI",
  jensen_shannon: "Jensen-Shannon distance",
  ks: "Kolmogorov-Smirnov",
  wasserstein: "Wasserstein distance",
  chi_squared: "chi squared",
  null_rate: "missing values",
  null_share: "share of missing values",
  furthest: "furthest test",
};
const LOWER = new Set(["log_loss", "brier", "mae", "rmse"]);

/** A metric's or test's name in words. */
export const named = (name) => NAMES[name] ?? String(name ?? "").replaceAll("_", " ");

/** Figures of a version by metric; those on held-out rows may be registered as test_METRIC. */
export function heldOut(figures) {
  const entries = Object.entries(figures ?? {}).filter(
    ([name]) => !/^(train|validation)_/.test(name),
  );
  return Object.fromEntries(entries.map(([name, value]) => [name.replace(/^test_/, ""), value]));
}

/** True where a smaller figure is the better one. */
export const lowerIsBetter = (metric) => LOWER.has(metric);

const absent = (value) => value === null || value === undefined || Number.isNaN(value);

/** 12345 as 12,345. */
export const count = (value) => (absent(value) ? "–" : WHOLE.format(value));

/** 12345 as 12.3K, where space is short. */
export const compact = (value) => {
  if (absent(value)) return "–";
  return Math.abs(value) < 10000 ? WHOLE.format(value) : SHORT.format(value);
};

/** A figure with three decimals below ten, fewer above. */
export function figure(value) {
  if (absent(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.0005 || size >= 1e9)) return value.toExponential(1);
  const decimals = size < 10 ? 3 : size < 100 ? 2 : size < 1000 ? 1 : 0;
  return value.toLocaleString("en", {
    minimumFractionDigits: size < 10 ? decimals : 0,
    maximumFractionDigits: decimals,
  });
}

/** 0.123 as 12.3%. */
export function share(value) {
  if (absent(value)) return "–";
  const percent = value * 100;
  if (percent > 0 && percent < 0.05) return "<0.1%";
  return `${percent.toFixed(percent >= 9.95 || percent === 0 ? 0 : 1)}%`;
}

/** 2.34 as 2.3×. */
export const times = (value) => {
  if (absent(value)) return "–";
  if (value >= 1000) return "≥1000×";
  if (value > 1 && value < 1.05) return `${value.toFixed(2)}×`; // beyond is beyond
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)}×`;
};

/** Text that begins with a capital letter. */
export const sentence = (text) => (text ? text.charAt(0).toUpperCase() + text.slice(1) : text);

/** "1 feature", "2 features". */
export const several = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Lists in a sentence: "a, b and 3 more". */
export function listed(words, most = 3) {
  const shown = words.slice(0, words.length > most ? most - 1 : most);
  const left = words.length - shown.length;
  if (left) return `${shown.join(", ")} and ${left} more`;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

const today = (date) => new Date().toDateString() === date.toDateString();
const thisYear = (date) => new Date().getFullYear() === date.getFullYear();
const day = (date) => (thisYear(date) ? DAY : YEAR).format(date);

/** Hours and minutes today; the day before them otherwise. */
export function clock(text) {
  const date = new Date(text);
  return today(date) ? TIME.format(date) : `${day(date)}, ${TIME.format(date)}`;
}

export const hour = (text) => TIME.format(new Date(text));
/** Hours and minutes, with seconds where windows are shorter than a minute. */
export function clockOf(windows) {
  const span = new Date(windows.at(-1)?.start) - new Date(windows[0]?.start);
  return span / windows.length < 60000 && windows.length > 1
    ? (text) => SECONDS.format(new Date(text))
    : hour;
}

export const dayOf = (text) => day(new Date(text));

/** The day where space is short; the year stands elsewhere. */
export const shortDay = (text) => DAY.format(new Date(text));

const MIDNIGHT = "00:00";
const sameYear = (a, b) => a.getFullYear() === b.getFullYear();
const firstDay = (from, to) => (sameYear(from, to) ? DAY.format(from) : day(from));

/** Both ends of a stretch of time; the day only once where one is enough. */
export function stretch(start, end) {
  const from = new Date(start);
  const to = new Date(end);
  const near = to - from < 120000;
  if (to - from < 1000)
    return today(from) ? SECONDS.format(from) : `${day(from)}, ${SECONDS.format(from)}`;
  const last = near ? SECONDS.format(to) : TIME.format(to);
  const head = today(from) ? "" : `${day(from)}, `;
  const first = near ? SECONDS.format(from) : TIME.format(from);
  if (from.toDateString() === to.toDateString()) return `${head}${first} – ${last}`;
  if (first === MIDNIGHT && last === MIDNIGHT) return `${firstDay(from, to)} – ${day(to)}`;
  return `${firstDay(from, to)}, ${first} – ${day(to)}, ${last}`;
}

const STEPS = [
  [60, "s"],
  [3600, "min"],
  [86400, "h"],
  [Infinity, "d"],
];

/** "3 min ago". */
export function ago(text, now = Date.now()) {
  const seconds = Math.round((now - new Date(text)) / 1000);
  if (seconds < -5) return clock(text);
  if (seconds < 10) return "just now";
  const at = STEPS.findIndex(([below]) => seconds < below);
  const unit = at === 0 ? 1 : STEPS[at - 1][0];
  return `${Math.floor(seconds / unit)} ${STEPS[at][1]} ago`;
}

const utc = (text) => `${new Date(text).toISOString().replace("T", " ").slice(0, 19)} UTC`;

/** A time element; UTC on hover. `tell` is one of the functions above. */
export function time(text, tell = clock) {
  if (!text) return "–";
  const relative = tell === ago ? "yes" : null;
  return h("time", { datetime: text, title: utc(text), "data-ago": relative }, tell(text));
}

/** Times told relative to now grow older without a request. */
export function ageTimes() {
  for (const node of document.querySelectorAll("time[data-ago]")) {
    node.textContent = ago(node.getAttribute("datetime"));
  }
}
