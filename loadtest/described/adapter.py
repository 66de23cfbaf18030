"""The adapter of a described target: its requests from templates, its answers by the file's readings."""

import http.client
import random
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.described.file import (
    CSRF,
    ITEM,
    PASSWORD,
    QUANTITY,
    TOKEN,
    USER,
    Anonymous,
    Csrf,
    RequestSpec,
    RequestSpecs,
    TargetFile,
    as_statuses,
    fill,
    sends_token,
)
from loadtest.described.paths import Location, as_address, as_header, as_sent, is_same_page, resolve_location
from loadtest.described.readings import (
    NotShown,
    Page,
    find_items,
    find_name,
    find_number,
    find_text,
    matches,
    read_cookie,
)
from loadtest.history import Action, OpOutcome
from loadtest.http import Answer, Cookie, Exchange, Operation, Request, Response, printable

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_SAFE = frozenset({"GET", "HEAD"})
_HTML = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"
_FORM = "application/x-www-form-urlencoded"
_WRITES = frozenset({Action.VISIT, Action.ADD, Action.EMPTY, Action.LOGIN, Action.LOGOUT})
_encode = partial(quote, safe="")
_SPECS = {
    Action.LOGIN: "login",
    Action.LOGOUT: "logout",
    Action.VISIT: "count",
    Action.ADD: "add",
    Action.EMPTY: "empty",
}


