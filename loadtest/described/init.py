"""`session-cluster target init`: the file of a target, begun from a compose file, with guesses marked as such."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.cluster import Role
from loadtest.described.compose_file import ComposeFile
from loadtest.described.frameworks import Framework, find_framework
from loadtest.described.guess import guess_roles
from loadtest.described.toml import DescriptionError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = """\
# Begun by `session-cluster target init` from {compose}. Lines marked "guess" were guessed: correct them, until
#   session-cluster target check {name}
# says that all answers are as described. docs/targets.md explains every key. The check makes accounts and logs in,
# experiments kill containers: describe a system for tests, not the one that your users have.
"""
_USERS = """\
[users]
# Accounts that the application knows, at least one; 30 make a load that shows rare losses. Where it has none yet:
#   count = 30
#   name = "user-{n}"
#   password = "password-{n}"
# and either a request that signs up, as [users.sign_up] with path and form, or a shell command for each of them:
#   command = "docker compose exec -T SERVICE ./add-user {user} {password}"
passwords = { alice = "change-me" }  # guess
"""
_COUNT = """\
# Adds 1 to a counter that is kept in the session. Without it, lost updates can't be found. In an application without
# one, whatever only this request raises will do, such as the number of pieces in a cart.
# [requests.count]
# method = "POST"
# path = "/count"
# counter = { json = "/count" }  # or css = "#count", or regex = 'count: (\\d+)'
"""
_ADD = """\
# Adds {item}, an invented text, to a list that is kept in the session and shows it as it is. Without it, lost updates
# of lists can't be found. Where only known products can be added, leave it out.
# [requests.add]
# path = "/cart"
# form = { item = "{item}" }
# items = { json = "/items" }  # or css = "#items li", regex = '(?P<item>.+) x (?P<quantity>\\d+)'
"""
_ACCOUNT = """\
# What users do with their accounts: a page for logged-in users alone, the list of their sessions, the end of those in
# other browsers, and a change of password, which the check puts back. Without it, changes undone can't be found.
# [requests.account]
# path = "/account"
# [requests.sessions]
# path = "/account/sessions"
# [requests.end_others]
# method = "POST"
# path = "/account/sessions/end"
# [requests.password]
# path = "/account/password"
# form = { current = "{password}", new = "{new_password}" }
# redirect = "/account"
"""
_COOKIE = """\
# To find out: log in with a browser, open its developer tools (Application or Storage, then Cookies) and take the
# cookie whose removal logs you out.
# site = "/health"  # a page without a session, which answers 200: it tells an outage of the proxy from the store's
# node_header = "X-Served-By"  # the header that names the node that answered
"""


def describe_compose(compose: Path, file: Path) -> str:
    """Return the text of the target's file, which will be at `file`. Raises DescriptionError."""
    project = guess_roles(ComposeFile.read(compose))
    if not any(service.role for service in project.services):
        found = ", ".join(f"{service.name} ({service.reason})" for service in project.services)
        raise DescriptionError(f"{compose} has no service that users reach: {found}")
    framework, why = find_framework(project.of(Role.NODE))
    parts = [
        _HEAD.format(compose=compose.name, name=file.name),
        "\n".join(_top(project, framework, why)) + "\n" + _COOKIE,
        _USERS,
        "\n".join(_requests(framework)),
        _COUNT,
        _ADD,
        _ACCOUNT,
        "\n".join(_runtime(project, file.resolve().parent)) + "\n",
    ]
    return "\n".join(parts)


def _top(project: ComposeFile, framework: Framework, why: str) -> Iterator[str]:
    yield f"name = {_text(project.name)}"
    url, reason = _find_url(project)
    yield f"url = {_text(url)}  # guess: {reason}"
    if url.startswith("https:"):
        yield '# authority = "ca.pem"  # the certificate of a private authority; or insecure = true'
    yield f"cookie = {_text(framework.cookie)}  # guess: {why}"
    if framework.cookie_changes:
        yield "cookie_changes = true  # guess: every answer may bring another value of this cookie"


def _find_url(project: ComposeFile) -> tuple[str, str]:
    """Return the address that browsers use, and the reason for it."""
    for role, least in (
        (Role.PROXY, "the port that {} publishes"),
        (Role.NODE, "the port that {} publishes, no proxy"),
    ):
        for service in project.of(role):
            if (port := service.published) is not None:
                scheme = "https" if port.target in {443, 8443} else "http"
                return f"{scheme}://{port.address}", least.format(service.name)
    for role in (Role.PROXY, Role.NODE):
        for service in project.of(role):
            if service.unset_ports:
                unset = ", ".join(service.unset_ports)
                return "http://127.0.0.1:8080", f"{service.name} publishes a port by {unset}, which is not set"
    return "http://127.0.0.1:8080", f"{project.path.name} publishes no port; add `ports` to the proxy's service"


