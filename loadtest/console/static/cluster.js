// The view "Cluster": figures, topology, controls, the last minute, what happened.
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { Figures } from "./figures.js";
import { html } from "./html.js";
import { Log } from "./log.js";
import { Topology } from "./topology.js";
import { Tour } from "./tour.js";

export const clusterView = {
  name: "cluster",
  label: "view_cluster",
  render: (page) => html`
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
