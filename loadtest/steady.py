"""The steady state of a target: every member runs, and every node serves."""

import http.client
import time

from deploy import MemberState, Role
from loadtest.operations import Operation
from loadtest.target import Target, send

_POLL = 0.2


class NotSteadyError(Exception):
    """The cluster is not in its steady state; the message is one line with the cause."""


def wait_steady(target: Target, timeout: float) -> None:
    """Block until every member runs and every node saves a session of a new visitor.

    Where answers do not name the nodes, twice as many as there are nodes have to be good. Raises NotSteadyError after
    `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while complaint := _find_complaint(target):
        if time.monotonic() > deadline:
            raise NotSteadyError(f"{complaint}, after {timeout:g} s of waiting")
        time.sleep(_POLL)


def _find_complaint(target: Target) -> str | None:
    members = () if target.cluster is None else target.cluster.members()
    for member in members:
        if member.state is not MemberState.RUNNING:
            return f"{member.name} is {member.state}"
    nodes = {member.name for member in members if member.role is Role.NODE} or {""}
    missing = set(nodes)
    for turn in range(4 * len(nodes)):  # requests of the load come between the turns of the nodes
        try:
            reply = send(target, Operation(target.visitor_action))
        except (OSError, http.client.HTTPException) as error:
            return f"the proxy does not answer ({type(error).__name__})"
        if reply.answer.error:
            what = f"{reply.request.method} {reply.request.path}"
            return f"{what} is answered with {reply.status} ({reply.node or 'by no node'})"
        missing.discard(reply.node)
        if not missing or (missing == nodes and turn + 1 == 2 * len(nodes)):
            return None
    return f"{', '.join(sorted(missing))} does not serve"
