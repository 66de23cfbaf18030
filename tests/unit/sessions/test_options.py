"""The options: every one is checked with its type when it is given. Ranges: test_cookie.py."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from typing import Any

import pytest

from nodes.sessions import (
    Budgets,
    MemoryStore,
    OptionsError,
    Priority,
    Resave,
    SameSite,
    Secure,
    SessionLimit,
    SessionOptions,
    Sessions,
    TrustProxy,
    Unset,
)
from tests.support.browser import SECRET, Browser, application

NAMES = [each.name for each in fields(SessionOptions) if each.init]


def make(**options: Any) -> SessionOptions:
    return SessionOptions(**{"secrets": (SECRET,), **options})


@pytest.mark.parametrize(
    ("name", "value", "member"),
    [
        ("secure", True, Secure.ON),
        ("secure", False, Secure.OFF),
        ("secure", "AUTO", Secure.AUTO),
        ("same_site", "strict", SameSite.STRICT),
        ("same_site", "None", SameSite.NONE),
        ("same_site", True, SameSite.STRICT),
        ("proxy", True, TrustProxy.TRUST),
        ("proxy", False, TrustProxy.IGNORE),
        ("resave", True, Resave.ALWAYS),
        ("resave", False, Resave.NEVER),
        ("unset", "destroy", Unset.DESTROY),
        ("session_limit", "refuse", SessionLimit.REFUSE),
        ("session_limit", "end oldest", SessionLimit.END_OLDEST),
        ("priority", "high", Priority.HIGH),
        ("priority", None, None),
    ],
)
def test_a_choice_is_taken_by_its_value(name: str, value: object, member: Enum | None) -> None:
    assert getattr(make(**{name: value}), name) is member


@pytest.mark.parametrize("name", [name for name in NAMES if name != "secrets"])
@pytest.mark.parametrize("value", [object(), [], {}, b"a", 1j], ids=lambda each: type(each).__name__)
def test_an_option_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises((TypeError, OptionsError), match=f"^{name} must be") as caught:
        make(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("same_site", False),
        ("same_site", None),
        ("same_site", "Laxx"),
        ("secure", 1),
        ("secure", "yes"),
        ("unset", True),
        ("session_limit", "oldest"),
        ("priority", True),
        ("rolling", 1),
        ("http_only", "false"),
        ("idle_timeout", True),
        ("idle_timeout", "60"),
        ("max_age", 60.0),
        ("max_age", True),
        ("max_sessions", "3"),
        ("max_bytes", 1.5),
        ("domain", 1),
        ("path", None),
        ("name", None),
        ("generate_id", "id"),
        ("cookie_for", {"path": "/"}),
    ],
)
def test_a_value_that_would_be_ignored_or_fail_later_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, OptionsError), match=f"^{name} must be"):
        make(**{name: value})


def test_an_option_of_one_request_is_checked_too() -> None:
    browser = Browser(application(MemoryStore(), cookie_for=lambda request: {"same_site": "nonsense"}))
    with pytest.raises(OptionsError, match="same_site must be one of"):
        browser.put(a=1)


@pytest.mark.parametrize(
    "secrets", [SECRET, SECRET.encode(), [SECRET], (SECRET.encode(),)], ids=["str", "bytes", "list", "tuple"]
)
def test_one_secret_or_several_are_str_or_bytes(secrets: Any) -> None:
    assert SessionOptions(secrets=secrets).secret_bytes == (SECRET.encode(),)


@pytest.mark.parametrize("secrets", [None, 5, (None,), [b"x" * 40, 5], {SECRET}])
def test_other_secrets_are_refused_and_not_shown(secrets: Any) -> None:
    with pytest.raises(TypeError, match="secrets must be a str or bytes") as caught:
        SessionOptions(secrets=secrets)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["connect_timeout", "read_timeout", "retries", "deadline", "max_connections", "max_reply"]
)
@pytest.mark.parametrize("value", ["1", None, True])
def test_a_budget_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name} must be"):
        Budgets(**{name: value})  # type: ignore[arg-type]


def test_options_that_are_not_session_options_are_refused() -> None:
    with pytest.raises(TypeError, match="options must be a SessionOptions"):
        Sessions(store=MemoryStore(), options={"secrets": (SECRET,)})  # type: ignore[arg-type]
