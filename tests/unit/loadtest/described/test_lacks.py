"""What nobody can find on a target, by what the answers that its file describes show."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.checker import Kind
from loadtest.claims.claim import Lacks, Sight, Verdict, evaluate
from loadtest.claims.data import NOTHING_LOST
from loadtest.described.description import read_description
from loadtest.described.target import find_lacks
from tests.unit.loadtest.test_claims import found

HEAD = """\
url = "http://127.0.0.1:9"
cookie = "sid"
[users]
passwords = { USERS }
[requests.login]
path = "/login"
form = { name = "{user}" }
redirect = "/"
[requests.logout]
path = "/logout"
[requests.look]
path = "/"
"""
LOGOUT = '[requests.logout]\npath = "/logout"\n'
NAME, SIGN = 'user = { json = "/user" }\n', 'logged_in = { css = "a" }\n'
COUNTER, ITEMS = 'counter = { json = "/count" }\n', 'items = { json = "/items" }\n'
COUNT, ADD = '[requests.count]\npath = "/count"\n', '[requests.add]\npath = "/add"\nform = { item = "{item}" }\n'
READ, EMPTY = '[requests.read]\npath = "/read"\n', '[requests.empty]\npath = "/empty"\n'
PASSWORD = '[requests.password]\npath = "/password"\nform = { new = "{new_password}" }\n'
TWO, ONE = 'a = "x", b = "y"', 'a = "x"'
UPDATES = {Kind.UPDATE_LOST, Kind.STALE_READ}
NONE: set[Kind | Sight] = set()


def lacks_of(folder: Path, requests: str, users: str = TWO) -> Lacks:
    file = folder / "shop.toml"
    file.write_text(HEAD.replace("USERS", users) + requests)
    always = {Kind.PASSWORD_UNDONE, Sight.NODES, Sight.SITE}
    lacks = find_lacks(read_description(file).file, file.name)
    return {what: why for what, why in lacks.items() if what not in always}


@pytest.mark.parametrize(
    ("requests", "lacks"),
    [
        (NAME + COUNTER + COUNT, NONE),
        (NAME + ITEMS + ADD, NONE),
        (NAME + COUNTER + ADD, UPDATES),
        (NAME + ITEMS + COUNT, UPDATES),
        (NAME + COUNT + ADD, UPDATES),
        (NAME + COUNTER + COUNT + ADD, {Sight.ADDS}),
        (NAME + ITEMS + COUNT + ADD, {Sight.COUNTS}),
        (NAME + COUNT + COUNTER + ADD + ITEMS, NONE),
        (NAME + COUNT + ADD + READ + COUNTER + ITEMS, NONE),
        (NAME + COUNTER + COUNT + READ + NAME, UPDATES),  # its look is never a look of the load
        (NAME, {*UPDATES, Kind.MISDIRECTED}),
    ],
)
def test_each_write_is_judged_by_its_own_reading(tmp_path: Path, requests: str, lacks: set[Kind | Sight]) -> None:
    assert lacks_of(tmp_path, requests).keys() == {*lacks, Kind.EMPTYING_UNDONE}


@pytest.mark.parametrize(
    ("requests", "users", "is_lacking"),
    [
        (NAME + COUNT, TWO, False),
        (NAME + COUNT, ONE, True),
        (NAME + COUNT + COUNTER, ONE, False),
        (NAME + COUNTER + ADD, ONE, True),
        (SIGN + COUNT, TWO, True),
        (SIGN + ADD + ITEMS, TWO, False),
    ],
)
def test_only_names_of_several_users_or_values_tell_sessions_apart(
    tmp_path: Path, requests: str, users: str, is_lacking: bool
) -> None:
    assert (Kind.CROSSED in lacks_of(tmp_path, requests, users)) is is_lacking


@pytest.mark.parametrize(
    ("requests", "is_lacking"),
    [
        (NAME + ITEMS + ADD + EMPTY, False),
        (NAME + ITEMS + EMPTY, True),
        (NAME + ADD + EMPTY, True),
        (NAME + ITEMS + ADD, True),
    ],
)
def test_an_emptied_list_needs_items_that_were_added(tmp_path: Path, requests: str, is_lacking: bool) -> None:
    assert (Kind.EMPTYING_UNDONE in lacks_of(tmp_path, requests)) is is_lacking


@pytest.mark.parametrize(("requests", "why"), [("", "shop.toml has no request password"), (PASSWORD, None)])
def test_a_change_of_password_must_be_described(tmp_path: Path, requests: str, why: str | None) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(HEAD.replace("USERS", TWO) + NAME + requests)
    assert find_lacks(read_description(file).file, file.name).get(Kind.PASSWORD_UNDONE) == why


@pytest.mark.parametrize(
    ("requests", "is_lacking"),
    [
        (NAME, True),
        (NAME + LOGOUT, False),
        (NAME + PASSWORD, False),
        (NAME + '[requests.end_others]\npath = "/others"\n', False),
    ],
)
def test_a_logout_that_is_undone_needs_a_request_that_ends_sessions(
    tmp_path: Path, requests: str, is_lacking: bool
) -> None:
    file = tmp_path / "shop.toml"
    head, _, look = HEAD.replace("USERS", TWO).partition(LOGOUT)
    file.write_text(head + look + requests)
    why = find_lacks(read_description(file).file, file.name).get(Kind.REVIVED)
    assert why == ("shop.toml has no request logout, end_others or password" if is_lacking else None)


def test_a_write_that_is_not_shown_is_named_beside_the_verdict_on_the_other(tmp_path: Path) -> None:
    results = evaluate([NOTHING_LOST], replace(found(), lacks=lacks_of(tmp_path, NAME + COUNTER + COUNT + ADD)))
    unseen = {one.claim: one.reason for one in results if one.verdict is Verdict.NOT_LOOKED_FOR}
    assert unseen["no added item is lost"] == "shop.toml shows no items"
    assert "no update is lost" not in unseen
