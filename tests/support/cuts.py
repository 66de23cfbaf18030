"""A network between a node and its store that is cut at one operation, before or after the store has carried it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient

from nodes import Settings, create_app
from nodes.accounts import create_users
from nodes.accounts.users import Users
from nodes.sessions import (
    Changes,
    Lifetime,
    ListsByUser,
    Outcome,
    Record,
    SessionMark,
    Store,
    StoreUnavailable,
    find_capability,
)
from nodes.sessions.store import StoreWrapper
from nodes.sessions.stores.redis import connect
from nodes.sessions.stores.redis.connection import Command, CommandExecutor
from nodes.store_kinds import Stores
from nodes.stores import make_stores
from tests.support.node import PASSWORD
from tests.support.node_app import attempt_login, hash_quickly, log_in, user_of

T = TypeVar("T")
NEW = "a new and longer password"


@dataclass(frozen=True)
class Cut:
    """The operation number `at`, counted from 1, is lost, or its answer is. `lasts`: and so are all later ones."""

    at: int
    answer: bool
    lasts: bool

    def __str__(self) -> str:
        lost = "the answer to" if self.answer else "the request of"
        return f"{lost} operation {self.at}{' and all later ones' if self.lasts else ''} lost"


class Network:
    """Counts the operations of some stores, and loses what `cut` says."""

    def __init__(self) -> None:
        self.sent = 0
        self.cut: Cut | None = None

    def restart(self, cut: Cut | None) -> None:
        self.sent, self.cut = 0, cut

    def send(self, operation: Callable[[], T]) -> T:
        self.sent += 1
        cut, late = self.cut, self.cut is not None and self.sent > self.cut.at
        if cut is None or self.sent < cut.at or (late and not cut.lasts):
            return operation()
        if cut.answer and not late:
            operation()
        raise StoreUnavailable(str(cut))


class CutStore(StoreWrapper):
    """`store` behind a network that can be cut. It lists the sessions of users as `store` does."""

    def __init__(self, store: Store, network: Network) -> None:
        super().__init__(store)
        self._network = network

    def load(self, key: str) -> Record | SessionMark | None:
        return self._network.send(lambda: self.wraps.load(key))

    def create(
        self, key: str, fields: Mapping[str, bytes], owner: str | None, lifetime: Lifetime, created: float | None = None
    ) -> float | None:
        return self._network.send(lambda: self.wraps.create(key, fields, owner, lifetime, created))

    def update(self, key: str, changes: Changes, lifetime: Lifetime) -> Outcome:
        return self._network.send(lambda: self.wraps.update(key, changes, lifetime))

    def delete(self, key: str) -> None:
        self._network.send(lambda: self.wraps.delete(key))

    def retire(self, key: str, mark: SessionMark, expect: Record | None = None) -> Outcome:
        return self._network.send(lambda: self.wraps.retire(key, mark, expect))

    def ping(self) -> float:
        return self._network.send(self.wraps.ping)

    def keys_of(self, owner: str) -> list[str]:
        by_user = find_capability(self.wraps, ListsByUser)
        assert by_user is not None
        return self._network.send(lambda: by_user.keys_of(owner))


class CutExecutor:
    """`executor` behind a network that can be cut: what is counted are the packets of a Redis client."""

    def __init__(self, executor: CommandExecutor, network: Network) -> None:
        self._executor = executor
        self._network = network
        self.can_fail_over = executor.can_fail_over

    def execute(self, commands: Sequence[Command], idempotent: bool = False) -> list[Any]:
        return self._network.send(lambda: self._executor.execute(commands, idempotent))

    def partitions(self) -> Sequence[CommandExecutor]:
        return [CutExecutor(executor, self._network) for executor in self._executor.partitions()]

    def close_idle(self) -> None:
        self._executor.close_idle()

    def close(self) -> None:
        self._executor.close()


def cut_stores(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each new application reach its stores through this network alone."""

    def make(settings: Settings) -> Stores:
        return Stores(*(CutStore(store, network) for store in make_stores(settings)))

    monkeypatch.setattr("nodes.app.make_stores", make)


def cut_connections(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each new application reach its Redis through this network alone."""
    monkeypatch.setattr(
        "nodes.sessions.stores.redis.connect", lambda *arguments: CutExecutor(connect(*arguments), network)
    )


def every_cut(operations: int) -> Iterator[Cut]:
    """Yield each way to cut a request of so many operations."""
    for at in range(1, operations + 1):
        for answer in (False, True):
            for lasts in (False, True):
                yield Cut(at, answer, lasts)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Settings], Settings]:
    """Make the settings of a node whose passwords are hashed quickly, and never throttled."""
    hash_quickly(monkeypatch)
    users = tmp_path / "quick.json"
    create_users(users, ["alice", "bob"], PASSWORD)
    return lambda settings: replace(settings, users_file=users, login_attempts=1000)


class Situation:
    """Alice in two browsers, at a node that reaches its stores through `network`."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self.network = network
        self.app: Flask = create_app(settings)
        self.users: Users = self.app.extensions["users"]
        account = self.users.get("alice")
        assert account is not None
        self.begin()

    def begin(self) -> None:
        """Give alice her first password, and two sessions."""
        self.network.restart(None)
        self.users.set_enabled("alice", enabled=True)
        account = self.users.reset_password("alice", PASSWORD)
        self.app.extensions["sessions"].end_all("alice")
        self.users.finish(account)
        self.mine, self.other = log_in(self.app), log_in(self.app)

    @property
    def password(self) -> str:
        """The password that alice has."""
        words = [word for word in (PASSWORD, NEW) if self.users.is_password(self.users.get("alice"), word)]
        assert len(words) == 1
        return words[0]

    @property
    def lives(self) -> tuple[bool, bool]:
        return user_of(self.mine) == "alice", user_of(self.other) == "alice"

    def log_in_again(self) -> FlaskClient:
        self.mine = self.app.test_client()
        assert attempt_login(self.mine, password=self.password).status_code == 200
        return self.mine


def change(client: FlaskClient) -> Any:
    return client.post("/password", json={"current": PASSWORD, "new": NEW})


def check_each_cut(
    situation: Situation,
    operation: Callable[[], Any],
    check: Callable[[Any], None],
    wanted: Callable[[Cut], bool] = lambda _: True,
) -> None:
    """Cut `operation` off at each operation of a store in every wanted way; call `check` with its answer each time."""
    situation.network.restart(None)
    check(operation())
    situation.begin()
    situation.network.restart(None)
    operation()
    for cut in filter(wanted, every_cut(situation.network.sent)):
        situation.begin()
        situation.network.restart(cut)
        answer = operation()
        situation.network.restart(None)
        try:
            check(answer)
        except AssertionError as error:
            error.add_note(str(cut))
            raise


def check_changed_password(situation: Situation, answer: Any) -> None:
    """Check a change of password that may have been cut off, and that it can be finished."""
    said = "" if answer.status_code == 204 else answer.get_json()["error"]
    changed = situation.password == NEW
    mine_lives, other_lives = situation.lives
    assert answer.status_code in {204, 503}
    assert not (changed and other_lives)
    if answer.status_code == 204 or "was changed" in said:
        assert changed
    if "was not changed" in said:
        assert not changed
    if answer.status_code == 204:
        assert mine_lives
        return
    again = change(situation.mine)
    if again.status_code == 401:
        again = change(situation.log_in_again())
    assert again.status_code == 204
    assert (situation.password, situation.lives) == (NEW, (True, False))
    account = situation.users.get("alice")
    assert account is not None
    assert not account.unfinished
