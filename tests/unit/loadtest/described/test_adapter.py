"""The adapter of a described target: requests from templates, answers by readings, without a server."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from loadtest.browser import Browser
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.schema import RequestSpec, TargetFile
from loadtest.history import Action, OpOutcome
from loadtest.operations import Answer, Operation, Request, Response

OK, FAIL, UNKNOWN = OpOutcome.OK, OpOutcome.FAIL, OpOutcome.UNKNOWN
FILE: dict[str, Any] = {
    "url": "http://shop.test:8000",
    "cookie": "sid",
    "users": {"passwords": {"alice": "secret & more"}},
    "anonymous": {"redirect": "/login", "status": 401},
    "csrf": {"page": "/form", "css": "input[name=token]"},
    "requests": {
        "look": {"path": "/", "user": {"css": "#user"}, "counter": {"css": "#n"}, "items": {"css": "li"}},
        "login": {
            "path": "/login",
            "form": {"name": "{user}", "word": "{password}", "token": "{csrf}"},
            "redirect": "/",
            "user": {"css": "#user"},
        },
        "logout": {"path": "/logout", "method": "POST"},
        "count": {"path": "/count", "method": "POST", "counter": {"regex": "count: ([0-9,]+)"}},
        "add": {"path": "/add/{item}", "json": {"list": [{"name": "{item}", "number": "{quantity}"}]}},
    },
}
PAGE = b"<b id=user>alice</b><i id=n>1,234</i><li>a &amp; b</li><li>a &amp; b</li><li> c\n d </li>"
FORM = b"<form><input name=token value='t&1'></form>"
Scripted = tuple[int, Mapping[str, str], bytes]


def adapter(**changes: Any) -> DescribedAdapter:
    """Return the adapter of the file; a request's changes are by its name, and `more` are others."""
    requests = {name: {**spec, **changes.pop(name, {})} for name, spec in FILE["requests"].items()}
    requests |= changes.pop("more", {})
    return DescribedAdapter.from_file(msgspec.convert({**FILE, "requests": requests, **changes}, TargetFile))


def talk(
    to: DescribedAdapter, action: Action, *answers: Scripted, browser: Browser | None = None
) -> tuple[list[Request], Answer]:
    """Carry out an operation with these answers. Return the requests, and the answer to it."""
    operation = Operation(action, "apple pie", 2) if action is Action.ADD else Operation(action)
    browser = browser or Browser("alice-1", "sid")
    conversation = Conversation(to.exchange(operation, "alice", "secret & more", browser.value), browser, action)
    sent = []
    for status, headers, body in answers:
        assert conversation.answer is None, "it sends fewer requests"
        sent.append(conversation.request)
        lines = {name.lower(): [value] for name, value in headers.items()}
        conversation.take(Response(status, body, lambda name, lines=lines: lines.get(name.lower(), [])))  # type: ignore[misc]
    assert conversation.answer is not None, f"it sends {conversation.request}, too"
    return sent, conversation.answer


def known() -> Browser:
    """Return a browser that has a session."""
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
    return browser


def test_a_login_gets_its_token_from_a_page_and_follows_its_redirects() -> None:
    browser = Browser("alice-1", "sid")
    sent, answer = talk(
        adapter(),
        Action.LOGIN,
        (200, {"Set-Cookie": "theme=dark"}, FORM),
        (302, {"Location": "http://shop.test/", "Set-Cookie": "sid=one; Path=/"}, b""),
        (307, {"Location": "home?x=1"}, b""),
        (200, {}, PAGE),
        browser=browser,
    )
    assert [(one.method, one.path) for one in sent] == [
        *(("GET", "/form"), ("POST", "/login"), ("GET", "/"), ("GET", "/home?x=1"))
    ]
    assert [one.before for one in sent] == [True, False, False, False]
    assert sent[1].data == "name=alice&word=secret+%26+more&token=t%261"
    assert sent[1].headers is not None
    assert sent[1].headers["Origin"] == "http://shop.test:8000"
    assert sent[1].headers["Referer"] == "http://shop.test:8000/form"
    assert answer == Answer(OK, "alice")
    assert browser.sending().header == "theme=dark; sid=one"


@pytest.mark.parametrize(
    ("answers", "answer"),
    [
        ([(200, {}, b"<form></form>")], Answer(FAIL, error="no token from /form: it has none")),
        ([(503, {}, FORM)], Answer(FAIL, error="no token from /form: status 503")),
        ([(200, {}, FORM), (502, {}, b"")], Answer(UNKNOWN, error="status 502")),
        ([(200, {}, FORM), (302, {"Location": "/login?again"}, b"")], Answer(FAIL, error="the login is refused")),
        ([(200, {}, FORM), (200, {}, FORM)], Answer(FAIL, error="status 200, and no redirect to /")),
        ([(200, {}, FORM), (302, {"Location": "/x"}, b"")], Answer(FAIL, error="redirects to /x, and not to /")),
        ([(200, {}, FORM), (302, {"Location": "/"}, b""), (500, {}, b"")], Answer(UNKNOWN, error="GET /: status 500")),
        (
            [(200, {}, FORM), (302, {"Location": "/"}, b""), (200, {}, b"")],
            Answer(UNKNOWN, error="it leads to /, which shows nobody: refused, or lost"),
        ),
        (
            [(200, {}, FORM), *[(302, {"Location": "/"}, b"")] * 6],
            Answer(UNKNOWN, error="more than 5 redirects, the last one to /"),
        ),
        (
            [(200, {}, FORM), *[(302, {"Location": "/", "Set-Cookie": "sid=1"}, b"")] * 5, (200, {}, PAGE)],
            Answer(OK, "alice"),
        ),
    ],
)
def test_a_login_is_judged_by_its_answer_and_where_it_leads(answers: list[Scripted], answer: Answer) -> None:
    assert talk(adapter(), Action.LOGIN, *answers)[1] == answer


