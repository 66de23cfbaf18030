import json
from typing import Any

from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.express.format import MAX_SAFE_INTEGER
from tests.support.harnesses.redis import HASTY, ServerHarness, Servers
from tests.support.records import PATIENT


def plain(value: Any) -> Any:
    """Return the nearest value that JSON can hold."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        return value % MAX_SAFE_INTEGER
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


class ExpressHarness(ServerHarness):
    plain = staticmethod(plain)

    def __init__(self, server: Servers) -> None:
        super().__init__(server, *(ExpressStore.from_url(server.url, budgets) for budgets in (PATIENT, HASTY)))

    def advance(self, seconds: float) -> None:
        moved = int(seconds * 1000)
        for raw in self._client.keys("sess:*"):
            session = json.loads(self._client.get(raw))
            session["_created"] -= moved
            self._client.set(raw, json.dumps(session), keepttl=True)
            self._client.pexpireat(raw, self._client.pexpiretime(raw) - moved)
        for mark in self._client.keys("ended:sess:*"):
            self._client.pexpireat(mark, self._client.pexpiretime(mark) - moved)

    def damage(self, key: str) -> None:
        self._client.set(f"sess:{key}", "{broken", keepttl=True)

    def keys(self) -> set[str]:
        return {raw.decode().removeprefix("sess:") for raw in self._client.keys("sess:*")}
