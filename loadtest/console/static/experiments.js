// The view "Experiments": run one, watch its stages and claims, read the verdict with its evidence, open its report.
import { CommandButton } from "./button.js";
import { html } from "./html.js";
import { describeRun, isRunning } from "./live_run.js";
import { Said } from "./said.js";
import { currentLanguage, moment, number, say, storeName, t, tell } from "./text.js";

const VERDICTS = { "not looked for": ["○", "unseen"], holds: ["✓", "holds"], "not enough data": ["?", "few"], broken: ["✗", "broken"] };

const RETRY = 2000; // ms

const own = { data: null, chosen: "", detail: null, problem: "", marker: "", asked: 0, failed: false };
let page = null;

export const experimentsView = {
  name: "experiments",
  label: "view_experiments",
  render: (shown) => {
    page = shown;
    follow(page.state.snapshot?.experiment);
    return html`<div class="experiments">
      ${describeRun(page)}
      ${verdictSection()}
      ${listSection()}
      ${pastSection()}
    </div>`;
  },
};

const addressOf = ({ folder, case: name, run }) => [folder, name, run].map(encodeURIComponent).join("/");

// Scenes of the demo have numbers of their own.
const numberOf = (one) => (one.is_scene ? t("scene_number", { number: one.number }) : one.number);

// Read the list at first, and again when the newest run has a result or an end.
function follow(run) {
  if (!page.live) return;
  const marker = run ? [page.state.boot, run.name, run.stage, run.results.length].join(" ") : page.state.boot;
  const again = own.failed && Date.now() >= own.asked + RETRY;
  if (marker === own.marker && !again) return;
  Object.assign(own, { marker, failed: false });
  ask("experiments/", (body) => (own.data = body));
  if (run?.results.length) choose(run.results.at(-1));
  else if (isRunning(run)) Object.assign(own, { chosen: "", detail: null }); // an old verdict below a new run misleads
}

function choose(one) {
  own.chosen = addressOf(one);
  return ask(`experiments/results/${own.chosen}`, (body) => (own.detail = body));
}

// Scroll to a section unless its begin is seen: on a telephone, what a button changes is above it.
function show(selector) {
  const section = document.querySelector(selector);
  const top = section?.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) section.scrollIntoView();
}

async function ask(address, take) {
  own.asked = Date.now();
  try {
    const answer = await fetch(address);
    const body = await answer.json();
    own.problem = answer.ok ? "" : body.said;
    if (answer.ok) take(body);
  } catch {
    Object.assign(own, { problem: "", failed: true }); // the connection is lost, which the page says
  }
  page.draw();
}

function Verdict({ of }) {
  const [sign, tone] = VERDICTS[of];
  return html`<span class="verdict ${tone}"><span aria-hidden="true">${sign}</span> ${t(`verdict_${tone}`)}</span>`;
}

function ReportLink({ of, title }) {
  return html`<a href="experiments/reports/${addressOf(of)}?language=${currentLanguage()}" target="_blank" rel="noopener noreferrer" aria-label="${t("open_report")}: ${title}">${t("open_report")}</a>`;
}

function verdictSection() {
  const { detail, problem } = own;
  if (!detail && !problem) return null;
  const at = own.data?.past.find((one) => addressOf(one) === own.chosen)?.at;
  return html`<section class="result" aria-label=${t("verdict")}>
    <h2>${t("verdict")} ${at && html`<time class="note">${moment(at)}</time>`}</h2>
    ${problem && html`<p class="fault-note" role="status"><${Said} text=${problem} /></p>`}
    ${detail && html`
      <h3>${numberOf(detail)} · <${Said} text=${detail.title} /></h3>
      <p class="headline"><${Verdict} of=${detail.verdict} /> <${ReportLink} of=${detail} title=${say(detail.title)} /></p>
      <p><${Said} text=${detail.summary} /></p>
      <p class="note"><b>${t("hypothesis")}</b> <${Said} text=${detail.hypothesis} /></p>
      <div class="scroll" tabindex="0" role="region" aria-label=${t("claims")}><table>
        <thead><tr><th scope="col">${t("claim")}</th><th scope="col">${t("verdict")}</th><th scope="col">${t("what_was_seen")}</th></tr></thead>
        <tbody>${detail.claims.map((one, index) => html`<tr key=${index}>
          <td>${one.phase.en && html`<span class="note">${say(one.phase)}: </span>`}<${Said} text=${one.claim} /></td><td><${Verdict} of=${one.state} /></td><td><${Said} text=${one.seen} /></td></tr>`)}</tbody>
      </table></div>
      ${detail.examples.length > 0 && html`<details><summary>${t("evidence", { count: number(detail.examples.length) })}</summary>
        <ul>${detail.examples.map((one, index) => html`<li key=${index}><code>${one.at} s</code> <${Said} text=${one.happened} />: ${one.who}, <${Said} text=${one.what} />
          ${one.requests.en && html`<br /><small><${Said} text=${one.requests} /></small>`}</li>`)}</ul></details>`}
      <p class="note">${t("repeat_with")} <code>${detail.command}</code></p>`}
  </section>`;
}

