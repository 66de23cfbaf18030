"""A change of password, cut off at each packet to a real Redis, and at each operation of files and a database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nodes import Settings
from nodes.stores import create_schema
from tests.support.cuts import (
    Network,
    Situation,
    change,
    check_changed_password,
    check_each_cut,
    cut_connections,
    cut_stores,
)
from tests.support.node import PATIENT, environment, store_settings
from tests.support.valkey import Valkey


@pytest.mark.parametrize("kind", ["redis", "express", "file", "sqlite"])
def test_a_change_of_password_is_safe_and_can_be_finished_wherever_it_is_cut_off(
    kind: str,
    users_file: Path,
    tmp_path: Path,
    server: Valkey,
    quick: Callable[[Settings], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = Network()
    if kind in {"redis", "express"}:
        chosen = {"SESSION_STORE": kind, "REDIS_URL": server.url, **PATIENT}
        cut_connections(network, monkeypatch)
    else:
        chosen = store_settings(kind, tmp_path)
        cut_stores(network, monkeypatch)
    settings = quick(Settings.from_environ(environment(users_file, **chosen)))
    create_schema(settings)
    situation = Situation(settings, network)
    check = partial(check_changed_password, situation)
    # Files and databases take their time, and each of their operations is atomic.
    every = kind in {"redis", "express"}
    check_each_cut(
        situation, lambda: change(situation.mine), check, lambda cut: not cut.lasts and (cut.answer or every)
    )
