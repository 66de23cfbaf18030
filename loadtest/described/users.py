"""The accounts of a described target: made by a sign-up request or a command, where the last one can't log in."""

import os
import shlex
from concurrent.futures import ThreadPoolExecutor

from loadtest.conversation import Conversation
from loadtest.described.adapter import DescribedAdapter
from loadtest.described.description import TargetDescription
from loadtest.described.runtime import DescribedCluster
from loadtest.described.schema import USER, RequestSpec, templates
from loadtest.described.shell import run_command
from loadtest.history import Action, OpOutcome
from loadtest.operations import Operation
from loadtest.target import Target, TargetError, answering, converse, make_browser, send

_AT_A_TIME = 4
_TRIES = 6
_SECONDS = 60.0
"""Limit of the command."""
_PLACE = ("users", "command")


def make_users(
    target: Target, adapter: DescribedAdapter, description: TargetDescription, cluster: DescribedCluster | None
) -> None:
    """Make the accounts where the last one can't log in. Raises TargetError and ClusterError."""
    users = description.file.users
    *_, (last, password) = target.users.items()
    with answering(target.url, certificate_hint(description)):
        complaint = _find_complaint(target, last, password)
        if complaint and users.sign_up is not None:
            sign_up = users.sign_up
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                made = pool.map(lambda user: _sign_up(target, adapter, sign_up, *user), target.users.items())
                refused = next(filter(None, list(made)), "")
            complaint = _find_complaint(target, last, password)
            if complaint and refused:
                raise TargetError(f"{description.where('users', 'sign_up')}: {refused}")
        elif complaint and users.command is not None:
            for name, secret in target.users.items():
                _run(users.command, description, cluster, name, secret)
                if USER not in templates(users.command):
                    break
            complaint = _find_complaint(target, last, password)
    if complaint:
        raise TargetError(f"{description.where('requests', 'login')}: {last} can't log in: {complaint}")


def certificate_hint(description: TargetDescription) -> str:
    """Return how to have the target's certificate trusted."""
    return f"{description.path.name} has the keys authority and insecure for that"


def _find_complaint(target: Target, account: str, password: str) -> str:
    """Return why an account can't log in; empty if it can. Where it is unknown, it is tried again: with sessions of its
    own at each node a page behind the login may show nobody."""
    for _ in range(_TRIES):
        answer = send(target, Operation(Action.LOGIN), account, password).answer
        if answer.outcome is not OpOutcome.UNKNOWN:
            break
    return answer.error


def _sign_up(target: Target, adapter: DescribedAdapter, spec: RequestSpec, account: str, password: str) -> str:
    """Make an account; return why it was refused, which may be that it is there."""
    browser, operation = make_browser(target), Operation(Action.LOOK)
    exchange = adapter.exchange_of(spec, operation, account, password, browser.value, logged_out=True)
    reply = converse(target, Conversation(exchange, browser, operation.action))
    error = reply.answer.error
    return f"{reply.request.method} {reply.request.path} did not make {account}: {error}" if error else ""


def _run(
    command: str, description: TargetDescription, cluster: DescribedCluster | None, account: str, password: str
) -> None:
    if cluster is not None:
        cluster.run(command, *_PLACE, user=account, password=password)
        return
    for key, value in (("user", account), ("password", password)):
        command = command.replace(f"{{{key}}}", shlex.quote(value))
    what = f"{description.where(*_PLACE)}: {'.'.join(_PLACE)}"
    run_command(command, what, description.path.parent.resolve(), os.environ, _SECONDS)
