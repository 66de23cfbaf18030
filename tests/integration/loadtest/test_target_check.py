"""`session-cluster target check`: each request once, and every mistake in one line with its line in the file."""

import itertools
import json
import random
import re
import secrets
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import trustme
from click.testing import CliRunner
from flask import Flask, Response, request

from loadtest.cli.target import target
from loadtest.described.description import read_description
from loadtest.described.target import DescribedTarget
from loadtest.target import TargetError
from tests.support.plain_shop import ACCOUNT, FILE, PASSWORD, PlainShop, Visit, serving_shop


def check(tmp_path: Path, shop: PlainShop, *changes: tuple[str, str]) -> tuple[int, str]:
    """Return exit status and output of a check, after changes of the file."""
    text = FILE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text(text.replace("URL", url))
        done = CliRunner(env={"COLUMNS": "80"}).invoke(target, ["check", str(tmp_path / "shop.toml")])
    return done.exit_code, done.output.replace(str(tmp_path) + "/", "")


def line_of(text: str) -> int:
    return FILE.splitlines().index(text) + 1


def test_a_check_shows_each_request_of_a_visit_in_80_columns(tmp_path: Path) -> None:
    status, printed = check(tmp_path, shop := PlainShop())
    assert status == 0, printed
    names = [line.split()[1] for line in printed.splitlines() if line.startswith("✓")]
    assert names[:8] == ["look", "login", "look", "count", "count", "read", "add", "read"]
    assert names[8:] == ["read", "logout", "look", "count"]
    for text in ("302 /welcome, 302", "counter 2, 1 item", "nobody", "All answers are as described."):
        assert text in printed
    assert "emptying undone: shop.toml has no request empty" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert len(shop.users) == 6, "the sign-up made them"


LAST = FILE[FILE.index("[requests.read]") :]
WITH_ACCOUNT = (LAST, LAST + ACCOUNT)


def test_a_check_tries_the_requests_of_an_account_and_puts_the_password_back(tmp_path: Path) -> None:
    status, printed = check(tmp_path, shop := PlainShop(), WITH_ACCOUNT)
    assert status == 0, printed
    names = [line.split()[1] for line in printed.splitlines() if line.startswith("✓")]
    assert names[:4] == ["look", "account", "sessions", "login"]
    assert names[-8:] == [*("account", "sessions", "password", "password", "end_others", "logout", "look", "count")]
    assert "password undone" not in printed
    assert shop.changes == 2
    assert set(shop.users.values()) == {"a secret & more"}


class Apart(PlainShop):
    """Its sessions are in one of two nodes each, and any request goes to any node."""

    def __post_init__(self) -> None:
        self.nodes: tuple[dict[str, Visit], ...] = ({}, {})
        self.choice = random.Random(0)
        self.node = 0
        super().__post_init__()

    @property
    def visits(self) -> dict[str, Visit]:
        return self.nodes[self.node]

    @visits.setter
    def visits(self, _: dict[str, Visit]) -> None: ...

    def make(self) -> Flask:
        app = super().make()
        app.before_request_funcs[None].insert(0, self._choose)
        return app

    def _choose(self) -> None:
        self.node = self.choice.randrange(2)


def test_a_load_begins_on_nodes_with_sessions_of_their_own_and_leaves_each_password(tmp_path: Path) -> None:
    text = re.sub(
        r"\[csrf\]\n(.+\n)+", "", (FILE + ACCOUNT).replace('page = "/login"\n', "").replace('page = "/signup"\n', "")
    )
    text = text.replace(', token = "{csrf}"', "").replace('token = "{csrf}"', 'a = "b"')
    for seed in range(12):
        shop = Apart(checks_token=False)
        shop.choice.seed(seed)
        shop.users = {f"user{number}@example.org": PASSWORD for number in range(1, 7)}
        with serving_shop(shop) as url:
            (tmp_path / "shop.toml").write_text(text.replace("URL", url))
            with DescribedTarget(read_description(tmp_path / "shop.toml"), None):
                pass
        assert set(shop.users.values()) == {PASSWORD}


