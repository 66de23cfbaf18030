// Requests and answers as they were, the newest first, with what they mean.
import { html } from "./html.js";
import { clock, number, t } from "./text.js";

const HIDDEN = "••••••••"; // in the place of an id
const ATTRIBUTES = ["HttpOnly", "SameSite", "Path", "Secure", "Max-Age", "Expires"];

export function exchangesSection({ data }) {
  const exchanges = [...(data?.exchanges ?? [])].reverse();
  const [newest, ...earlier] = exchanges;
  return html`<section class="exchanges" aria-label=${t("exchange")}>
    <h2>${t("exchange")}</h2>
    ${newest ? html`<${Exchange} exchange=${newest} user=${data.user} />` : html`<p class="note">${t("exchange_none")}</p>`}
    ${earlier.map((one) => html`<details key=${one.at}>
      <summary>${clock(one.at)} · ${one.method} ${one.path} · ${one.status || t("failed")} · ${meaning(one)}</summary>
      <${Exchange} exchange=${one} />
    </details>`)}
  </section>`;
}

function Exchange({ exchange }) {
  const { request_headers: sent, response_headers: got } = exchange;
  const cookies = got.filter(([name]) => name.toLowerCase() === "set-cookie").map(([, value]) => value);
  return html`<div class="exchange">
    <p class="meaning" role="status">${meaning(exchange)}</p>
    <div class="pair">
      <div>
        <h3>${t("request_to", { via: exchange.via })}</h3>
        <pre tabindex="0" aria-label=${t("request_to", { via: exchange.via })}>${exchange.method} ${exchange.path} HTTP/1.1${"\n"}<${Headers} headers=${sent} />${exchange.request_body && `\n${exchange.request_body}`}</pre>
      </div>
      <div>
        <h3>${t("answer_after", { ms: number(exchange.milliseconds, 1) })}</h3>
        <pre tabindex="0" aria-label=${t("answer_after", { ms: number(exchange.milliseconds, 1) })}>${exchange.error || html`HTTP/1.1 ${exchange.status} ${exchange.reason}${"\n"}<${Headers} headers=${got} />${exchange.response_body && `\n${exchange.response_body}`}`}</pre>
      </div>
    </div>
    ${cookies.map((cookie) => html`<${SetCookie} key=${cookie} cookie=${cookie} />`)}
  </div>`;
}

function Headers({ headers }) {
  return headers.map(([name, value]) => {
    const line = `${name}: ${value}`;
    const marked = ["cookie", "set-cookie", "x-served-by"].includes(name.toLowerCase());
    return html`${marked ? html`<b>${line}</b>` : line}${"\n"}`;
  });
}

// What each attribute of a cookie that was set means.
function SetCookie({ cookie }) {
  const [pair, ...attributes] = cookie.split(/;\s*/);
  const name = pair.split("=")[0];
  return html`<div class="set-cookie">
    <h3>${t("cookie_set", { name })}</h3>
    <dl>${ATTRIBUTES.map((one) => {
      const given = attributes.find((text) => text.toLowerCase().split("=")[0] === one.toLowerCase());
      if (!given && !["HttpOnly", "SameSite", "Secure"].includes(one)) return null;
      const key = one.toLowerCase().replace("-", "_");
      return html`<dt key=${one} class=${given ? "" : "absent"}>${given ?? t("attribute_absent", { name: one })}</dt><dd>${t(given ? `attribute_${key}` : `attribute_${key}_absent`)}</dd>`;
    })}</dl>
  </div>`;
}

// One sentence on what an exchange shows.
function meaning({ step, status, error, response_headers: headers, response_body: body, via }) {
  const node = headers.find(([name]) => name.toLowerCase() === "x-served-by")?.[1] ?? via;
  if (error) return t("means_no_answer", { via });
  if (status === 503) return t("means_unknown", { node });
  if (status >= 400) return t("means_refused", { node, status });
  if (step === "login") return t("means_login", { node });
  const renewed = headers.some(([name, value]) => name.toLowerCase() === "set-cookie" && value.includes(`${HIDDEN}.`));
  if (step === "cart") return t(renewed ? "means_cart_new" : "means_cart", { node });
  if (step === "logout") return t("means_logout", { node });
  const user = userOf(body);
  if (user) return t("means_user", { node, user });
  return t(step === "replay" ? "means_replay_refused" : step === "forge" ? "means_forged" : "means_nobody", { node });
}

function userOf(body) {
  try {
    return JSON.parse(body).user;
  } catch {
    return null;
  }
}
