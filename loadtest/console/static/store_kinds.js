// The four kinds of session stores, with their advantages and disadvantages. Each can be tried.
import { CommandButton } from "./button.js";
import { html } from "./html.js";
import { t } from "./text.js";

const KINDS = { memory: ["memory"], redis: ["redis", "redis-ha", "redis-cluster", "express"], sql: ["sql"], file: ["file"] };

export function storeKinds(page) {
  const store = page.state.snapshot?.cluster.store;
  return html`<section class="kinds" aria-label=${t("kinds")}>
    <h2>${t("kinds")}</h2>
    <p class="note">${t("store_change")}</p>
    <div class="cards">${Object.entries(KINDS).map(([kind, stores]) => {
      const here = stores.includes(store);
      return html`<article key=${kind} class=${here ? "here" : ""}>
        <h3>${t(`kind_of_${kind}`)} ${here && html`<span class="part">${t("kind_here")}</span>`}</h3>
        <p>${t(`kind_of_${kind}_what`)}</p>
        <dl><dt>${t("advantages")}</dt><dd>${t(`kind_of_${kind}_for`)}</dd><dt>${t("disadvantages")}</dt><dd>${t(`kind_of_${kind}_against`)}</dd></dl>
        ${!here && html`<${CommandButton} page=${page} order=${{ do: "store", to: kind }} label="${t("try")}: ${t(`kind_of_${kind}`)}">${t("try")}<//>`}
      </article>`;
    })}</div>
  </section>`;
}
