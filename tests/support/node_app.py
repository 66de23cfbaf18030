"""A node's application in this process, with two users and the memory store."""

from __future__ import annotations

import re
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import argon2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from nodes import Settings, create_app
from nodes.accounts import create_users, passwords
from tests.support.node import PASSWORD, SECRET

ALICE = {"user": "alice", "password": PASSWORD}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class CompiledTemplates(BytecodeCache):
    """Compiles each template once for all applications of this process: they differ in other things."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


class CompiledRule(Rule):
    """Compiles each route once for all applications of this process: it takes longer than all else of `create_app`."""

    _compiled: ClassVar[dict[str, CompiledRule]] = {}

    def compile(self) -> None:
        described = repr(sorted((name, value) for name, value in vars(self).items() if name not in {"map", "methods"}))
        known = self._compiled.get(described)
        if known is None:
            super().compile()
            self._compiled[described] = self
        else:
            vars(self).update({name: value for name, value in vars(known).items() if name not in {"map", "methods"}})


Flask.jinja_options = {"bytecode_cache": CompiledTemplates()}
Flask.url_rule_class = CompiledRule


def hash_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash the passwords of a test in far less than 30 ms."""
    monkeypatch.setattr(passwords, "HASHER", argon2.PasswordHasher(1, 8, 1))
    monkeypatch.setattr(passwords, "decoy", cache(passwords.decoy.__wrapped__))  # for this test alone


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    create_users(path, ["alice", "bob"], PASSWORD)
    return path


@pytest.fixture
def own_users_file(users_file: Path, tmp_path: Path) -> Path:
    """A copy of the users file, for a test that changes it."""
    return Path(shutil.copy(users_file, tmp_path))


@pytest.fixture
def settings(users_file: Path) -> Settings:
    return Settings(node_name="node-2", secrets=(SECRET,), users_file=users_file)


@pytest.fixture
def app(settings: Settings) -> Flask:
    return create_app(settings)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def log_in(app: Flask, user: str = "alice", browser: str = FIREFOX) -> FlaskClient:
    client = app.test_client()
    answer = client.post("/login", json={"user": user, "password": PASSWORD}, headers={"User-Agent": browser})
    assert answer.status_code == 200
    return client


def attempt_login(
    client: FlaskClient, user: str = "alice", password: str = "wrong password", address: str = "192.0.2.1"
) -> TestResponse:
    body = {"user": user, "password": password}
    return client.post("/login", json=body, environ_base={"REMOTE_ADDR": address})


def user_of(client: FlaskClient) -> Any:
    return client.get("/me").get_json()["user"]


def token_of(client: FlaskClient) -> str:
    """Return the CSRF token in a page's forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/", headers=HTML).text)
    assert found
    return found[1]


class ParsedPage(HTMLParser):
    """The links of a page, its forms by action, their inputs and token, and the number of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.forms: dict[str, set[str]] = {}
        self.inputs: dict[str, dict[str, str]] = {}
        self.scripts = 0
        self.feed(text)
        self.token = self.inputs["csrf_token"]["value"] if "csrf_token" in self.inputs else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.scripts += tag == "script" or any(name.startswith("on") for name in found)
        if tag == "a":
            self.links.add(found["href"])
        elif tag == "form":
            assert found["method"] == "post"
            self._form = self.forms.setdefault(found["action"], set())
        elif tag in {"input", "button"}:
            name = found.get("name", tag)
            self._form.add(name)
            self.inputs[name] = found


def age_login(app: Flask, seconds: float) -> None:
    """Make every session of the memory store older."""
    store: Any = app.extensions["store"].wraps
    for entry in store._entries.values():
        entry.created -= seconds


def samples_in(text: str) -> dict[str, float]:
    """Return each sample of a metrics page, by its name and its labels' values in the order of their names."""
    samples: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
            key = f"{sample.name}{{{labels}}}"
            assert key not in samples, f"{key} is there twice"
            samples[key] = sample.value
    return samples
