"""The targets that run in containers: what each loses in concurrent writes."""

from pathlib import Path

import pytest

from loadtest.checker import Kind
from tests.support.peers import run_on_target

pytestmark = [pytest.mark.docker, pytest.mark.nightly, pytest.mark.timeout(400)]


@pytest.mark.parametrize(("file", "loses"), [("php/target", True), ("php/locking", False), ("django/db", True)])
def test_updates_of_concurrent_writers_are_lost_unless_the_session_is_locked(
    file: str, loses: bool, tmp_path: Path
) -> None:
    found = run_on_target(file, "concurrent-writes", tmp_path).findings
    assert found is not None
    assert (found.total.found.get(Kind.UPDATE_LOST, 0) > 0) == loses