@pytest.mark.parametrize(
    ("action", "scripted", "answer"),
    [
        (Action.LOOK, (200, {}, PAGE), Answer(OK, "alice", 1234, {"a & b": 2, "c d": 1})),
        (Action.LOOK, (200, {}, b"<b id=user>alice</b>"), Answer(OK, "alice", 0, {})),
        (Action.LOOK, (200, {}, b"<a href=/login>"), Answer(OK, None, UNSET, UNSET)),
        (Action.LOOK, (302, {"Location": "/login?next=/"}, b""), Answer(OK, None)),
        (Action.LOOK, (401, {}, b""), Answer(OK, None)),
        (Action.LOOK, (404, {}, b""), Answer(FAIL, error="status 404")),
        (Action.LOGOUT, (302, {"Location": "/login"}, b""), Answer(OK)),
        (Action.VISIT, (200, {}, b"count: 7"), Answer(OK, visits=7)),
        (Action.VISIT, (200, {}, b"no count"), Answer(UNKNOWN, error="the answer shows no counter")),
        (Action.VISIT, (302, {"Location": "/login"}, b""), Answer(FAIL)),
        (Action.ADD, (401, {}, b""), Answer(FAIL)),
    ],
)
def test_an_answer_shows_values_or_that_nobody_is_logged_in(action: Action, scripted: Scripted, answer: Answer) -> None:
    assert talk(adapter(), action, scripted, browser=known())[1] == answer


def test_json_is_sent_and_read_with_pointers() -> None:
    items = {"json": "/list", "item": "/name", "quantity": "/n"}
    to = adapter(add={"items": items, "user": {"json": "/me/name"}})
    body = b'{"me":{"name":"alice"},"list":[{"name":"apple pie","n":2},{"name":"pear","n":"3"}]}'
    browser = known()
    (request,), answer = talk(to, Action.ADD, (200, {}, body), browser=browser)
    assert (request.path, request.shown) == ("/add/apple%20pie", "/add/{item}")
    assert request.body == {"list": [{"name": "apple pie", "number": 2}]}
    assert request.headers is not None
    assert request.headers["Accept"] == "application/json"
    assert answer == Answer(OK, "alice", cart={"apple pie": 2, "pear": 3})
    assert talk(to, Action.ADD, (200, {}, b"<html>"), browser=browser)[1].error.startswith("the answer is not JSON")


@pytest.mark.parametrize("has_cookie", [True, False])
def test_a_token_in_a_cookie_needs_a_page_only_while_there_is_none(has_cookie: bool) -> None:
    csrf, headers = {"cookie": "xsrf"}, {"X-XSRF": "{csrf}"}
    to = adapter(csrf=csrf, headers=headers, login={"form": {"name": "{user}"}}, count={"page": "/start"})
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one", *(["xsrf=k"] if has_cookie else [])], browser.sending(), Action.LOGIN)
    page: list[Scripted] = [] if has_cookie else [(200, {"Set-Cookie": "xsrf=k"}, b"")]
    sent, answer = talk(to, Action.VISIT, *page, (200, {}, b"count: 1"), browser=browser)
    assert [one.path for one in sent] == [*(["/start"] if page else []), "/count"]
    assert sent[-1].headers is not None
    assert sent[-1].headers["X-XSRF"] == "k"
    assert answer.visits == 1


@pytest.mark.parametrize(
    ("value", "regex", "token"),
    [
        ("abc%3D%3D", None, "abc=="),
        ("a+b%2Bc", None, "a+b+c"),
        ("c3%7Cd4", "^(.*)[|]", "c3"),
        ("plainToken", None, "plainToken"),
        ("100%", None, "100%"),
        ("a%0Ab", None, "a%0Ab"),
        ("a%ffb", None, "a%ffb"),
    ],
)
def test_a_token_in_a_cookie_is_decoded_as_scripts_of_pages_do(value: str, regex: str | None, token: str) -> None:
    to = adapter(csrf={"cookie": "xsrf", "regex": regex}, count={"headers": {"X-XSRF": "{csrf}"}})
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one", f"xsrf={value}"], browser.sending(), Action.LOGIN)
    (request,), _ = talk(to, Action.VISIT, (200, {}, b"count: 1"), browser=browser)
    assert request.headers is not None
    assert request.headers["X-XSRF"] == token


@pytest.mark.parametrize(
    ("csrf", "page"),
    [
        ({"header": "X-Token"}, (200, {"X-Token": "k"}, b"")),
        ({"header": "Link", "regex": "token=(\\w+)"}, (200, {"Link": "</x>; token=k"}, b"")),
        ({"json": "/form/token"}, (200, {}, b'{"form": {"token": "k"}}')),
        ({"css": "meta[name=t]", "attribute": "content"}, (200, {}, b"<meta name=t content=k>")),
        ({"regex": "token: '(.*?)'"}, (200, {}, b"<script>x = {token: 'k'}</script>")),
    ],
)
def test_a_token_comes_from_a_page_or_from_its_headers(csrf: dict[str, str], page: Scripted) -> None:
    to = adapter(csrf={"page": "/form", **csrf}, count={"form": {"token": "{csrf}"}})
    sent, answer = talk(to, Action.VISIT, page, (200, {}, b"count: 1"), browser=known())
    assert [(one.path, one.data) for one in sent] == [("/form", None), ("/count", "token=k")]
    assert answer.visits == 1


