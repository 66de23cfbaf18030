"""The secrets of an overlay, of which those that are there stay; and the check where its packages are missing."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.kubernetes.check import check
from deploy.kubernetes.setup import setup

OUTSIDE = "rediss://node:s3cret@redis.example/0"


def make_secrets(folder: Path, *store: str) -> Result:
    return CliRunner().invoke(setup, ["secrets", str(folder), "--users", "alice", *store], catch_exceptions=False)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_secrets_that_are_there_are_kept(tmp_path: Path) -> None:
    first = make_secrets(tmp_path, "--redis")
    assert first.output.startswith("alice  ")
    before = contents(tmp_path)
    again = make_secrets(tmp_path, "--redis")
    assert (again.exit_code, again.output) == (0, "")
    assert contents(tmp_path) == before


def test_the_url_of_another_store_is_not_overwritten_by_that_of_a_single_redis(tmp_path: Path) -> None:
    assert make_secrets(tmp_path, "--redis-url", OUTSIDE).exit_code == 0
    before = contents(tmp_path)
    refused = make_secrets(tmp_path, "--redis")
    assert refused.exit_code == 1
    assert refused.output == (
        f"Error: cannot make the secrets: {tmp_path}/redis-url names another store;"
        " name another folder, or remove that file\n"
    )
    assert contents(tmp_path) == before


def test_a_url_that_is_given_replaces_the_one_before(tmp_path: Path) -> None:
    make_secrets(tmp_path, "--redis-url", OUTSIDE)
    secrets = contents(tmp_path)
    make_secrets(tmp_path, "--redis-url", OUTSIDE.replace("s3cret", "changed"))
    assert contents(tmp_path) == {**secrets, "redis-url": OUTSIDE.replace("s3cret", "changed")}


@pytest.mark.parametrize("package", ["kubernetes_validate", "jsonschema"])
def test_a_check_without_its_packages_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.delitem(sys.modules, "deploy.kubernetes.schemas", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    done = CliRunner().invoke(check, [], catch_exceptions=False)
    assert (done.exit_code, done.output) == (
        1,
        f"Error: {package} is not installed: run `make check-kubernetes`, or install requirements-kubernetes.lock\n",
    )
