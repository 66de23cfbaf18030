// What happened, the newest first: a line for each command, which can be copied, and for what happened by itself.
import { html } from "./html.js";
import { clock, describeEntry, number, t, tell } from "./text.js";

const MOST_SHOWN = 100;
let copied = 0;

export function Log({ page }) {
  const lines = merge(page.state.log).slice(-MOST_SHOWN).reverse();
  return html`<section class="log" aria-label=${t("log")}>
    <h2>${t("log")}</h2>
    ${!lines.some((entry) => entry.order) && page.state.snapshot?.load.state === "running" && html`<p class="hint">${t("log_empty")}</p>`}
    <ol tabindex="0">
      ${lines.map((entry) => html`<li key=${entry.command ? `c${entry.command}` : entry.id} class=${entry.kind}>
        <time>${clock(entry.at)}</time>
        <span class="what">${describeEntry(entry)}${entry.reason && html`: <em>${tell(entry.reason)}</em>`}</span>
        ${note(entry) && html`<span class="note">${note(entry)}</span>`}
        ${entry.order && html`<button type="button" class="copy" aria-label="${t("copy")}: ${describeEntry(entry)}"
          onClick=${() => copy(page, entry)}>${copied === entry.id ? t("copied") : t("copy")}</button>`}
      </li>`)}
    </ol>
  </section>`;
}

// The newest entry of each command, at the time when the command began (or was dropped, or waits since), by time.
function merge(log) {
  const lines = new Map();
  for (const entry of log) {
    const key = entry.command ? `command ${entry.command}` : entry.id;
    const began = entry.at - (entry.seconds ?? 0);
    lines.set(key, { ...entry, at: began });
  }
  return [...lines.values()].sort((one, other) => one.at - other.at);
}

function note(entry) {
  if (entry.kind === "done") return t("took", { seconds: number(entry.seconds ?? 0, 1) });
  return entry.kind === "seen" ? "" : t(`kind_${entry.kind}`);
}

async function copy(page, entry) {
  const body = JSON.stringify(entry.order).replaceAll("'", "'\\''");
  const address = new URL("commands", location.href);
  await navigator.clipboard.writeText(
    `curl -sS -H "Authorization: Bearer $CONSOLE_TOKEN" -H 'Content-Type: application/json' -d '${body}' ${address}`,
  );
  copied = entry.id;
  page.draw();
}