@pytest.mark.parametrize(
    "location",
    ["http://elsewhere.test/", "http://shop.test:9000/", "//shop.test:80/", "https://shop.test:8443/sso"],
)
def test_a_redirect_to_another_server_is_not_followed(location: str) -> None:
    moved = (302, {"Location": location}, b"")
    _, answer = talk(adapter(), Action.LOGIN, (200, {"Set-Cookie": "sid=one"}, FORM), moved)
    assert answer == Answer(FAIL, error="status 302, and no redirect to /")
    to = adapter(look={"user": {"json": "/me"}, "counter": None, "items": None})
    told = talk(to, Action.LOOK, moved, browser=known())[1].error
    assert told == f"the answer is not JSON: Input data was truncated, and leads to {location}"


@pytest.mark.parametrize(
    ("location", "server"),
    [
        ("https://shop.test/", "shop.test"),
        ("https://shop.test/other", "shop.test"),
        ("https://shop.test:8000/", "shop.test:8000"),
        ("https://shop.test:8443/", "shop.test:8443"),
    ],
)
def test_a_redirect_to_https_is_said_with_the_address_to_give(location: str, server: str) -> None:
    _, answer = talk(adapter(), Action.LOOK, (301, {"Location": location}, b""), browser=known())
    assert answer == Answer(UNKNOWN, error=f'it redirects to https: give url = "https://{server}"')


@pytest.mark.parametrize("location", ["http://shop.test/new", "https://shop.test/new", "https://shop.test:8000/new"])
def test_a_proxy_may_forget_its_port_or_its_scheme(location: str) -> None:
    url = "https://shop.test:8000" if location.startswith("https") else "http://shop.test:8000"
    for ours in {url, "https://shop.test:8000"}:
        to = adapter(url=ours)
        sent, answer = talk(to, Action.LOOK, (302, {"Location": location}, b""), (200, {}, PAGE), browser=known())
        assert (sent[-1].path, answer.user) == ("/new", "alice")


CHANGE = {"path": "/pw", "form": {"old": "{password}", "new": "{new_password}"}, "redirect": "/account"}
ACCOUNT_REQUESTS: dict[str, Any] = {
    "account": {"path": "/account", "user": {"css": "#user"}},
    "sessions": {"path": "/devices"},
    "end_others": {"path": "/devices", "method": "DELETE", "status": 200},
    "password": CHANGE,
}


@pytest.mark.parametrize(
    ("action", "scripted", "answer"),
    [
        (Action.ACCOUNT, (200, {}, PAGE), Answer(OK, "alice")),
        (Action.ACCOUNT, (302, {"Location": "/login"}, b""), Answer(OK, None)),
        (Action.LIST, (200, {}, b"<ul>"), Answer(OK)),
        (Action.LIST, (401, {}, b""), Answer(OK, None)),
        (Action.LIST, (500, {}, b""), Answer(UNKNOWN, error="status 500")),
        (Action.END_OTHERS, (200, {}, b""), Answer(OK)),
        (Action.END_OTHERS, (401, {}, b""), Answer(FAIL)),
        (Action.END_OTHERS, (204, {}, b""), Answer(FAIL, error="status 204")),
        (Action.PASSWORD, (302, {"Location": "/account"}, b""), Answer(OK)),
        (Action.PASSWORD, (302, {"Location": "/login"}, b""), Answer(FAIL)),
        (Action.PASSWORD, (200, {}, b"wrong"), Answer(FAIL, error="status 200, and no redirect to /account")),
        (Action.PASSWORD, (409, {}, b""), Answer(FAIL)),
        (Action.LOGOUT, (409, {}, b""), Answer(FAIL, error="status 409")),
        (Action.LOOK, (409, {}, b""), Answer(FAIL, error="status 409")),
        (Action.VISIT, (409, {}, b""), Answer(FAIL)),
        (Action.VISIT, (412, {}, b""), Answer(FAIL)),
        (Action.VISIT, (423, {}, b""), Answer(FAIL, error="status 423")),
    ],
)
def test_requests_of_an_account_and_writes_in_conflict_are_judged_by_the_file(
    action: Action, scripted: Scripted, answer: Answer
) -> None:
    to = adapter(conflict=[409, 412], more=ACCOUNT_REQUESTS)
    assert talk(to, action, scripted, browser=known())[1] == answer


LOGIN_PAGE = b"<form><input name=name><input type='password' name=word></form>"
JSON = {"Content-Type": "application/json"}
FORM_LOGIN: dict[str, Any] = {"path": "/login", "form": {"name": "{user}", "word": "{password}"}}


