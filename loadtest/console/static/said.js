// A sentence of the server's data, in the chosen language. Where it has no Korean, that is said to screen readers.
import { html } from "./html.js";
import { currentLanguage, say } from "./text.js";

export function Said({ text }) {
  const foreign = currentLanguage() !== "en" && text.ko === text.en && /[a-z]{3}/.test(text.en);
  return html`<span lang=${foreign ? "en" : undefined}>${say(text)}</span>`;
}
