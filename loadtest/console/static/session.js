// The view "Session": the visitor's own session in the shop, step by step, and its record in the store.
import { html } from "./html.js";
import { exchangesSection } from "./exchanges.js";
import { recordSection } from "./record.js";
import { storeKinds } from "./store_kinds.js";
import { say, t } from "./text.js";

const POLL = 2000; // ms: each one reads the record once
const STEPS = ["look", "login", "cart", "ask", "forge", "logout", "replay"];

const own = { data: null, received: 0, cookie: "", busy: false, problem: "" };
let page = null;

export const sessionView = {
  name: "session",
  label: "view_session",
  render: (shown) => {
    if (page === null) {
      page = shown;
      setInterval(() => isShown() && Date.now() >= own.received + POLL && ask("session/"), 300);
    }
    const waits = page.live && !isRunning();
    const missing = waits ? t("session_no_cluster") : onTarget() ? t("session_on_target") : own.problem && say(own.problem);
    return html`<div class="session">
      <section class="steps" aria-label=${t("session_steps")}>
        <h2>${t("session_steps")}</h2>
        <p class="note">${t("session_intro")}</p>
        ${missing && html`<p class="fault-note" role="status">${missing}</p>`}
        <ol>${STEPS.map((step) => html`<${Step} key=${step} step=${step} />`)}</ol>
      </section>
      ${exchangesSection(own)}
      ${recordSection(own, reveal)}
      ${storeKinds(page)}
    </div>`;
  },
};

function Step({ step }) {
  const { data } = own;
  const idle = page.live && isRunning() && data && !own.busy;
  const possible = idle && (step !== "replay" || data.has_old);
  const names = step === "ask" ? data?.nodes ?? [] : [""];
  const user = data?.user ?? "";
  return html`<li class=${step}>
    <span class="buttons">${names.map((name) => html`<button type="button" key=${name} aria-disabled=${!possible}
      onClick=${() => possible && carryOut(step, name)}>${t(`step_${step}`, { user, name })}</button>`)}</span>
    <span class="note">${t(`step_${step}_help`)}</span>
  </li>`;
}

const onTarget = () => Boolean(page.state.snapshot?.cluster.target);

const isRunning = () => page.state.snapshot?.stage === "running";

const isShown = () => location.hash === "#session" && !document.hidden && page.live && isRunning() && !onTarget() && !own.busy;

async function carryOut(step, on) {
  Object.assign(own, { busy: true, cookie: "" });
  page.draw();
  await ask("session/steps", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ do: step, on }),
  });
  own.busy = false;
  page.draw();
}

async function ask(address, options) {
  try {
    const answer = await fetch(address, options);
    const body = await answer.json();
    if (answer.ok) Object.assign(own, { data: body, received: Date.now(), problem: "" });
    else own.problem = body.said;
  } catch {
    own.problem = ""; // the connection is lost, which the page says
  }
  page.draw();
}

// The id comes to the page only when the visitor asks for it, and goes at the next step.
async function reveal() {
  if (own.cookie) own.cookie = "";
  else {
    const answer = await fetch("session/cookie");
    own.cookie = answer.ok ? (await answer.json()).cookie : "";
  }
  page.draw();
}
