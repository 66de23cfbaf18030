"""A pytest plugin for the suites of Flask and its extensions: applications get our sessions in place of Flask's."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from _pytest import monkeypatch
from flask import Flask

from nodes.sessions import MemoryStore, SessionOptions, Sessions

if not hasattr(monkeypatch, "notset"):  # Flask's suite imports it by the name that it had before pytest 9
    monkeypatch.notset = monkeypatch.NOTSET  # type: ignore[attr-defined]

# Flask-Login's suite needs a package for versions, and compares none of them.
_versions = ModuleType("semantic_version")
_versions.Version = dict  # type: ignore[attr-defined]
sys.modules.setdefault("semantic_version", _versions)

_init = Flask.__init__


def _init_with_sessions(app: Flask, *args: Any, **kwargs: Any) -> None:
    _init(app, *args, **kwargs)
    Sessions(app, store=MemoryStore(), options=SessionOptions(flask_login="FOLLOW_FLASK_LOGIN" in os.environ))


Flask.__init__ = _init_with_sessions  # type: ignore[assignment,method-assign]