@pytest.mark.parametrize(
    ("login", "scripted", "refused"),
    [
        ({"redirect": "/welcome"}, (200, {}, LOGIN_PAGE), True),
        ({"redirect": "/welcome"}, (200, {}, b"<h1>Down for maintenance</h1>"), False),
        ({"redirect": "/welcome"}, (302, {"Location": "/login"}, b""), True),
        ({"redirect": "/welcome"}, (302, {"Location": "/maintenance"}, b""), False),
        ({"status": 302}, (403, {}, LOGIN_PAGE), True),
        ({"status": 302}, (403, {}, b"Forbidden"), False),
        ({"status": 302}, (403, JSON, b'{"error":"no"}'), True),
        ({"status": 302}, (422, JSON, b'{"error":"no"}'), True),
        ({"status": 302}, (404, JSON, b'{"error":"no"}'), False),
        ({"status": 302}, (429, JSON, b'{"error":"no"}'), False),
        ({"status": 302}, (409, JSON, b'{"error":"no"}'), False),
        ({"status": 200}, (401, {}, b""), True),
        ({"user": {"css": "#user"}}, (302, {"Location": "/login"}, b""), True),
        ({"redirect": "/welcome"}, (302, {"Location": "/welcome"}, b""), False),
        ({"redirect": "/welcome"}, (500, {}, LOGIN_PAGE), False),
        ({"user": {"css": "#user"}}, (302, {"Location": "/other"}, b""), False),
    ],
)
def test_a_login_is_refused_for_its_password_where_nothing_else_can_be_the_reason(
    login: dict[str, Any], scripted: Scripted, refused: bool
) -> None:
    script = [scripted, (200, {}, b"")] if "/other" in scripted[1].values() else [scripted]
    to = adapter(conflict=[409], csrf=None, more={"login": FORM_LOGIN | login})
    assert talk(to, Action.LOGIN, *script)[1].refused is refused
    form = {**FORM_LOGIN["form"], "token": "{csrf}"}
    to = adapter(conflict=[409], more={"login": FORM_LOGIN | login | {"form": form}})
    assert not talk(to, Action.LOGIN, (200, {}, FORM), *script)[1].refused, "the token may be the reason"


def test_a_change_of_password_sends_both_and_may_be_answered_at_its_own_redirect() -> None:
    browser, operation = known(), Operation(Action.PASSWORD, new_password="a+b")
    to = adapter(more=ACCOUNT_REQUESTS)
    change = Conversation(to.exchange(operation, "alice", "secret & more", browser.value), browser, operation.action)
    assert (change.request.method, change.request.data) == ("POST", "old=secret+%26+more&new=a%2Bb")
    change.take(Response(302, b"", lambda name: {"Location": ["/account"], "Set-Cookie": ["sid=two"]}.get(name, [])))
    assert change.answer == Answer(OK)
    assert browser.sending().cookie == "two", "it renews the session"


def test_without_an_account_page_it_is_the_look() -> None:
    for more, path in (({}, "/"), (ACCOUNT_REQUESTS, "/account")):
        to = adapter(more=more)
        assert talk(to, Action.ACCOUNT, (200, {}, PAGE), browser=known())[0][0].path == path
    assert to.actions == set(Action) - {Action.EMPTY}


def test_a_request_is_made_anew_where_the_operation_changes_it() -> None:
    to = adapter(count={"path": "/count/{user}"}, csrf=None, login={"form": {"name": "{user}", "word": "{password}"}})
    for action in (Action.VISIT, Action.LOGIN):
        first, second = (next(to.exchange(Operation(action), name, name, lambda _: "")) for name in ("bob", "carol"))
        assert ("bob" in f"{first.path}{first.data}", "carol" in f"{second.path}{second.data}") == (True, True)
    look = [next(to.exchange(Operation(Action.LOOK), name, "", lambda _: "")) for name in ("bob", "carol")]
    assert look[0] is look[1], "it is made once"


def test_the_page_of_a_visitor_shows_the_values_of_their_session() -> None:
    to = adapter(
        anonymous={"json": "/guest"},
        look={"user": {"json": "/me"}, "counter": {"json": "/n"}, "items": {"json": "/list"}},
    )
    for body, answer in (
        (b'{"guest":true,"n":3,"list":["a"]}', Answer(OK, None, 3, {"a": 1})),
        (b'{"guest":true,"n":0,"list":[]}', Answer(OK, None, 0, {})),
        (b'{"guest":true}', Answer(OK, None)),
        (b'{"guest":true,"n":"none"}', Answer(OK, None)),
    ):
        assert talk(to, Action.LOOK, (200, {}, body), browser=known())[1] == answer


FORM_OF_LOGIN: dict[Action, list[Scripted]] = {Action.LOGIN: [(200, {}, FORM)]}
SLASHES = [
    (Action.VISIT, "/count", (200, {}, b"count: 7"), Answer(OK, visits=7)),
    (Action.VISIT, "/count", (200, {}, b"no count"), Answer(UNKNOWN, error="the answer shows no counter")),
    (Action.VISIT, "/count", (404, {}, b""), Answer(FAIL, error="status 404")),
    (Action.VISIT, "/count", (302, {"Location": "/login"}, b""), Answer(FAIL)),
    (Action.VISIT, "/count", (503, {}, b""), Answer(UNKNOWN, error="status 503")),
    (Action.ADD, "/add/apple%20pie", (200, {}, b""), Answer(OK)),
    (Action.ADD, "/add/apple%20pie", (405, {}, b""), Answer(FAIL, error="status 405")),
    (Action.LOGOUT, "/logout", (204, {}, b""), Answer(OK)),
    (Action.LOGIN, "/login", (401, {}, b""), Answer(FAIL, error="status 401")),
    (Action.LOGIN, "/login", (200, {}, b""), Answer(FAIL, error="status 200, and no redirect to /")),
]


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(("action", "path", "last", "answer"), SLASHES)
def test_a_write_is_repeated_where_its_answer_says_so_and_judged_by_the_last_one(
    status: int, action: Action, path: str, last: Scripted, answer: Answer
) -> None:
    before = FORM_OF_LOGIN.get(action, [])
    moved = (status, {"Location": f"http://shop.test:8000{path}/?x=1"}, b"")
    sent, found = talk(adapter(), action, *before, moved, last, browser=known())
    first, again = sent[-2:]
    assert again == first._replace(path=f"{path}/?x=1", name=first.shown)
    assert found == answer


