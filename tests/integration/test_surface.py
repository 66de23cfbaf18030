"""The public surface as text: the parts that need a server. See tests/unit/test_surface.py."""

import re
from collections.abc import Iterator

from nodes.sessions import Lifetime, RedisStore
from nodes.sessions.stores.express import ExpressStore
from tests.support.surface import hold
from tests.support.valkey import Valkey


def test_keys_and_hashes_in_redis_match_the_snapshot() -> None:
    server = Valkey()
    sessions, shared = RedisStore.from_url(server.url), ExpressStore.from_url(server.url)
    sessions.create("0" * 64, {"visits": b"\x03", "@at": b"\x01"}, "alice", Lifetime(1800, 28800))
    sessions.create("1" * 64, {"visits": b"\x03"}, None, Lifetime(1800, 1800))
    sessions.create("2" * 64, {}, None, Lifetime(1800, 28800))
    sessions.quarantine("2" * 64)
    shared.create("an-id-of-express-session", {"visits": b"3"}, "alice", Lifetime(1800, 28800))

    def keys() -> Iterator[str]:
        with server.client() as client:
            for key in sorted(client.keys("*")):
                kind = client.type(key)
                value = {
                    b"hash": lambda key: sorted(client.hgetall(key).items()),
                    b"zset": lambda key: [member[:32] + b"<s>" for member in client.zrange(key, 0, -1)],
                    b"string": client.get,
                }[kind](key)
                shown = re.sub(r"(?<![0-9a-f])\d{13}(?![0-9a-f])", "<ms>", repr(value))
                yield f"{kind.decode()} {key.decode()} {shown}"

    try:
        hold("redis", keys())
    finally:
        sessions.close()
        shared.close()
        server.close()
