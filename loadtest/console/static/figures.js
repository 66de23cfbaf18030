// The strip of figures that tells the story in five seconds. Without a load there are none, and the strip says so.
import { html } from "./html.js";
import { clock, number, t, whyNoLoad } from "./text.js";

export function Figures({ page }) {
  const { figures, load, stage } = page.state.snapshot ?? {};
  const counts = figures && figures.operations > 0 ? figures : null;
  const recent = load?.state === "running" ? counts?.recent : null;
  const missing = stage !== "running" ? "" : load.state === "running" ? t("too_few") : whyNoLoad(load);
  const dash = "–";
  const unseen = page.state.snapshot?.cluster.lacks?.["update lost"]; // why nobody looks for them on a target
  return html`<section class="figures ${counts?.old ? "old" : ""}" aria-label=${t("figures")}>
    <${Figure} name="requests" value=${counts ? number(counts.operations) : dash}
      note=${recent ? t("per_second", { rate: number(recent.rate) }) : missing} />
    <${Figure} name="logged_out" tone=${counts?.users_logged_out ? "out" : counts ? "good" : ""}
      value=${counts ? number(counts.users_logged_out) : dash} note=${counts ? ofUsers(counts.users, load.users) : ""} />
    <${Figure} name="updates_lost" tone=${counts?.updates_lost ? "out" : counts && !unseen ? "good" : ""}
      value=${counts && !unseen ? number(counts.updates_lost) : dash} note=${unseen ? t("unseen", { why: unseen }) : t("updates_lost_note")} />
    <${Figure} name="failed" tone=${counts?.failed ? "bad" : counts ? "good" : ""}
      value=${counts ? number(counts.failed) : dash} note=${t("failed_note")} />
    <${Figure} name="latency" value=${recent ? latency(recent) : dash}
      note=${recent ? t("last_seconds", { seconds: counts.recent_seconds }) : missing} />
    <${Figure} name="gap" tone=${counts?.gap >= 1 ? "bad" : ""}
      value=${counts ? t("seconds", { seconds: number(counts.gap, 2) }) : dash} note=${t("gap_note")} />
    ${load?.since && html`<p class="since">${t("figures_since", { time: clock(load.since) })}${counts && ` · ${until(counts)}`}</p>`}
  </section>`;
}

// Users who left and came back are counted as others, as after an experiment.
const ofUsers = (of, users) => (of > users ? t("logged_out_of_all", { of, now: users }) : t("logged_out_of", { of }));

const until = ({ until, old }) => (old ? t("figures_old", { time: clock(until) }) : t("figures_until", { time: clock(until) }));

const latency = ({ p50, p99 }) => t("ms", { p50: number(p50), p99: number(p99) });

function Figure({ name, value, note, tone = "" }) {
  return html`<div class="figure ${tone}" id="figure-${name}">
    <span class="name">${t(name)}</span><b>${value}</b><span class="note">${note}</span>
  </div>`;
}
