"""The adapter of a described target: its requests from templates, its answers by the file's readings."""

import http.client
import random
import re
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

import msgspec
from msgspec import UNSET, UnsetType

from loadtest.described.paths import Location, as_address, as_sent, is_same_page, resolve_location
from loadtest.described.prepared import SAFE, PreparedRequest, fill_path
from loadtest.described.readings import NotShown, Page, find_name, find_text, matches, read_answer, read_cookie
from loadtest.described.schema import (
    ACTIONS,
    CSRF,
    ITEM,
    NAMES,
    NEW_PASSWORD,
    PASSWORD,
    QUANTITY,
    USER,
    Anonymous,
    Csrf,
    RequestSpec,
    RequestSpecs,
    Statuses,
    TargetFile,
    as_statuses,
)
from loadtest.history import Action, OpOutcome
from loadtest.operations import Answer, Cookie, Exchange, Operation, Request, Response, printable

MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_REFUSED = "the login is refused"
REFUSED_OR_LOST = "refused, or lost"
_REFUSALS = frozenset({200, 400, 401, 403, 422})
"""Statuses of refused logins."""
_PASSWORD_FIELD = re.compile(rb"type\s*=\s*[\"']?password", re.IGNORECASE)
_READS = frozenset({Action.LOOK, Action.ACCOUNT, Action.LIST})


