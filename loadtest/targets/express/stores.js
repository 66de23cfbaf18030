// The stores of express-session; the nodes can share the sessions in Redis. Each takes `required`, which
// reads a setting that must be there, and how many seconds a session lives without use; it answers { store, ping, close }.

import session from "express-session";
import { RedisStore } from "connect-redis";
import { createClient, createSentinel } from "redis";

export async function memory() {
  return { store: new session.MemoryStore(), ping: async () => {}, close: async () => {} };
}

// As the README of connect-redis has it, with the client's defaults: while Redis is away, commands wait for it.
export async function redis(required, idle) {
  const url = required("REDIS_URL");
  const client = url.startsWith("redis+sentinel://") ? sentinel(url) : createClient({ url });
  client.on("error", (error) => console.error(`redis: ${error.message}`));
  const namespace = process.env.STORE_NAMESPACE;
  client.connect().catch((error) => console.error(`redis: ${error.message}`));
  return {
    store: new RedisStore({ client, ttl: idle, prefix: namespace ? `${namespace}:sess:` : "sess:" }),
    ping: () => client.ping(),
    close: async () => client.destroy(), // and not close, which waits for what waits
  };
}

// redis+sentinel://user:password@h1:p1,h2:p2/NAME?sentinel_username=…&sentinel_password=…, as the nodes have it.
function sentinel(url) {
  const [, username, password, places, name, query] = url.match(/^[^:]+:\/\/(?:([^:@]*):([^@]*)@)?([^/]+)\/([^?]+)\??(.*)$/);
  const own = new URLSearchParams(query);
  const account = (user, secret) => (secret ? { username: user || undefined, password: secret } : {});
  return createSentinel({
    name,
    sentinelRootNodes: places.split(",").map((place) => {
      const [host, port] = place.split(":");
      return { host, port: Number(port) };
    }),
    nodeClientOptions: account(username, password),
    sentinelClientOptions: account(own.get("sentinel_username"), own.get("sentinel_password")),
  });
}