EMPTY = '[requests.empty]\npath = "/list/empty"\nform = { token = "{csrf}" }\nredirect = "/"\n'


def test_a_login_that_begins_with_an_empty_session_is_known(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(login_empties=True))
    what = "login_empties: the counter is 0 and the list is empty after another login: a login seems to begin with an"
    assert (status, what in " ".join(printed.split())) == (0, True)
    described = ('cookie = "sid"', 'cookie = "sid"\nlogin_empties = true')
    for shop, expected in ((PlainShop(login_empties=True), False), (PlainShop(), True)):
        status, printed = check(tmp_path, shop, described)
        assert (status, "login_empties: another login kept the values" in printed) == (0, expected)
    for shop in (PlainShop(), PlainShop(login_empties=True)):
        with serving_shop(shop) as url:
            (tmp_path / "shop.toml").write_text(FILE.replace("URL", url))
            with DescribedTarget(read_description(tmp_path / "shop.toml"), None) as opened:
                assert opened.adapter.login_empties is shop.login_empties


def test_an_application_may_send_users_who_are_logged_in_away_from_its_login(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(login_for_guests=True), WITH_ACCOUNT)
    assert status == 0, printed
    assert "a user who is logged in can't log in again (redirects to /, and not to /welcome)" in " ".join(
        printed.split()
    )


@pytest.mark.parametrize("number", range(2, 10))
def test_the_password_is_put_back_although_one_login_fails(tmp_path: Path, number: int) -> None:
    _, printed = check(tmp_path, shop := PlainShop(busy_login=number), WITH_ACCOUNT)
    assert set(shop.users.values()) == {"a secret & more"}
    assert "has the password" not in printed
    assert shop.changes == (0 if number == 3 else 2), "without the login of the visit there is no change"


def test_the_check_tries_a_wrong_password_once_since_accounts_may_be_locked(tmp_path: Path) -> None:
    status, printed = check(tmp_path, shop := PlainShop(), WITH_ACCOUNT)
    assert (status, shop.wrong_logins) == (0, 1), printed


def test_an_emptied_list_that_is_full_is_one_line(tmp_path: Path) -> None:
    for shop, expected in ((PlainShop(), 0), (PlainShop(keeps_list=True), 1)):
        status, printed = check(tmp_path, shop, (LAST, LAST + EMPTY))
        assert status == expected, printed
        assert ("the items are 'check" in printed) is shop.keeps_list
        assert ("after the list was emptied" in " ".join(printed.split())) is shop.keeps_list


def test_a_write_whose_refusal_would_pass_for_one_is_a_hint(tmp_path: Path) -> None:
    _, printed = check(tmp_path, PlainShop())
    for name in ("count", "add"):
        assert f"{name}: give it status or redirect, or a refused one passes for a write" in " ".join(printed.split())


def test_a_login_that_ends_another_browsers_session_is_named(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(one_session=True), WITH_ACCOUNT)
    assert status == 1
    assert "requests.login: a login from another browser ends this session" in printed


def test_no_load_begins_while_an_account_has_another_password(tmp_path: Path) -> None:
    with serving_shop(PlainShop(refuses_old_passwords=True)) as url:
        (tmp_path / "shop.toml").write_text((FILE + ACCOUNT).replace("URL", url))
        opened = DescribedTarget(read_description(tmp_path / "shop.toml"), None)
        with pytest.raises(TargetError, match=r"user6@example\.org has the password .* now"), opened:
            pass


