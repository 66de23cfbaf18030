"""Users with several tabs on an application that a file describes and that keeps all it is told: nothing is found."""

import json
from pathlib import Path

import pytest

from loadtest.history import Action, Op, OpOutcome, read
from loadtest.results import HISTORY
from tests.support.commands import run_command
from tests.support.plain_shop import ACCOUNT, FILE, PlainShop, serving_shop

LOAD = ("--users", 12, "--wait", 0.05, 0.2, "--duration", 3, "--spawn-rate", 100)


@pytest.mark.parametrize("mix", ["shared-writers", "logout-race", "browsers"])
def test_tabs_find_nothing_wrong_with_an_application_that_redirects_after_each_write(tmp_path: Path, mix: str) -> None:
    with serving_shop(PlainShop(checks_token=False)) as url:
        (tmp_path / "shop.toml").write_text(FILE.replace("URL", url).replace("count = 6", "count = 12"))
        out = tmp_path / "out"
        done = run_command("load", "--target", tmp_path / "shop.toml", *LOAD, "--mix", mix, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((out / "load.json").read_text())
    assert record["findings"]["examples"] == {}
    assert record["verdicts"]["nothing lost"]["verdict"] != "broken", "a busy machine makes few logouts"


def test_tabs_find_updates_that_an_application_loses_though_it_redirects(tmp_path: Path) -> None:
    with serving_shop(PlainShop(loses_counts=True, checks_token=False)) as url:
        (tmp_path / "shop.toml").write_text(FILE.replace("URL", url).replace("count = 6", "count = 12"))
        out = tmp_path / "out"
        done = run_command("load", "--target", tmp_path / "shop.toml", *LOAD, "--mix", "shared-writers", "--out", out)
    assert done.returncode == 1, done.stdout + done.stderr
    record = json.loads((out / "load.json").read_text())
    assert set(record["findings"]["examples"]) == {"update lost"}
    assert record["findings"]["updates_lost"] > 10
    assert all(one["answer"]["method"] == "GET" for one in record["requests"])


def test_nobody_changes_a_password_without_a_request_for_it(tmp_path: Path) -> None:
    with serving_shop(PlainShop(checks_token=False)) as url:
        (tmp_path / "shop.toml").write_text(FILE.replace("URL", url).replace("count = 6", "count = 12"))
        out = tmp_path / "out"
        done = run_command("load", "--target", tmp_path / "shop.toml", *LOAD, "--mix", "tabs", "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    users = {event.who.partition("-")[0] for event in read(out / HISTORY) if isinstance(event, Op)}
    assert "tabuser" in users
    assert "accountuser" not in users
    printed = " ".join(done.stdout.split())
    assert "logouts revived" not in printed, "nobody has logged out"
    assert "○ not looked for: logout revived: no logout was carried out" in printed


@pytest.mark.parametrize(
    ("shop", "found"),
    [
        (PlainShop(checks_token=False), set()),
        (PlainShop(checks_token=False, keeps_others=True), {"logout revived"}),
        (PlainShop(checks_token=False, keeps_password=True), {"password undone"}),
    ],
    ids=["nothing", "others go on", "nothing is changed"],
)
def test_tabs_change_passwords_and_end_sessions_that_a_file_describes(
    tmp_path: Path, shop: PlainShop, found: set[str]
) -> None:
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text((FILE + ACCOUNT).replace("URL", url).replace("count = 6", "count = 12"))
        out = tmp_path / "out"
        done = run_command("load", "--target", tmp_path / "shop.toml", *LOAD, "--mix", "tabs", "--out", out)
    record = json.loads((out / "load.json").read_text())
    assert set(record["findings"]["examples"]) == found, done.stdout + done.stderr
    assert record["load"]["failed"] == 0 or shop.keeps_password, "its new passwords are refused"
    names = {row["name"] for row in record["latency"]["rows"]}
    assert {"/account", "/devices", "/devices/end", "/password"} <= names


@pytest.mark.parametrize("mix", ["tabs", "browsers"])
def test_tabs_lose_nothing_by_a_login_that_begins_with_an_empty_session(tmp_path: Path, mix: str) -> None:
    with serving_shop(PlainShop(checks_token=False, login_empties=True)) as url:
        (tmp_path / "shop.toml").write_text((FILE + ACCOUNT).replace("URL", url).replace("count = 6", "count = 12"))
        load = (*LOAD, "--mix", mix, "--out", tmp_path / "out")
        done = run_command("load", "--target", tmp_path / "shop.toml", *load)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "out" / "load.json").read_text())["findings"]["examples"] == {}


def test_a_user_whose_password_was_changed_after_all_finds_it(tmp_path: Path) -> None:
    with serving_shop(PlainShop(changes_late=True)) as url:
        (tmp_path / "shop.toml").write_text((FILE + ACCOUNT).replace("URL", url).replace("count = 6", "count = 12"))
        load = (*LOAD, "--duration", 6, "--mix", "tabs", "--out", tmp_path / "out")
        done = run_command("load", "--target", tmp_path / "shop.toml", *load)
    record = json.loads((tmp_path / "out" / "load.json").read_text())
    assert record["findings"]["examples"] == {}, done.stdout + done.stderr
    logins = [op for op in read(tmp_path / "out" / HISTORY) if isinstance(op, Op) and op.action is Action.LOGIN]
    refused: dict[str, float] = {}
    for op in logins:
        if op.error and op.status == 200:
            refused.setdefault(op.account, op.ended)
    assert refused, "a password was changed after the answer"
    accepted = [op for op in logins if op.outcome is OpOutcome.OK and op.account in refused]
    assert any(op.started > refused[op.account] for op in accepted), "they go on with the new password"
