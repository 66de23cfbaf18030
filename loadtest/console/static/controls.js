// What can be changed about the cluster as a whole.
import { Choice, CommandButton } from "./button.js";
import { html } from "./html.js";
import { storeName, t } from "./text.js";

const POLICIES = ["round_robin", "least_conn", "random_two", "ip_hash", "hash", "sticky"];
const STORES = ["memory", "file", "sql", "redis", "redis-ha", "redis-cluster", "express"];
const NETWORKS = ["ok", "slow", "silent", "cut"];
const USER_STEPS = [0, 1, 2, 5, 10, 20, 50, 100, 200];

export function Controls({ page }) {
  const { cluster, load } = page.state.snapshot ?? {};
  const chosen = (name) => cluster?.[name] ?? null;
  return html`<section class="controls" aria-label=${t("controls")}>
    <h2>${t("controls")}</h2>
    <div class="row steppers">
      <${Stepper} page=${page} name="nodes" value=${cluster?.nodes ?? 0} less=${(cluster?.nodes ?? 0) - 1} more=${(cluster?.nodes ?? 0) + 1} />
      <${Stepper} page=${page} name="users" value=${load?.users ?? 0}
        less=${USER_STEPS.findLast((step) => step < (load?.users ?? 0)) ?? -1} more=${USER_STEPS.find((step) => step > (load?.users ?? 0)) ?? 201} />
    </div>
    ${load?.state === "failed" &&
    html`<p class="fault-note">${t("load_has_failed", { why: load.error })}</p>
      <${CommandButton} page=${page} order=${{ do: "load" }}>${t("load_again")}<//>`}
    <h3>${t("store")}</h3>
    <${Choice} page=${page} label=${t("store")} values=${STORES} chosen=${chosen("store")}
      order=${(to) => ({ do: "store", to })} text=${storeName} help=${() => t("store_change")} />
    <p class="note">${t("store_change")}</p>
    <${CommandButton} page=${page} order=${{ do: "failover" }} class="wide">${t("failover")}<//>
    <h3>${t("network")}</h3>
    <${Choice} page=${page} label=${t("network")} values=${NETWORKS} chosen=${chosen("network")}
      order=${(to) => ({ do: "network", to })} text=${(value) => t(`network_${value}`)} />
    <h3>${t("policy")}</h3>
    <${Choice} page=${page} label=${t("policy")} values=${POLICIES} chosen=${chosen("policy")}
      order=${(to) => ({ do: "policy", to })} text=${(value) => value} help=${(value) => t(`policy_${value}`)} />
    <p class="note">${chosen("policy") && t(`policy_${chosen("policy")}`)}</p>
  </section>`;
}

function Stepper({ page, name, value, less, more }) {
  const what = t(name);
  return html`<div class="stepper" role="group" aria-label=${what}>
    <span>${what}</span>
    <${CommandButton} page=${page} order=${{ do: name, to: String(less) }} label=${t("fewer", { what })}>−<//>
    <b aria-live="polite">${value}</b>
    <${CommandButton} page=${page} order=${{ do: name, to: String(more) }} label=${t("more", { what })}>+<//>
  </div>`;
}