@pytest.mark.parametrize(
    ("shop", "changes", "complaint"),
    [
        (PlainShop(keeps_others=True), (), "end_others: shows 'user6@example.org' in another browser afterwards"),
        (PlainShop(keeps_password=True), (), "password: the new password is refused afterwards: it was not changed"),
        (
            PlainShop(keeps_new_password=True),
            (),
            "password: user6@example.org has the password 'a secret & more.2' now: changing it back changed nothing",
        ),
        (
            PlainShop(most_logins=3),  # two of them as the users are made
            (),
            "password: user6@example.org may have the password 'a secret & more.2' now: no login with it, or with",
        ),
        (PlainShop(keeps_others=True), (), "password: shows 'user6@example.org' in another browser afterwards"),
        (PlainShop(keeps_old_password=True), (), "password: the old password is accepted afterwards, too"),
        (
            PlainShop(ends_itself=True),
            (),
            "password: the new password is accepted, so it was changed: the session must go on",
        ),
        (
            PlainShop(ends_itself=True),
            (('redirect = "/account"', 'redirect = "/login"'),),
            "password: shows nobody in this browser afterwards: it ended its own session, which must go on",
        ),
        (
            PlainShop(ends_itself=True),
            ((ACCOUNT[ACCOUNT.index("[requests.password]") :], ""),),
            "end_others: shows nobody in this browser afterwards: it ended its own session, which must go on",
        ),
        (
            PlainShop(renews_to_end=True),
            (),
            "end_others: brought another value of the cookie 'sid': a session must keep its id when it ends others",
        ),
        (PlainShop(shows_devices=True), (), "sessions: does not tell a visitor from a user: say in [anonymous]"),
        (
            PlainShop(),
            (('current = "{password}"', 'current = "{user}"'),),
            "password: POST /password: status 200, and no redirect to /account",
        ),
        (
            PlainShop(),
            (('current = "{password}"', 'current = "{user}"'), ('redirect = "/account"\n', "")),
            "password: the new password is refused afterwards: it was not changed, or the answer refused it",
        ),
    ],
    ids=[
        "others go on",
        "nothing changed",
        "not changed back",
        "no more logins",
        "others go on after a change",
        "old password",
        "change without this session",
        "change described without this session",
        "ended without this session",
        "new id",
        "for visitors",
        "refused",
        "refused unseen",
    ],
)
def test_a_request_of_an_account_that_does_nothing_is_one_line(
    tmp_path: Path, shop: PlainShop, changes: tuple[tuple[str, str], ...], complaint: str
) -> None:
    status, printed = check(tmp_path, shop, WITH_ACCOUNT, *changes)
    assert status == 1
    assert f"requests.{complaint}" in printed
    hint = "password: give it status or redirect, or a refused one passes for a change"
    assert (hint in " ".join(printed.split())) is (len(changes) == 2)


@pytest.mark.parametrize(
    ("change", "at", "complaint"),
    [
        (
            ('cookie = "sid"', 'cookie = "session"'),
            "[requests.login]",
            "set no cookie 'session': it set theme, sid",
        ),
        (
            ('"#user" }', '"#count" }'),
            "[requests.look]",
            "shows '0 visits' and not 'user6@example.org'",
        ),
        (('path = "/count"', 'path = "/cuont"'), "[requests.count]", "POST /cuont: status 404"),
        (('"data-n"', '"id"'), "[requests.count]", "POST /count: the counter is 'count', and not a number"),
        (('json = "/count"', 'json = "/me/name"'), "[requests.read]", "the counter is 6, after 2 requests count"),
    ],
)
def test_an_answer_that_is_not_as_described_is_one_line(
    tmp_path: Path, change: tuple[str, str], at: str, complaint: str
) -> None:
    status, printed = check(tmp_path, PlainShop(), change)
    assert status == 1
    assert f"shop.toml:{line_of(at)}: {at[1:-1]}: {complaint}" in printed


def without(*names: str) -> list[tuple[str, str]]:
    """Return the changes that take requests out of the file."""
    tables = ["[requests" + rest for rest in FILE.split("[requests")[1:]]
    return [(table, "") for table in tables if table.startswith(tuple(f"[requests.{name}]" for name in names))]


