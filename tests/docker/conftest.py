"""Tests that need Docker."""

import pytest

from tests.support.harnesses import store_names

STORES = ("mysql", "postgres")
LONGEST = "tests/docker/loadtest/test_experiments_in_containers.py"
"""It begins first: otherwise one process is left with it, when the others have nothing more to do."""
store_name = store_names(*STORES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/docker/" in item.nodeid:
            item.add_marker(pytest.mark.docker)
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