function listSection() {
  return html`<section class="list" aria-label=${t("experiments")}>
    <h2>${t("experiments")}</h2>
    <p class="note">${t("experiments_about")}</p>
    ${own.data?.experiments.map((one) => html`<details key=${one.name} name="experiment">
      <summary><b>${one.number}</b> <${Said} text=${one.title} /> <${Length} of=${one} /></summary>
      <p><${Said} text=${one.hypothesis} /></p>
      ${one.variants.length > 1 && html`<${Run} name=${one.name} title=${say(one.title)} seconds=${sum(one.variants)} text=${t("run_all", { count: one.variants.length })} />`}
      <ul>${one.variants.map((variant) => html`<${Variant} key=${variant.name} of=${one} variant=${variant} />`)}</ul>
    </details>`)}
  </section>`;
}

// How long it takes, or that this console can't run it.
function Length({ of }) {
  const why = page.refused({ do: "experiment", to: of.name });
  const place = { needs_containers: "containers_alone", needs_machines: "machines_alone" }[why?.key];
  return html`<span class="note length">${place ? t(place) : t("about_seconds", { seconds: number(sum(of.variants)) })}</span>`;
}

const sum = (variants) => variants.reduce((total, variant) => total + variant.seconds, 0);

function Variant({ of, variant }) {
  const single = of.variants.length === 1;
  const name = single ? of.name : `${of.name}.${variant.name}`;
  return html`<li>
    ${!single && html`<h3><${Said} text=${variant.title} /></h3>`}
    ${!single && variant.hypothesis.en && html`<p><${Said} text=${variant.hypothesis} /></p>`}
    <p class="note">${t("variant_cluster", { nodes: variant.nodes, store: storeName(variant.store) })} · ${t("variant_fault")} <${Said} text=${variant.fault} /></p>
    <ul class="plain-claims">${variant.claims.map((claim, index) => html`<li key=${index}><${Said} text=${claim} /></li>`)}</ul>
    <${Run} name=${name} title=${single ? say(of.title) : `${say(of.title)}, ${say(variant.title)}`} seconds=${variant.seconds} text=${t("run_one")} />
  </li>`;
}

function Run({ name, title, seconds, text }) {
  const order = { do: "experiment", to: name };
  const why = page.refused(order);
  return html`<p class="start" onClick=${() => why || show(".run")}><${CommandButton} page=${page} order=${order} class="act" label="${text}: ${title}">${text}<//>
    <span class="note">${why?.key.startsWith("needs_") ? tell(why) : t("about_seconds", { seconds: number(seconds) })}</span></p>`;
}

function pastSection() {
  const past = own.data?.past ?? [];
  return html`<section class="past" aria-label=${t("past_runs")}>
    <h2>${t("past_runs")}</h2>
    ${own.data && html`<p class="note">${t("results_in")} <code>${own.data.folder}</code></p>`}
    ${own.data && past.length === 0 && html`<p class="note">${t("past_none")}</p>`}
    <ol>${past.map((one) => html`<li key=${addressOf(one)} class=${addressOf(one) === own.chosen ? "here" : ""}>
      <time>${moment(one.at)}</time>
      <span class="what"><b>${numberOf(one)} · <${Said} text=${one.title} /></b> <${Verdict} of=${one.verdict} /><br /><span class="note"><${Said} text=${one.told} /></span></span>
      <span class="ways"><button type="button" aria-pressed=${addressOf(one) === own.chosen} aria-label="${t("show_verdict")}: ${say(one.title)}, ${moment(one.at)}"
        onClick=${() => choose(one).then(() => show(".result"))}>${t("show_verdict")}</button> <${ReportLink} of=${one} title="${say(one.title)}, ${moment(one.at)}" /></span>
    </li>`)}</ol>
  </section>`;
}