def test_a_counter_that_is_read_in_the_wrong_place_is_found_without_items_too(tmp_path: Path) -> None:
    wrong = ('counter = { css = "#count" }', 'counter = { css = "#cnt" }')
    status, printed = check(tmp_path, PlainShop(), wrong, *without("add", "read"))
    assert status == 1
    what = "look: the counter is 0, after 2 requests count: read it elsewhere"
    assert f"shop.toml:{line_of('[requests.look]')}: requests.{what}" in printed


def test_items_that_are_read_in_the_wrong_place_start_no_load(tmp_path: Path) -> None:
    """Added items would look lost."""
    with pytest.raises(TargetError, match="shows no items, after one was added: read them elsewhere"):
        prepare(tmp_path, PlainShop(), 'items = { json = "/items"', 'items = { json = "/itms"')


def test_a_page_for_reading_that_shows_no_counter_is_one_line(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(), ('json = "/count"', 'css = "#cnt"'), *without("add"))
    assert status == 1
    assert "requests.read: " in printed


def test_a_cookie_that_never_changes_is_said_where_the_file_has_it_change(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(), ('cookie = "sid"', 'cookie = "sid"\ncookie_changes = true'))
    assert status == 0
    assert "cookie_changes: no answer brought another value of sid; leave it out" in " ".join(printed.split())


def test_a_page_whose_user_is_not_read_is_a_hint(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop())
    assert "shows the user, too" not in " ".join(printed.split())
    elsewhere = ('path = "/"\nuser', 'path = "/?view=all"\nuser')  # so that the page behind a write is another one
    unread = ('user = { css = "#user" }\ncounter = { css = "#count", a', 'counter = { css = "#count", a')
    status, printed = check(tmp_path, PlainShop(), elsewhere, unread)
    assert status == 0
    assert "count: its answer shows the user, too: give user as in look" in " ".join(printed.split())


def test_a_header_for_the_node_that_no_answer_has_is_a_hint(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(), ('cookie = "sid"', 'cookie = "sid"\nnode_header = "X-Backend"'))
    assert status == 0
    assert "node_header: no answer has X-Backend, so nobody can tell" in " ".join(printed.split())


def test_a_site_that_is_not_there_is_a_hint(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(), ('site = "/login"', 'site = "/helth"'))
    assert (status, "\n  site: GET /helth: status 404\n" in printed) == (0, True), printed


def test_a_token_that_is_not_on_the_page_is_one_line(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(), ("input[name=token]", "input[name=tokn]"))
    assert status == 1
    assert "did not make user1@example.org: no token from /signup: it has none" in printed


class TokenShop(PlainShop):
    """An application whose scripts send the token of a cookie in a header, as Laravel's and Angular's do."""

    def make(self) -> Flask:
        app, users = Flask(__name__), dict[str, str]()

        @app.before_request
        def compare() -> Any:
            token = unquote(request.cookies.get("XSRF-TOKEN", ""))
            if request.method == "POST" and (not token or request.headers.get("X-XSRF-TOKEN") != token):
                return Response("the token is missing or wrong", 419)
            return None

        @app.get("/")
        def look() -> Any:
            answer = Response(json.dumps({"user": users.get(request.cookies.get("sid", ""))}))
            answer.set_cookie("XSRF-TOKEN", quote(f"{secrets.token_urlsafe()}+/=="))
            return answer

        @app.post("/login")
        def login() -> Any:
            users[key := secrets.token_hex()] = request.form["name"]
            answer = Response(json.dumps({"user": request.form["name"]}))
            answer.set_cookie("sid", key)
            return answer

        return app


TOKEN_FILE = """\
url = "URL"
cookie = "sid"
headers = { X-XSRF-TOKEN = "{csrf}" }
users.passwords = { alice = "x", bob = "y" }
csrf.cookie = "XSRF-TOKEN"
[requests.look]
path = "/"
user = { json = "/user" }
[requests.login]
path = "/login"
form = { name = "{user}" }
user = { json = "/user" }
"""


