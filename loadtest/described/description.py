"""Read the TOML file of a target, and check what its keys' types don't: everything before anything runs."""

import re
import shlex
from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from deploy.cluster import Role
from loadtest.described.reachable import find_address_mistake
from loadtest.described.readings import find_css_mistake
from loadtest.described.schema import (
    CSRF,
    ITEM,
    NEW_PASSWORD,
    PASSWORD,
    QUANTITY,
    USER,
    Anonymous,
    Csrf,
    MemberSpec,
    Reading,
    RequestSpec,
    Runtime,
    RuntimeKind,
    Statuses,
    TargetFile,
    UsersSpec,
    as_statuses,
    templates,
)
from loadtest.described.toml import Place, TomlDocument
from loadtest.described.unused_keys import find_unused_keys
from loadtest.operations import ADDRESS, is_address
from proxy.settings import did_you_mean

_OF_USERS = frozenset({USER, PASSWORD})
_NUMBER = frozenset({"n"})
_LONGEST = 86_400.0
"""Seconds of a timeout: the operating system has a limit, too."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IN_SHELL = re.compile(r"(?<!\$)\{([a-z_]+)\}")
"""A template in a command: ${name} is a variable of the shell."""
_OF_SHELL = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"})
_NEAR = 0.8
_OF_RUNTIME = frozenset({"state", "folder"})
_ALLOWED = {
    "login": _OF_USERS,
    "add": frozenset({ITEM, QUANTITY}),
    "end_others": _OF_USERS,
    "password": _OF_USERS | {NEW_PASSWORD},
}
"""The templates of requests, beside {user} and {csrf}."""


class TargetDescription(msgspec.Struct, frozen=True):
    """A file that was read: its path, its content, and where each key is."""

    path: Path
    file: TargetFile
    document: TomlDocument

    def where(self, *place: str | int) -> str:
        """Return the file and line of a key: "shop.toml:12"."""
        return self.document.where(place)

    def resolve(self, path: str) -> Path:
        """Return a path of the file, which is relative to its folder."""
        return self.path.parent.resolve() / path


def read_description(path: Path) -> TargetDescription:
    """Read and check a file. Raises DescriptionError with one line for each mistake."""
    document = TomlDocument(path)
    file = document.convert(TargetFile)
    for place, what in (*_find_mistakes(file, path), *find_unused_keys(file, document.values)):
        document.complain(place, what)
    document.check()
    return TargetDescription(path, file, document)


def _find_mistakes(file: TargetFile, path: Path) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong although every key has the right type."""
    if not is_address(file.url):
        yield ("url",), f"url must be {ADDRESS}, not {file.url!r}"
    if not re.fullmatch(r"[^\s=;,]+", file.cookie):
        yield ("cookie",), f"cookie must be the name of the session's cookie, not {file.cookie!r}"
    if file.authority is not None and not (path.parent / file.authority).is_file():
        yield ("authority",), f"authority must be a file with a certificate, not {file.authority!r}"
    if file.site is not None and not file.site.startswith("/"):
        yield ("site",), f"site must begin with /, not {file.site!r}"
    if file.node_header is not None and not _HEADER_NAME.fullmatch(file.node_header):
        yield ("node_header",), f"node_header must be the name of a header, not {file.node_header!r}"
    yield from _check_headers(("headers",), file.headers)
    if CSRF in templates(file.headers) and file.csrf is None:
        yield ("headers",), "headers send {csrf}, without a table [csrf]"
    for key in ("idle_timeout", "lifetime"):
        if (seconds := getattr(file, key)) is not None and seconds <= 0:
            yield (key,), f"{key} must be seconds from 1 on, not {seconds}"
    for name, request in file.requests.named():
        yield from _check_request(("requests", name), request, file, _ALLOWED.get(name, frozenset()))
    for name, needed in (("add", ITEM), ("login", USER), ("password", NEW_PASSWORD)):
        request = getattr(file.requests, name)
        if request is not None and needed not in templates(msgspec.to_builtins(request)):
            yield ("requests", name), f"requests.{name} must send {{{needed}}}"
    look = file.requests.look
    if look.user is None and look.logged_in is None:
        yield ("requests", "look"), "requests.look must show the user: give it user, or logged_in"
    yield from _check_conflict(file)
    if file.anonymous is not None:
        yield from _check_reading(("anonymous",), file.anonymous, several=True)
        yield from _check_statuses(("anonymous", "status"), file.anonymous.status)
    if file.csrf is not None:
        yield from _check_csrf(file.csrf)
    yield from _check_users(file.users, file)
    if file.runtime is not None:
        yield from _check_runtime(file.runtime, path.parent)