@pytest.mark.parametrize(
    ("location", "hops", "error"),
    [
        ("http://elsewhere.test/count/", 1, "status 308 to another server: elsewhere.test"),
        ("http://shop.test:9000/count/", 1, "status 308 to another server: shop.test:9000"),
        ("/count/", 6, "more than 5 redirects, the last one to /count/"),
        ("", 1, "status 308, and no Location"),
        ("http://[shop/", 1, "the Location 'http://[shop/' is malformed"),
    ],
)
@pytest.mark.parametrize("action", [Action.VISIT, Action.ADD, Action.LOGOUT, Action.LOGIN])
def test_a_write_whose_repetition_leads_nowhere_has_an_unknown_outcome(
    action: Action, location: str, hops: int, error: str
) -> None:
    moved = [(308, {"Location": location} if location else {}, b"")] * hops
    found = talk(adapter(), action, *FORM_OF_LOGIN.get(action, []), *moved, browser=known())[1]
    assert found == Answer(UNKNOWN, error=error)


@pytest.mark.parametrize("action", [Action.VISIT, Action.ADD, Action.LOGOUT])
def test_a_write_that_is_refused_on_another_page_may_have_been_carried_out_before(action: Action) -> None:
    """Applications answer 307 after a write, too: the redirects of FastAPI have that status."""
    script: list[Scripted] = [(307, {"Location": "/?x=1"}, b""), (405, {}, b"")]
    answer = Answer(UNKNOWN, error="status 405, repeated as POST /?x=1")
    assert talk(adapter(), action, *script, browser=known())[1] == answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/count/?by=1", "/count?by=1"])
def test_a_write_by_get_that_is_sent_to_its_own_path_is_repeated_there(status: int, location: str) -> None:
    """The server adds a slash, or sets a cookie first: nothing was counted so far."""
    to = adapter(count={"path": "/count?by=1", "method": "GET"})
    sent, answer = talk(
        to, Action.VISIT, (status, {"Location": location}, b""), (200, {}, b"count: 7"), browser=known()
    )
    assert [(one.method, one.path) for one in sent] == [("GET", "/count?by=1"), ("GET", location)]
    assert answer == Answer(OK, visits=7)


@pytest.mark.parametrize("location", ["/count", "/count/", "/cart"])
def test_a_write_by_get_that_leads_to_another_page_was_carried_out(location: str) -> None:
    to = adapter(count={"path": "/count?by=1", "method": "GET", "counter": None})
    (_,), answer = talk(to, Action.VISIT, (302, {"Location": location}, b""), browser=known())
    assert answer == Answer(OK)


def test_a_form_that_is_moved_for_good_to_a_path_with_a_slash_has_an_unknown_outcome() -> None:
    answer = Answer(UNKNOWN, error="status 301 to /count/, where browsers send GET: give this path")
    assert talk(adapter(), Action.VISIT, (301, {"Location": "/count/"}, b""), browser=known())[1] == answer


def test_a_write_that_is_sent_to_the_login_is_not_repeated_there() -> None:
    moved = (307, {"Location": "/login?next=/count"}, b"")
    assert talk(adapter(), Action.VISIT, moved, browser=known())[1] == Answer(FAIL)
    assert talk(adapter(), Action.LOGOUT, moved, browser=known())[1] == Answer(OK)


def test_a_login_at_the_path_of_anonymous_with_a_slash_is_repeated() -> None:
    to = adapter(login={"path": "/login/", "redirect": None})
    script = [(200, {}, FORM), (308, {"Location": "/login"}, b""), (200, {"Set-Cookie": "sid=one"}, PAGE)]
    assert talk(to, Action.LOGIN, *script)[1] == Answer(OK, "alice")


def test_a_request_that_nobody_is_logged_in_after_is_repeated_too() -> None:
    """As the sign-up, which shows nothing."""
    spec = msgspec.convert({"path": "/join", "form": {"name": "{user}"}}, RequestSpec)
    browser = Browser("check", "sid")
    exchange = adapter().exchange_of(spec, Operation(Action.LOOK), "bob", "", browser.value, logged_out=True)
    join = Conversation(exchange, browser, Action.LOOK)
    join.take(Response(308, b"", lambda name: ["/join/"] if name == "Location" else []))
    assert (join.answer, join.request.path, join.request.data) == (None, "/join/", "name=bob")
    join.take(Response(409, b"", lambda _: []))
    assert join.answer == Answer(FAIL, error="status 409")


@pytest.mark.parametrize("value", [b"null", b"false", b'""', b"0", b"0.0", b"[]", b"{}", None])
def test_an_empty_json_value_is_nobody(value: bytes | None) -> None:
    body = b"{}" if value is None else b'{"me":' + value + b"}"
    for key in ("logged_in", "user"):
        to = adapter(look={"user": None, "counter": None, "items": None, key: {"json": "/me"}})
        assert talk(to, Action.LOOK, (200, {}, body), browser=known())[1] == Answer(OK, None)
    to = adapter(anonymous={"json": "/me"}, look={"user": {"json": "/user"}, "counter": None, "items": None})
    whole = b'{"user":"alice",' + body[1:]
    assert talk(to, Action.LOOK, (200, {}, whole.replace(b",}", b"}")), browser=known())[1] == Answer(OK, "alice")


