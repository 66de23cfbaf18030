// Texts in the chosen language, from the catalogue that the server uses too.
const LANGUAGES = ["en", "ko"];
let catalogue = {};
let language = LANGUAGES.find((one) => one === localStorage.getItem("language"))
  ?? (navigator.language.startsWith("ko") ? "ko" : "en");

export async function loadCatalogue() {
  catalogue = await (await fetch("static/catalogue.json")).json();
  document.documentElement.lang = language;
}

export const currentLanguage = () => language;

export function chooseLanguage(chosen) {
  language = chosen;
  localStorage.setItem("language", chosen);
  document.documentElement.lang = chosen;
}

// The text of a key, with the values of its {placeholders}; {count|update is|updates are} is a word for 1, or for others.
export function t(key, values = {}) {
  const text = catalogue[key]?.[language] ?? key;
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (_, name, one, other) => {
    const given = values[name] ?? "";
    const value = typeof given === "object" ? say(given) : given;
    return one === undefined ? value : `${value}` === "1" ? one : other;
  });
}

// A sentence of the server's data: {en, ko}.
export const say = (said) => said[language];

// The text of a message of the server.
export const tell = (message) => (message ? t(message.key, message.values) : "");

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

// A time of any day, in the order that every reader can sort.
export const moment = (seconds) => new Date(seconds * 1000).toLocaleString("sv-SE");

// Why there are no figures of users.
export const whyNoLoad = (load) => t(load?.state === "paused" ? "load_paused" : "no_load");

// The name of a store; a database's is the same in all languages.
export const storeName = (store) => (catalogue[`store_${store}`] ? t(`store_${store}`) : store);

// A command in words: its argument has a name of its own where it is one of several values.
export function describe({ do: name, on, to }) {
  const it = on ?? to ?? "";
  if (name === "scene") return t("do_scene", { it: it === "own" ? t("scene_own") : t(`tour_${it}_title`) });
  if (name === "store") return t("do_store", { it: storeName(it) });
  return t(`do_${name}`, { it: name === "network" ? t(`network_${it}`) : it });
}

// A line of the log: a command, or what was seen.
export const describeEntry = (entry) => (entry.order ? describe(entry.order) : tell(entry.message));
