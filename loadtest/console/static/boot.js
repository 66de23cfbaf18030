// Loads the page. A browser drops requests when the network changes, which Docker does often, and half a page is of no
// use: it is loaded again, some times.
const MOST = 5;
const WAIT = 1000; // ms
const tries = Number(sessionStorage.getItem("tries"));
const styles = [...document.querySelectorAll("link[rel=stylesheet]")];

function again() {
  sessionStorage.setItem("tries", tries < MOST ? tries + 1 : 0);
  if (tries < MOST) setTimeout(() => location.reload(), WAIT);
  else document.querySelector("#page .again").hidden = false;
}

function hasCome(style) {
  try {
    return style.sheet.cssRules.length > 0;
  } catch {
    return false; // the rules of one that did not come can't be read
  }
}

const styled = new Promise((done, fail) => addEventListener("load", () => (styles.every(hasCome) ? done() : fail())));
Promise.all([import("./main.js"), styled]).then(() => sessionStorage.removeItem("tries"), again);
