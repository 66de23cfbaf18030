"""The steps in which encryption is turned on, and off, and nodes that are at each of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from flask import Flask

from nodes.sessions import EncryptedStore, Encryption, MemoryStore, Record, Session, Store
from tests.support.browser import Browser, application

KEY = "a" * 64
SECRET = b"n" * 32
IDLE, ABSOLUTE = 1000.0, 5000.0

Step = Encryption | None
STEPS: list[Step] = [None, Encryption.READ, Encryption.WRITE, Encryption.REQUIRE]
ADJACENT = list(pairwise(STEPS))
BOTH = [Encryption.READ, Encryption.WRITE]
"""Those that read plain values and encrypted ones."""


def store_at(step: Step, inner: Store) -> Store:
    return inner if step is None else EncryptedStore(inner, [SECRET], step)


def node(step: Step, inner: Store) -> Flask:
    return application(
        store_at(step, inner), idle_timeout=IDLE, absolute_timeout=ABSOLUTE, remember_client=True, max_sessions=5
    )


def named(step: object) -> str:
    steps = step if isinstance(step, tuple) else (step,)
    return "|".join(each.value if isinstance(each, Encryption) else "no keys" for each in steps)


def at(app: Flask, browser: Browser) -> Browser:
    """The same browser, when it gets to this node."""
    other = Browser(app)
    other.cookies = browser.cookies
    return other


def seen(session: Session) -> tuple[str | None, dict[str, Any]]:
    return session.owner, dict(session)


def logged_in(app: Flask, **data: Any) -> Browser:
    browser = Browser(app)
    browser.visit(lambda session: session.update(data))
    browser.visit(lambda session: session.renew("alice"))
    return browser


def raw(inner: MemoryStore, key: str = KEY) -> dict[str, bytes]:
    return inner._entries[key].fields


def loaded(store: Store, key: str = KEY) -> Record:
    record = store.load(key)
    assert record is not None
    return record