class DescribedAdapter(msgspec.Struct, frozen=True, omit_defaults=True):
    """The requests of a file. Without `read`, LOOK and ACCOUNT are `look`; where `read` shows no user, LOOK is one of
    the two by chance."""

    url: str
    requests: RequestSpecs
    site_path: str
    headers: Mapping[str, str] = {}
    node_header: str = "X-Served-By"
    cookie_changes: bool = False
    anonymous: Anonymous = Anonymous()
    csrf: Csrf = Csrf()

    @classmethod
    def from_file(cls, file: TargetFile) -> "DescribedAdapter":
        return cls(
            url=as_address(file.url.rstrip("/")),
            requests=file.requests,
            site_path=file.site or "",
            headers=file.headers,
            node_header=file.node_header or "X-Served-By",
            cookie_changes=file.cookie_changes,
            anonymous=file.anonymous or Anonymous(),
            csrf=file.csrf or Csrf(),
        )

    @property
    def site(self) -> str:
        """The path of a page without a session."""
        return as_sent(self.site_path) or self.look.path

    @property
    def look(self) -> Request:
        """The request that shows who is logged in."""
        return self._make(self.requests.look, {}, "")

    @property
    def actions(self) -> frozenset[Action]:
        """The operations that the file has requests for."""
        given = {action for action, name in _SPECS.items() if getattr(self.requests, name) is not None}
        return frozenset({Action.LOOK, Action.ACCOUNT, *given})

    def exchange(self, operation: Operation, account: str, password: str, cookie: Cookie) -> Exchange:
        """Return the requests of an operation: the page with its token, itself, and where it redirects to."""
        return self.exchange_of(self.choose(operation.action), operation, account, password, cookie)

    def choose(self, action: Action) -> RequestSpec:
        """Return the request that carries an operation out."""
        if action in _SPECS:
            spec: RequestSpec = getattr(self.requests, _SPECS[action])
            return spec
        look, read = self.requests.look, self.requests.read
        if action is not Action.LOOK or read is None:
            return look
        shows_user = read.user is not None or read.logged_in is not None
        return read if shows_user or random.random() < 0.5 else look  # noqa: S311  # no secret

    def exchange_of(
        self,
        spec: RequestSpec,
        operation: Operation,
        account: str,
        password: str,
        cookie: Cookie,
        *,
        logged_out: bool = False,
    ) -> Exchange:
        """Return the requests of an operation that is carried out by `spec`; `logged_out`: nobody is, afterwards."""
        values: dict[str, str | int] = {USER: account, PASSWORD: password}
        values |= {ITEM: operation.item, QUANTITY: operation.quantity}
        page = ""
        if sends_token(spec, self.headers):
            page = as_sent(str(fill(spec.page or self.csrf.page or self.requests.look.path, values, _encode)))
            try:
                token = yield from self._find_token(page, cookie)
            except NotShown as error:  # nothing was done
                return Answer(OpOutcome.FAIL, error=f"no token from {page}: {error}")
            if isinstance(token, Answer):
                return token
            values[CSRF] = token
        request = self._make(spec, values, page)
        logged_out |= operation.action is Action.LOGOUT
        try:
            return (yield from self._carry_out(spec, operation, account, request, logged_out=logged_out))
        except NotShown as error:
            return Answer(OpOutcome.UNKNOWN, error=str(error))

    def _carry_out(
        self, spec: RequestSpec, operation: Operation, account: str, first: Request, *, logged_out: bool
    ) -> Exchange:
        """Return the requests of an operation from its `first` on. Raises NotShown where its outcome is unknown."""
        action, may_fail = operation.action, operation.may_fail
        request, response = first, (yield first)
        if action in _WRITES or request.method not in _SAFE:
            request, response = yield from self._repeat(request, response)
        path, expected = self._goes_to(request, response), as_statuses(spec.status)
        if response.status >= 500 and response.status not in expected:
            return Answer(OpOutcome.UNKNOWN, error=f"status {response.status}")
        if not logged_out and path != as_sent(spec.redirect or "") and self._is_anonymous(response.status, path):
            return _nobody(action, may_fail=may_fail)
        if (complaint := _find_complaint(spec, response.status, path)) is not None:
            moved = not is_same_page(first.path, _split(request.path)[0])
            if moved and action in _WRITES - {Action.LOGIN}:
                # Some applications carry a write out and answer 307, where 303 would be right.
                return Answer(OpOutcome.UNKNOWN, error=f"{complaint}, repeated as {request.method} {request.path}")
            return Answer(OpOutcome.FAIL, error="" if may_fail else complaint)
        shows = spec.user or spec.logged_in or spec.counter or spec.items
        redirected = path is not None and spec.follow
        if redirected and action in _WRITES - {Action.LOGIN}:
            # It was carried out. The page behind it is a look: other writes may have come in between.
            then = self._look_after(spec, request, response, account) if shows and not logged_out else None
            return Answer(OpOutcome.OK, then=then)
        if not shows and (logged_out or not self._has_body_rule):
            return Answer(OpOutcome.OK)
        last = yield from self._follow(request, response, follow=spec.follow)
        if isinstance(last, Answer) and last.error:
            return last
        shown = None if isinstance(last, Answer) else Page(last)
        if shown is not None and (logged_out or not matches(self.anonymous, shown)):
            answer = self._read(spec, operation, account, shown)
        else:
            answer = _nobody(action, may_fail=may_fail)
        if redirected and action is Action.LOGIN and answer.outcome is OpOutcome.FAIL:
            error = answer.error and f"it leads to {printable(path or '')}, which shows nobody: refused, or lost"
            answer = replace(answer, outcome=OpOutcome.UNKNOWN, error=error)  # it may have been carried out
        return answer

    def _repeat(self, request: Request, response: Response) -> Generator[Request, Response, tuple[Request, Response]]:
        """Repeat a write until it reaches what carries it out. Return the last request with its answer. Raises
        NotShown."""
        hops = 0
        while (where := self._find_repetition(request, response)) is not None:
            if (hops := hops + 1) > MOST_REDIRECTS:
                raise NotShown(_too_many(response))
            request = request._replace(path=where.target, name=request.shown)
            response = yield request
        return request, response

    def _find_repetition(self, request: Request, response: Response) -> Location | None:
        """Return where browsers repeat a request that was not carried out; None if it was, or was refused. 307 and 308
        say so, and after GET every redirect to the same page, with or without a slash. Raises NotShown."""
        status, keeps = response.status, response.status in _KEEP_METHOD
        where = resolve_location(self.url + request.path, _location(response))
        if where is None:
            if keeps:
                raise NotShown(f"status {status}, and no Location")
            return None
        if not where.is_of(self.url, request.path):
            if keeps:
                raise NotShown(f"status {status} to another server: {printable(where.server)}")
            return None
        path, query = _split(request.path)
        is_same = is_same_page(path, where.path)
        if self._is_anonymous(status, where.path) and not is_same:
            return None
        if keeps or (is_same and request.method in _SAFE and _split(where.target)[1] == query):
            return where
        if is_same and status == http.client.MOVED_PERMANENTLY and where.path != path:
            raise NotShown(f"status 301 to {printable(where.path)}, where browsers send GET: give this path")
        return None

    def _look_after(self, spec: RequestSpec, request: Request, response: Response, account: str) -> Exchange:
        """Return the requests of the look that a write redirects to."""
        look, own, trail = Operation(Action.LOOK), self.requests.look, list[str]()
        try:
            last = yield from self._follow(request, response, trail=trail)
        except NotShown as error:
            return Answer(OpOutcome.UNKNOWN, error=str(error))
        if isinstance(last, Answer):
            return last
        shown = Page(last)
        if matches(self.anonymous, shown):
            return _nobody(look.action, may_fail=False)
        if spec.user is None and spec.logged_in is None and is_same_page(trail[-1], as_sent(own.path)):
            spec = msgspec.structs.replace(spec, user=own.user, logged_in=own.logged_in)  # or it passes for this user's
        return self._read(spec, look, account, shown)

    @property
    def _has_body_rule(self) -> bool:
        """Whether the body of an answer can mean that nobody is logged in."""
        return any((self.anonymous.css, self.anonymous.json, self.anonymous.regex))

    def _find_token(self, page: str, cookie: Cookie) -> Generator[Request, Response, str | Answer]:
        """Return the token; an answer where there is none."""
        if self.csrf.cookie is not None and (token := read_cookie(self.csrf, cookie(self.csrf.cookie))):
            return token
        request = Request("GET", page, headers=self._headers({}, "GET", ""), before=True)
        response = yield request
        if self._is_anonymous(response.status, self._goes_to(request, response)):
            return Answer(OpOutcome.FAIL)  # nothing was done, and the next answer shows that nobody is logged in
        last = yield from self._follow(request, response, before=True)
        if isinstance(last, Answer):
            return Answer(OpOutcome.FAIL, error=last.error)
        if last.status >= 400:
            return Answer(OpOutcome.FAIL, error=f"no token from {page}: status {last.status}")
        try:
            named = self.csrf.cookie
            token = find_text(self.csrf, Page(last)) if named is None else read_cookie(self.csrf, cookie(named))
        except NotShown as error:
            return Answer(OpOutcome.FAIL, error=f"no token from {page}: {error}")
        return token or Answer(OpOutcome.FAIL, error=f"no token from {page}: it has none")

    def _follow(
        self,
        request: Request,
        response: Response,
        *,
        follow: bool = True,
        before: bool = False,
        trail: list[str] | None = None,
    ) -> Generator[Request, Response, Response | Answer]:
        """Follow redirects to the last answer, and note their paths in `trail`. Return an answer where they end with an
        error, or for nobody. Raises NotShown."""
        trail = [] if trail is None else trail
        while follow and (path := self._goes_to(request, response)) is not None:
            trail.append(path)
            if len(trail) > MOST_REDIRECTS:
                return Answer(OpOutcome.UNKNOWN, error=_too_many(response))
            where = resolve_location(self.url + request.path, _location(response))
            target = path if where is None else where.target
            if response.status in _KEEP_METHOD:
                request = request._replace(path=target, name=path, before=before)
            else:
                headers = self._headers({}, "GET", "")
                request = Request("GET", target, headers=headers, name=path, before=before)
            response = yield request
            if self._is_anonymous(response.status, self._goes_to(request, response)):
                return Answer(OpOutcome.OK, user=None)
            if response.status >= 400:
                what = f"{request.method} {printable(path)}: status {response.status}"
                return Answer(OpOutcome.UNKNOWN, error=what)
        return response

    def _is_anonymous(self, status: int, redirect: str | None) -> bool:
        """Return whether status or redirect mean that nobody is logged in."""
        given = self.anonymous
        return status in as_statuses(given.status) or (
            redirect is not None and redirect == as_sent(given.redirect or "")
        )

    def _read(self, spec: RequestSpec, operation: Operation, account: str, page: Page) -> Answer:
        """Read the values of the last answer."""
        action = operation.action
        user: str | UnsetType | None = UNSET
        visits: int | UnsetType = UNSET
        cart: dict[str, int] | UnsetType = UNSET
        try:
            if spec.user is not None:
                user = printable(find_name(spec.user, page)) or None
            elif spec.logged_in is not None:
                user = account if find_name(spec.logged_in, page) else None
            if user is None and action is Action.LOGIN:
                return _nobody(action, may_fail=operation.may_fail)
            if user is None and self._has_body_rule and action is not Action.LOGOUT:
                raise NotShown("the answer shows no user, and nothing of [anonymous]")  # noqa: TRY301
            # A page that shows its user has all values: one that is not there is 0, or an empty list.
            whole = user == account != ""
            if action is Action.ACCOUNT:  # it is also sent with the cookie of another session, whose values are others
                return Answer(OpOutcome.OK, user)
            if spec.counter is not None:
                visits = find_number(spec.counter, page)
                if visits is UNSET and action is Action.VISIT:
                    raise NotShown("the answer shows no counter")  # noqa: TRY301
                visits = 0 if visits is UNSET and whole else visits
            if spec.items is not None:
                found = find_items(spec.items, page)
                if found is UNSET and action is Action.ADD and user is not None:
                    raise NotShown("the answer shows no items")  # noqa: TRY301
                cart = (found or {}) if found or whole or action is Action.ADD else UNSET
        except NotShown as error:
            leads = f", and leads to {printable(where)}" if (where := _location(page.response)) else ""
            return Answer(OpOutcome.UNKNOWN, error=f"{error}{leads}")
        return Answer(OpOutcome.OK, user, visits, cart)

    def _make(self, spec: RequestSpec, values: Mapping[str, str | int], page: str) -> Request:
        """Return the request itself."""
        path = as_sent(str(fill(spec.path, values, _encode)))
        headers = self._headers(spec.headers, spec.verb, page or path, json=_wants_json(spec))
        headers = {name: as_header(str(fill(text, values))) for name, text in headers.items()}
        data = None
        if spec.json is None and spec.verb not in _SAFE:
            data = urlencode({name: fill(text, values) for name, text in (spec.form or {}).items()})
            headers.setdefault("Content-Type", _FORM)
        return Request(spec.verb, path, _fill_all(spec.json, values), data, headers, name=spec.path)

    def _headers(self, own: Mapping[str, str], method: str, referer: str, *, json: bool = False) -> dict[str, str]:
        """Return the headers of a request: those that a browser sends with a form, and the file's."""
        headers = {"Accept": "application/json" if json else _HTML, "Accept-Encoding": "identity"}
        if method in _SAFE:
            return {
                **headers,
                **{name: as_header(text) for name, text in self.headers.items() if TOKEN not in text},
                **own,
            }
        return {**headers, "Origin": self.url, "Referer": self.url + referer, **self.headers, **own}

    def _goes_to(self, request: Request, response: Response) -> str | None:
        """Return the path that an answer redirects to on this server; None for none. Raises NotShown."""
        where = resolve_location(self.url + request.path, _location(response))
        return where.path if where is not None and where.is_of(self.url, request.path) else None


