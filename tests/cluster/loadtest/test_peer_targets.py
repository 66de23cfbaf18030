"""The targets that run as processes: what each loses, found as for any described application."""

from pathlib import Path

import pytest

from loadtest.checker import Kind
from loadtest.claims.claim import Verdict
from tests.support.peers import run_on_target


def test_updates_that_flask_session_loses_are_found_with_evidence(tmp_path: Path) -> None:
    result = run_on_target("flask_session/target", "concurrent-writes", tmp_path)
    assert result.verdict is Verdict.BROKEN
    assert result.findings is not None
    (first, *_) = result.findings.examples[Kind.UPDATE_LOST]
    assert first.who.startswith("sharedwriter-")
    assert result.node == "Flask-Session 0.8"


@pytest.mark.parametrize("file", ["shop/target", pytest.param("shop/plain_nginx", marks=pytest.mark.nightly)])
def test_the_shop_of_this_project_loses_nothing_as_a_described_application(file: str, tmp_path: Path) -> None:
    result = run_on_target(file, "late-writes", tmp_path)
    assert result.verdict is Verdict.HOLDS, result.reason
    assert not result.lacks, "all that a file can describe is looked for"


@pytest.mark.nightly
@pytest.mark.parametrize(
    "file",
    [
        pytest.param("express/target", marks=pytest.mark.node),
        "django/cache",
        "starlette/target",
        "flask_session/target",
        "flask_session/no_refresh",
    ],
)
@pytest.mark.parametrize(("experiment", "lost"), [("concurrent-writes", Kind.UPDATE_LOST), ("kill-node", None)])
def test_a_target_loses_updates_of_one_session_and_survives_a_killed_node(
    file: str, experiment: str, lost: Kind | None, tmp_path: Path
) -> None:
    found = run_on_target(file, experiment, tmp_path).findings
    assert found is not None
    assert found.total.users_logged_out == 0
    assert (found.total.found.get(Kind.UPDATE_LOST, 0) > 0) == (lost is Kind.UPDATE_LOST)


@pytest.mark.nightly
def test_django_logs_its_users_out_when_the_cache_is_away(tmp_path: Path) -> None:
    found = run_on_target("django/cache", "store-outage", tmp_path).findings
    assert found is not None
    assert found.total.users_logged_out > 0


@pytest.mark.nightly
def test_django_keeps_its_users_when_sessions_are_in_the_database_too(tmp_path: Path) -> None:
    found = run_on_target("django/cached_db", "store-outage", tmp_path).findings
    assert found is not None
    assert found.total.users_logged_out == 0