def test_a_token_in_a_percent_encoded_cookie_is_the_one_that_the_application_compares(tmp_path: Path) -> None:
    with serving_shop(TokenShop()) as url:
        (tmp_path / "shop.toml").write_text(TOKEN_FILE.replace("URL", url))
        done = CliRunner().invoke(target, ["check", str(tmp_path / "shop.toml")])
    assert done.exit_code == 0, done.output


class ChangedCookie(TokenShop):
    """The session's cookie has one more attribute."""

    def __init__(self, attribute: str) -> None:
        super().__init__()
        self.attribute = attribute

    def make(self) -> Flask:
        app = super().make()

        @app.after_request
        def change(answer: Response) -> Response:
            lines = answer.headers.getlist("Set-Cookie")
            more = {line: f"; {self.attribute}" for line in lines if line.startswith("sid=")}
            answer.headers.setlist("Set-Cookie", [f"{line}{more.get(line, '')}" for line in lines])
            return answer

        return app


@pytest.mark.parametrize(
    ("attribute", "status", "said"),
    [
        ("Secure", 0, "cookie: sid is Secure; over http browsers send it to localhost at most"),
        ("Max-Age=-1", 1, "set the cookie 'sid' empty, or with Max-Age or Expires that end it at once"),
        ("Expires=Sat, 01 Jan 2000 00:00:00 GMT", 1, "set the cookie 'sid' empty, or with Max-Age or Expires that end"),
        ("Max-Age=600", 0, "All answers are as described."),
    ],
)
def test_a_cookie_that_no_browser_would_send_is_said(tmp_path: Path, attribute: str, status: int, said: str) -> None:
    with serving_shop(ChangedCookie(attribute)) as url:
        (tmp_path / "shop.toml").write_text(TOKEN_FILE.replace("URL", url))
        done = CliRunner().invoke(target, ["check", str(tmp_path / "shop.toml")])
    printed = " ".join(done.output.split())
    assert (done.exit_code, said in printed) == (status, True), printed
    assert ("is Secure" in printed) is (attribute == "Secure")


def prepare(tmp_path: Path, shop: PlainShop, old: str, new: str) -> None:
    """Prepare a target for a load, after a change of the file."""
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text(FILE.replace(old, new, 1).replace("URL", url))
        DescribedTarget(read_description(tmp_path / "shop.toml")).prepare()


@pytest.mark.parametrize(
    ("old", "new", "at", "complaint"),
    [
        ('path = "/count"', 'path = "/cuont"', "[requests.count]", "POST /cuont: status 404"),
        ('"data-n"', '"id"', "[requests.count]", "POST /count: the counter is 'count', and not a number"),
        ('"#user" }', '"#count" }', "[requests.look]", "shows '0 visits' and not 'user6@example.org'"),
        (
            'attribute = "data-n"',
            'regex = "x"',
            "[requests.count]",
            "the counter is 0, after 2 requests count: read it",
        ),
    ],
)
def test_no_load_starts_where_an_answer_is_not_as_described(
    tmp_path: Path, old: str, new: str, at: str, complaint: str
) -> None:
    with pytest.raises(TargetError) as error:
        prepare(tmp_path, PlainShop(), old, new)
    assert f"{tmp_path}/shop.toml:{line_of(at)}: {at[1:-1]}: {complaint}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_load_starts_where_only_the_application_is_wrong(tmp_path: Path) -> None:
    """It is to be found by the load, with all requests that prove it."""
    prepare(tmp_path, PlainShop(loses_counts=True, revives=True), "", "")
    shop = PlainShop(crosses=True)
    shop.numbers = itertools.count(17)  # so that the page after the login of the check is a visitor's
    prepare(tmp_path, shop, "", "")


def test_an_answer_that_is_wrong_in_one_visit_only_is_the_applications(tmp_path: Path) -> None:
    class Misses(PlainShop):
        def make(self) -> Flask:
            app = super().make()
            app.before_request_funcs[None].append(self.miss)
            return app

        def miss(self) -> tuple[str, int] | None:
            is_first = self.requests[-1] == "POST /count" and self.requests.count("POST /count") == 1
            return ("not now", 404) if is_first else None

    prepare(tmp_path, shop := Misses(), "", "")
    assert shop.requests.count("POST /count") > 2, "it made another visit"