@pytest.mark.parametrize("value", [b"1", b"true", b'"x"', b"[0]", b'{"a":0}'])
def test_another_json_value_is_somebody(value: bytes) -> None:
    to = adapter(look={"user": None, "logged_in": {"json": "/me"}, "counter": None, "items": None})
    assert talk(to, Action.LOOK, (200, {}, b'{"me":' + value + b"}"), browser=known())[1] == Answer(OK, "alice")


DEEP = b"[" * 100_000 + b"]" * 100_000
LIST = {"json": "/list", "item": "/name", "quantity": "/n"}


@pytest.mark.parametrize(
    ("reading", "body", "error"),
    [
        ({"counter": {"json": "/n"}}, b'{"n":"' + b"9" * 5000 + b'"}', "the counter has 5000 digits: '999"),
        ({"counter": {"css": "#n"}}, b"<i id=n>" + b"9" * 5000, "the counter has 5000 digits: '999"),
        ({"counter": {"json": "/n"}}, b'{"n":18446744073709551616}', "the counter has more than 15 digits"),
        ({"counter": {"json": "/n"}}, b'{"n":3.125}', "the counter is 3.125, and not a whole number"),
        ({"counter": {"json": "/n"}}, b'{"n":5e-1}', "the counter is 0.5, and not a whole number"),
        ({"counter": {"json": "/n"}}, b'{"n":1e16}', "the counter has more than 15 digits"),
        ({"counter": {"json": "/n"}}, b'{"n":[1,2,3]}', "the counter is '[1, 2, 3]', and not a number"),
        ({"counter": {"json": "/n"}}, b'{"n":true}', "the counter is True, and not a number"),
        ({"counter": {"json": "/n"}}, b'{"n":"1.5"}', "the counter is '1.5', and not a whole number"),
        ({"counter": {"css": "#n"}}, b"<i id=n>1234.567", "the counter is '1234.567', and not a whole number"),
        ({"items": LIST}, b'{"list":[{"name":"a","n":2.9}]}', "the quantity is 2.9, and not a whole number"),
        ({"items": LIST}, b'{"list":[{"name":"a","n":true}]}', "the quantity is True, and not a number"),
        ({"items": LIST}, b'{"list":"abc"}', "the items are 'abc', and not a list"),
        ({"items": LIST}, b'{"list":true}', "the items are 'True', and not a list"),
        ({"items": LIST}, b'{"list":7}', "the items are '7', and not a list"),
        ({"counter": {"json": "/n"}}, b'{"n":' + b"9" * 5000 + b"}", "the answer is not JSON: Integer value out"),
        ({"counter": {"json": "/n"}}, DEEP, "the answer is JSON that is nested too deeply"),
        ({"items": LIST}, b'{"list":[{"n":1}]}', "an item has no name at '/name'"),
        ({"items": LIST}, b'{"list":[{"name":null,"n":1}]}', "an item has no name at '/name'"),
        ({"items": LIST}, b'{"list":["apple"]}', "an item has no name at '/name'"),
        ({"items": LIST}, b'{"list":[{"name":"apple"}]}', "an item has no quantity"),
        ({"items": LIST}, b'{"list":[{"name":"a","n":"' + b"9" * 5000 + b'"}]}', "the quantity is '999"),
        ({"items": LIST}, b'{"list":[{"name":"a","n":18446744073709551616}]}', "the quantity has more than 15"),
        ({"items": {"json": "/list"}}, b'{"list":[null]}', "an item has no name at 'its place'"),
        ({"items": {"json": "/list"}}, b'{"list":{"a":null}}', "the quantity is 'None', and not a number"),
        ({"items": {"regex": "(a) ([0-9]+)"}}, b"a " + b"9" * 5000, "the quantity is '999"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_not_shown(reading: dict[str, Any], body: bytes, error: str) -> None:
    to = adapter(look={"user": None, "counter": None, "items": None, **reading})
    answer = talk(to, Action.LOOK, (200, {}, body), browser=known())[1]
    assert answer.outcome is UNKNOWN
    assert answer.error.startswith(error)


@pytest.mark.parametrize(
    ("reading", "body", "value"),
    [
        ({"json": "/n"}, b'{"n":-0}', 0),
        ({"json": "/n"}, b'{"n":2.0}', 2),
        ({"json": "/n"}, b'{"n":null}', UNSET),
        ({"json": "/n"}, b'{"n":"1,234 visits"}', 1234),
        ({"css": "#n"}, "<i id=n>12\u202f345".encode(), 12345),
        ({"css": "#n"}, b"<i id=n>Visits 2, 100 items", 2),
        ({"css": "#n"}, b"<i id=n>12 3456", 12),
        ({"css": "#n"}, b"<i id=n>20251 visits", 20251),
    ],
)
def test_a_counter_is_read_as_people_write_numbers(
    reading: dict[str, Any], body: bytes, value: int | UnsetType
) -> None:
    to = adapter(look={"user": None, "counter": reading, "items": None})
    assert talk(to, Action.LOOK, (200, {}, body), browser=known())[1] == Answer(OK, visits=value)


@pytest.mark.parametrize(
    ("regex", "body", "items"),
    [
        (r"(?P<item>\w+) x (?P<quantity>\d+)", b"pear x 2", {"pear": 2}),
        (r"(?P<quantity>\d+) x (\w+)", b"2 x pear", {"pear": 2}),
        (r"(\w+) x (?P<quantity>\d+)", b"pear x 2", {"pear": 2}),
        (r"(\w+) x (\d+)", b"pear x 2", {"pear": 2}),
    ],
)
def test_groups_of_a_regular_expression_are_the_item_and_its_quantity(
    regex: str, body: bytes, items: dict[str, int]
) -> None:
    to = adapter(look={"user": None, "counter": None, "items": {"regex": regex}})
    assert talk(to, Action.LOOK, (200, {}, body), browser=known())[1].cart == items


@pytest.mark.parametrize("body", [b'{"me":"alice"}', b'{"me":"alice","list":null}', b'{"me":"alice","list":[]}'])
def test_a_list_that_an_answer_leaves_out_is_empty_except_after_an_item_was_added(body: bytes) -> None:
    shown = {"user": {"json": "/me"}, "items": {"json": "/list"}}
    to = adapter(look={"counter": None, **shown}, add=shown)
    assert talk(to, Action.LOOK, (200, {}, body), browser=known())[1] == Answer(OK, "alice", cart={})
    added = talk(to, Action.ADD, (200, {}, body), browser=known())[1]
    is_there = b"list" in body
    assert added == (Answer(OK, "alice", cart={}) if is_there else Answer(UNKNOWN, error="the answer shows no items"))
    lost = talk(to, Action.ADD, (200, {}, b"{}"), browser=known())[1]
    assert (lost.outcome, lost.user) == (OK, None), "the session is lost, which is no mistake of the file"


PAGE_OF_KIM = "<b id=user>김철수</b>"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/html; charset=EUC-KR"}, PAGE_OF_KIM.encode("euc-kr")),
        ({"Content-Type": 'text/html;charset="utf-8"'}, PAGE_OF_KIM.encode()),
        ({"Content-Type": "text/html"}, b"<meta charset=euc-kr>" + PAGE_OF_KIM.encode("euc-kr")),
        ({}, b'<meta http-equiv=x content="text/html; charset=cp949">' + PAGE_OF_KIM.encode("cp949")),
        ({}, b"<meta charset=utf-16>" + PAGE_OF_KIM.encode()),
        ({"Content-Type": "text/html; charset=none-such"}, PAGE_OF_KIM.encode()),
        ({}, b"\xef\xbb\xbf" + PAGE_OF_KIM.encode()),
    ],
)
def test_a_page_is_read_in_the_encoding_that_it_names(headers: dict[str, str], body: bytes) -> None:
    to = adapter(look={"counter": None, "items": None})
    assert talk(to, Action.LOOK, (200, headers, body), browser=known())[1].user == "김철수"


def test_json_may_have_a_byte_order_mark_or_another_encoding() -> None:
    to = adapter(look={"user": {"json": "/me"}, "counter": None, "items": None})
    text = '{"me":"김철수"}'
    in_korean = {"Content-Type": "application/json; charset=euc-kr"}
    for headers, body in (({}, b"\xef\xbb\xbf" + text.encode()), (in_korean, text.encode("euc-kr"))):
        assert talk(to, Action.LOOK, (200, headers, body), browser=known())[1].user == "김철수"


def test_bytes_that_are_not_of_the_encoding_are_said_where_a_value_has_them() -> None:
    to = adapter(look={"counter": None, "items": None})
    answer = talk(to, Action.LOOK, (200, {}, PAGE_OF_KIM.encode("euc-kr")), browser=known())[1]
    assert answer.error.endswith("has bytes that are not utf-8: name the right charset")
    elsewhere = b"<i>\xff</i><b id=user>alice</b>"
    assert talk(to, Action.LOOK, (200, {}, elsewhere), browser=known())[1] == Answer(OK, "alice")
    theirs = "<b id=user>a\ufffd</b>".encode()
    assert talk(to, Action.LOOK, (200, {}, theirs), browser=known())[1].user == "a\ufffd"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/grüß", "/gr%C3%BC%C3%9F"),
        ("/a b/{item}?q=ü&r=1", "/a%20b/apple%20pie?q=%C3%BC&r=1"),
        ("/50%25/100%", "/50%25/100%"),
        ('/a"<b>`{c}', "/a%22%3Cb%3E%60%7Bc%7D"),
        ("/a(1)*+,;=:@!$&'~._-", "/a(1)*+,;=:@!$&'~._-"),
    ],
)
def test_paths_are_sent_as_browsers_send_them(path: str, sent: str) -> None:
    assert talk(adapter(add={"path": path}), Action.ADD, (200, {}, b""), browser=known())[0][0].path == sent
    assert adapter(site=path.replace("{item}", "apple pie")).site == sent