def _check_request(
    place: Place, request: RequestSpec, file: TargetFile, allowed: frozenset[str]
) -> Iterator[tuple[Place, str]]:
    name = ".".join(map(str, place))
    allowed |= {CSRF, USER}
    for key, value in (("path", request.path), ("page", request.page)):
        if value is not None and not value.startswith("/"):
            yield (*place, key), f"{name}.{key} must begin with /, not {value!r}"
    yield from _check_redirect(place, request.redirect)
    yield from _check_statuses((*place, "status"), request.status)
    for key in ("path", "form", "json", "headers", "page"):
        for unknown in sorted(templates(getattr(request, key)) - allowed):
            yield (*place, key), f"{name}.{key} has no {{{unknown}}}: {did_you_mean(unknown, sorted(allowed))}"
    if request.form is not None and request.json is not None:
        yield (*place, "json"), f"{name} must have form or json, not both"
    if not re.fullmatch(r"[A-Z]+", request.verb):
        yield (*place, "method"), f"{name}.method must be a method such as POST, not {request.method!r}"
    if request.verb == "GET" and (request.form is not None or request.json is not None):
        yield (*place, "method"), f"{name}.method must not be GET: it has a form or json"
    if CSRF in templates(msgspec.to_builtins(request)):
        if file.csrf is None:
            yield place, f"{name} sends {{csrf}}, without a table [csrf]"
        elif file.csrf.cookie is None and file.csrf.page is None and request.page is None:
            yield place, f"{name} sends {{csrf}}: give it page, or [csrf] a page for all"
    yield from _check_headers((*place, "headers"), request.headers)
    for key in ("user", "logged_in", "counter", "items"):
        if (reading := getattr(request, key)) is not None:
            yield from _check_reading((*place, key), reading)


def _check_csrf(csrf: Csrf) -> Iterator[tuple[Place, str]]:
    if csrf.page is not None and not csrf.page.startswith("/"):
        yield ("csrf", "page"), f"csrf.page must begin with /, not {csrf.page!r}"
    for unknown in sorted(templates(csrf.page) - {USER}):
        yield ("csrf", "page"), f"csrf.page has no {{{unknown}}}: {did_you_mean(unknown, [USER])}"
    yield from _check_reading(("csrf",), csrf, several=csrf.cookie is not None)


def _check_reading(
    place: Place, reading: Reading | Anonymous | Csrf, several: bool = False
) -> Iterator[tuple[Place, str]]:
    """Check where a value is read; `several` of the keys may be given."""
    name = ".".join(map(str, place))
    sources = [key for key in ("json", "css", "header") if getattr(reading, key, None) is not None]
    if not several and (len(sources) > 1 or (not sources and reading.regex is None)):
        yield place, f"{name} must have one of json, css, header and regex"
    if reading.json is not None and reading.json and not reading.json.startswith("/"):
        yield (*place, "json"), f"{name}.json must be a JSON pointer such as /user, not {reading.json!r}"
    if reading.css is not None and (wrong := find_css_mistake(reading.css)):
        yield (*place, "css"), f"{name}.css {wrong}"
    if reading.regex is not None:
        try:
            compiled = re.compile(reading.regex)
            if compiled.groups == 1 and "quantity" in compiled.groupindex:
                yield (*place, "regex"), f"{name}.regex has a group quantity: give it one for the item, too"
        except re.error as error:
            yield (*place, "regex"), f"{name}.regex is not a regular expression: {error}"
    yield from _check_redirect(place, getattr(reading, "redirect", None))