class UsersInFiles(dict[str, str]):
    """The users of an application that a command makes: a file each, with the password."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        path = self.folder / name
        return path.read_text() if path.is_file() else default


def test_users_are_made_by_a_command_where_the_last_one_cannot_log_in(tmp_path: Path) -> None:
    head, _, rest = FILE.partition("[users.sign_up]")
    requests = rest[rest.index("[anonymous]") :]
    command = 'command = "echo {user} >> made; printf %s {password} > {user}"\n\n'
    shop = PlainShop()
    shop.users = UsersInFiles(tmp_path)
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text((head + command + requests).replace("URL", url))
        for _ in range(2):  # the second time they are there
            DescribedTarget(read_description(tmp_path / "shop.toml")).prepare()
    made = (tmp_path / "made").read_text().splitlines()
    assert made == [f"user{n}@example.org" for n in range(1, 7)]


def test_a_logout_that_ends_nothing_is_seen(tmp_path: Path) -> None:
    status, printed = check(tmp_path, PlainShop(revives=True))
    assert status == 1
    assert "requests.look: shows 'user6@example.org' after the logout, with the cookie from before" in printed


def test_a_look_that_redirects_is_said_since_no_probe_follows(tmp_path: Path) -> None:
    look = '[requests.look]\npath = "/"'
    _, printed = check(tmp_path, PlainShop(), (look, look.replace('"/"', '"/welcome"')))
    assert "look: it redirects a logged-in user; probes follow nothing and count 200 alone" in printed
    assert "probes follow" not in check(tmp_path, PlainShop())[1]


def test_what_a_write_after_the_logout_is_answered_is_suggested(tmp_path: Path) -> None:
    no_rule = ('[anonymous]\nredirect = "/login"\nstatus = 401\n', '[anonymous]\ncss = "form"\n')
    status, printed = check(
        tmp_path, PlainShop(), no_rule, ('path = "/count"\n', 'path = "/count"\npage = "/signup"\n')
    )
    assert "anonymous: count after the logout redirects to /login; if that means" in printed, printed
    assert 'give it redirect = "/login"' in printed
    assert status in (0, 1)


def test_what_a_file_lacks_is_what_can_not_be_found(tmp_path: Path) -> None:
    head, _, rest = FILE.partition("[requests.logout]")
    shop = PlainShop()
    with serving_shop(shop) as url:
        (tmp_path / "shop.toml").write_text(head.replace("URL", url))
        printed = CliRunner().invoke(target, ["check", str(tmp_path / "shop.toml")]).output
    assert "logout revived: shop.toml has no request logout, end_others or password" in " ".join(printed.split())
    assert "update lost, stale read, write misdirected: shop.toml has no request count or add" in printed
    assert rest


def test_a_private_authority_is_trusted_for_https(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for keys, status in (('authority = "ca.pem"\n', 0), ("", 1)):
        with serving_shop(PlainShop(), context) as url:
            (tmp_path / "shop.toml").write_text(keys + FILE.replace("URL", url))
            done = CliRunner().invoke(target, ["check", str(tmp_path / "shop.toml")])
        assert done.exit_code == status, done.output
    assert "is not trusted" in done.output
    assert "shop.toml has the keys authority and insecure" in done.output.replace("\n", " ")


def test_a_check_that_is_stopped_says_that_everything_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loadtest.cli.target.check_target", stop)
    assert check(tmp_path, PlainShop()) == (130, "stopped; everything has been ended\n")


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    (tmp_path / "shop.toml").write_text('authority = "ca.pem"\n' + FILE.replace("URL", "https://127.0.0.1:1"))
    done = CliRunner().invoke(target, ["check", str(tmp_path / "shop.toml")])
    assert (done.exit_code, done.stderr.splitlines()) == (1, [f"Error: {tmp_path}/ca.pem holds no certificate in PEM"])
