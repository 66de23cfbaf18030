// The view "Cluster": figures, topology, controls, the last minute, what happened.
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { Figures } from "./figures.js";
import { html } from "./html.js";
import { isRunning } from "./live_run.js";
import { Log } from "./log.js";
import { t } from "./text.js";
import { Topology } from "./topology.js";
import { Tour } from "./tour.js";

export const clusterView = {
  name: "cluster",
  label: "view_cluster",
  render: (page) => html`
    <${Banner} run=${page.state.snapshot?.experiment} />
    <${Tour} page=${page} />
    <div class="cluster">
      <${Figures} page=${page} />
      <${Topology} page=${page} />
      <${Controls} page=${page} />
      <${Chart} page=${page} />
      <${Log} page=${page} />
    </div>
  `,
};

// Which cluster this is, while an experiment has another one.
function Banner({ run }) {
  if (!isRunning(run)) return null;
  return html`<p class="banner" role="status">${t("own_cluster", { name: run.name })} <a href="#experiments">${t("view_experiments")}</a></p>`;
}