def _check_redirect(place: Place, redirect: str | None) -> Iterator[tuple[Place, str]]:
    name = f"{'.'.join(map(str, place))}.redirect"
    if redirect is not None and not redirect.startswith("/"):
        yield (*place, "redirect"), f"{name} must begin with /, not {redirect!r}"
    elif redirect is not None and "?" in redirect:
        yield (*place, "redirect"), f"{name} must be a path without a query, which is not compared, not {redirect!r}"
    for found in sorted(templates(redirect)):
        what = f"{name} must have no {{{found}}}, which is not filled in: give user or status instead"
        yield (*place, "redirect"), what


def _check_statuses(place: Place, statuses: Statuses) -> Iterator[tuple[Place, str]]:
    for status in as_statuses(statuses):
        if not 100 <= status <= 599:
            yield place, f"{'.'.join(map(str, place))} must be from 100 to 599, not {status}"


def _check_conflict(file: TargetFile) -> Iterator[tuple[Place, str]]:
    """Check the statuses of writes that were not carried out: none that says that one was, or may have been."""
    conflicts = as_statuses(file.conflict)
    for status in conflicts:
        if not 400 <= status <= 499:
            yield ("conflict",), f"conflict must be from 400 to 499, not {status}"
    for name, request in file.requests.named():
        for status in as_statuses(request.status):
            if status in conflicts:
                yield ("requests", name, "status"), f"requests.{name}.status must not be in conflict, as {status} is"


def _check_users(users: UsersSpec, file: TargetFile) -> Iterator[tuple[Place, str]]:
    if users.passwords is None and (users.name is None or users.password is None):
        yield ("users",), 'users must have passwords = {NAME = "…"}, or name and password with {n}'
        return
    if not 1 <= users.count <= 100_000:
        yield ("users", "count"), f"users.count must be between 1 and 100000, not {users.count}"
    elif not users.accounts:
        yield ("users", "passwords"), "users.passwords must have at least one user"
    elif users.passwords is None and users.count > 1 and "{n}" not in (users.name or ""):
        yield ("users", "name"), f"users.name must have {{n}}, the number of the user, not {users.name!r}"
    for key in ("name", "password"):
        for unknown in sorted(templates(getattr(users, key)) - _NUMBER):
            yield ("users", key), f"users.{key} has no {{{unknown}}}: {did_you_mean(unknown, _NUMBER)}"
    if users.sign_up is not None:
        yield from _check_request(("users", "sign_up"), users.sign_up, file, _OF_USERS)
        if users.command is not None:
            yield ("users", "command"), "users must have sign_up or command, not both"
    if users.command is not None:
        yield from _check_near(("users", "command"), users.command, {*_OF_USERS, *_OF_RUNTIME})


def _check_runtime(runtime: Runtime, folder: Path) -> Iterator[tuple[Place, str]]:
    names = [name for role in Role for name in getattr(runtime.roles, role.value)]
    for role in Role:
        for name in getattr(runtime.roles, role.value):
            if names.count(name) > 1:
                yield ("runtime", "roles", role.value), f"{name} must have one role, and once"
            if not name:
                yield ("runtime", "roles", role.value), f"runtime.roles.{role} must have names, not ''"
    if not names:
        yield ("runtime",), "runtime.roles must name members: proxy, node, store or sentinel"
    for name in runtime.members:
        if name not in names:
            yield ("runtime", "members", name), f"runtime.members.{name} has no role: {did_you_mean(name, names)}"
        yield from _check_member(("runtime", "members", name), runtime.members[name])
    if runtime.kind is RuntimeKind.COMPOSE:
        if runtime.file is None and runtime.project is None:
            yield ("runtime",), "runtime must have file, project or both"
        if runtime.file is not None and not runtime.files:
            yield ("runtime", "file"), "runtime.file must name a compose file, or be left out"
        for at, name in enumerate(runtime.files):
            if not (folder / name).is_file():
                yield ("runtime", "file", at), f"runtime.file must be a compose file, not {name!r}"
    for key in ("start_timeout", "timeout"):
        if not 0 < (seconds := getattr(runtime, key)) <= _LONGEST:  # nor is it nan
            yield (
                ("runtime", key),
                f"runtime.{key} must be seconds, more than 0 and up to {_LONGEST:.0f}, not {seconds}",
            )
    for key in ("listen", "to") if runtime.store_proxy is not None else ():
        value = getattr(runtime.store_proxy, key)
        if why := find_address_mistake(f"tcp://{value}"):
            yield ("runtime", "store_proxy", key), f"runtime.store_proxy.{key} must be HOST:PORT, not {value!r}: {why}"
    if runtime.store_proxy is not None and runtime.store_proxy.listen == runtime.store_proxy.to:
        what = "runtime.store_proxy.listen must not be `to`, where the store itself is: the nodes use listen"
        yield ("runtime", "store_proxy", "listen"), what
    yield from _check_commands(runtime)
    yield from _check_texts(("runtime",), msgspec.to_builtins(runtime))
    yield from _check_names(("runtime", "environment"), runtime.environment)


