"""`locust -f loadtest/locustfile.py`, as a person starts it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.node import ROOT
from tests.support.stand_in import ACCOUNTS, StandIn, serving


def locust(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", *arguments]
    environment = {
        name: value for name, value in os.environ.items() if name not in {"CLUSTER_USERS_FILE", "SESSION_NAME"}
    }
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment | variables, timeout=60)


def test_locusts_statistics_tell_a_lost_session_from_a_failed_request(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": ACCOUNTS}))
    # Every second visit fails: of few users hardly 20 requests come in 6 s, and now and then no second visit.
    options = ["-u", "40", "-r", "40", "-t", "4s", "--csv", str(tmp_path / "run"), "--session-users-file", str(users)]
    with serving(StandIn(memories=3, failed_visits=True)) as url:
        done = locust("--host", url, *options)
    assert done.returncode == 1, "Locust's own sign for failed requests"
    assert "What 40 users saw in " in done.stdout
    assert "made while logged in), " in done.stdout
    assert "x POST /visits: status 502" in done.stdout
    assert "answered by        node-1 " in done.stdout
    with (tmp_path / "run_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert int(rows["GET", "/me [logged out]"]["Request Count"]) > 0
    assert int(rows["GET", "/me [logged out]"]["Failure Count"]) == 0
    failed = {name for name, row in rows.items() if int(row["Failure Count"])}
    assert failed == {("POST", "/visits"), ("", "Aggregated")}


def test_plain_locust_without_credentials_says_where_they_come_from() -> None:
    done = locust("--host", "http://127.0.0.1:9", "-t", "1s")
    assert done.returncode == 1
    assert "Error: no users to log in as: give --session-users-file or CLUSTER_USERS_FILE;" in done.stderr
    assert "session-cluster up --state DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_plain_locust_takes_the_name_of_the_cookie_from_the_file_of_users(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": ACCOUNTS, "session_cookie": "connect.sid"}))
    with serving(StandIn(cookie_name="connect.sid")) as url:
        done = locust("--host", url, "-u", "4", "-r", "20", "-t", "2s", "--session-users-file", str(users))
    assert done.returncode == 0, done.stdout
    assert "What 4 users saw in " in done.stdout
    assert "failed requests    0" in done.stdout


def test_plain_locust_refuses_a_host_that_is_not_an_address(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": ACCOUNTS}))
    done = locust("--host", "http://[::1:8080", "-t", "1s", "--session-users-file", str(users))
    assert done.returncode == 1
    assert "Error: --host must be http://HOST[:PORT] or https://HOST[:PORT], not http://[::1:8080" in done.stderr
    assert "Traceback" not in done.stderr


def test_users_of_the_shop_do_not_visit_another_application() -> None:
    done = locust("--host", "http://127.0.0.1:9", "-t", "1s", NODE_APP="blog:app")
    assert done.returncode == 1
    assert "Error: users of the shop can't load blog:app; write a locustfile of its own" in done.stderr
