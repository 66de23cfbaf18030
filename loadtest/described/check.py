"""The check of a target's file: each request once, in the order of a visit, and what the answers show."""

import http.client
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec import UNSET, UnsetType

from loadtest.browser import Browser
from loadtest.conversation import NO_COOKIE, Conversation
from loadtest.described.adapter import REDIRECTS, REFUSED_OR_LOST
from loadtest.described.check_account import check_end_others, check_password
from loadtest.described.check_hints import find_hints
from loadtest.described.check_steps import (
    CheckStep,
    Left,
    Misread,
    TargetCheck,
    describe_answer,
    describe_hops,
    describe_sent,
    list_items,
)
from loadtest.described.paths import resolve_location
from loadtest.described.readings import NotShown, Page, find_name
from loadtest.described.schema import ACTIONS, RequestSpec, as_statuses
from loadtest.described.users import certificate_hint, make_users
from loadtest.history import RENEWALS, Action, OpOutcome
from loadtest.operations import Operation, Response, printable
from loadtest.target import Reply, TargetError, answering, converse, make_browser, send

if TYPE_CHECKING:
    from loadtest.described.target import DescribedTarget

_MOST_COOKIES = 5
_SAME_SESSION = "where each answer brings one of the same session, give cookie_changes = true"
_VISITS, _TRIES = 3, 6
_MOST_REFUSALS = 3


def check_target(target: "DescribedTarget") -> TargetCheck:
    """Send each request once. The target's cluster, if it has one, runs. Raises TargetError where nothing answers."""
    found = TargetCheck(missing=target.lacks)
    described = target.described
    with answering(target.url, certificate_hint(described)):
        if described.file.users.sign_up is not None or described.file.users.command is not None:
            try:
                make_users(target, target.adapter, described, target.cluster)
            except TargetError as error:
                found.mistakes.append(str(error))
        visit = Visit(target, found)
        _make(visit)
        found.hints += find_hints(visit)
    return found


def find_misread(target: "DescribedTarget") -> tuple[list[str], bool]:
    """Return the lines of answers that are not as the file says, and whether a login begins with an empty session. The
    target's users are made.

    Several visits must find them: what is wrong in one of them only is the application's.
    """
    lines: list[str] = []
    login_empties = True
    with answering(target.url, certificate_hint(target.described)):
        for number in range(_VISITS):
            _make(Visit(target, found := TargetCheck()))
            if found.left:
                return found.left, False  # the next visit would find other things because of it
            lines = [line for line in lines if line in found.misread] if number else found.misread
            login_empties &= bool(found.login_empties)
            if not lines and not login_empties:
                break
    return lines, login_empties


def _make(visit: "Visit") -> None:
    """Make a visit. One that left something changed says that, and not that nothing answers."""
    try:
        visit.make()
    except (OSError, http.client.HTTPException):
        if not visit.found.left:
            raise


