// A dialog with the command to type in a shell, where the console has no access to the engine.
import { html, render } from "./html.js";
import { t } from "./text.js";

export function showTyped(command) {
  const dialog = document.createElement("dialog");
  dialog.className = "typed";
  dialog.setAttribute("aria-label", t("typed"));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  draw(dialog, command, false);
  dialog.showModal();
}

function draw(dialog, command, copied) {
  const copy = async () => {
    await navigator.clipboard.writeText(command);
    draw(dialog, command, true);
  };
  render(
    html`<h2>${t("typed")}</h2>
      <p>${t("typed_why")}</p>
      <pre tabindex="0">${command}</pre>
      <form method="dialog"><button type="button" class="copy" onClick=${copy}>${copied ? t("copied") : t("copy")}</button> <button>${t("close")}</button></form>`,
    dialog,
  );
}
