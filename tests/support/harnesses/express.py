import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nodes.sessions import Changes, Lifetime, Outcome, Record
from nodes.sessions.stores.express import ExpressStore
from nodes.sessions.stores.express.format import MAX_SAFE_INTEGER
from tests.support.harness import HASTY, Harness, ServerHarness, Servers, Through
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
    overhead = 2  # the quotes around a text
    plain = staticmethod(plain)

    def __init__(self, server: Servers) -> None:
        super().__init__(server, *(ExpressStore.from_url(server.url, budgets) for budgets in (PATIENT, HASTY)))

    def of_bytes(self) -> Harness:
        """Return a harness whose store takes any bytes, not only JSON."""
        made = ExpressHarness(self._server)
        made.store = BytesAsText(made._through)
        return made

    def advance(self, seconds: float) -> None:
        moved = int(seconds * 1000)
        for raw in self._client.keys("sess:*"):
            session = json.loads(self._client.get(raw))
            session["_created"] -= moved
            self._client.set(raw, json.dumps(session), keepttl=True)
            self._client.pexpireat(raw, self._client.pexpiretime(raw) - moved)

    def damage(self, key: str) -> None:
        self._client.set(f"sess:{key}", "{broken", keepttl=True)

    def keys(self) -> set[str]:
        return {raw.decode().removeprefix("sess:") for raw in self._client.keys("sess:*")}


class BytesAsText(Through):
    """A store that keeps any bytes, as a text with a character for each byte."""

    def load(self, key: str) -> Record | None:
        return self._decoded(super().load(key))

    def create(self, key: str, fields: Mapping[str, bytes], *args: Any, **kwargs: Any) -> float | None:
        return super().create(key, self._encoded(fields), *args, **kwargs)

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        expect = {name: None if value is None else self._text(value) for name, value in changes.expect.items()}
        return super().update(key, replace(changes, set=self._encoded(changes.set), expect=expect), lifetime)

    def delete(self, key: str) -> Record | None:
        return self._decoded(super().delete(key))

    def _text(self, value: bytes) -> bytes:
        return self.codec.encode(value.decode("latin-1"))

    def _encoded(self, fields: Mapping[str, bytes]) -> dict[str, bytes]:
        return {name: self._text(value) for name, value in fields.items()}

    def _decoded(self, record: Record | None) -> Record | None:
        if record is None:
            return None
        fields = {name: self.codec.decode(value).encode("latin-1") for name, value in record.fields.items()}
        return replace(record, fields=fields)
