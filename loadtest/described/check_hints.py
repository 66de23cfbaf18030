"""The hints of a target's check: keys that the file could have, or should not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from loadtest.browser import has_attribute
from loadtest.checker import Kind
from loadtest.claims.claim import Sight
from loadtest.conversation import Conversation
from loadtest.described.schema import RequestSpec
from loadtest.history import Action
from loadtest.operations import Operation
from loadtest.target import Reply, converse, make_browser

if TYPE_CHECKING:
    from loadtest.described.check import Visit

_COMMON_NODE_HEADERS = ("X-Served-By", "X-Node", "X-Backend", "X-Upstream", "X-Served-From")


def find_hints(visit: "Visit") -> Iterator[str]:
    """Yield what the file could have, too."""
    file, requests = visit.target.described.file, visit.target.adapter.requests
    login = requests.login
    if not login.status and login.redirect is None and login.user is None and login.logged_in is None:
        yield "login: give it status, redirect or user, or a refused one passes for a login"
    for key, what in (("password", "change"), ("count", "write"), ("add", "write"), ("empty", "write")):
        spec: RequestSpec | None = getattr(requests, key)
        is_form = spec is not None and (spec.form is not None or key == "password")
        if spec is not None and is_form and not spec.status and spec.redirect is None:
            yield f"{key}: give it status or redirect, or a refused one passes for a {what}"
    if file.cookie_changes and not visit.changed and visit.browser.sending().cookie is not None:
        what = f"no answer brought another value of {file.cookie}"
        yield f"cookie_changes: {what}; leave it out, or writes into another session can't be found"
    if file.login_empties and visit.is_kept:
        yield "login_empties: another login kept the values; leave it out, or what a login loses is not found"
    if visit.found.login_empties and not file.login_empties:
        what = "a login seems to begin with an empty session"
        yield f"login_empties: {visit.found.login_empties}: {what}; if it should, give login_empties = true"
    if file.url.startswith("http:") and any(_has_secure(reply, file.cookie) for reply in visit.replies):
        why = "over http browsers send it to localhost at most"
        yield f"cookie: {file.cookie} is Secure; {why}: give url with https"
    if visit.declined:
        what = f"a user who is logged in can't log in again ({visit.declined})"
        yield f"login: {what}, which users of the mixes tabs and browsers do"
    if visit.redirects:
        why = "probes follow nothing and count 200 alone"
        yield f"look: it redirects a logged-in user; {why}: give the path of the page itself"
    if len(visit.target.users) == 1:
        yield "users: with one account nobody can tell whose session an answer shows"
    for write, value, sight in (("count", "counter", Sight.COUNTS), ("add", "items", Sight.ADDS)):
        if getattr(requests, write) is not None and {sight, Kind.UPDATE_LOST} & visit.target.lacks.keys():
            yield f"{write}: no answer shows the {value}, so nobody can tell whether one is lost: give {value}"
    for hiding in visit.hiding:
        why = "or another session's page passes for one with lost updates"
        yield f"{hiding}: its answer shows the user, too: give user as in look, {why}"
    if requests.logout is None:
        yield "logout: without it no logouts are checked"
    if file.node_header is None:
        names = (name for name in _COMMON_NODE_HEADERS if any(_has(reply, name) for reply in visit.replies))
        if (name := next(names, None)) is not None:
            yield f'node_header: answers have {name}; if it names the node, give node_header = "{name}"'
    elif not any(_has(reply, file.node_header) for reply in visit.replies):
        yield f"node_header: no answer has {file.node_header}, so nobody can tell which nodes serve"
    if file.site is not None and (complaint := _check_site(visit, file.site)):
        yield f"site: GET {file.site}: {complaint}"
    if file.runtime is None:
        yield "runtime: without it no experiment can break the target"


def _check_site(visit: "Visit", path: str) -> str:
    """Return why a page is not one without a session."""
    browser = make_browser(visit.target)
    adapter, look = visit.target.adapter, Operation(Action.LOOK)
    exchange = adapter.exchange_of(RequestSpec(path, status=200), look, "", "", browser.value, logged_out=True)
    return converse(visit.target, Conversation(exchange, browser, look.action)).answer.error


def _has(reply: Reply, header: str) -> bool:
    return any(hop.response.header(header) for hop in reply.hops)


def _has_secure(reply: Reply, cookie: str) -> bool:
    """Return whether an answer sets the session's cookie for https alone."""
    lines = (line for hop in reply.hops for line in hop.response.header("Set-Cookie"))
    return any(
        has_attribute(line, "secure")
        for line in lines
        if line.partition("=")[0].strip() in {cookie, f"__Host-{cookie}"}
    )
