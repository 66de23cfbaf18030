// The last minute: a bar for each second (grey: the checker has not seen it yet, so who was logged out is not known), commands as marks, faults as shaded spans. Plain SVG, redrawn with each snapshot.
import { html } from "./html.js";
import { describeEntry, number, t } from "./text.js";

const WIDTH = 600;
const HEIGHT = 150;
const LAST = 60;
const MOST_MARKS = 12;

export function Chart({ page }) {
  const { snapshot, log } = page.state;
  const seconds = snapshot?.series.seconds ?? [];
  const begin = snapshot?.series.begin ?? 0;
  const checked = (snapshot?.series.checked_until ?? 0) - begin; // how many of the seconds
  const bars = seconds.map(([ok, failed, out], index) => (index < checked ? [ok, 0, out, failed] : [0, ok, out, failed]));
  const sums = [0, 1, 2, 3].map((at) => bars.reduce((sum, bar) => sum + bar[at], 0));
  const [ok, unchecked, out, failed] = sums.map((sum) => number(sum));
  const empty = snapshot && ["none", "paused"].includes(snapshot.load.state) && sums.every((sum) => sum === 0);
  const hint = page.refused({ do: "users" })?.key === "no_users_here" ? "no_load_here" : snapshot?.load.state === "paused" ? "load_paused" : "no_load_chart";
  return html`<section class="chart" aria-label=${t("chart")}>
    <h2>${t("chart")}</h2>
    <ul class="legend">
      <li class="ok">${t("answered")} <b>${ok}</b></li>
      <li class="failed">${t("failed")} <b>${failed}</b></li>
      <li class="out">${t("logged_out")} <b>${out}</b></li>
      <li class="unchecked">${t("unchecked")} <b>${unchecked}</b></li>
    </ul>
    <div class="plot" role="img" aria-label=${t("chart_summary", { ok, failed, out })}>
      <${Bars} bars=${bars} spans=${snapshot?.faults ?? []} begin=${begin} />
      <${Marks} log=${log} begin=${begin} />
      ${empty && html`<p class="empty">${t(hint)}</p>`}
    </div>
    <p class="axis" aria-hidden="true"><span>${t("ago", { seconds: 60 })}</span><span>${t("ago", { seconds: 30 })}</span><span>${t("now")}</span></p>
  </section>`;
}

const KINDS = ["ok", "unchecked", "out", "failed"]; // from below

function Bars({ bars, spans, begin }) {
  const most = niceCeiling(Math.max(10, ...bars.map((bar) => bar.reduce((sum, one) => sum + one, 0))));
  const width = WIDTH / LAST;
  const x = (time) => Math.min(WIDTH, Math.max(0, (time - begin) * width));
  const y = (count) => (count / most) * HEIGHT;
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">
      ${spans.map((span) => {
        const [from, to] = [x(span.begin), x(span.end ?? begin + LAST + 2)];
        return to > from && html`<rect key=${span.what + span.begin} class="span" x=${from} y="0" width=${to - from} height=${HEIGHT} />`;
      })}
      <path class="grid" d="M0 0H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}" />
      ${bars.map((bar, index) => {
        let top = HEIGHT;
        return KINDS.map((kind, at) => {
          top -= y(bar[at]);
          return bar[at] > 0 && html`<rect key=${kind + index} class=${kind} x=${index * width + 1} y=${top} width=${width - 2} height=${y(bar[at])} />`;
        });
      })}
    </svg>
    <span class="top">${t("per_second", { rate: number(most) })}</span><span class="middle">${number(most / 2)}</span>`;
}

// A dashed line for each command that was carried out; the newest have their words.
function Marks({ log, begin }) {
  const done = log.filter((entry) => entry.kind === "done" || entry.kind === "failed");
  const marks = done.map((entry) => ({ entry, at: Math.min(1, (entry.at - (entry.seconds ?? 0) - begin) / LAST) })).filter(({ at }) => at >= 0);
  return marks.slice(-MOST_MARKS).map(
    ({ entry, at }, index) => html`<div class="mark ${at > 0.6 ? "left" : ""} row${index % 3}" key=${entry.id} style=${{ left: `${at * 100}%` }}>
      <span>${describeEntry(entry)}</span>
    </div>`,
  );
}

function niceCeiling(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((times) => times * step).find((candidate) => candidate >= value);
}
