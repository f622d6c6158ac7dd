// The monitor's JSON, and its problems (RFC 9457) as errors with a remedy.

import { sentence } from "./format.js";

const PATIENCE_MS = 30000;

const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

/** Whether who signed in may approve, resolve and reload. */
export const mayOperate = () => meta("may-operate") === "yes";

/** What went wrong, and what to do about it. */
export class Problem extends Error {
  constructor(title, { status = 0, remedy = "", code = "" } = {}) {
    super(title);
    this.status = status;
    this.remedy = remedy;
    this.code = code;
  }
}

/** GET a document; parameters that are null or undefined are left out. */
export function get(path, parameters = {}, signal = new AbortController().signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, value);
  }
  const patient = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  return answer(query.size ? `${path}?${query}` : path, { signal: patient });
}

/** POST a document with the token that proves that the request comes from this page. */
export function post(path, body = {}) {
  return answer(path, {
    method: "POST",
    headers: { "content-type": "application/json", [meta("csrf-header")]: meta("csrf-token") },
    body: JSON.stringify(body),
  });
}

async function answer(path, options) {
  let response;
  let body;
  try {
    response = await fetch(path, {
      credentials: "same-origin",
      ...options,
      headers: { accept: "application/json", ...options.headers },
    });
    body = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The monitor does not answer", {
      remedy: "See whether it still runs (tidemill monitor serve); the page goes on trying.",
    });
  }
  if (response.status === 401) return signIn();
  const document = parsed(body);
  if (!response.ok) throw problem(response, document);
  if (document === null) throw new Problem(`The answer of ${path} cannot be read`);
  return document;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function problem(response, body) {
  const what = body?.detail || body?.title || `the monitor answered ${response.status}`;
  return new Problem(sentence(what), {
    status: response.status,
    code: body?.code ?? "",
    remedy: sentence(body?.remedy ?? body?.errors?.[0]?.detail ?? ""),
  });
}

function signIn() {
  const here = location.pathname + location.search;
  location.assign(`/login?next=${encodeURIComponent(here)}`);
  return new Promise(() => {}); // the page is left
}
