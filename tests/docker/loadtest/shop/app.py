"""A node of the shop: sessions as hashes in Redis, with the standard library alone."""

import http.server
import json
import secrets
import socket
from typing import Any


def redis(*words: object) -> Any:
    """Send one command to Redis, and return its answer."""
    data = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in (str(one).encode() for one in words))
    with socket.create_connection(("cache", 6379), 0.5) as connection, connection.makefile("rb") as reader:
        connection.sendall(b"*%d\r\n%s" % (len(words), data))
        line = reader.readline()
        if not line:
            raise ConnectionError("the store has ended")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else reader.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == b":" else rest.decode()


def answer(path: str, body: bytes, key: str) -> tuple[int, dict[str, Any], str]:
    """Return the status, the JSON, and the new session ("": none)."""
    if path == "/":
        return 200, {}, ""
    if path == "/login":
        session, user = secrets.token_urlsafe(16), json.loads(body)["user"]
        redis("HSET", f"shop:{session}", "user", user, "count", 0)
        return 200, {"user": user}, session
    if path == "/logout":
        redis("DEL", key)
        return 200, {}, ""
    if path == "/count":
        if redis("EXISTS", key) == 0:
            return 401, {}, ""
        return 200, {"count": redis("HINCRBY", key, "count", 1)}, ""
    return 200, {"user": redis("HGET", key, "user"), "count": int(redis("HGET", key, "count") or 0)}, ""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request after another on a connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.respond()

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cookies = dict(one.strip().partition("=")[::2] for one in self.headers.get("Cookie", "").split(";"))
        try:
            status, shown, session = answer(self.path, body, f"shop:{cookies.get('shop', '')}")
        except OSError:
            status, shown, session = 503, {"error": "the store does not answer"}, ""
        data = json.dumps(shown).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if session:
            self.send_header("Set-Cookie", f"shop={session}; Path=/")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", 8000), Handler).serve_forever()
