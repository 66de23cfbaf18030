"""The TOML file that describes a target: its keys, and the checks before anything runs. docs/targets.md explains it."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from deploy.cluster import Role
from loadtest.history import Action

Statuses = int | tuple[int, ...]
_TEMPLATE = re.compile(r"\{([a-z_]+)\}")
USER, PASSWORD, CSRF, ITEM, QUANTITY = "user", "password", "csrf", "item", "quantity"
NEW_PASSWORD = "new_password"  # noqa: S105  # no secret
TOKEN = "{csrf}"  # noqa: S105  # no secret


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where an answer has a value: at a JSON pointer, in the elements of a CSS selector (their text or an attribute),
    or in a header. A regular expression takes its first group, or all of its match, from there or from the body."""

    json: str | None = None
    css: str | None = None
    attribute: str | None = None
    header: str | None = None
    regex: str | None = None


class ItemsReading(Reading, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where an answer has a list: the values are the items, as often as they are there, or a JSON object has
    their quantities. The groups `item` and `quantity` of the regular expression, or these JSON pointers into each
    element, tell them apart."""

    item: str | None = None
    quantity: str | None = None


class Anonymous(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An answer that means "nobody is logged in": its status, the path that it redirects to, or what it has."""

    status: Statuses = ()
    redirect: str | None = None
    json: str | None = None
    css: str | None = None
    regex: str | None = None


class Csrf(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the token {csrf} comes from: a page (css with attribute, json or regex), a cookie, or a header of a page.

    `page` is requested before each request that sends {csrf}, for a cookie only while there is none. A cookie's value
    is percent-decoded, as scripts do, before `regex` is applied.
    """

    page: str | None = None
    cookie: str | None = None
    header: str | None = None
    css: str | None = None
    attribute: str | None = "value"
    json: str | None = None
    regex: str | None = None


class RequestSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request, and what its answer shows. Texts may have {user}, {password}, {new_password}, {csrf}, {item} and
    {quantity}.

    `method` is POST with `form` or `json`, else GET. `page` replaces that of [csrf]. The answer must have the `status`
    (without: any below 400) and redirect to the path `redirect`, if they are given; values are read from the answer at
    the end of all redirects, unless `follow` is false. `logged_in` is there for users whose name is not shown.
    """

    path: str
    method: str | None = None
    form: Mapping[str, str | int] | None = None
    json: Any = None
    headers: Mapping[str, str] = {}
    page: str | None = None
    status: Statuses = ()
    redirect: str | None = None
    follow: bool = True
    user: Reading | None = None
    logged_in: Reading | None = None
    counter: Reading | None = None
    items: ItemsReading | None = None

    @property
    def verb(self) -> str:
        """The HTTP method."""
        return self.method or ("GET" if self.form is None and self.json is None else "POST")


class RequestSpecs(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The requests of a target. `look` shows who is logged in, `count` adds 1 to a counter of the session, `add` adds
    {item} to a list of the session, `read` shows both, `empty` empties the list. `account` is a page for logged-in
    users alone, `sessions` lists those of the user, `end_others` ends all of them but this one, and `password` changes
    {password} to {new_password}."""

    look: RequestSpec
    login: RequestSpec
    logout: RequestSpec | None = None
    count: RequestSpec | None = None
    add: RequestSpec | None = None
    read: RequestSpec | None = None
    empty: RequestSpec | None = None
    account: RequestSpec | None = None
    sessions: RequestSpec | None = None
    end_others: RequestSpec | None = None
    password: RequestSpec | None = None

    def named(self) -> Iterator[tuple[str, RequestSpec]]:
        """Yield the requests that there are, with their keys."""
        for name in self.__struct_fields__:
            if (request := getattr(self, name)) is not None:
                yield name, request


ACTIONS = {
    "look": Action.LOOK,
    "login": Action.LOGIN,
    "logout": Action.LOGOUT,
    "count": Action.VISIT,
    "add": Action.ADD,
    "read": Action.LOOK,
    "empty": Action.EMPTY,
    "account": Action.ACCOUNT,
    "sessions": Action.LIST,
    "end_others": Action.END_OTHERS,
    "password": Action.PASSWORD,
}
"""The operation of the history that each request carries out."""
NAMES = {action: name for name, action in ACTIONS.items() if name != "read"}
"""What the file calls the request of an operation."""


class UsersSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The accounts: `passwords` by name, or `count` accounts whose `name` and `password` have {n}, from 1 on.

    Where the last one can't log in, those that can't are made: by the request `sign_up`, or by a shell command with
    {user} and {password}, for each; a command without {user} makes all of them.
    """

    passwords: Mapping[str, str] | None = None
    count: int = 30
    name: str | None = None
    password: str | None = None
    sign_up: RequestSpec | None = None
    command: str | None = None

    @property
    def accounts(self) -> dict[str, str]:
        """Name -> password."""
        if self.passwords is not None:
            return dict(self.passwords)
        numbers = range(1, self.count + 1)
        return {_number(self.name or "", n): _number(self.password or "", n) for n in numbers}


def _number(template: str, n: int) -> str:
    return template.replace("{n}", str(n))


class RuntimeKind(StrEnum):
    """How the members of a target are started and stopped."""

    COMPOSE = "compose"
    PROCESSES = "processes"
    COMMANDS = "commands"


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The members of each role; of a compose file the services."""

    proxy: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    store: tuple[str, ...] = ()
    sentinel: tuple[str, ...] = ()

    @property
    def members(self) -> dict[str, Role]:
        """The names, with their roles."""
        return {name: role for role in Role for name in getattr(self, role.value)}


class MemberSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member. `ready` is a request that it answers when it serves: http://…, or tcp://HOST:PORT."""

    start: str | None = None
    folder: str | None = None
    environment: Mapping[str, str] = {}
    ready: str | None = None
    pid_file: str | None = None
    log: str | None = None


class RuntimeActions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shell commands with {member}; of `scale` with {nodes}."""

    kill: str | None = None
    pause: str | None = None
    resume: str | None = None
    restart: str | None = None
    scale: str | None = None
    state: str | None = None
    ready: str | None = None
    log: str | None = None


class StoreProxy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The nodes reach the store at `listen`, and it listens at `to` itself: the runtime passes data on in between."""

    listen: str
    to: str


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the target is broken. Paths are relative to the file. `setup` is run once, before the first member starts.
    Of several a later `file` changes those before it, as for compose."""

    kind: RuntimeKind
    file: str | tuple[str, ...] | None = None
    project: str | None = None
    setup: str | None = None
    environment: Mapping[str, str] = {}
    start_timeout: float = 60.0
    timeout: float = 30.0
    store_proxy: StoreProxy | None = None
    roles: Roles = Roles()
    members: Mapping[str, MemberSpec] = {}
    actions: RuntimeActions = RuntimeActions()

    @property
    def files(self) -> tuple[str, ...]:
        """The compose files."""
        return (self.file,) if isinstance(self.file, str) else self.file or ()


class TargetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `cookie` is the session's; with `cookie_changes` every answer may bring another value of it.
    With `login_empties` a login begins a session without the counter and the list of the one before.
    `conflict` is the status of a write that was not carried out because the session changed meanwhile.

    `node_header` names the header with the node that answered, `site` is the path of a page without a session.
    Sessions expire after `idle_timeout` seconds without a request, and `lifetime` seconds after their beginning; None:
    not within a run.
    """

    url: str
    cookie: str
    requests: RequestSpecs
    users: UsersSpec
    name: str = ""
    cookie_changes: bool = False
    login_empties: bool = False
    authority: str | None = None
    insecure: bool = False
    headers: Mapping[str, str] = {}
    node_header: str | None = None
    site: str | None = None
    idle_timeout: int | None = None
    lifetime: int | None = None
    conflict: Statuses = ()
    anonymous: Anonymous | None = None
    csrf: Csrf | None = None
    runtime: Runtime | None = None


def templates(value: Any) -> set[str]:
    """Return the names in braces in all texts of a value."""
    if isinstance(value, str):
        return set(_TEMPLATE.findall(value))
    if isinstance(value, Mapping):
        return {name for one in value.values() for name in templates(one)}
    return {name for one in value for name in templates(one)} if isinstance(value, list | tuple) else set()


def sends_token(spec: RequestSpec, headers: Mapping[str, str]) -> bool:
    """Return whether a request sends {csrf}; `headers` are those of all requests, and GET has no token."""
    common = headers if spec.verb != "GET" else ""
    return TOKEN in f"{spec.path}{spec.form}{spec.json}{spec.headers}{common}"


def fill(text: str | int, values: Mapping[str, str | int], encode: Callable[[str], str] = str) -> str | int:
    """Return a text with its templates filled in; one that is nothing but the template of a number is the number."""
    if not isinstance(text, str) or "{" not in text:
        return text
    if (name := _find_whole(text)) in values:
        value = values[name]
        return value if isinstance(value, int) else encode(value)
    return _TEMPLATE.sub(lambda found: encode(str(values[found[1]])) if found[1] in values else found[0], text)


@lru_cache(maxsize=1024)
def _find_whole(text: str) -> str:
    """Return the name of the template that a text is nothing but; "" for any other text."""
    found = _TEMPLATE.fullmatch(text)
    return found[1] if found else ""


def as_statuses(given: Statuses) -> tuple[int, ...]:
    """Return the statuses of a key that may have one or several."""
    return (given,) if isinstance(given, int) else given
