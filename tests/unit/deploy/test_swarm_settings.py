"""What `swarm up` keeps for the next one, and what `--set` refuses. A script is `docker`."""

import errno
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.swarm.settings import STACK
from session_cluster import main

DOCKER = """#!/bin/sh
case "$1 $2 $3" in
"info --format {{.Name}}") echo m1 ;;
"info --format "*) echo '{"LocalNodeState": "active", "ControlAvailable": true}' ;;
"node ls "*) echo one ;;
"node inspect "*)
    echo '[{"Description": {"Hostname": "m1"}, "Status": {}}, {"Description": {"Hostname": "m2"}, "Status": {}}]' ;;
"service ls "*) if [ -f %(folder)s/deployed ]; then printf 'sessions_node\\t3/3\\n'; fi ;;
"service inspect sessions_node") echo '[{"Spec": {"Name": "sessions_node", "TaskTemplate": 1}}]' ;;
"stack deploy "*) export -p > %(folder)s/deployed ;;
"stack rm "*) /bin/rm %(folder)s/deployed ;;
"network ls "*) ;;
*) echo "refused: $*" >&2; exit 1 ;;
esac
"""
OUTSIDE = "rediss://me:s3cret@redis.example/0"


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for `docker`, the only one in PATH; the current folder has the stacks' folders."""
    monkeypatch.setattr("nodes.settings.default_name", lambda: pytest.fail("asks a DNS, for half a second"))
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("STORE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    (folder / "docker").write_text(DOCKER % {"folder": folder})
    (folder / "docker").chmod(0o755)
    return folder


def up(*words: str) -> dict[str, str]:
    """Start or update the stack. Return the variables that it got, and `conf`, the proxies' nginx.conf."""
    done = CliRunner().invoke(main, ["swarm", "up", "--image", "shop:1", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    exported = (Path(os.environ["PATH"]) / "deployed").read_text()
    variables = dict(re.findall(r"^export ([A-Z_]+)='(.*)'$", exported, re.MULTILINE))
    return {**variables, "conf": Path("swarm-sessions/proxy/nginx.conf").read_text()}


def refuse(*words: str, status: int = 2) -> str:
    """Return the error of `up`, which must be one line and deploy nothing."""
    deployed = Path(os.environ["PATH"]) / "deployed"
    before = deployed.read_text() if deployed.exists() else None
    done = CliRunner().invoke(main, ["swarm", "up", "--image", "shop:1", *words], catch_exceptions=False)
    assert done.exit_code == status, done.output
    (line,) = done.output.strip().splitlines()
    assert (deployed.read_text() if deployed.exists() else None) == before
    return line.removeprefix("Error: ")


def test_an_option_that_is_not_given_is_as_at_the_last_up() -> None:
    up(*shlex.split("--nodes 5 --balance least_conn --port 9000 --host shop.example --host www.example"),
       *shlex.split("--trusted-proxy 192.0.2.7 --set NODE_WORKERS=2 --set NODE_MEMORY=1G"))  # fmt: skip
    later = up("--image", "shop:2", "--nodes", "6")
    assert {name: later[name] for name in ("IMAGE", "NODES", "PORT", "NODE_WORKERS", "NODE_MEMORY")} == {
        "IMAGE": "shop:2",
        "NODES": "6",
        "PORT": "9000",
        "NODE_WORKERS": "2",
        "NODE_MEMORY": "1G",
    }
    assert all(text in later["conf"] for text in ("least_conn", "shop.example", "www.example", "192.0.2.7"))
    CliRunner().invoke(main, ["swarm", "down"], catch_exceptions=False)
    assert up()["NODES"] == "6", "also after the stack was removed"


def test_given_options_replace_those_of_the_last_up_and_empty_ones_go_back_to_defaults() -> None:
    up(*shlex.split("--host shop.example --trusted-proxy 192.0.2.7 --set NODE_WORKERS=2 --set SESSION_NAME=sid"))
    later = up(*shlex.split("--host www.example --trusted-proxy none --set NODE_WORKERS= --set LOG_LEVEL=debug"))
    assert "shop.example" not in later["conf"]
    assert "192.0.2.7" not in later["conf"]
    assert "www.example" in later["conf"]
    assert "NODE_WORKERS" not in later
    assert (later["SESSION_NAME"], later["LOG_LEVEL"]) == ("sid", "debug")
    assert "www.example" not in up("--host", "none")["conf"]


def test_the_store_stays_until_another_one_is_asked_for_in_so_many_words() -> None:
    changed = "names another store, which has none of the sessions: add --change-store if that is intended"
    first = up("--store-url", OUTSIDE)
    assert (first["REDIS_REPLICAS"], first["STORE_INTERNAL"]) == ("0", "false")
    later = up("--image", "shop:2")
    assert (later["REDIS_REPLICAS"], later["STORE_INTERNAL"]) == ("0", "false")
    assert later["STORE_URL_VERSION"] == first["STORE_URL_VERSION"]
    up("--store-url", OUTSIDE)
    for url in ("rediss://me:s3cret@other.example/0", "none"):
        assert refuse("--store-url", url) == f"--store-url {changed}"
    own = up("--store-url", "none", "--change-store")
    assert own["STORE_NETWORK"] != first["STORE_NETWORK"], "Swarm would leave it as it is"
    assert (own["REDIS_REPLICAS"], own["STORE_INTERNAL"], own["REDIS_MACHINE"]) == ("1", "true", "m1")
    assert refuse("--store-url", OUTSIDE) == f"--store-url {changed}"
    assert refuse("--store-machine", "m2") == f"--store-machine {changed}"
    up("--store-machine", "m1")
    assert up("--store-machine", "m2", "--change-store")["REDIS_MACHINE"] == "m2"


def test_the_store_stays_on_its_machine_where_the_next_up_is_run_on_another(engine: Path) -> None:
    assert up()["REDIS_MACHINE"] == "m1"
    CliRunner().invoke(main, ["swarm", "down"], catch_exceptions=False)
    script = engine / "docker"
    script.write_text(script.read_text().replace("echo m1 ;;", "echo m2 ;;"))
    assert up()["REDIS_MACHINE"] == "m1"


def test_the_store_is_not_moved_where_the_engine_does_not_say_which_machine_has_it(engine: Path) -> None:
    up()
    Path("swarm-sessions/settings.json").unlink()
    script = engine / "docker"
    script.write_text(
        script.read_text().replace("sessions_node\\t3/3\\n", "sessions_node\\t3/3\\nsessions_redis\\t1/1\\n")
    )
    assert refuse(status=1).startswith("docker service: refused: service inspect ")


def test_the_kept_settings_have_no_secret_and_are_for_their_owner() -> None:
    up("--store-url", OUTSIDE)
    kept = Path("swarm-sessions/settings.json")
    assert "s3cret" not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_kept_settings_that_are_damaged_are_named() -> None:
    up()
    kept = Path("swarm-sessions/settings.json")
    document = json.loads(kept.read_text())
    changes: tuple[dict[str, object], ...] = (
        {"nodes": "many"},
        {"variables": None},
        {"variables": []},
        {"variables": {"NODE_WORKERS": 2}},
    )
    for text in ("{", "[]", "[1]", "null", '"x"', *(json.dumps(document | change) for change in changes)):
        kept.write_text(text)
        assert refuse(status=1).startswith("swarm-sessions/settings.json is damaged: ")


def test_the_store_stays_where_the_other_settings_are_gone() -> None:
    up("--store-url", OUTSIDE)
    Path("swarm-sessions/settings.json").unlink()
    assert up()["REDIS_REPLICAS"] == "0"
    assert Path("swarm-sessions/node/store-url").read_text() == OUTSIDE
    assert "add --change-store" in refuse("--store-url", "none")


def test_what_the_engine_refuses_is_not_kept(engine: Path) -> None:
    up()
    files = [Path("swarm-sessions") / name for name in ("settings.json", "node/store-url")]
    before = [file.read_text() for file in files]
    script = engine / "docker"
    text = script.read_text()
    script.write_text(text.replace('"stack deploy "*) ', '"stack deploy "*) echo "no" >&2; exit 1; '))
    assert refuse("--set", "NODE_WORKERS=3", "--store-url", OUTSIDE, "--change-store", status=1) == "docker stack: no"
    assert [file.read_text() for file in files] == before
    script.write_text(text)
    assert up()["REDIS_REPLICAS"] == "1"


def refuse_deployments(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = engine.parent / "refusing" / "docker"
    script.parent.mkdir()
    text = (engine / "docker").read_text()
    script.write_text(text.replace('"stack deploy "*) ', '"stack deploy "*) echo "no" >&2; exit 1; '))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))


def test_what_the_engine_refuses_at_the_first_up_is_not_kept(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        refuse_deployments(engine, patch)
        assert refuse("--store-url", OUTSIDE.replace("redis.", "wrong."), status=1) == "docker stack: no"
    assert up("--store-url", OUTSIDE)["REDIS_REPLICAS"] == "0"


def test_what_can_not_be_written_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    up("--store-url", OUTSIDE)
    files = [Path("swarm-sessions") / name for name in ("settings.json", "node/store-url")]
    before = [file.read_text() for file in files]
    assert "host" in refuse("--host", "bad host", "--store-url", "none", "--change-store", status=1)
    assert [file.read_text() for file in files] == before

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("deploy.swarm.settings.write_json", fail)
    message = "folder swarm-sessions cannot be written: No space left on device"
    assert refuse("--nodes", "5", "--store-url", "none", "--change-store", status=1) == message
    assert [file.read_text() for file in files] == before


def test_the_machine_of_the_stacks_redis_is_asked_for_only_where_it_is_used(engine: Path) -> None:
    up()
    up("--store-url", OUTSIDE, "--change-store")
    script = engine / "docker"
    script.write_text(script.read_text().replace('"Hostname": "m1"', '"Hostname": "m3"'))
    assert up()["REDIS_REPLICAS"] == "0", "the machine that has left has nothing of this stack"
    message = "--store-machine must be left out with --store-url: the stack has no Redis of its own then"
    assert refuse("--store-machine", "m2") == message
    assert "has no machine 'm1'" in refuse("--store-url", "none", "--change-store", status=1)
    back = up(*shlex.split("--store-url none --store-machine m2 --change-store"))
    assert (back["REDIS_REPLICAS"], back["REDIS_MACHINE"]) == ("1", "m2")


def test_the_own_store_stays_the_own_one_with_another_password(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    Path("swarm-sessions/store/password").unlink()
    with monkeypatch.context() as patch:
        refuse_deployments(engine, patch)
        refuse(status=1)
    assert up()["REDIS_REPLICAS"] == "1"
    password = Path("swarm-sessions/store/password").read_text()
    assert password in Path("swarm-sessions/node/store-url").read_text()


def test_damaged_passwords_are_said_in_one_line() -> None:
    up()
    Path("swarm-sessions/users/passwords.json").write_text("{")
    done = CliRunner().invoke(main, ["swarm", "up", "--image", "shop:1"], catch_exceptions=False)
    assert (done.exit_code, "passwords.json is damaged" in done.output) == (1, True)


def test_a_kept_variable_that_is_wrong_now_can_be_set_again() -> None:
    up()
    kept = Path("swarm-sessions/settings.json")
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"variables": {"NODE_WORKERS": "900"}}))
    assert refuse().startswith("NODE_WORKERS must be")
    up("--set", "NODE_WORKERS=")


def test_the_folder_of_another_stack_is_refused() -> None:
    up()
    message = "--state swarm-sessions is the folder of the stack sessions: name another folder"
    assert refuse("--name", "shop", "--state", "swarm-sessions") == message


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("STACK=x", "--set cannot change STACK: it follows from --name"),
        ("FOLDER=x", "--set cannot change FOLDER: it follows from --state"),
        ("IMAGE=x", "--set cannot change IMAGE: it follows from --image"),
        ("NODES=0", "--set cannot change NODES: it follows from --nodes"),
        ("PORT=99999", "--set cannot change PORT: it follows from --port"),
        ("SESSION_STORE=memory", "--set cannot change SESSION_STORE: it follows from --store-url"),
        ("STORE_INTERNAL=", "--set cannot change STORE_INTERNAL: it follows from --store-url"),
        ("REDIS_REPLICAS=2", "--set cannot change REDIS_REPLICAS: it follows from --store-url"),
        ("REDIS_MACHINE=m2", "--set cannot change REDIS_MACHINE: it follows from --store-machine"),
        ("USERS_VERSION=1", "--set cannot change USERS_VERSION: it follows from the files of --state"),
        ("NODE_MEMORI=", "'NODE_MEMORI' is not a setting of the stack; did you mean NODE_MEMORY?"),
        ("NODE_MEMORY=lots", "NODE_MEMORY must be a size such as 512M, not lots"),
        ("NODE_MEMORY=1M", "NODE_MEMORY must be 64M or more, not 1M"),
        ("REDIS_MEMORY=-1", "REDIS_MEMORY must be a size such as 512M, not -1"),
        ("REDIS_MEMORY=300M", "REDIS_MEMORY must be 2 times REDIS_MAXMEMORY or more, 512M, not 300M"),
        ("REDIS_MAXMEMORY=0", "REDIS_MAXMEMORY must be a size of 1mb or more, such as 256mb, not 0"),
        ("REDIS_MAXMEMORY=1,5gb", "REDIS_MAXMEMORY must be a size of 1mb or more, such as 256mb, not 1,5gb"),
        ("HEALTH_RETRIES=0", "HEALTH_RETRIES must be a whole number from 1 to 1000, not 0"),
        ("START_PERIOD=40", "START_PERIOD must be a duration such as 40s, not 40"),
        ("RESTART_DELAY=soon", "RESTART_DELAY must be a duration such as 40s, not soon"),
        ("NODE_WORKERS=0", "NODE_WORKERS must be a whole number from 1 to 64, not 0"),
    ],
)
def test_a_variable_that_would_break_the_stack_is_refused_in_one_line(setting: str, message: str) -> None:
    assert refuse("--set", setting) == message


def test_every_variable_of_the_stack_that_has_no_default_follows_from_something_else() -> None:
    required = set(re.findall(r"\$\{([A-Z_]+)(?:\}|:\?)", STACK.read_text()))
    for name in required:
        assert refuse("--set", f"{name}=1").startswith(f"--set cannot change {name}: ")


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ("", f"{1024**3}"),
        ("REDIS_MAXMEMORY=64mb", f"{1024**3}"),
        ("REDIS_MAXMEMORY=4gb", f"{8 * 1024**3}"),
        ("REDIS_MAXMEMORY=4G", f"{8 * 1000**3}"),
        ("REDIS_MAXMEMORY=4gb REDIS_MEMORY=12G", "12G"),
        ("REDIS_MAXMEMORY=128mb REDIS_MEMORY=256MiB", "256MiB"),
    ],
)
def test_the_limit_of_the_redis_grows_with_its_data(settings: str, limit: str) -> None:
    assert up(*(word for each in settings.split() for word in ("--set", each)))["REDIS_MEMORY"] == limit
