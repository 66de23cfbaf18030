// The members as they are: browsers, proxy, nodes, store. State by shape, text and colour; edges coloured by answers.
import { CommandButton } from "./button.js";
import { html } from "./html.js";
import { showMemberLog } from "./member_log.js";
import { number, storeName, t, whyNoLoad } from "./text.js";

const SHAPES = { running: "●", drained: "◐", paused: "||", ended: "✕", failing: "▲", silent: "||", unknown: "?" };

export function Topology({ page }) {
  const { snapshot } = page.state;
  const members = snapshot?.members ?? [];
  const of = (role) => members.filter((member) => member.role === role);
  const nodes = of("node");
  const stores = of("store");
  const sentinels = of("sentinel");
  const network = snapshot?.cluster.network;
  const load = snapshot?.load;
  return html`<section class="topology ${nodes.length > 5 ? "many" : ""}" aria-label=${t("topology")}>
    <h2>${t("topology")}</h2>
    <div class="column browsers">
      <div class="member browser">
        <h3>${t("browsers")}</h3>
        <p class="figure-line">${load?.state === "running" ? t("virtual_users", { count: load.users }) : whyNoLoad(load)}</p>
        ${snapshot?.cluster.url &&
        html`<p><a href=${snapshot.cluster.url} target="_blank" rel="noopener noreferrer">${t("open_shop")}</a></p>`}
      </div>
    </div>
    <${Edges} tones=${[toneOfAll(of("proxy")[0], nodes, load)]} />
    <div class="column">${of("proxy").map((member) => html`<${Member} key=${member.name} page=${page} member=${member} />`)}</div>
    <${Edges} tones=${nodes.map((node) => tone(node, load))} />
    <div class="column nodes">
      ${nodes.map((member) => html`<${Member} key=${member.name} page=${page} member=${member} load=${load} />`)}
    </div>
    <${Edges} tones=${nodes.map((node) => toStore(node, stores, network, load))} gather />
    <div class="column store">
      <${Store} page=${page} stores=${stores} sentinels=${sentinels} />
    </div>
  </section>`;
}

function Store({ page, stores, sentinels }) {
  const { snapshot } = page.state;
  if (!snapshot) return null;
  const { store, network, target } = snapshot.cluster;
  const place = target ? "" : store === "memory" ? t("each_node_itself") : t("shared_by_all");
  return html`<div class="group ${store === "memory" ? "apart" : ""}">
    <h3>${target ? t("store") : `${t("store")}: ${storeName(store)}`}</h3>
    <p class="note">${place}${snapshot.store_rate !== null && ` · ${t("commands_per_second", { rate: number(snapshot.store_rate) })}`}</p>
    ${network && network !== "ok" && html`<p class="fault-note"><span aria-hidden="true">▲</span> ${t("network")}: ${t(`net_${network}`, { ms: snapshot.cluster.slow_ms })}</p>`}
    ${snapshot.watched && stores.length > 0 && html`<p class="note">${t("store_unseen", reached(snapshot.members))}</p>`}
    ${stores.map((member) => html`<${Member} key=${member.name} page=${page} member=${member} compact=${stores.length > 1} />`)}
    ${sentinels.length > 0 && html`<h4>${t("sentinels")}</h4>`}
    ${sentinels.map((member) => html`<${Member} key=${member.name} page=${page} member=${member} compact />`)}
  </div>`;
}

// How many nodes say that they reach the store, of those that said something.
function reached(members) {
  const told = members.filter((member) => typeof member.reaches_store === "boolean");
  return { count: told.filter((member) => member.reaches_store).length, of: told.length };
}

function Member({ page, member, load, compact = false }) {
  const { name, role } = member;
  const shown = shownState(member, load);
  const part = member.part && html`<span class="part ${member.part}">${member.part === "primary" ? "★ " : ""}${t(`part_${member.part}`)}</span>`;
  const pause = ["paused", "silent"].includes(member.state) ? "resume" : "pause";
  const verbs = ["kill", pause, ...(role === "node" ? ["drain"] : []), "restart"];
  return html`<div class="member ${role} ${shown} ${compact ? "compact" : ""}" id="member-${name}">
    <h3><span class="shape" aria-hidden="true">${SHAPES[shown]}</span>${name} ${part}<span class="state">${t(`state_${shown}`)}</span></h3>
    ${member.own_name && html`<p class="note own-name">${member.own_name}</p>`}
    ${role === "node" && html`<p class="figure-line">${nodeFigures(member, load, page.state.snapshot)}</p>`}
    <p class="verbs">
      ${verbs.map(
        (verb, index) => html`<${CommandButton} key=${index} page=${page} order=${{ do: verb, on: name }} class=${verb}
          label=${t("on_member", { verb: t(verb), name })} help=${t(`${verb}_help`)}>${t(verb)}<//>`,
      )}
      <button type="button" aria-label=${t("on_member", { verb: t("look"), name })} onClick=${() => showLog(page, name)}>${t("look")}</button>
    </p>
  </div>`;
}

// A console that only watches knows no log of others: it shows the command.
const showLog = (page, name) => (page.state.snapshot.watched ? page.run({ do: "look", on: name }) : showMemberLog(page, name));

function nodeFigures({ figures, state, reaches_store: reaches }, load, { watched, cluster }) {
  if (watched && !figures) return t("no_figures");
  if (!watched && load?.state !== "running") return whyNoLoad(load);
  if (reaches === false) return t("reaches_no_store");
  if (!figures && cluster.target) return t("no_node_figures");
  if (!figures || (!figures.rate && !figures.failed)) return t("no_requests");
  const parts = [];
  if (figures.rate) parts.push(t("per_second", { rate: number(figures.rate, 1) }), t("p50", { ms: number(figures.p50) }));
  if (figures.failed && state === "running") parts.push(t("errors_per_second", { rate: number(figures.failed, 1) }));
  return parts.join(" · ");
}

// A running node whose answers fail is not well: colour follows answers, not traffic.
function shownState(member, load) {
  const { figures } = member;
  const fails = load?.state === "running" && figures && figures.failed > figures.rate;
  return member.state === "running" && (fails || member.reaches_store === false) ? "failing" : member.state;
}

function tone(node, load) {
  const shown = shownState(node, load);
  if (shown === "failing") return "bad";
  if (node.state !== "running") return node.state === "drained" ? "idle" : "broken";
  if (load?.state !== "running" || !node.figures?.rate) return "idle";
  return node.figures.failed ? "mixed" : "good";
}

function toneOfAll(proxy, nodes, load) {
  if (!proxy || proxy.state !== "running") return "broken";
  const tones = nodes.map((node) => tone(node, load));
  return ["good", "mixed", "bad"].find((one) => tones.includes(one)) ?? "idle";
}

function toStore(node, stores, network, load) {
  if (network === "silent" || network === "cut") return "broken";
  if (node.reaches_store === false) return "broken";
  if (stores.length > 0 && stores.every((store) => !["running", "unknown"].includes(store.state))) return "broken";
  const own = tone(node, load);
  return network === "slow" && own === "good" ? "mixed" : own;
}

// Lines from one member to each of the next column, whose cells are of equal height; `gather`: towards the store.
function Edges({ tones, gather = false }) {
  return html`<svg class="edges" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
    ${tones.map((one, index) => {
      const y = ((index + 0.5) / tones.length) * 100;
      const [from, to] = gather ? [y, 50] : [50, y];
      return html`<path key=${index} class="edge ${one}" d="M0 ${from} C50 ${from} 50 ${to} 100 ${to}" />`;
    })}
  </svg>`;
}
