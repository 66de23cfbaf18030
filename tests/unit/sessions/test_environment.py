"""`Sessions.from_environment`: store and options from the variables that nodes have."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from nodes import Settings
from nodes.app import _options
from nodes.sessions import (
    EncryptedStore,
    FileStore,
    MemoryStore,
    OptionsError,
    RedisStore,
    SessionOptions,
    Sessions,
    SqlStore,
)

SECRET = "a secret of more than thirty-two bytes"
EVERY_OPTION = {
    "SESSION_NAME": "shop",
    "SESSION_IDLE_TIMEOUT": "60",
    "SESSION_ABSOLUTE_TIMEOUT": "3600",
    "SESSION_SECURE": "on",
    "SESSION_HTTP_ONLY": "off",
    "SESSION_SAME_SITE": "strict",
    "SESSION_MAX_AGE": "900",
    "SESSION_ROLLING": "yes",
    "SESSION_RESAVE": "on",
    "SESSION_SAVE_UNINITIALIZED": "on",
    "SESSION_MAX_BYTES": "2048",
    "SESSION_MAX_PER_USER": "3",
    "SESSION_LIMIT": "refuse",
    "SESSION_ANONYMOUS_RATE": "7",
    "SESSION_ANONYMOUS_PERCENT": "50",
}


def sessions_of(environ: dict[str, str], **options: Any) -> Sessions:
    app = Flask("shop")
    return Sessions.from_environment(app, environ={"SESSION_SECRETS": SECRET, **environ}, **options)


@pytest.mark.parametrize("variables", [EVERY_OPTION, dict.fromkeys(("SESSION_MAX_AGE", "SESSION_MAX_PER_USER"), "0")])
def test_each_variable_means_what_it_means_for_a_node(variables: dict[str, str]) -> None:
    environ = {"SESSION_SECRETS": f"{SECRET}, {SECRET[::-1]}", "NODE_NAME": "node-1", **variables}
    ours, nodes = sessions_of(environ).options, _options(Settings.from_environ(environ))
    for name in {each.name for each in fields(SessionOptions) if each.init} - {"remember_client"}:
        if name != "anonymous_rate" or "SESSION_ANONYMOUS_RATE" in variables:  # a node has another default
            assert getattr(ours, name) == getattr(nodes, name), name


def test_an_option_wins_over_the_environment_which_wins_over_flasks_configuration() -> None:
    app = Flask("shop")
    app.config.update(SESSION_COOKIE_NAME="flask", SESSION_COOKIE_SAMESITE="Strict", SECRET_KEY="k" * 32)
    environ = {"SESSION_NAME": "environment", "SESSION_IDLE_TIMEOUT": "60", "SESSION_MAX_AGE": " "}
    options = Sessions.from_environment(app, options=SessionOptions(idle_timeout=90), environ=environ).options
    assert (options.name, options.idle_timeout, options.same_site.value) == ("environment", 90, "Strict")
    assert options.secret_bytes == (b"k" * 32,)


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, MemoryStore),
        ({"SESSION_STORE": "file", "SESSION_FOLDER": "{}/sessions"}, FileStore),
        ({"SESSION_STORE": "sql", "DATABASE_URL": "sqlite:///{}/sessions.db", "STORE_NAMESPACE": "shop"}, SqlStore),
        (
            {"SESSION_STORE": "Redis", "REDIS_URL": "redis://h", "STORE_OUTAGE": "wait", "STORE_WAITING": "3"},
            RedisStore,
        ),
        ({"SESSION_ENCRYPTION_KEYS": "ab" * 32, "SESSION_ENCRYPTION": "write"}, EncryptedStore),
    ],
)
def test_the_store_is_the_one_that_is_named(environ: dict[str, str], kind: type, tmp_path: Path) -> None:
    environ = {name: value.format(tmp_path) for name, value in environ.items()}
    store = sessions_of(environ).store
    assert type(store) is kind
    store.close()


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text(f"{SECRET}\n{SECRET[::-1]}\n")
    found = Sessions.from_environment(Flask("shop"), environ={"SESSION_SECRETS_FILE": str(file)})
    assert found.options.secret_bytes == (SECRET.encode(), SECRET[::-1].encode())


def test_an_application_without_a_secret_key_gets_one_that_its_processes_share() -> None:
    first, second, own = Flask("shop"), Flask("shop"), Flask("shop")
    own.config["SECRET_KEY"] = "own"
    for app in (first, second, own):
        Sessions.from_environment(app, environ={"SESSION_SECRETS": f"{SECRET},{SECRET[::-1]}"})
    assert first.secret_key == second.secret_key != SECRET
    assert len(first.config["SECRET_KEY_FALLBACKS"]) == 1
    assert own.secret_key == "own"


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"SESSION_STORE": "express"}, "SESSION_STORE must be one of memory, file, sql, redis here, not express"),
        ({"SESSION_STORE": "redis"}, "REDIS_URL is not set, and SESSION_STORE=redis needs it"),
        ({"SESSION_IDLE_TIMEOUT": "soon"}, "SESSION_IDLE_TIMEOUT must be a number of seconds, not soon"),
        ({"SESSION_ROLLING": "maybe"}, "SESSION_ROLLING must be on or off, not maybe"),
        ({"SESSION_LIMIT": "most"}, "SESSION_LIMIT must be end_oldest or refuse, not most"),
        ({"SESSION_SECRETS": "short"}, "secret 1 must have at least 32 bytes, not 5"),
        ({"SESSION_SECRETS_FILE": "/nowhere"}, "SESSION_SECRETS and SESSION_SECRETS_FILE are both set"),
        ({"REDIS_URL_FILE": "/nowhere", "SESSION_STORE": "redis"}, "cannot read REDIS_URL_FILE=/nowhere"),
        ({"REDIS_URL": "redis://h", "SESSION_STORE": "redis", "STORE_OUTAGE": "x"}, "STORE_OUTAGE must be one of fail"),
        ({"REDIS_URL": "redis://h/abc", "SESSION_STORE": "redis"}, "REDIS_URL: the URL must end with the number of"),
        ({"REDIS_URL": "redis://h:0", "SESSION_STORE": "redis"}, "REDIS_URL: the URL must name its server"),
        ({"DATABASE_URL": "sqlite://", "SESSION_STORE": "sql"}, "DATABASE_URL: the URL names no file"),
        ({"DATABASE_URL": "mysql://u:p@h/x?foo=1", "SESSION_STORE": "sql"}, "DATABASE_URL: the URL has an unknown"),
        ({"SESSION_IDLE_TIMEOUT": "-5"}, "SESSION_IDLE_TIMEOUT: idle_timeout and absolute_timeout must be above 0"),
        ({"SESSION_SAME_SITE": "loose"}, "SESSION_SAME_SITE: same_site must be one of "),
        ({"SESSION_ANONYMOUS_PERCENT": "101"}, "SESSION_ANONYMOUS_PERCENT: anonymous_share must be above 0"),
        ({"STORE_RETRIES": "-1"}, "STORE_CONNECT_TIMEOUT, STORE_READ_TIMEOUT, STORE_RETRIES, STORE_DEADLINE: "),
        ({"SESSION_ENCRYPTION_KEYS": "00" * 31}, "SESSION_ENCRYPTION_KEYS: "),
        ({"SESSION_ENCRYPTION_KEYS": "k"}, "SESSION_ENCRYPTION_KEYS must be 64 hexadecimal digits each"),
    ],
)
def test_a_wrong_variable_is_one_line(environ: dict[str, str], error: str) -> None:
    with pytest.raises(OptionsError) as caught:
        sessions_of(environ)
    assert str(caught.value).startswith(error)
    assert "\n" not in str(caught.value)


def test_a_wrong_option_that_was_given_is_not_laid_to_a_variable() -> None:
    options = SessionOptions(idle_timeout=90_000, absolute_timeout=90_000)
    environ = {"SESSION_IDLE_TIMEOUT": "60", "SESSION_ABSOLUTE_TIMEOUT": "70", "SESSION_NAME": "a"}
    app = Flask("shop")
    with pytest.raises(OptionsError, match=r"^SESSION_ABSOLUTE_TIMEOUT: idle_timeout and absolute_timeout must be"):
        Sessions.from_environment(app, options=SessionOptions(idle_timeout=80), environ=environ)
    assert Sessions.from_environment(app, options=options, environ=environ).options.idle_timeout == 90_000


def test_a_misspelt_variable_is_a_warning_except_on_a_node_which_warns_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = {
        "SESSION_IDEL_TIMEOUT": "60",
        "SESSION_SECRET": SECRET,
        "SESSION_COOKIE_NAME": "a",
        "REDIS_URLS": "redis://",
    }
    fine = {
        **EVERY_OPTION,
        "SESSION_STORE": "memory",
        "SESSION_SWEEP_SECONDS": "5",
        "DATABASE_URL_FILE": "",
        "HOME": "/",
    }
    sessions_of({**fine, **wrong})
    lines = [record.getMessage() for record in caplog.records if "has no effect" in record.getMessage()]
    assert lines == [
        "REDIS_URLS is not a setting, and has no effect; did you mean REDIS_URL?",
        "SESSION_COOKIE_NAME is not a setting, and has no effect",
        "SESSION_IDEL_TIMEOUT is not a setting, and has no effect; did you mean SESSION_IDLE_TIMEOUT?",
        "SESSION_SECRET is not a setting, and has no effect; did you mean SESSION_SECRETS?",
    ]
    caplog.clear()
    sessions_of({**fine, **wrong, "NODE_APP": "shop:app"})
    assert "has no effect" not in caplog.text