class DescribedAdapter(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """The requests of a file. Without `read` LOOK is `look`, and without `account` ACCOUNT; where `read` shows no user,
    LOOK is one of the two by chance.

    Without a `url` it is for any address, and its requests do not say which page sent them. It is sent to processes by
    its fields: what is worked out of them once is not among these.
    """

    url: str
    requests: RequestSpecs
    site_path: str
    headers: Mapping[str, str] = {}
    node_header: str = "X-Served-By"
    cookie_changes: bool = False
    login_empties: bool = False
    conflict: Statuses = ()
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
            login_empties=file.login_empties,
            conflict=file.conflict,
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
        return self._prepared["look"].make({})

    @cached_property
    def actions(self) -> frozenset[Action]:
        """The operations that the file has requests for."""
        return frozenset({Action.ACCOUNT, *(ACTIONS[name] for name in self._prepared)})

    @cached_property
    def _prepared(self) -> Mapping[str, PreparedRequest]:
        return {name: self._prepare(spec) for name, spec in self.requests.named()}

    def _prepare(self, spec: RequestSpec) -> PreparedRequest:
        return PreparedRequest(spec, self.url, self.headers)

    def exchange(self, operation: Operation, account: str, password: str, cookie: Cookie) -> Exchange:
        """Return the requests of an operation: the page with its token, itself, and where it redirects to."""
        return self._exchange(self._choose(operation.action), operation, account, password, cookie)

    def _choose(self, action: Action) -> PreparedRequest:
        """Return the request that carries an operation out."""
        prepared = self._prepared
        if action is not Action.LOOK:
            return prepared.get(NAMES[action]) or prepared["look"]
        read = prepared.get("read")
        if read is None:
            return prepared["look"]
        shows_user = read.spec.user is not None or read.spec.logged_in is not None
        return read if shows_user or random.random() < 0.5 else prepared["look"]  # noqa: S311  # no secret

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
        return self._exchange(self._prepare(spec), operation, account, password, cookie, logged_out=logged_out)

    def _exchange(
        self,
        prepared: PreparedRequest,
        operation: Operation,
        account: str,
        password: str,
        cookie: Cookie,
        *,
        logged_out: bool = False,
    ) -> Exchange:
        request = prepared.fixed
        if request is None:
            values: dict[str, str | int] = {
                USER: account,
                PASSWORD: password,
                NEW_PASSWORD: operation.new_password,
                ITEM: operation.item,
                QUANTITY: operation.quantity,
            }
            page = ""
            if prepared.sends_token:
                page = fill_path(prepared.spec.page or self.csrf.page or self.requests.look.path, values)
                try:
                    token = yield from self._find_token(page, cookie)
                except NotShown as error:  # nothing was done
                    return Answer(OpOutcome.FAIL, error=f"no token from {page}: {error}")
                if isinstance(token, Answer):
                    return token
                values[CSRF] = token
            request = prepared.make(values, page)
        logged_out |= operation.action is Action.LOGOUT
        try:
            answer = yield from self._carry_out(prepared, operation, account, request, logged_out=logged_out)
        except NotShown as error:
            return Answer(OpOutcome.UNKNOWN, error=str(error))
        # Many applications answer a wrong token as they do a wrong password: with the form.
        return replace(answer, refused=False) if answer.refused and prepared.sends_token else answer

    def _carry_out(
        self, prepared: PreparedRequest, operation: Operation, account: str, first: Request, *, logged_out: bool
    ) -> Exchange:
        """Return the requests of an operation from its `first` on. Raises NotShown where its outcome is unknown."""
        action, may_fail, spec = operation.action, operation.may_fail, prepared.spec
        request, response = first, (yield first)
        if response.status in REDIRECTS and (action not in _READS or request.method not in SAFE):
            request, response = yield from self._repeat(request, response)
        path, status = self._goes_to(request, response), response.status
        if status >= 500 and status not in prepared.expected:
            return Answer(OpOutcome.UNKNOWN, error=f"status {status}")
        if not logged_out and path != prepared.redirect and self._is_anonymous(status, path):
            return _nobody(action, may_fail=may_fail, why=_REFUSED if path is not None else f"status {status}")
        if not logged_out and action not in _READS and status in self._conflicts:
            return Answer(OpOutcome.FAIL)
        if (complaint := prepared.find_complaint(status, path)) is not None:
            moved = not is_same_page(first.path, _split(request.path)[0])
            if moved and action not in _READS | {Action.LOGIN}:
                # Some applications carry a write out and answer 307, where 303 would be right.
                return Answer(OpOutcome.UNKNOWN, error=f"{complaint}, repeated as {request.method} {request.path}")
            is_refused = action is Action.LOGIN and self._is_refusal(prepared.spec, response, path)
            return Answer(OpOutcome.FAIL, error="" if may_fail else complaint, refused=is_refused)
        shows = prepared.shows
        redirected = path is not None and spec.follow
        if redirected and action not in _READS | {Action.LOGIN}:
            # It was carried out. The page behind it is a look: other writes may have come in between.
            then = self._look_after(spec, request, response, account) if shows and not logged_out else None
            return Answer(OpOutcome.OK, then=then)
        if not shows and (logged_out or not self._has_body_rule):
            return Answer(OpOutcome.OK)
        last = (yield from self._follow(request, response)) if redirected else response
        if isinstance(last, Answer) and last.error:
            return last
        if isinstance(last, Answer):
            answer = _nobody(action, may_fail=may_fail)
        else:
            answer = self._read(spec, operation, account, Page(last), logged_out=logged_out)
        if redirected and action is Action.LOGIN and answer.outcome is OpOutcome.FAIL:
            error = answer.error and f"it leads to {printable(path or '')}, which shows nobody: {REFUSED_OR_LOST}"
            answer = Answer(OpOutcome.UNKNOWN, error=error)  # it may have been carried out
        return answer

    def _is_refusal(self, login: RequestSpec, response: Response, path: str | None) -> bool:
        """Return whether the application itself refuses a login: with the form again, JSON, or the way back to it. What
        a proxy answers, such as a page about maintenance or too many requests, is none of them."""
        if path is not None:
            pages = (login.path, login.page, self.csrf.page)
            return any(page is not None and is_same_page(path, as_sent(page)) for page in pages)
        if response.status not in _REFUSALS:
            return False
        is_json = response.status >= 400 and any("json" in one for one in response.header("Content-Type"))
        return is_json or _PASSWORD_FIELD.search(response.body) is not None

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
        if keeps or (is_same and request.method in SAFE and _split(where.target)[1] == query):
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
        page = fill_path(own.path, {USER: account})
        is_look = is_same_page(trail[-1], page) and _split(trail[-1])[1] == _split(page)[1]
        if spec.user is None and spec.logged_in is None and is_look:
            spec = msgspec.structs.replace(spec, user=own.user, logged_in=own.logged_in)  # or it passes for this user's
        return self._read(spec, look, account, Page(last))

    @cached_property
    def _has_body_rule(self) -> bool:
        """Whether the body of an answer can mean that nobody is logged in."""
        return any((self.anonymous.css, self.anonymous.json, self.anonymous.regex))

    def _find_token(self, page: str, cookie: Cookie) -> Generator[Request, Response, str | Answer]:
        """Return the token; an answer where there is none."""
        if self.csrf.cookie is not None and (token := read_cookie(self.csrf, cookie(self.csrf.cookie))):
            return token
        request = Request("GET", page, headers=self._page_headers, before=True)
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
        before: bool = False,
        trail: list[str] | None = None,
    ) -> Generator[Request, Response, Response | Answer]:
        """Follow redirects to the last answer, and note their targets in `trail`. Return an answer where they end with
        an error, or for nobody. Raises NotShown."""
        trail = [] if trail is None else trail
        while (path := self._goes_to(request, response)) is not None:
            where = resolve_location(self.url + request.path, _location(response))
            target = path if where is None else where.target
            trail.append(target)
            if len(trail) > MOST_REDIRECTS:
                return Answer(OpOutcome.UNKNOWN, error=_too_many(response))
            if response.status in _KEEP_METHOD:
                request = request._replace(path=target, name=path, before=before)
            else:
                request = Request("GET", target, headers=self._page_headers, name=path, before=before)
            response = yield request
            if self._is_anonymous(response.status, self._goes_to(request, response)):
                return Answer(OpOutcome.OK, user=None)
            if response.status >= 400:
                what = f"{request.method} {printable(path)}: status {response.status}"
                return Answer(OpOutcome.UNKNOWN, error=what)
        return response

    @cached_property
    def _page_headers(self) -> Mapping[str, str]:
        """The headers of pages on the way: those with a token, and those that redirects lead to."""
        return self._prepare(RequestSpec("/")).make({}).headers or {}

    @cached_property
    def _conflicts(self) -> tuple[int, ...]:
        return as_statuses(self.conflict)

    @cached_property
    def _nobody_by(self) -> tuple[tuple[int, ...], str]:
        """The statuses and the redirect that mean that nobody is logged in."""
        return as_statuses(self.anonymous.status), as_sent(self.anonymous.redirect or "")

    def _is_anonymous(self, status: int, redirect: str | None) -> bool:
        """Return whether status or redirect mean that nobody is logged in."""
        statuses, path = self._nobody_by
        return status in statuses or (redirect is not None and redirect == path)

    def _read(
        self, spec: RequestSpec, operation: Operation, account: str, page: Page, *, logged_out: bool = False
    ) -> Answer:
        """Read the values of the last answer."""
        action = operation.action
        user: str | UnsetType | None = UNSET
        if not logged_out and self._has_body_rule and matches(self.anonymous, page):
            if action is not Action.LOOK:
                return _nobody(action, may_fail=operation.may_fail)
            with suppress(NotShown):  # a visitor's session may have values, too
                return read_answer(spec, action, None, page)
            return Answer(OpOutcome.OK, None)
        try:
            if spec.user is not None:
                user = printable(find_name(spec.user, page)) or None
            elif spec.logged_in is not None:
                user = account if find_name(spec.logged_in, page) else None
            if user is None and action is Action.LOGIN:
                return _nobody(action, may_fail=operation.may_fail)
            if user is None and self._has_body_rule and action is not Action.LOGOUT:
                raise NotShown("the answer shows no user, and nothing of [anonymous]")  # noqa: TRY301
            if action is Action.ACCOUNT:  # it is also sent with the cookie of another session, whose values are others
                return Answer(OpOutcome.OK, user)
            return read_answer(spec, action, user, page, is_whole=user == account != "")
        except NotShown as error:
            leads = f", and leads to {printable(where)}" if (where := _location(page.response)) else ""
            return Answer(OpOutcome.UNKNOWN, error=f"{error}{leads}")

    def _goes_to(self, request: Request, response: Response) -> str | None:
        """Return the path that an answer redirects to on this server; None for none. Raises NotShown."""
        if not (location := _location(response)):
            return None
        where = resolve_location(self.url + request.path, location)
        return where.path if where is not None and where.is_of(self.url, request.path) else None


def _nobody(action: Action, *, may_fail: bool, why: str = _REFUSED) -> Answer:
    """Return the answer to an operation where nobody is logged in: a write was not carried out. `why`: of a login."""
    if action is Action.LOGIN:
        return Answer(OpOutcome.FAIL, error="" if may_fail else why, refused=True)
    return Answer(OpOutcome.OK, user=None) if action in _READS else Answer(OpOutcome.FAIL)


def _split(target: str) -> tuple[str, str]:
    """Return path and query."""
    path, _, query = target.partition("?")
    return path, query


def _location(response: Response) -> str:
    return next(iter(response.header("Location")), "") if response.status in REDIRECTS else ""


def _too_many(last: Response) -> str:
    return f"more than {MOST_REDIRECTS} redirects, the last one to {printable(_location(last))}"
