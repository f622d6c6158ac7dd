// Hears that something changed: server-sent events, and a look every few seconds without them.

const POLL_MS = 5000;
const CALM_MS = 60000; // a look now and then also beside the stream
const NEWS_MS = 300;
const TRAFFIC_MS = 4000; // rows that come in are no news each
const PAUSE_MS = 1500; // between two looks, however much happens
const RETRY_MS = 20000;
const TRAFFIC = new Set(["events", "labels", "outbox", "keys", "notes"]);

/** Call `changed()` whenever the monitor says so; `told(state)` hears live, polling or paused. */
export function listen(changed, told) {
  const soon = gathered(changed);
  let source = null;
  let timer = null;
  let retry = null;
  let rhythm = null;

  const every = (period) => {
    if (period === rhythm) return; // a stream that fails again and again must not delay the look
    rhythm = period;
    clearInterval(timer);
    timer = setInterval(changed, period);
  };

  const open = () => {
    source?.close();
    every(POLL_MS);
    source = new EventSource("/v1/stream");
    source.addEventListener("open", () => {
      told("live");
      every(CALM_MS);
    });
    source.addEventListener("error", () => {
      told("polling");
      every(POLL_MS);
      if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again itself
      clearTimeout(retry);
      retry = setTimeout(() => document.hidden || open(), RETRY_MS);
    });
    source.addEventListener("changed", soon);
  };

  // A stream occupies one of the few connections that a browser allows: hidden tabs let go of it.
  const close = () => {
    source?.close();
    source = null;
    clearInterval(timer);
    clearTimeout(retry);
    rhythm = null;
    told("paused");
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    open();
    changed();
  });
  open();
}

/** Many events, one look: soon after news, a little later after mere traffic. */
function gathered(changed) {
  let due = Infinity;
  let timer = null;
  let last = 0;

  const look = () => {
    due = Infinity;
    last = Date.now();
    changed();
  };

  return (event) => {
    const now = Date.now();
    const patience = topicsOf(event).every((topic) => TRAFFIC.has(topic)) ? TRAFFIC_MS : NEWS_MS;
    const wanted = Math.max(now + patience, last + PAUSE_MS);
    if (wanted >= due) return;
    due = wanted;
    clearTimeout(timer);
    timer = setTimeout(look, due - now);
  };
}

function topicsOf(event) {
  try {
    return JSON.parse(event.data).topics ?? [];
  } catch {
    return [];
  }
}
