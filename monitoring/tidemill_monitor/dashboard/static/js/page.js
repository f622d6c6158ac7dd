// What every page has in common: load, paint without losing the reader's place, hear of changes.

import { get, post } from "./api.js";
import { layOut } from "./charts/chart.js";
import { h, icon, morph } from "./dom.js";
import { ageTimes } from "./format.js";
import { listen } from "./live.js";
import { announce, notice, shell } from "./shell.js";

const AGE_MS = 20000;

/**
 * Run a page.
 *
 * @param {object} page
 * @param {(signal: AbortSignal, status: object) => Promise<object>} page.load  its documents
 * @param {(data: object) => {title: string, body: Node[]}} page.render  what they look like
 * @param {Record<string, (element: HTMLElement, event: Event) => unknown>} [page.actions]
 *   by the `data-action` of what was clicked or changed
 */
export function start(page) {
  const main = document.getElementById("main");
  let data = null;
  let problem = null;
  let running = null;
  let missed = false;
  let width = 0;

  /** Ask anew; what was being asked before is dropped. */
  async function refresh() {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      const status = await get("/v1/status", {}, mine.signal);
      const found = await page.load(mine.signal, status);
      if (mine !== running) return;
      data = { status, ...found };
      problem = null;
      shell(status);
    } catch (error) {
      if (mine !== running) return;
      if (!("remedy" in error)) console.error(error);
      problem = error;
    }
    running = null;
    paint();
    if (missed) follow();
  }

  /** Something has changed: look, but let a look that is under way come to its end. */
  function follow() {
    missed = running !== null;
    if (!missed) refresh();
  }

  function paint() {
    const view = data ? page.render(data) : { title: "Nothing to show yet", body: [] };
    const next = main.cloneNode(false);
    next.removeAttribute("aria-busy");
    if (!data) view.body.unshift(h("h1", {}, view.title));
    next.append(
      ...(problem ? [trouble(problem, data !== null)] : []),
      ...view.body.filter(Boolean),
    );
    morph(main, next);
    layOut(main);
    announce(view.title);
  }

  const act = (event) => {
    const element = event.target.closest?.("[data-action]");
    const action =
      element && (page.actions?.[element.dataset.action] ?? COMMON[element.dataset.action]);
    if (!action || event.type !== (element.dataset.on ?? "click")) return;
    action(element, event, { refresh, paint });
  };
  for (const kind of ["click", "change", "input"]) document.addEventListener(kind, act);
  document.addEventListener("keydown", (event) => page.keys?.(event, { paint }));

  const COMMON = {
    again: refresh,
    copy: copyText,
    menu: toggleMenu,
    post: (element) => send(element, refresh),
  };

  new ResizeObserver(() => {
    if (!data || main.clientWidth === width) return;
    width = main.clientWidth;
    if (page.wide) paint();
    else layOut(main);
  }).observe(main);
  setInterval(ageTimes, AGE_MS);
  listen(follow, (state) => shell(null, state));
  refresh();
}

function trouble(problem, stale) {
  return h(
    "section",
    { class: "trouble", role: "alert", "data-key": "trouble" },
    icon("stop"),
    h(
      "div",
      {},
      h("p", { class: "trouble-what" }, problem.message),
      problem.remedy && h("p", {}, problem.remedy),
      stale && h("p", {}, "What you see below is as old as the last answer."),
    ),
    h("button", { type: "button", "data-action": "again" }, icon("again"), "Try again"),
  );
}

/** A button with data-path posts there, with the note of its form if one was written. */
async function send(element, refresh) {
  if (element.getAttribute("aria-disabled") === "true") return;
  const box = element.closest("[data-form]");
  const note = box?.querySelector("textarea, input[type=text]")?.value.trim();
  const question = element.dataset.ask;
  if (question && !(await confirmed(question, element.textContent))) return;
  element.setAttribute("aria-disabled", "true");
  try {
    const answer = await post(element.dataset.path, note ? { note } : {});
    notice(told(element.dataset.told, answer), "good");
  } catch (error) {
    notice([error.message, error.remedy].filter(Boolean).join(". "), "bad");
  }
  element.removeAttribute("aria-disabled");
  await refresh();
  if (!element.isConnected) stay(box?.dataset.key);
}

/** The button is gone: the keyboard goes on where it was. */
function stay(key) {
  const place =
    document.querySelector(`[data-key="${CSS.escape(key ?? "")}"]`) ??
    document.getElementById("main");
  if (!place.hasAttribute("tabindex")) place.setAttribute("tabindex", "-1");
  place.focus({ preventScroll: true });
}

const told = (text, answer) =>
  String(text ?? "Done").replace(/\{(\w+)\}/g, (_, name) => answer?.[name] ?? "");

/** Ask before what cannot be taken back. */
function confirmed(question, word) {
  const dialog = h(
    "dialog",
    { class: "ask", "aria-labelledby": "ask-question" },
    h(
      "form",
      { method: "dialog" },
      h("p", { id: "ask-question" }, question),
      h(
        "div",
        { class: "buttons" },
        h("button", { value: "no", class: "quiet" }, "Cancel"),
        h("button", { value: "yes", class: "primary" }, word),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    });
  });
}

async function copyText(element) {
  const text = element.closest(".code").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    notice("Copied", "good");
  } catch {
    getSelection().selectAllChildren(element.closest(".code").querySelector("code"));
    notice("Marked; press Ctrl+C to copy", "good");
  }
}

function toggleMenu(element) {
  const open = element.getAttribute("aria-expanded") !== "true";
  element.setAttribute("aria-expanded", String(open));
}
