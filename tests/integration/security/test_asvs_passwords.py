"""OWASP ASVS 5.0, 6.2: what a password may be, how it is changed and entered; on real nodes behind a real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import requests
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from tests.integration.security.cluster import Cluster, credentials
from tests.support.node import PASSWORD

HTML = {"Accept": "text/html"}
COMMON = [each for each in FREQUENCY_LISTS["passwords"] if len(each) >= 8]


class Frank:
    """A user whose password changes here, and is afterwards what it was."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.password = PASSWORD
        self.browser = cluster.log_in("frank")

    def change(self, new: str, current: str | None = None) -> int:
        body = {"current": self.password if current is None else current, "new": new}
        status = self.browser.post(f"{self.cluster.url}/password", json=body, timeout=20).status_code
        if status == 204:
            self.password = new
        return status

    def can_enter(self, password: str) -> bool:
        device = {"Cookie": f"device={self.browser.cookies['device']}"}  # what others guess is not counted against it
        body = credentials("frank", password)
        answer = requests.post(f"{self.cluster.url}/login", json=body, headers=device, timeout=20)
        assert answer.status_code in {200, 401}
        return answer.status_code == 200


@pytest.fixture
def frank(cluster: Cluster) -> Iterator[Frank]:
    made = Frank(cluster)
    yield made
    assert made.password == PASSWORD or made.change(PASSWORD) == 204


@pytest.mark.parametrize(("new", "status"), [("", 422), ("kq7 zw", 422), ("kq7 zw9", 422), ("kq7 zw9b", 204)])
def test_6_2_1_a_password_has_8_characters_or_more(frank: Frank, new: str, status: int) -> None:
    assert frank.change(new) == status
    assert frank.can_enter(new) is (status == 204)


def test_6_2_2_and_6_2_3_users_change_their_own_with_the_one_so_far_and_nobody_else_s(
    cluster: Cluster, frank: Frank
) -> None:
    new = "a password that is new"
    url = f"{cluster.url}/password"
    bob = cluster.log_in("bob")
    for browser, body, status in (
        (requests.Session(), {"current": PASSWORD, "new": new}, 401),
        (frank.browser, {"new": new}, 400),
        (frank.browser, {"current": "", "new": new}, 403),
        (frank.browser, {"current": "not the one so far", "new": new}, 403),
        (bob, {"current": PASSWORD, "new": PASSWORD, "user": "frank"}, 204),  # bob's own, whatever it says beside
    ):
        assert browser.post(url, json=body, timeout=20).status_code == status, body
    assert frank.can_enter(PASSWORD)
    assert cluster.users_of(frank.browser) == ["frank"] * 3
    assert frank.change(new) == 204
    assert (frank.can_enter(new), frank.can_enter(PASSWORD)) == (True, False)


def test_6_2_4_none_of_the_most_frequent_is_taken(frank: Frank) -> None:
    assert len(COMMON) >= 3000
    for new in (COMMON[0], COMMON[1].upper(), COMMON[1500].title(), COMMON[-1]):
        assert frank.change(new) == 422
    answer = frank.browser.post(
        f"{frank.cluster.url}/password", json={"current": PASSWORD, "new": COMMON[7]}, timeout=20
    )
    assert "most frequent" in answer.json()["error"]
    assert COMMON[7] not in answer.text
    assert frank.can_enter(PASSWORD)


@pytest.mark.parametrize(
    "new", ["lower case only", "UPPER CASE ONLY", "8205117364", "!$%&/()=?*+", "   x   y   ", "密码密码密码密码"]
)
def test_6_2_5_no_kind_of_character_is_demanded_or_forbidden(frank: Frank, new: str) -> None:
    assert frank.change(new) == 204
    assert frank.can_enter(new)


class Inputs(HTMLParser):
    """The input elements of a page, and whether it has scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inputs: list[dict[str, str | None]] = []
        self.scripts = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script" or any(name.startswith("on") for name, _ in attrs)
        if tag == "input":
            self.inputs.append(dict(attrs))


def test_6_2_6_and_6_2_7_passwords_are_masked_and_managers_and_pasting_are_not_hindered(
    cluster: Cluster, frank: Frank
) -> None:
    def page(browser: requests.Session, path: str) -> Inputs:
        return Inputs(browser.get(f"{cluster.url}{path}", headers=HTML, timeout=20).text)

    stranger = page(requests.Session(), "/")
    account = page(frank.browser, "/account")
    cluster.age(301)
    token = next(each["value"] for each in page(frank.browser, "/sessions").inputs if each["name"] == "csrf_token")
    again = Inputs(
        frank.browser.post(
            f"{cluster.url}/sessions/end", data={"csrf_token": token or ""}, headers=HTML, timeout=20
        ).text
    )
    asked = {}
    for shown in (stranger, account, again):
        assert shown.scripts == 0  # nothing that could stand between a manager, or a paste, and its field
        names = {str(each["name"]): each for each in shown.inputs}
        secret = {name: each for name, each in names.items() if name in {"password", "current", "new"}}
        asked.update(secret)
        assert {each.get("type") for each in secret.values()} == {"password"}
        assert {each.get("maxlength") for each in secret.values()} == {"1024"}
        assert names["user"]["autocomplete"] == "username"
    kinds = {name: each["autocomplete"] for name, each in asked.items()}
    assert kinds == {"password": "current-password", "current": "current-password", "new": "new-password"}
    assert len(again.inputs) >= 3
    frank.browser.post(f"{cluster.url}/login", json=credentials("frank"), timeout=20)


def test_6_2_8_a_password_is_compared_whole_and_as_it_came(frank: Frank) -> None:
    for new in ("Mixed Case and \u00e9 in it", "x" * 73 + "y", " spaces around "):
        assert frank.change(new) == 204
        others = {
            new[:-1],
            new + " ",
            new.strip(),
            new.swapcase(),
            new.replace("\u00e9", "e\u0301"),
            new + "\0",
            new[:72],
        }
        assert frank.can_enter(new)
        assert not any(frank.can_enter(other) for other in others - {new})


@pytest.mark.parametrize("length", [64, 65, 128, 1024])
def test_6_2_9_a_password_may_have_64_characters_and_more(frank: Frank, length: int) -> None:
    new = ("a long passphrase of many words " * 40)[:length]
    assert frank.change(new) == 204
    assert frank.can_enter(new)
    assert not frank.can_enter(new[:-1])
