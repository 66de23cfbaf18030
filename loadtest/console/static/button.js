// A button of a command. It stays in place, and keeps the focus, while its command is not possible; a click says why.
import { html } from "./html.js";
import { tell } from "./text.js";

const isRefused = (why) => Boolean(why) && why.key !== "type_it"; // a command to type is not a refusal

export function CommandButton({ page, order, label, help, children, ...rest }) {
  const why = page.refused(order);
  return html`<button type="button" ...${rest} aria-label=${label} title=${why ? tell(why) : help}
    aria-disabled=${isRefused(why)} onClick=${() => page.run(order)}>${children}</button>`;
}

// One of several values, of which one is chosen: a radio group that a change of the cluster does not take the focus of.
export function Choice({ page, label, values, chosen, order, text, help }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...event.currentTarget.querySelectorAll("button")];
    const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
    next.focus();
  };
  return html`<div class="choice" role="radiogroup" aria-label=${label} onKeyDown=${move}>
    ${values.map((value) => {
      const why = value === chosen ? undefined : page.refused(order(value));
      return html`<button type="button" role="radio" key=${value} aria-checked=${value === chosen}
        tabindex=${value === chosen || (chosen === null && value === values[0]) ? 0 : -1}
        aria-disabled=${isRefused(why)} title=${why ? tell(why) : help?.(value)}
        onClick=${() => value !== chosen && page.run(order(value))}>${text(value)}</button>`;
    })}
  </div>`;
}