def test_headers_and_addresses_that_are_not_latin_are_sent_all_the_same() -> None:
    to = adapter(url="http://상점.test:8000", headers={"X-Shop": "상점"}, count={"headers": {"X-User": "과일"}})
    (request,), _ = talk(to, Action.VISIT, (200, {}, b"count: 1"), browser=known())
    assert request.headers is not None
    for text in request.headers.values():
        text.encode("latin-1")
    assert request.headers["Origin"] == f"http://{'상점'.encode('idna').decode()}.test:8000"
    assert request.headers["X-Shop"].encode("latin-1").decode() == "상점"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/grüß?x=ü".encode().decode("latin-1"), "/gr%C3%BC%C3%9F?x=%C3%BC"),
        ("/grüß", "/gr%C3%BC%C3%9F"),
        ("/a b", "/a%20b"),
        ("http://shop.test/%C3%BC#top", "/%C3%BC"),
    ],
)
def test_a_location_is_followed_as_browsers_follow_it(location: str, path: str) -> None:
    sent, answer = talk(adapter(), Action.LOOK, (302, {"Location": location}, b""), (200, {}, PAGE), browser=known())
    assert sent[-1].path == path
    assert answer.user == "alice"


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "http://a..b/", "http://h:99999/", "http://h\u2100/"])
def test_a_malformed_location_is_an_unknown_outcome(location: str) -> None:
    moved = (302, {"Location": location}, b"")
    for action in (Action.LOOK, Action.VISIT, Action.ADD, Action.LOGOUT, Action.LOGIN):
        answer = talk(adapter(), action, *FORM_OF_LOGIN.get(action, []), moved, browser=known())[1]
        assert answer.outcome is UNKNOWN
        assert answer.error.endswith("is malformed")
    page = talk(adapter(), Action.LOGIN, moved)[1]
    assert (page.outcome, page.error.endswith("is malformed")) == (FAIL, True), "nothing was done"