def _check_commands(runtime: Runtime) -> Iterator[tuple[Place, str]]:
    """Check the templates of commands and of texts for members."""
    place: Place = ("runtime",)
    actions = msgspec.to_builtins(runtime.actions)
    if runtime.actions.scale is not None and "nodes" not in templates(runtime.actions.scale):
        yield (*place, "actions", "scale"), "runtime.actions.scale must have {nodes}, the number to scale to"
    for key, text in actions.items():
        own = "nodes" if key == "scale" else "member"
        yield from _check_near((*place, "actions", key), text, {own, *_OF_RUNTIME})
    for key in ("setup", "environment"):
        yield from _check_near((*place, key), getattr(runtime, key), _OF_RUNTIME)
    for name, member in runtime.members.items():
        for key in ("start", "environment", "pid_file", "log"):
            known = {"member", *_OF_RUNTIME} if key == "start" else _OF_RUNTIME
            yield from _check_near((*place, "members", name, key), getattr(member, key), known)


def _check_near(place: Place, value: Any, known: Set[str]) -> Iterator[tuple[Place, str]]:
    """Check a text, or a table of texts, for a {name} that is nearly one of the known ones: others are the shell's."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _check_near((*place, key), one, known)
        return
    for name in dict.fromkeys(_IN_SHELL.findall(value or "")):
        if name not in known and (near := get_close_matches(name, sorted(known), n=1, cutoff=_NEAR)):
            yield place, f"{'.'.join(map(str, place))} has no {{{name}}}: did you mean {near[0]!r}?"


def _check_member(place: Place, member: MemberSpec) -> Iterator[tuple[Place, str]]:
    name = ".".join(map(str, place))
    if member.start is not None:
        try:
            words = shlex.split(member.start)
            if not any(words[:1]):
                yield (*place, "start"), f"{name}.start must be a command, not {member.start!r}"
            elif re.match(r"\w+=", words[0]) or _OF_SHELL.intersection(words):
                instead = "give environment and folder, or sh -c '...'"
                yield (
                    (*place, "start"),
                    f"{name}.start must be a command without a shell, not {member.start!r}: {instead}",
                )
        except ValueError as error:
            yield (*place, "start"), f"{name}.start must be a command: {str(error).lower()} in {member.start!r}"
    if member.ready is not None and (why := find_address_mistake(member.ready)):
        what = "must be http://HOST[:PORT]/PATH or tcp://HOST:PORT"
        yield (*place, "ready"), f"{name}.ready {what}, not {member.ready!r}: {why}"
    yield from _check_names((*place, "environment"), member.environment)


def _check_names(place: Place, environment: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
    for name in environment:
        if not name or "=" in name or "\0" in name:
            yield (*place, name), f"{'.'.join(map(str, place))} must have names of variables, not {name!r}"


def _check_headers(place: Place, headers: Mapping[str, str]) -> Iterator[tuple[Place, str]]:
    for name, text in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield (*place, name), f"{'.'.join(map(str, place))} must have names of headers, not {name!r}"
        if _CONTROL.search(text):
            yield (*place, name), f"{'.'.join(map(str, place))}.{name} must have no control characters: {text!r}"


def _check_texts(place: Place, value: Any) -> Iterator[tuple[Place, str]]:
    """Look for NUL in what becomes commands, paths and variables: the operating system takes none."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _check_texts((*place, key), one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _check_texts(place, one)
    elif isinstance(value, str) and "\0" in value:
        yield place, f"{'.'.join(map(str, place))} must have no NUL: {value!r}"
