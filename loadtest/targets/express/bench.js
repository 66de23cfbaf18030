// The application that `session-cluster bench` measures, in Express: with express-session and connect-redis where
// BENCH_URL names a Redis, without sessions where it does not. loadtest/bench/apps.py is its counterpart in Flask.

import express from "express";

const body = "x".repeat(64);
const characters = 60;
const texts = Object.fromEntries([0, 1, 2, 3].map((number) => [`text${number}`, String(number).repeat(characters)]));
const app = express();
app.disable("x-powered-by");
app.disable("etag");

if (process.env.BENCH_URL) {
  const { default: session } = await import("express-session");
  const { RedisStore } = await import("connect-redis");
  const { createClient } = await import("redis");
  const client = createClient({ url: process.env.BENCH_URL });
  await client.connect();
  app.use(
    session({
      store: new RedisStore({ client }),
      secret: "a secret of the bench, of 32 bytes or more",
      resave: false,
      saveUninitialized: false,
    }),
  );
}

// The same bytes for all: what an application's own header costs is not the session's cost.
const answer = (response, length = 0, count = 0) => {
  response.set("X-Seen", `${length} ${count}`);
  response.type("html").send(body);
};
app.get("/none", (request, response) => answer(response));
app.get("/start", (request, response) => {
  Object.assign(request.session, texts, { count: "0".padStart(characters, "0") });
  answer(response);
});
app.get("/read", (request, response) => {
  const length = Object.keys(texts).reduce((sum, name) => sum + request.session[name].length, 0);
  answer(response, length, Number(request.session.count));
});
app.get("/write", (request, response) => {
  const count = Number(request.session.count) + 1;
  request.session.count = String(count).padStart(characters, "0");
  answer(response, characters, count);
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1");
server.keepAliveTimeout = 75000;
process.on("SIGTERM", () => process.exit(0));