def test_a_redirect_of_the_file_is_compared_as_it_is_sent() -> None:
    to = adapter(count={"redirect": "/grüß", "counter": None}, anonymous={"redirect": "/an melden"})
    assert talk(to, Action.VISIT, (302, {"Location": "/gr%C3%BC%C3%9F"}, b""), browser=known())[1] == Answer(OK)
    assert talk(to, Action.VISIT, (302, {"Location": "/an%20melden"}, b""), browser=known())[1] == Answer(FAIL)


def test_an_adapter_comes_out_of_its_builtins_as_it_was() -> None:
    whole = adapter()
    assert msgspec.convert(msgspec.to_builtins(whole), DescribedAdapter) == whole
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(whole)), DescribedAdapter) == whole
    assert whole.actions == set(Action) - {Action.EMPTY, Action.LIST, Action.END_OTHERS, Action.PASSWORD}


def test_with_changing_cookies_the_newest_is_sent_until_the_logout() -> None:
    browser = Browser("alice-1", "sid", cookie_changes=True)
    for value, action in (("one", Action.LOGIN), ("two", Action.VISIT), ("three", Action.LOGOUT), ("4", Action.LOOK)):
        received = browser.receive([f"sid={value}"], browser.sending(), action)
        assert received.replaced is not True
    assert browser.sending().cookie == "two"
    browser.fresh()
    assert browser.sending().cookie is None


def test_the_page_that_a_write_redirects_to_is_a_look_of_its_own() -> None:
    browser = known()
    to = adapter(count={"counter": {"css": "#n"}, "user": {"css": "#user"}})
    operation = Operation(Action.VISIT)
    write = Conversation(to.exchange(operation, "alice", "", browser.value), browser, operation.action)
    assert write.look() is None
    write.take(Response(302, b"", lambda name: ["/"] if name == "Location" else []))
    assert write.answer == Answer(OK), "other writes may come before the page is read"
    look = write.look()
    assert look is not None
    assert (look.request.method, look.request.path) == ("GET", "/")
    look.take(Response(200, PAGE, lambda _: []))
    assert look.answer == Answer(OK, "alice", 1234)


@pytest.mark.parametrize(
    ("path", "location", "shown"),
    [
        ("/", "/", Answer(OK, "bob", 7)),
        ("/", "/other", Answer(OK, visits=7)),
        ("/?full=1", "/?full=1", Answer(OK, "bob", 7)),
        ("/?page=me", "/?page=cart", Answer(OK, visits=7)),
        ("/of/{user}", "/of/alice/", Answer(OK, "bob", 7)),
    ],
    ids=["look", "other page", "look with a query", "page with another query", "look of the user"],
)
def test_the_page_of_another_user_behind_a_write_is_told_from_one_with_lost_updates(
    path: str, location: str, shown: Answer
) -> None:
    browser = known()
    to = adapter(count={"counter": {"css": "#n"}}, look={"path": path})
    write = Conversation(to.exchange(Operation(Action.VISIT), "alice", "", browser.value), browser, Action.VISIT)
    write.take(Response(302, b"", lambda name: [location] if name == "Location" else []))
    look = write.look()
    assert look is not None
    look.take(Response(200, b"<b id=user>bob</b><i id=n>7</i>", lambda _: []))
    assert look.answer == shown


def test_a_write_whose_page_finds_nobody_was_carried_out_all_the_same() -> None:
    browser = known()
    write = Conversation(
        adapter().exchange(Operation(Action.VISIT), "alice", "", browser.value), browser, Action.VISIT
    )  # fmt: skip
    write.take(Response(302, b"", lambda name: ["/"] if name == "Location" else []))
    look = write.look()
    assert look is not None
    look.take(Response(302, b"", lambda name: ["/login"] if name == "Location" else []))
    assert (write.answer, look.answer) == (Answer(OK), Answer(OK, None))


def test_no_look_follows_a_write_that_went_into_another_session() -> None:
    browser = known()
    write = Conversation(adapter().exchange(Operation(Action.VISIT), "alice", "", browser.value), browser, Action.VISIT)
    headers = {"Location": ["/"], "Set-Cookie": ["sid=two"]}
    write.take(Response(302, b"", lambda name: headers.get(name, [])))
    assert write.answer == Answer(OK)
    assert write.received.replaced is True
    assert write.look() is None
