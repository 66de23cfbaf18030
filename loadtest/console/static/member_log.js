// A dialog with the last lines of a member's log.
import { memberLog } from "./connection.js";
import { html, render } from "./html.js";
import { t } from "./text.js";

export async function showMemberLog(page, name) {
  const dialog = document.createElement("dialog");
  dialog.className = "member-log";
  dialog.setAttribute("aria-label", t("member_log", { name }));
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  let lines;
  try {
    lines = await memberLog(name);
  } catch {
    lines = [t("lost", { time: "" })];
  }
  render(
    html`<h2>${t("member_log", { name })}</h2>
      <pre tabindex="0">${lines.length ? lines.join("\n") : t("member_log_empty")}</pre>
      <form method="dialog"><button>${t("close")}</button></form>`,
    dialog,
  );
  dialog.showModal();
  const text = dialog.querySelector("pre");
  text.scrollTop = text.scrollHeight;
}
