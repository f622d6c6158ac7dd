// The frame around every page: the live light, the counts in the menu, what is announced.

import { several } from "./format.js";

const WORDS = {
  starting: "Connecting",
  live: "Live",
  polling: "Looking every 5 s",
  paused: "Paused",
};
const NOTICE_MS = 6000;
let announced = null;
let hiding = null;

/** Show the counts of the menu and the state of the connection. */
export function shell(status, state = null) {
  if (state) {
    const live = document.getElementById("live");
    live.dataset.state = state;
    live.querySelector(".live-word").textContent = WORDS[state];
  }
  if (!status) return;
  pip("alerts", status.open_alerts ?? 0, "open alert");
  pip(
    "decisions",
    status.open_decision?.state === "awaiting approval" ? 1 : 0,
    "decision to approve",
  );
}

function pip(section, n, what) {
  const node = document.querySelector(`[data-pip="${section}"]`);
  if (!node) return;
  node.hidden = n === 0;
  node.textContent = n || "";
  node.setAttribute("aria-label", n ? several(n, what) : "");
  node.setAttribute("role", "img");
}

/** The page's news becomes the tab's title, and is read out when it changes. */
export function announce(title) {
  document.title = `${title} · tidemill`;
  if (announced !== null && announced !== title) {
    document.getElementById("announce").textContent = title;
  }
  announced = title;
}

/** Say what came of an action. */
export function notice(text, tone) {
  const node = document.getElementById("notice");
  clearTimeout(hiding);
  node.hidden = false;
  node.dataset.tone = tone;
  node.textContent = text;
  if (tone === "good") hiding = setTimeout(() => (node.hidden = true), NOTICE_MS);
}
