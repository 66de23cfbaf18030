"""A driver that is not installed."""

import sys

import pytest

from nodes.sessions import SqlStore, extras


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        ("mysql", "pymysql", "mysql"),
        ("mariadb", "pymysql", "mysql"),
        ("postgresql", "psycopg", "postgres"),
    ],
)
def test_a_driver_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, kind: str, package: str, extra: str
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for module in ("mysql", "postgresql"):
        monkeypatch.delitem(sys.modules, f"nodes.sessions.stores.sql.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        SqlStore.from_url(f"{kind}://user:password@127.0.0.1/sessions")
    install = f"pip install 'flask-shared-sessions[{extra}]'"
    assert str(caught.value) == f"{kind}:// needs the package {package}: {install}"


def test_a_store_names_the_extra_of_its_own_driver() -> None:
    with pytest.raises(ImportError) as caught, extras.named("MongoStore", "mongo"):
        import driver_of_no_distribution  # type: ignore[import-not-found]  # noqa: F401
    install = "pip install 'flask-shared-sessions[mongo]'"
    assert str(caught.value) == f"MongoStore needs the package driver_of_no_distribution: {install}"
