// An Express application with express-session that answers what a node of the cluster answers, as JSON. It is
// configured through environment variables:
//
//   PORT, HOST                      where it listens; 3000 and 127.0.0.1
//   NODE_NAME                       the value of X-Served-By; express-1
//   SESSIONS                        own, or shared with the nodes; shared
//   SESSION_STORE                   own: memory or redis; shared: that of the nodes, if it is told, which must be express
//   REDIS_URL, REDIS_URL_FILE       the nodes' Redis or its Sentinels, or a file that holds this URL
//   SESSION_SECRETS, ..._FILE       the nodes' secrets: the first signs, all verify
//   SESSION_NAME                    the cookie's name; connect.sid
//   SESSION_IDLE_TIMEOUT            seconds that a session lives without use; 1800
//   SESSION_SECURE, SESSION_HTTP_ONLY, SESSION_SAME_SITE, SESSION_MAX_AGE, SESSION_ROLLING
//                                   as those of the nodes: the cookie's attributes, and when it is sent again
//   CLUSTER_USERS_FILE              JSON: {"users": {user: password}}

import { readFileSync } from "node:fs";
import { timingSafeEqual, createHash } from "node:crypto";
import express from "express";
import session from "express-session";
import { memory, redis } from "./stores.js";

const env = process.env;
const setting = (name) => env[name] || (env[`${name}_FILE`] && readFileSync(env[`${name}_FILE`], "utf8").trim());

function required(name) {
  const value = setting(name);
  if (!value) {
    console.error(`error: ${name} is not set`);
    process.exit(2);
  }
  return value;
}

const switches = { on: true, true: true, 1: true, yes: true, off: false, false: false, 0: false, no: false };
function choice(name, otherwise, choices) {
  const value = (env[name] || otherwise).toLowerCase();
  if (!Object.hasOwn(choices, value)) {
    console.error(`error: ${name}=${value}: use one of ${Object.keys(choices).join(", ")}`);
    process.exit(2);
  }
  return choices[value];
}

const ownSessions = choice("SESSIONS", "shared", { own: true, shared: false });
if (!ownSessions && env.SESSION_STORE && env.SESSION_STORE !== "express") {
  console.error(`error: SESSION_STORE=${env.SESSION_STORE}: the nodes share their sessions with SESSION_STORE=express alone`);
  process.exit(2);
}
const name = env.NODE_NAME || "express-1";
const secrets = required("SESSION_SECRETS").split(/[,\n]/).map((secret) => secret.trim()).filter(Boolean);
const users = new Map(Object.entries(JSON.parse(readFileSync(required("CLUSTER_USERS_FILE"), "utf8")).users));

const cookie = {
  httpOnly: choice("SESSION_HTTP_ONLY", "on", switches),
  sameSite: choice("SESSION_SAME_SITE", "lax", { lax: "lax", strict: "strict", none: "none", auto: "auto" }),
  secure: choice("SESSION_SECURE", "auto", { auto: "auto", on: true, off: false }),
  maxAge: Number(env.SESSION_MAX_AGE || 0) * 1000 || null,
};
const open = ownSessions ? choice("SESSION_STORE", "", { memory, redis }) : redis;
const { store, ping, close } = await open(required, Number(env.SESSION_IDLE_TIMEOUT || 1800));

const app = express();
app.disable("x-powered-by");
app.set("trust proxy", 1);
app.use((request, response, next) => {
  response.set({ "X-Served-By": name, "Cache-Control": "no-store" });
  next();
});
app.get("/live", (request, response) => response.json({ status: "alive" }));
app.get("/ready", async (request, response) => {
  try {
    await ping();
    response.json({ status: "ready" });
  } catch {
    response.status(503).json({ status: "the session store can't be reached" });
  }
});
app.use(express.json({ limit: "64kb" }));
app.use(
  session({
    store,
    secret: secrets,
    name: env.SESSION_NAME || "connect.sid",
    resave: false,
    saveUninitialized: false,
    rolling: choice("SESSION_ROLLING", "off", switches),
    cookie,
  }),
);

const isPassword = (given, wanted) => {
  const [one, other] = [given, wanted ?? ""].map((text) => createHash("sha256").update(String(text)).digest());
  return timingSafeEqual(one, other) && wanted !== undefined;
};
const done = (next, answer) => (error) => (error ? next(error) : answer());

app.get("/me", (request, response) => {
  const { user = null, visits = 0, cart = {} } = request.session;
  response.json({ user, node: name, visits, cart });
});

app.post("/login", (request, response, next) => {
  const { user, password } = request.body ?? {};
  if (!isPassword(password, users.get(user))) {
    response.status(401).json({ error: "User or password is wrong." });
    return;
  }
  const { visits, cart } = request.session; // kept, as the nodes keep them
  request.session.regenerate(
    done(next, () => {
      Object.assign(request.session, { user }, visits && { visits }, cart && { cart });
      request.session.save(done(next, () => response.json({ user, node: name })));
    }),
  );
});

app.post("/logout", (request, response, next) => {
  request.session.destroy(
    done(next, () => response.clearCookie(env.SESSION_NAME || "connect.sid").status(204).end()),
  );
});

app.get("/account", (request, response) => {
  const { user } = request.session;
  if (user) response.json({ user });
  else response.status(401).json({ error: "log in first" });
});

app.post("/visits", (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  response.json({ visits: request.session.visits });
});

app.post("/cart", (request, response) => {
  const { item, quantity } = request.body ?? {};
  if (typeof item !== "string" || !Number.isInteger(quantity) || quantity < 1) {
    response.status(422).json({ error: "item: a text; quantity: a whole number from 1" });
    return;
  }
  const cart = (request.session.cart ??= {});
  cart[item] = (cart[item] ?? 0) + quantity;
  response.json({ cart });
});

app.delete("/cart", (request, response) => {
  delete request.session.cart;
  response.status(204).end();
});

app.use((error, request, response, next) => {
  console.error(error.message);
  if (response.headersSent) next(error);
  else response.status(error.status ?? 503).json({ error: error.status ? error.message : "try again" });
});

const server = app.listen(Number(env.PORT || 3000), env.HOST || "127.0.0.1", () => {
  console.log(`${name} answers on http://${env.HOST || "127.0.0.1"}:${server.address().port}`);
});
server.keepAliveTimeout = 75000; // longer than nginx keeps idle connections, as that of the nodes
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close(() => close().finally(() => process.exit(0)));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), 5000).unref();
  });
}
