// The frame of the page: header, tabs, the chosen view.
import { command, connect, state } from "./connection.js";
import { html, render } from "./html.js";
import { chooseLanguage, clock, currentLanguage, describe, loadCatalogue, t, tell } from "./text.js";
import { showTyped } from "./typed.js";
import { views } from "./views.js";

let refusal = null;
let refusalTimer = 0;

const page = {
  state,
  draw,
  get live() {
    return state.connection === "live";
  },
  // Why a command is not possible now; undefined if it is.
  refused(order) {
    if (!page.live) return { key: "lost", values: { time: "" } };
    const refused = state.snapshot?.refused ?? {};
    return refused[[order.do, order.on ?? order.to].filter(Boolean).join(" ")] ?? refused[order.do];
  },
  async run(order) {
    const why = page.refused(order) ?? (await command(order));
    if (why?.key === "type_it") showTyped(why.values.command);
    else if (why) page.say(why);
  },
  say(message) {
    refusal = message;
    clearTimeout(refusalTimer);
    refusalTimer = setTimeout(() => page.say(null), 6000);
    draw();
  },
};

function Connection() {
  const time = state.snapshot ? clock(state.snapshot.at) : "";
  const text = state.connection === "lost" && !time ? t("connecting") : t(state.connection, { time });
  return html`<span class="connection ${state.connection}" role="status"><i aria-hidden="true"></i>${text}</span>`;
}

function Doing() {
  const { running, waiting, stage } = state.snapshot ?? {};
  if (running) {
    const what = describe(running.order);
    const more = waiting.length ? ` · ${t("waiting_count", { count: waiting.length })}` : "";
    return html`<span class="doing" role="status"><i class="spinner" aria-hidden="true"></i>${t("doing", { what })}${more}</span>`;
  }
  if (stage === "running" || !stage) return html`<span class="doing" role="status"></span>`;
  const busy = stage === "starting" && html`<i class="spinner" aria-hidden="true"></i>`;
  return html`<span class="doing ${stage}" role="status">${busy}${t(`stage_${stage}`)}</span>`;
}

function Languages() {
  const names = { en: "EN", ko: "한국어" };
  return html`<div class="languages" role="group" aria-label=${t("language")}>
    ${Object.entries(names).map(
      ([code, name]) => html`<button type="button" lang=${code} aria-pressed=${currentLanguage() === code}
        onClick=${() => (chooseLanguage(code), draw())}>${name}</button>`,
    )}
  </div>`;
}

function chosenView() {
  return views.find((view) => `#${view.name}` === location.hash) ?? views[0];
}

function Tabs() {
  if (views.length < 2) return null;
  return html`<nav aria-label=${t("views")}>
    ${views.map(
      (view) => html`<a href="#${view.name}" aria-current=${view === chosenView() ? "page" : undefined}>${t(view.label)}</a>`,
    )}
  </nav>`;
}

function Page() {
  if (state.connection === "locked") return html`<main class="locked"><h1>${t("title")}</h1><p>${t("locked")}</p></main>`;
  const undo = { do: "undo" };
  const why = page.refused(undo);
  const view = chosenView();
  return html`
    <header>
      <h1>${t("title")}</h1>
      <${Tabs} />
      <${Connection} />
      <${Doing} />
      <button type="button" class="undo" aria-disabled=${Boolean(why) && why.key !== "type_it"} title=${tell(why)} onClick=${() => page.run(undo)}>
        <span aria-hidden="true">↺</span> ${t("undo_all")}
      </button>
      <${Languages} />
    </header>
    <div class="toast" role="alert">
      ${refusal && html`<p>${t("refused", { why: tell(refusal) })}<button type="button" aria-label=${t("dismiss")}
        onClick=${() => page.say(null)}>×</button></p>`}
    </div>
    ${state.snapshot?.watched && html`<p class="watched" role="note">${t("watched")}</p>`}
    <main class="${page.live ? "" : "stale"}">${view.render(page)}</main>
  `;
}

function draw() {
  render(html`<${Page} />`, document.getElementById("page"));
}

await loadCatalogue();
document.getElementById("page").replaceChildren();
addEventListener("hashchange", draw);
connect(draw);
draw();