class Visit:
    """The visit of the last account, with one browser. It keeps the session's cookie after the logout."""

    def __init__(self, target: "DescribedTarget", found: TargetCheck) -> None:
        self.target, self.found = target, found
        self.browser = make_browser(target)
        *_, (self.account, self.password) = target.users.items()
        self._counter: int | None = None  # what it should be
        self._item = f"check {secrets.token_hex(3)}"
        self._added = False
        self.declined = ""  # why a user who is logged in was not logged in again
        self.is_kept = False  # whether the values were there after another login
        self.redirects = False  # whether look redirects a user who is logged in
        self.changed = False  # whether an answer between login and logout brought another value of the cookie
        self.hiding: list[str] = []  # requests whose pages show the user, who is not read
        self.replies: list[Reply] = []

    def make(self) -> None:
        """Send the requests of a visit."""
        requests = self.target.adapter.requests
        if not self.step("look", requests.look, self._judge_visitor):
            return
        visitor = self.browser
        for name in ("account", "sessions"):
            self.browser = make_browser(self.target)  # whose cookies prove that it has no session
            self.step(name, getattr(requests, name), self._judge_stranger)
        self.browser = visitor
        if not self.step("login", requests.login, self._judge_login):
            return
        self.step("look", requests.look, self._judge_user)
        self.redirects = _main(self.replies[-1]).status in REDIRECTS
        for _ in range(2 if requests.count is not None else 0):
            self.step("count", requests.count, self._judge_count)
        self.step("read", requests.read, self._judge_read)
        self.step("add", requests.add, self._judge_add)
        later = requests.read or requests.look
        name = "look" if requests.read is None else "read"
        if self._has_written and (later.items is not None or later.counter is not None):
            if requests.read is None or requests.add is not None:
                self.step(name, later, self._judge_user)
            self._log_in_again(name, later)
        if self.step("empty", requests.empty, lambda _: "") and self._added and later.items is not None:
            self.step(name, later, self._judge_emptied)
        self.step("account", requests.account, self._judge_name)
        self.step("sessions", requests.sessions, self._judge_name)
        check_password(self, requests.password)
        check_end_others(self, requests.end_others)
        if self.step("logout", requests.logout, lambda _: "") and requests.logout is not None:
            self.step("look", requests.look, self._judge_end)
            self._write_after_logout()

    def _log_in_again(self, name: str, later: RequestSpec) -> None:
        """Log in with the same browser, and look whether the session's values are still there.

        Many applications send a user who is logged in away from the login, and then nothing is looked at.
        """
        if not self.is_clean:  # something else may have emptied it
            return
        answer = self._send(Operation(Action.LOGIN), self.browser, self.password).answer
        if answer.outcome is OpOutcome.OK:
            self.step(name, later, self._judge_kept)
        else:
            self.declined = answer.error

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found so far."""
        return not any(step.complaint for step in self.found.steps)

    def look(self, browser: Browser) -> str | UnsetType | None:
        """Return the user whom a browser shows."""
        return self._send(Operation(Action.LOOK), browser, self.password).answer.user

    def log_in(self, password: str, most_refusals: int = _MOST_REFUSALS) -> Browser | None:
        """Log in with another browser; return None if no login was accepted. One that may have failed for another
        reason than its password is repeated, but not often: some applications lock an account."""
        refusals = 0
        for _ in range(_TRIES):
            browser = make_browser(self.target)
            with suppress(ConnectionError, http.client.HTTPException):
                reply = self._send(Operation(Action.LOGIN), browser, password)
                if reply.answer.outcome is OpOutcome.OK:
                    return browser
                refusals += reply.answer.outcome is OpOutcome.FAIL
                is_certain = reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
                if reply.answer.refused or is_certain or refusals == most_refusals:
                    return None
        return None

    def change_password(self, browser: Browser, old: str, new: str) -> None:
        """Change the password without a step; whether it was changed, a login shows."""
        with suppress(ConnectionError, http.client.HTTPException):
            self._send(Operation(Action.PASSWORD, new_password=new), browser, old)

    def _send(self, operation: Operation, browser: Browser, password: str) -> Reply:
        return send(self.target, operation, self.account, password, browser)

    def _write_after_logout(self) -> None:
        """Send a write with the cookie from before the logout: its answer must say that nobody is logged in."""
        requests = self.target.adapter.requests
        name, spec = ("count", requests.count) if requests.count is not None else ("add", requests.add)
        if spec is None:
            return
        before = next((one for one in self.replies if one.request.name == spec.path), None)
        found = self.found
        kept, misread = list(found.mistakes), list(found.misread)
        self.step(name, spec, lambda _: "")
        found.mistakes[:], found.misread[:] = kept, misread  # what a write after a logout does is the application's
        step, reply = found.steps[-1], self.replies[-1]
        shows = "nobody, nothing was done" if reply.answer.outcome == "fail" else step.shows
        found.steps[-1] = replace(step, shows=shows, complaint="")
        if reply.answer.outcome == "fail" and not reply.answer.error:
            return
        main = _main(reply)
        where = next(iter(main.header("Location")), "") if main.status in REDIRECTS else ""
        path = _find_path(where)
        usual = before is not None and where == next(iter(_main(before).header("Location")), "")
        if path and not usual:
            self._tell_anonymous(name, f"redirects to {printable(path)}", f'redirect = "{printable(path)}"')
        elif 400 <= main.status < 500:
            self._tell_anonymous(name, f"has the status {main.status}", f"status = {main.status}")

    def _tell_anonymous(self, name: str, what: str, key: str) -> None:
        why = "if that means that nobody is logged in, give it"
        self.found.hints.append(f"anonymous: {name} after the logout {what}; {why} {key}")

    def step(self, name: str, spec: RequestSpec | None, judge: Callable[[Reply], str], new_password: str = "") -> bool:
        """Send a request; return whether its answer is as described."""
        if spec is None:
            return False
        item, quantity = (self._item, 1) if name == "add" else ("", 0)
        operation = Operation(ACTIONS[name], item, quantity, new_password=new_password)
        exchange = self.target.adapter.exchange_of(
            spec, operation, self.account, self.password, self.browser.value
        )  # fmt: skip
        before = self.browser.sending().cookie
        reply = converse(self.target, Conversation(exchange, self.browser, operation.action))
        self.changed |= operation.action not in RENEWALS and self.browser.sending().cookie != before
        self.replies.append(reply)
        if name in {"count", "add", "read"} and name not in self.hiding and self._hides_user(spec, reply):
            self.hiding.append(name)
        error = reply.answer.error
        if not error and name != "logout" and reply.answer.outcome != "ok":
            error = "its answer means that nobody is logged in"
            if (status := _main(reply).status) in as_statuses(self.target.described.file.conflict):
                error = f"status {status} is a conflict, so it was not carried out"
        complaint = judge(reply) if not error or error.startswith(NO_COOKIE) else _describe_error(reply, error)
        shows = describe_answer(reply.answer)
        self.found.steps.append(CheckStep(name, describe_sent(reply), describe_hops(reply.hops), shows))
        if complaint:
            self.complain(complaint)
        return not error

    def complain(self, complaint: str, name: str = "") -> None:
        """Note what is wrong with the last step, or with the request of this name."""
        found = self.found
        if not name:
            name = found.steps[-1].name
            found.steps[-1] = replace(found.steps[-1], complaint=complaint)
        line = f"{self.target.described.where('requests', name)}: requests.{name}: {complaint}"
        lists = [found.mistakes]
        if isinstance(complaint, Misread):
            lists.append(found.misread)
        if isinstance(complaint, Left):
            lists.append(found.left)
        for lines in lists:
            if line not in lines:
                lines.append(line)

    def _hides_user(self, spec: RequestSpec, reply: Reply) -> bool:
        """Return whether an answer whose values are read shows the user where `look` does, and is not read so."""
        user = self.target.adapter.requests.look.user
        if user is None or reply.answer.user is not UNSET or not (spec.counter or spec.items):
            return False
        with suppress(NotShown):
            return find_name(user, Page(reply.hops[-1].response)) == self.account
        return False

    def _judge_visitor(self, reply: Reply) -> str:
        user = reply.answer.user
        return (
            "" if user is None else f"shows {user!r} before any login: say in [anonymous] how a visitor's page differs"
        )

    def _judge_stranger(self, reply: Reply) -> str:
        if reply.answer.user is UNSET:
            return Misread("does not tell a visitor from a user: say in [anonymous] how a visitor's answer differs")
        return self._judge_visitor(reply)

    def _judge_login(self, reply: Reply) -> str:
        if self.browser.sending().cookie is None:
            if (name := self.target.session_cookie) in reply.cookies:
                return f"set the cookie {name!r} empty, or with Max-Age or Expires that end it at once"
            names = ", ".join(map(printable, list(reply.cookies)[:_MOST_COOKIES])) or "no cookie"
            return f"set no cookie {self.target.session_cookie!r}: it set {names}"
        return self._judge_name(reply)

    def _judge_name(self, reply: Reply) -> str:
        user = reply.answer.user
        if user is None:
            return f"shows nobody, and {self.account} is logged in"
        if user is not UNSET and user != self.account:
            how = "read the name elsewhere, or give logged_in instead of user"
            return Misread(f"shows {user!r} and not {self.account!r}: {how}")
        return ""

    def _judge_user(self, reply: Reply) -> str:
        return self._judge_name(reply) or self._judge_values(reply)

    @property
    def _has_written(self) -> bool:
        return self._added or bool(self._counter)

    def _judge_read(self, reply: Reply) -> str:
        spec = self.target.adapter.requests.read
        if spec is not None and spec.counter is not None and reply.answer.visits is UNSET and self._has_written:
            return Misread(
                f"shows no counter, after {self._counter} requests count: read it elsewhere, or leave it out"
            )
        return self._judge_user(reply)

    def _judge_kept(self, reply: Reply) -> str:
        """Judge the values after another login."""
        if complaint := self._judge_name(reply):
            return complaint
        counter, items = reply.answer.visits, reply.answer.cart
        lost = [f"the counter is {counter}"] if counter is not UNSET and counter < (self._counter or 0) else []
        if items is not UNSET and self._added and self._item not in items:
            lost.append("the list is empty" if not items else f"the list lacks {self._item!r}")
        self.is_kept = not lost and not (counter is UNSET and items is UNSET)
        if lost:
            self._counter, self._added = 0 if counter is UNSET else counter, False
            self.found.login_empties = f"{' and '.join(lost)} after another login"
        return ""

    def _judge_emptied(self, reply: Reply) -> str:
        self._added = False
        items = reply.answer.cart
        if items is not UNSET and items:
            return f"the items are {list_items(items)} after the list was emptied"
        return self._judge_name(reply)

    def _judge_values(self, reply: Reply) -> str:
        counter, items = reply.answer.visits, reply.answer.cart
        if counter is not UNSET:
            if self._counter is None:
                self._counter = 0
                if counter:
                    what = f"the counter is {counter} in a new session"
                    return Misread(f"{what}: it must be the session's, not the account's, and not rise with look")
            if counter != self._counter:
                what = f"the counter is {counter}, after {self._counter} requests count"
                is_elsewhere = counter == 0 and self._counter > 1  # a page without it shows 0
                return Misread(f"{what}: read it elsewhere, or leave it out") if is_elsewhere else what
        if items is not UNSET and self._added and not items:
            return Misread("shows no items, after one was added: read them elsewhere, or leave them out")
        if items is not UNSET and self._added and items.get(self._item) != 1:
            return f"the items lack {self._item!r}, which was added: they are {list_items(items) or 'none'}"
        if items is not UNSET and not self._added and items:
            what = f"the items are {list_items(items)} in a new session"
            return Misread(f"{what}: they must be the session's, not the account's")
        return ""

    def _judge_count(self, reply: Reply) -> str:
        self._counter = (self._counter or 0) + 1
        return self.judge_cookie(reply) or self._judge_name(reply) or self._judge_values(reply)

    def _judge_add(self, reply: Reply) -> str:
        self._added = True
        return self.judge_cookie(reply) or self._judge_name(reply) or self._judge_values(reply)

    def judge_cookie(self, reply: Reply, advice: str = _SAME_SESSION) -> str:
        if not reply.session or self.target.adapter.cookie_changes:
            return ""
        sent = self.browser.sending().cookie
        if reply.session.partition("=")[2] in {sent, ""}:
            return ""
        return f"brought another value of the cookie {self.target.session_cookie!r}: {advice}"

    def _judge_end(self, reply: Reply) -> str:
        user = reply.answer.user
        return (
            "" if user is None else f"shows {user!r} after the logout, with the cookie from before: it ended no session"
        )


def _describe_error(reply: Reply, error: str) -> str:
    """Return what is wrong with a reply. An answer that the target did not give at that moment is nothing of the file,
    nor is one for nobody, or a login that was refused or lost."""
    told = f"{reply.request.method} {printable(reply.request.path)}: {error}"
    is_lost = not reply.answer.error or reply.answer.error.endswith(REFUSED_OR_LOST)
    return told if is_lost or _main(reply).status >= 500 else Misread(told)


def _main(reply: Reply) -> Response:
    """Return the response to the main request."""
    return next(hop.response for hop in reply.hops if hop.request is reply.request)


def _find_path(location: str) -> str:
    """Return the path of a Location; "" if it is malformed."""
    with suppress(NotShown):
        where = resolve_location("", location)
        return "" if where is None else where.path
    return ""
