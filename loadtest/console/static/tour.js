// The guided tour, above the cluster: a sentence, a button, what to watch, and whether theory and measurement agree.
import { html } from "./html.js";
import { Said } from "./said.js";
import { describe, number, t, tell } from "./text.js";

const POLL = 700; // ms
const VERDICTS = { holds: ["✓", "tour_holds", "holds"], broken: ["✗", "tour_broken", "broken"], "not enough data": ["?", "tour_few", "few"] };

let page = null;
let tour = null;
let asked = 0;

export function Tour({ page: shown }) {
  if (page === null) {
    page = shown;
    setInterval(() => isDue() && ask("tour/"), 200);
  }
  const why = page.refused({ do: "scene", to: "own" });
  if (["not_watched_scene", "target_cannot"].includes(why?.key)) return html`<section class="tour invitation" aria-label=${t("tour")}><h2>${t("tour")}</h2><p>${tell(why)}</p></section>`;
  if (!tour || ["no_users_here", "tour_needs_shop"].includes(why?.key)) return null;
  if (tour.stage === "outside") return html`<${Invitation} />`;
  if (tour.stage === "finished") return html`<${Finished} />`;
  const { stop, number: position, stops, measured } = tour;
  return html`<section class="tour" aria-label=${t("tour")}>
    <p class="position">${t("tour")} · ${t("tour_number", { number: position, of: stops.length })} <${Dots} /></p>
    <h2>${t(`tour_${stop}_title`)}</h2>
    <p>${t(`tour_${stop}_say`)}</p>
    <p><b>${t("tour_watch")}</b> ${t(`tour_${stop}_watch`)}</p>
    ${measured.map((one) => html`<${Result} key=${one.name} result=${one} />`)}
    <div role="status">${tour.stage === "starting" && html`<p><i class="spinner" aria-hidden="true"></i> ${t("tour_starting")}</p>`}
      ${tour.stage === "measuring" && html`<p><i class="spinner" aria-hidden="true"></i> ${t("tour_measuring", { requests: number(Math.min(tour.requests, tour.needed)), needed: number(tour.needed) })}</p>`}</div>
    <p class="buttons">
      ${tour.stage === "ready" && html`<button type="button" class="act" onClick=${() => take("act")}>${t("tour_start")}</button> <span class="note">${t("tour_start_note")}</span>`}
      ${tour.stage === "measured" && tour.order && html`<button type="button" class="act" onClick=${() => take("act")}>${describe(tour.order)}</button>`}
      ${tour.again && html`<button type="button" class=${tour.order ? "" : "act"} onClick=${() => take("again")}>${t("tour_again")}</button>`}
      <span class="ways">
        ${position > 1 && html`<button type="button" onClick=${() => take("back")}>${t("tour_back")}</button>`}
        <button type="button" class=${tour.stage === "measured" && !tour.order && !tour.again ? "act" : ""} onClick=${() => take("next")}>${t("tour_next")}</button>
        <button type="button" onClick=${() => take("leave")}>${t("tour_leave")}</button>
      </span>
    </p>
  </section>`;
}

function Invitation() {
  const { number: position, stops } = tour;
  return html`<section class="tour invitation" aria-label=${t("tour")}>
    <h2>${t("tour")}</h2><p>${t("tour_about")}</p>
    <button type="button" class="act" onClick=${() => take("resume")}>${position > 1 ? t("tour_resume", { number: position, of: stops.length }) : t("tour_begin")}</button>
  </section>`;
}

function Finished() {
  const unmeasured = tour.stops.filter((stop) => !tour.verdicts[stop]).length;
  return html`<section class="tour" aria-label=${t("tour")}>
    <h2>${t("tour")}</h2><p>${t("tour_finished")}</p>
    ${unmeasured > 0 && html`<p><b>${t("tour_unmeasured", { count: unmeasured, of: tour.stops.length })}</b></p>`}
    <ul>${tour.stops.map((stop) => {
      const [sign, key, tone] = VERDICTS[tour.verdicts[stop]] ?? ["–", "tour_not_measured", ""];
      return html`<li key=${stop} class=${tone}><span class="sign" aria-hidden="true">${sign}</span> ${t(`tour_${stop}_title`)}: ${t(key)}</li>`;
    })}</ul>
    <p class="buttons"><button type="button" class="act" onClick=${() => take("leave")}>${t("tour_leave")}</button></p>
  </section>`;
}

function Dots() {
  return html`<span class="dots" aria-hidden="true">${tour.stops.map((stop, index) => {
    const verdict = tour.verdicts[stop];
    return html`<i key=${stop} class="${verdict ? VERDICTS[verdict][2] : ""} ${index === tour.number - 1 ? "here" : ""}"></i>`;
  })}</span>`;
}

function Result({ result }) {
  const [sign, key, tone] = VERDICTS[result.verdict];
  const share = result.requests ? result.logged_out / result.requests : 0;
  return html`<div class="result ${tone}">
    <h3><span class="sign" aria-hidden="true">${sign}</span> ${t(`tour_phase_${result.name}`)}: ${t(key)}</h3>
    <p>${t("tour_figures", { logged_out: number(result.logged_out), requests: number(result.requests), share: `${number(share * 100)} %`, out: number(result.users_logged_out), users: number(result.users), failed: number(result.failed) })}</p>
    <dl>${result.theory.map((theory, index) => html`<dt><${Said} text=${theory} /></dt><dd><${Said} text=${result.seen[index]} /></dd>`)}</dl>
  </div>`;
}

const isDue = () => !document.hidden && page.live && Date.now() >= asked + POLL;

const take = (step) =>
  ask("tour/steps", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ do: step }) });

async function ask(address, options) {
  asked = Date.now();
  try {
    const answer = await fetch(address, options);
    const body = await answer.json();
    if (answer.ok) tour = body;
    else page.say(body.reason ?? { key: "raw", values: { text: body.said } });
  } catch {
    // the connection is lost, which the page says
  }
  page.draw();
}
