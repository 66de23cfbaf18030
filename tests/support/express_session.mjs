// express-session alone, with OPTIONS (JSON) over the defaults here, on connect-redis at REDIS_URL, with the packages of
// MODULES. The path /…count counts visits; every other one only looks. Prints its port when it listens.

import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.MODULES}/`);
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const client = require("redis").createClient({ url: process.env.REDIS_URL });
await client.connect();

const handle = session({
  store: new RedisStore({ client, ttl: 1800 }),
  resave: false,
  saveUninitialized: false,
  proxy: true,
  ...JSON.parse(process.env.OPTIONS),
});

http
  .createServer((request, response) =>
    handle(request, response, (error) => {
      if (error) {
        response.writeHead(500).end(String(error));
        return;
      }
      if (request.url.endsWith("count")) request.session.n = (request.session.n ?? 0) + 1;
      response.end(String(request.session?.n ?? 0));
    }),
  )
  .listen(0, "127.0.0.1", function () {
    console.log(this.address().port);
  });
