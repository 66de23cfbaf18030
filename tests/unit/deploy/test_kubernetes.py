"""The secrets of an overlay: what is in the folder already stays."""

from pathlib import Path

from click.testing import CliRunner, Result

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
