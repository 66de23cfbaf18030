// express-session alone, with OPTIONS (JSON) over the defaults here, on session-file-store's files in SESSION_FOLDER.
// The path /…count counts visits; every other one only looks. Prints its port when it listens.

const http = require("node:http");
const session = require("express-session");
const FileStore = require("session-file-store")(session);

const handle = session({
  store: new FileStore({ path: process.env.SESSION_FOLDER, ttl: 1800, retries: 0, logFn: () => {} }),
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
