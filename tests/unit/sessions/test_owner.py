"""The owner of a session: a text that every store can hold, wherever it comes from."""

from __future__ import annotations

import enum
from typing import Any
from uuid import UUID

import pytest
from werkzeug.local import LocalProxy

from nodes.sessions import current_session
from nodes.sessions.checks import MAX_OWNER, to_owner
from nodes.sessions.flask_login import find_owner
from tests.support.browser import Browser, application
from tests.support.harness import Harness


def test_an_int_counts_as_its_text(harness: Harness) -> None:
    browser = Browser(application(harness.store))
    browser.visit(lambda session: current_session.renew(owner=7))
    assert browser.visit(lambda session: current_session.owner).value == "7"
    assert [one.handle for one in browser.users.of(7)] == [browser.key[:16]]
    assert [one.key for one in browser.users.page(7, 1)[0]] == [browser.key]
    assert browser.sessions.end_all(7) == 1
    assert browser.users.of("7") == []


class Role(str, enum.Enum):  # noqa: UP042 - the str() of a StrEnum is its text
    ADMIN = "admin"


class Number(enum.IntEnum):
    ADMIN = 7

    def __str__(self) -> str:
        return "Number.ADMIN"


@pytest.mark.parametrize(
    ("owner", "text"), [(Role.ADMIN, "admin"), (Number.ADMIN, "7"), (LocalProxy(lambda: "al"), "al")]
)
def test_a_subclass_counts_as_its_type(harness: Harness, owner: Any, text: str) -> None:
    browser = Browser(application(harness.store))
    browser.visit(lambda session: current_session.renew(owner=owner))
    assert browser.visit(lambda session: current_session.owner).value == text
    assert len(browser.users.of(text)) == len(browser.users.of(owner)) == 1


def test_the_user_of_flask_login_may_be_a_member_of_an_enum() -> None:
    assert find_owner({"_user_id": Role.ADMIN}) == find_owner({"_user_id": "admin"}) == "admin"


@pytest.mark.parametrize(
    ("owner", "error", "text"),
    [
        ("", ValueError, "must have 1 to 255 characters, no NUL and no lone surrogates, not ''"),
        ("x" * (MAX_OWNER + 1), ValueError, "must have 1 to 255 characters"),
        ("a\0b", ValueError, "must have "),
        ("\ud800", ValueError, "must have "),
        (True, TypeError, r"must be a str, such as str\(user.id\), not True"),
        (1.5, TypeError, "must be a str"),
        (b"alice", TypeError, "must be a str"),
        (UUID(int=1), TypeError, "must be a str"),
    ],
    ids=repr,
)
def test_what_a_store_could_not_hold_is_refused(harness: Harness, owner: Any, error: type, text: str) -> None:
    browser = Browser(application(harness.store))
    browser.put(a=1)

    def refused(view: Any) -> None:
        with pytest.raises(error, match=f"^owner {text}"):
            view()

    browser.visit(lambda session: refused(lambda: current_session.renew(owner=owner)))
    for method in (browser.users.of, browser.users.end_all, browser.sessions.end_all):
        refused(lambda method=method: method(owner))
    assert browser.visit(lambda session: (current_session.owner, dict(session))).value == (None, {"a": 1})


def test_every_owner_that_is_accepted_comes_back(harness: Harness) -> None:
    for owner in ("0", " ", "x" * MAX_OWNER, "ä€😀" * 85, "a\nb"):
        browser = Browser(application(harness.store))
        with browser.request():
            current_session.renew(owner=to_owner(owner))
        assert browser.visit(lambda session: current_session.owner).value == owner
        assert len(browser.users.of(owner)) == 1
