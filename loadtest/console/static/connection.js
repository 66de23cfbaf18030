// The newest snapshot and the log, over server-sent events. `state` is what every view shows.
import { say } from "./text.js";

const STALE_AFTER = 5000; // ms: the server sends four snapshots a second, and on a busy machine one every two seconds
const MOST_ENTRIES = 500;

export const state = {
  snapshot: null,
  log: [],
  connection: "connecting", // live, lost, locked
  received: 0, // ms of this browser's clock
};

let source = null;
let changed = () => {};

export function connect(onChange) {
  changed = onChange;
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  setInterval(check, 500);
  open();
}

// A stream takes one of the browser's six connections to a host, so a hidden tab has none.
function open() {
  if (source !== null) return;
  source = new EventSource("events");
  source.addEventListener("snapshot", (event) => {
    state.snapshot = JSON.parse(event.data);
    state.received = Date.now();
    state.connection = "live";
    changed();
  });
  source.addEventListener("log", (event) => {
    const entry = JSON.parse(event.data);
    const boot = event.lastEventId.split(".")[0];
    if (boot !== state.boot) [state.boot, state.log] = [boot, []]; // another run of the console
    if (state.log.some((known) => known.id === entry.id)) return;
    state.log = [...state.log, entry].slice(-MOST_ENTRIES);
    changed();
  });
  source.addEventListener("error", lose);
}

function close() {
  source?.close();
  source = null;
}

async function lose() {
  state.connection = "lost";
  changed();
  if (source?.readyState !== EventSource.CLOSED) return; // it connects again by itself
  close();
  try {
    const answer = await fetch("state");
    if (answer.status === 403) state.connection = "locked";
  } catch {
    // the console has ended, or the network has
  }
  changed();
  if (state.connection !== "locked") setTimeout(() => !document.hidden && open(), 1000);
}

function check() {
  if (document.hidden || state.connection !== "live" || Date.now() - state.received < STALE_AFTER) return;
  state.connection = "lost";
  changed();
}

// Post a command. Returns undefined, or the message of why it is not possible.
export async function command(order) {
  try {
    const answer = await fetch("commands", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(order),
    });
    if (answer.ok) return undefined;
    const body = await answer.json();
    return body.reason ?? { key: "raw", values: { text: body.said } };
  } catch {
    return { key: "lost", values: { time: "" } };
  }
}

export async function memberLog(name) {
  const answer = await fetch(`members/${encodeURIComponent(name)}/log`);
  const body = await answer.json();
  return body.lines ?? [say(body.said)];
}
