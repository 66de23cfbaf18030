"""The adapter of a described target: requests from templates, answers by readings, without a server."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from loadtest.browser import Browser
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.file import TargetFile
from loadtest.history import Action, OpOutcome
from loadtest.http import Answer, Operation, Request, Response

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
    """Return the adapter of the file; a request's changes are by its name."""
    requests = {name: {**spec, **changes.pop(name, {})} for name, spec in FILE["requests"].items()}
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
        ([(200, {}, FORM), *[(302, {"Location": "/"}, b"")] * 6], Answer(UNKNOWN, error="more than 5 redirects")),
    ],
)
def test_a_login_that_is_not_as_described_is_a_failure(answers: list[Scripted], answer: Answer) -> None:
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
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
    assert talk(adapter(), action, scripted, browser=browser)[1] == answer


def test_json_is_sent_and_read_with_pointers() -> None:
    items = {"json": "/list", "item": "/name", "quantity": "/n"}
    to = adapter(add={"items": items, "user": {"json": "/me/name"}})
    body = b'{"me":{"name":"alice"},"list":[{"name":"apple pie","n":2},{"name":"pear","n":"3"}]}'
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
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


def test_a_redirect_to_another_host_is_not_followed() -> None:
    login: dict[str, Any] = {"redirect": None, "user": None}
    _, answer = talk(
        adapter(login=login),
        Action.LOGIN,
        (200, {"Set-Cookie": "sid=one"}, FORM),
        (302, {"Location": "http://elsewhere.test/"}, b""),
    )
    assert answer == Answer(OK)


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
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
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


def test_a_write_whose_page_finds_nobody_was_carried_out_all_the_same() -> None:
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
    write = Conversation(
        adapter().exchange(Operation(Action.VISIT), "alice", "", browser.value), browser, Action.VISIT
    )  # fmt: skip
    write.take(Response(302, b"", lambda name: ["/"] if name == "Location" else []))
    look = write.look()
    assert look is not None
    look.take(Response(302, b"", lambda name: ["/login"] if name == "Location" else []))
    assert (write.answer, look.answer) == (Answer(OK), Answer(OK, None))


def test_no_look_follows_a_write_that_went_into_another_session() -> None:
    browser = Browser("alice-1", "sid")
    browser.receive(["sid=one"], browser.sending(), Action.LOGIN)
    write = Conversation(adapter().exchange(Operation(Action.VISIT), "alice", "", browser.value), browser, Action.VISIT)
    headers = {"Location": ["/"], "Set-Cookie": ["sid=two"]}
    write.take(Response(302, b"", lambda name: headers.get(name, [])))
    assert write.answer == Answer(OK)
    assert write.received.replaced is True
    assert write.look() is None
