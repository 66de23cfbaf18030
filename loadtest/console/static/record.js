// The cookie, what it is worth, and the record in the store, whose time to live counts down.
import { html } from "./html.js";
import { clock, number, t } from "./text.js";

export function recordSection(own, reveal) {
  const { data } = own;
  const record = data?.record;
  return html`<section class="record" aria-label=${t("record")}>
    <h2>${t("cookie_held")}</h2>
    ${data && html`<p class="cookie"><code>${data.cookie ? `Cookie: ${own.cookie || data.cookie}` : t("cookie_none")}</code>
      ${data.cookie && html`<button type="button" onClick=${reveal}>${own.cookie ? t("cookie_hide") : t("cookie_show")}</button>`}</p>`}
    ${data?.cookie && html`<p class="note">${t("cookie_masked")}</p>`}
    ${record && record.found !== "no_cookie" && html`<dl>
      <dt>${t("signature")}</dt><dd>${t(record.found === "forged" ? "signature_wrong" : record.found === "foreign" ? "signature_unknown" : "signature_right")}</dd>
      ${record.key_hash && html`<dt>${t("key_hash")}</dt><dd><code>${record.key_hash}</code><br /><span class="note">${t(record.key_is_id ? "key_is_id" : "key_is_hash")}</span></dd>`}
    </dl>`}
    <h2>${t("record")}</h2>
    ${data?.is_old && html`<p class="note">${t("record_of_old")}</p>`}
    ${record && html`<p class="meaning ${record.found}" role="status">${t(`record_${record.found}`)}</p>`}
    ${record?.found === "present" && html`<${Present} record=${record} age=${(Date.now() - own.received) / 1000} />`}
  </section>`;
}

function Present({ record, age }) {
  const left = Math.max(0, record.ttl - age);
  return html`<dl>
      <dt>${t("owner")}</dt><dd>${record.owner ?? t("owner_none")}</dd>
      <dt>${t("created")}</dt><dd>${clock(record.created)}</dd>
      <dt>${t("ttl")}</dt><dd><b class="ttl">${t("seconds", { seconds: number(left) })}</b>
        <progress max=${record.idle} value=${left} aria-label=${t("ttl")}></progress>
        <span class="note">${t("ttl_note", { idle: number(record.idle), absolute: number(record.absolute) })}</span></dd>
    </dl>
    <table>
      <thead><tr><th scope="col">${t("field")}</th><th scope="col">${t("value")}</th><th scope="col">${t("bytes")}</th></tr></thead>
      <tbody>${record.fields.map((field) => html`<tr key=${field.name}><th scope="row"><code>${field.name}</code></th><td><code>${field.value}</code></td><td>${number(field.size)}</td></tr>`)}</tbody>
    </table>
    <p class="note">${t("fields_note")}</p>`;
}