def _requests(framework: Framework) -> Iterator[str]:
    yield from framework.csrf_lines()
    yield "# Shows who is logged in: a page, or an answer as JSON."
    yield "[requests.look]"
    yield f'path = "{framework.look}"  # guess'
    if framework.is_json:
        yield 'user = { json = "/user" }  # guess: a JSON pointer; null or absent means that nobody is logged in'
    else:
        yield "user = { css = \"#user\" }  # guess: the element with the name; or regex = 'Hello, (\\w+)'"
    yield "# Where the name is not shown: logged_in = { css = \"a[href='/logout']\" } in its place."
    yield ""
    yield "# What an answer has where nobody is logged in, for example a redirect to the login."
    yield "# [anonymous]"
    yield f'# redirect = "{framework.login}"'
    yield ""
    yield "[requests.login]"
    yield f'path = "{framework.login}"  # guess'
    kind = "json" if framework.is_json else "form"
    fields = dict(zip(framework.login_fields, ("{user}", "{password}"), strict=True))
    if framework.csrf_field:
        fields[framework.csrf_field] = "{csrf}"
    why = f": {framework.has_forms} has forms" if framework.has_forms else ""
    why = ": JSON; where a page has the form, form = { … } in its place, and redirect" if framework.is_json else why
    yield f"{kind} = {_table(fields)}  # guess{why}"
    if not framework.is_json:
        yield 'redirect = "/"  # guess: where a good login leads; without it a refused one passes for a login'
    yield from framework.header_lines()
    yield ""
    yield "# Without a logout, logouts that are undone can't be found."
    yield "[requests.logout]"
    yield f'method = "{framework.logout_method}"  # guess'
    yield f'path = "{framework.logout}"  # guess'
    if framework.logout_method != "GET":
        if framework.csrf_field:
            more = {"_method": framework.logout_override} if framework.logout_override else {}
            yield f"form = {_table({framework.csrf_field: '{csrf}', **more})}  # guess"
        yield from framework.header_lines()
    yield ""


def _runtime(project: ComposeFile, folder: Path) -> Iterator[str]:
    files = [_text(os.path.relpath(one.resolve(), folder)) for one in (project.path, project.override) if one]
    dropped = [*project.dropped, *([f"settings of {project.override.name}"] if project.override else [])]
    yield "[runtime]"
    yield 'kind = "compose"'
    all_files = ", ".join(files)
    yield f"file = [{all_files}]" if len(files) > 1 else f"file = {all_files}"
    if dropped:
        yield "# Not followed, so services and settings may be missing here; `docker compose config` has all of them:"
        yield from (f"#   {one}" for one in map(_text, dropped))
    if project.given_name:
        yield f"project = {_text(project.given_name)}"
    else:
        yield f"# project = {_text(project.name)}  # as `docker compose ls` shows it, if it runs under another name"
    yield ""
    yield "[runtime.roles]"
    for role in Role:
        services = project.of(role)
        if services:
            names = ", ".join(_text(service.name) for service in services)
            yield f"{role.value} = [{names}]  # guess: {'; '.join(dict.fromkeys(one.reason for one in services))}"
            if role is Role.NODE and sum(one.scale for one in services) < 2:
                yield f"# One node: to kill one takes two, as with `deploy: {{replicas: 2}}` of {services[0].name}."
        elif role is not Role.SENTINEL:
            yield f"# {role.value} = []  # none found{_MISSING.get(role, '')}"
    if rest := project.left_out:
        yield "# Left out; give one a role if requests pass through it:"
        yield from (f"#   {service.name}: {service.reason}" for service in rest)


_MISSING: Mapping[Role, str] = {
    Role.PROXY: ": browsers talk to the node",
    Role.NODE: ": name the services of the application",
    Role.STORE: ": sessions may be in the nodes' memory, on their disk or in a cookie; the store can't be broken then",
}


def _table(fields: Mapping[str, str]) -> str:
    """Return an inline table."""
    pairs = (f"{key if _BARE.fullmatch(key) else _text(key)} = {_text(value)}" for key, value in fields.items())
    return f"{{ {', '.join(pairs)} }}"


def _text(value: str) -> str:
    """Return a text as TOML, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
