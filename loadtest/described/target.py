"""The target that a file describes: what load tests, experiments and the console need of it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import msgspec

from deploy import ClusterError
from loadtest.checker import Kind
from loadtest.claims.claim import Sight
from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.check import find_misread
from loadtest.described.description import TargetDescription
from loadtest.described.runtime import DescribedCluster
from loadtest.described.schema import RequestSpec, TargetFile
from loadtest.described.users import certificate_hint, make_users
from loadtest.history import Action
from loadtest.operations import Operation
from loadtest.target import TargetError, answering, converse, make_browser
from nodes.sessions import Lifetime

_LONGER_THAN_A_RUN = 10**9


class DescribedTarget:
    """A `loadtest.target.Target`. Entering it starts its cluster, if it has one, and makes its users."""

    visitor_action = Action.LOOK

    def __init__(self, description: TargetDescription, cluster: DescribedCluster | None = None) -> None:
        file = description.file
        self.described = description
        self.cluster = cluster
        self.url = file.url.rstrip("/")
        self.users: Mapping[str, str] = file.users.accounts
        self.session_cookie = file.cookie
        self.authority: Path | None = None if file.authority is None else description.resolve(file.authority)
        self.insecure = file.insecure
        self.adapter = DescribedAdapter.from_file(file)
        self.lacks = find_lacks(file, description.path.name)

    @property
    def title(self) -> str:
        """Its name."""
        return self.described.file.name or self.described.path.stem

    @property
    def session_lifetime(self) -> Lifetime | None:
        """The timeouts of the file; one that it doesn't have is longer than any run."""
        file = self.described.file
        if file.idle_timeout is None and file.lifetime is None:
            return None
        return Lifetime(file.idle_timeout or _LONGER_THAN_A_RUN, file.lifetime or _LONGER_THAN_A_RUN)

    @property
    def description(self) -> Mapping[str, Any]:
        """Description for records."""
        runtime = self.described.file.runtime
        known = {"node": self.title, "runtime": None if runtime is None else runtime.kind.value}
        with suppress(ClusterError):  # its engine does not answer
            if self.cluster is not None:
                known["members"] = ", ".join(map(self.cluster.show, self.cluster.own_names()))
        return known

    def __enter__(self) -> Self:
        if self.cluster is not None:
            self.cluster.start()
        try:
            self.prepare()
        except BaseException:  # Ctrl-C too
            if self.cluster is not None:
                self.cluster.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.cluster is not None:
            self.cluster.stop()

    def prepare(self) -> None:
        """Look as a visitor, make the users, and see that each request is answered as described. Raises TargetError
        and ClusterError."""
        with answering(self.url, certificate_hint(self.described)):
            browser, look = make_browser(self), Operation(Action.LOOK)
            exchange = self.adapter.exchange_of(self.adapter.requests.look, look, "", "", browser.value)
            reply = converse(self, Conversation(exchange, browser, look.action))
        if reply.answer.error:
            where = self.described.where("requests", "look")
            what = f"{reply.request.method} {reply.request.path}"
            raise TargetError(f"{where}: {what} is not answered as described: {reply.answer.error}")
        make_users(self, self.adapter, self.described, self.cluster)
        misread, login_empties = find_misread(self)
        if login_empties:
            self.adapter = msgspec.structs.replace(self.adapter, login_empties=True)
        if misread:
            first, *more = misread
            rest = f"; `session-cluster target check {self.described.path}` shows {len(more)} more" if more else ""
            raise TargetError(f"{first}{rest}")


def _list_looks(file: TargetFile) -> Iterator[RequestSpec]:
    """Yield the requests whose answers show what a session holds: `look` does where `read` does not replace it."""
    given = file.requests
    yield from filter(None, (given.count, given.add, given.read, given.empty))
    if given.read is None or (given.read.user is None and given.read.logged_in is None):
        yield given.look


def find_lacks(file: TargetFile, name: str) -> dict[Kind | Sight, str]:
    """Return what the answers that a file describes can't show, each with the reason in one line."""
    requests, lacks = dict(file.requests.named()), dict[Kind | Sight, str]()
    unseen: dict[Kind | Sight, str] = {
        sight: f"{name} shows no {value}"
        for write, value, sight in (("count", "counter", Sight.COUNTS), ("add", "items", Sight.ADDS))
        if write in requests and not any(getattr(one, value) for one in _list_looks(file))
    }
    writes = {"count", "add"} & requests.keys()
    if not writes:
        why = f"{name} has no request count or add"
        lacks |= dict.fromkeys((Kind.UPDATE_LOST, Kind.STALE_READ, Kind.MISDIRECTED), why)
    elif len(unseen) == len(writes):
        why = f"{name} shows no counter and no items" if len(unseen) > 1 else next(iter(unseen.values()))
        lacks |= dict.fromkeys((Kind.UPDATE_LOST, Kind.STALE_READ), why)
    else:
        lacks |= unseen
    if "empty" not in requests or "add" not in requests:
        lacks[Kind.EMPTYING_UNDONE] = f"{name} has no request {'add' if 'empty' in requests else 'empty'}"
    elif Sight.ADDS in unseen:
        lacks[Kind.EMPTYING_UNDONE] = unseen[Sight.ADDS]
    if not {"logout", "end_others", "password"} & requests.keys():
        lacks[Kind.REVIVED] = f"{name} has no request logout, end_others or password"
    if file.cookie_changes:
        lacks[Kind.MISDIRECTED] = f"{name}: the session's cookie changes with each answer"
    if len(unseen) == len(writes):  # no write is shown, and names alone tell sessions apart
        if not any(one.user for one in requests.values()):
            lacks[Kind.CROSSED] = f"{name} shows no names, and no counter or items that change"
        elif len(file.users.accounts) == 1:
            lacks[Kind.CROSSED] = f"{name} has one account, and shows no counter or items that change"
    if "password" not in requests:
        lacks[Kind.PASSWORD_UNDONE] = f"{name} has no request password"
    if file.node_header is None:
        lacks[Sight.NODES] = f"{name} has no node_header"
    if file.site is None:
        lacks[Sight.SITE] = f"{name} has no site"
    return lacks
