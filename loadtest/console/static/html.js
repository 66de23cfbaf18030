// Markup as tagged templates: preact escapes every value, so a name or a line of a log stays text.
import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { render };
