// The title or the hypothesis of an experiment: in the chosen language where the catalogue has it, else in English.
import { html } from "./html.js";
import { translate } from "./text.js";

export function Said({ kind, name, text }) {
  const said = translate(`${kind}_of_${name.split(".")[0]}`, text);
  return html`<span lang=${said === null ? "en" : undefined}>${said ?? text}</span>`;
}