def _nobody(action: Action, *, may_fail: bool) -> Answer:
    """Return the answer to an operation where nobody is logged in: a write was not carried out."""
    if action is Action.LOGIN:
        return Answer(OpOutcome.FAIL, error="" if may_fail else "the login is refused")
    return Answer(OpOutcome.FAIL) if action in _WRITES else Answer(OpOutcome.OK, user=None)


def _find_complaint(spec: RequestSpec, status: int, path: str | None) -> str | None:
    """Return what is wrong with the status, or the redirect, of an answer; None for nothing."""
    expected = as_statuses(spec.status)
    if status not in expected if expected else status >= 400:
        return f"status {status}"
    if spec.redirect is None or path == as_sent(spec.redirect):
        return None
    return (
        f"status {status}, and no redirect to {spec.redirect}"
        if path is None
        else (f"redirects to {printable(path)}, and not to {spec.redirect}")
    )


def _split(target: str) -> tuple[str, str]:
    """Return path and query."""
    path, _, query = target.partition("?")
    return path, query


def _location(response: Response) -> str:
    return next(iter(response.header("Location")), "") if response.status in REDIRECTS else ""


def _too_many(last: Response) -> str:
    return f"more than {MOST_REDIRECTS} redirects, the last one to {printable(_location(last))}"


def _wants_json(spec: RequestSpec) -> bool:
    readings = [one for one in (spec.user, spec.logged_in, spec.counter, spec.items) if one is not None]
    return any(one.json is not None for one in readings) or (spec.json is not None and not readings)


def _fill_all(value: Any, values: Mapping[str, str | int]) -> Any:
    """Return a JSON value with the templates in all its texts filled in."""
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, Mapping):
        return {name: _fill_all(one, values) for name, one in value.items()}
    return [_fill_all(one, values) for one in value] if isinstance(value, list) else value
