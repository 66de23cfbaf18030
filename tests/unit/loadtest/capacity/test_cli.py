"""`session-cluster capacity`: its help, and what it refuses before any cluster starts."""

import pytest

from tests.unit.loadtest.test_cli import complaint, invoke

USUAL = ("--sessions", "1k", "--active", "1k", "--rate", "1")


def test_the_help_fits_80_columns_and_lists_its_exit_statuses() -> None:
    shown = invoke("capacity", "--help").output
    assert max(map(len, shown.splitlines())) <= 80
    assert "Exit status:" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--sessions 12x", "'--sessions': must be a whole number from 1 to 10G, such as 5k or 1.5M, not '12x'"),
        ("--active 2k", "--active must be at most the number of sessions (1,000), not 2,000"),
        ("--rate 0", "Invalid value for '--rate'"),
        ("--writes 1.5", "Invalid value for '--writes'"),
        ("--store file", "'--store': 'file' is not one of 'redis', 'redis-cluster', 'sql'"),
        ("--stay 30x", "'--stay': must be from 60s to 1000d, such as 30m, 12h or 30d, not '30x'"),
        ("--memory 1M", "'--memory': must be a whole number from 100M to 10000G, such as 5k or 1.5M, not '1M'"),
        ("--check 40k,12k", "'--check': must be two ascending sizes, such as 120k,400k, not '40k,12k'"),
        ("--check 40k", "'--check': must be two ascending sizes"),
        ("--check 1,2", "'--check': must be a whole number from 1k to 10M"),
        ("--replicas 3", "--replicas must be below the number of zones (3), not 3: each copy has its own"),
        ("--from pyproject.toml --quick", "--from measures nothing, and has its store; leave out --quick"),
        ("--from pyproject.toml --store sql --bytes 500", "has its store; leave out --store and --bytes"),
        ("--from pyproject.toml", "pyproject.toml does not have the figures of `session-cluster capacity --json`: "),
        ("--bytes 10", "Invalid value for '--bytes'"),
        ("--json /no/such/file", "/no/such/file"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line_with_its_value(options: str, message: str) -> None:
    status = 1 if "json" in options or options == "--from pyproject.toml" else 2
    assert message in complaint("capacity", *USUAL, *options.split(), status=status)


def test_sessions_active_and_rate_are_required() -> None:
    assert "Missing option '--sessions'" in complaint("capacity", "--active", "1", "--rate", "1")
