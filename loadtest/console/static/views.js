// The views of the page, in the order of their tabs. A view is {name, label, render}: `render(page)` returns markup.
// `page` has `state` (connection.js), `run(order)`, `refused(order)` and `live` (whether the figures are those of now).
import { clusterView } from "./cluster.js";
import { experimentsView } from "./experiments.js";
import { sessionView } from "./session.js";

export const views = [clusterView, sessionView, experimentsView];
