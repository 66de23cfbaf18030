"""What a test needs and this machine lacks: the test is skipped with the reason; with REQUIRE_ALL=1 it fails."""

from __future__ import annotations

import importlib
import os
from typing import Any, NoReturn

import pytest


def lacks(reason: str) -> NoReturn:
    """End the test for this reason, which says what to do."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1, but {reason}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def import_package(name: str) -> Any:
    """Return a package that only tests need."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        lacks(f"the package {name} is not installed: run `make setup`")
