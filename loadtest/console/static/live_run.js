// The newest run of an experiment: on which cluster, its stages, its claims as they stand, and what was found so far.
import { CommandButton } from "./button.js";
import { html } from "./html.js";
import { Said } from "./said.js";
import { clock, number, say, storeName, t } from "./text.js";

const SHAPES = { running: "●", drained: "◐", paused: "||", ended: "✕" };
const SIGNS = { so_far: "✓", not_so_far: "✗", not_yet: "·", unseen: "○" };

export const isRunning = (run) => ["running", "stopping"].includes(run?.stage);

export function describeRun(page) {
  const run = page.state.snapshot?.experiment;
  return html`<section class="run" aria-label=${t("run")}>
    <h2>${t("run")}</h2>
    ${run ? html`<${Run} page=${page} run=${run} />` : html`<p class="note">${t("run_none")}</p>`}
  </section>`;
}

function Run({ page, run }) {
  const runs = isRunning(run);
  const { cluster, figures } = run;
  return html`
    <h3>${run.number} · <${Said} text=${run.title} /></h3>
    <p role="status" class="state ${run.stage}">${runs && html`<i class="spinner" aria-hidden="true"></i> `}${t(`run_${run.stage}`)}
      ${run.variants > 1 && ` · ${t("run_variant", { number: run.variant, of: run.variants })}`}</p>
    <p><b>${t("hypothesis")}</b> <${Said} text=${run.hypothesis} /></p>
    <p class="note">${cluster.target ? cluster.target + "." : t("run_cluster", { nodes: cluster.nodes, store: storeName(cluster.store), policy: cluster.policy })} ${t(`run_place_${cluster.place}`)}</p>
    <ol class="stages" aria-label=${t("stages")}>${run.stages.map((stage, index) => html`<${Stage} key=${index} run=${run} stage=${stage} index=${index} />`)}</ol>
    ${figures && html`<dl class="so-far">
      <div><dt>${t("requests")}</dt><dd>${number(figures.operations)}</dd></div>
      <div class=${figures.users_logged_out ? "out" : ""}><dt>${t("logged_out")}</dt><dd>${number(figures.users_logged_out)} <span class="note">${t("logged_out_of", { of: figures.users })}</span></dd></div>
      <div class=${figures.updates_lost ? "out" : ""}><dt>${t("updates_lost")}</dt><dd>${number(figures.updates_lost)}</dd></div>
      <div class=${figures.failed ? "bad" : ""}><dt>${t("failed")}</dt><dd>${number(figures.failed)}</dd></div>
      <div><dt>${t("gap")}</dt><dd>${t("seconds", { seconds: number(figures.gap, 2) })}</dd></div>
    </dl>
    ${runs && html`<p class="note">${t("figures_until", { time: clock(run.counted_until) })}</p>`}`}
    ${cluster.members.length > 0 && html`<ul class="members" aria-label=${t("run_members")}>${cluster.members.map((member) => html`<li key=${member.name} class=${member.state}>
      <span aria-hidden="true">${SHAPES[member.state]}</span> ${member.name} <span class="note">${t(`state_${member.state}`)}</span></li>`)}</ul>`}
    ${runs && html`<h4>${t("claims")}</h4>
      <ul class="claims">${run.claims.map((claim, index) => html`<li key=${index} class=${claim.state}>
        <span class="sign" aria-hidden="true">${SIGNS[claim.state]}</span> ${claim.phase.en && `${say(claim.phase)}: `}<${Said} text=${claim.claim} />
        <b>${t(`claim_${claim.state}`)}</b> <span class="note"><${Said} text=${claim.seen} /></span></li>`)}</ul>
      <p class="note">${t("claims_note")}</p>
      <p><${CommandButton} page=${page} order=${{ do: "stop" }} class="stop"><span aria-hidden="true">■</span> ${t("run_stop")}<//> <span class="note">${t("run_stop_note")}</span></p>`}`;
}

function Stage({ run, stage, index }) {
  const state = index < run.reached ? "done" : index > run.reached ? "later" : isRunning(run) ? "now" : "later";
  const left = state === "now" && run.left !== null && t("seconds_left", { seconds: number(Math.ceil(run.left)) });
  return html`<li class=${state} aria-current=${state === "now" ? "step" : undefined}>
    <span aria-hidden="true">${{ done: "✓", now: "●", later: "○" }[state]}</span>
    <${Said} text=${stage} /> ${state === "now" && html`<span class="note">${left || t("now")}</span>`}</li>`;
}
