"""The view "Session": one session of the visitor's own, step by step, and its record in the store."""

from typing import TYPE_CHECKING, Any

import flask
import msgspec

from deploy import Cluster, MemberState, Role
from loadtest.console.as_json import answer, read_posted
from loadtest.console.commands import ClusterStage
from loadtest.console.exchanges import PageBrowser, Step, Visitors
from loadtest.console.stored import RecordReader
from loadtest.console.threads import in_thread
from loadtest.described.runtime import DescribedCluster

if TYPE_CHECKING:
    from loadtest.console.server import Console


_ON_TARGET = (
    "this view follows a session of the shop into its store, which a target has not: `session-cluster target check`"
    " shows what its requests say"
)


class StepOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step as it is posted: {"do": "ask", "on": "node-2"}."""

    do: Step
    on: str = ""


def make_session_view(console: "Console") -> flask.Blueprint:
    """Return the pages of the view. All that may block runs in threads, so that a member that hangs holds nobody up."""
    view = flask.Blueprint("session", __name__, url_prefix="/console/session")
    visitors, reader = Visitors(), RecordReader()
    cookie_name = f"visitor-{console.port}"

    def browser() -> PageBrowser:
        secret, found = visitors.find(flask.request.cookies.get(cookie_name, ""))
        flask.g.visitor = secret
        return found

    @view.after_request
    def remember(response: flask.Response) -> flask.Response:
        secret = flask.g.pop("visitor", "")
        if secret and secret != flask.request.cookies.get(cookie_name):
            response.set_cookie(cookie_name, secret, path="/console", httponly=True, samesite="Strict")
        return response

    def cluster() -> Cluster:
        running = console.director.cluster
        if running is None or console.director.state.stage is not ClusterStage.RUNNING:
            flask.abort(409, "the cluster does not run")
        if isinstance(running, DescribedCluster):
            flask.abort(409, _ON_TARGET)
        return running

    def describe(one: PageBrowser, running: Cluster) -> dict[str, Any]:
        name = running.spec.session_cookie
        members = running.members()
        cookie = one.session_cookie(name)
        return {
            "user": next(iter(running.users), ""),
            "store": running.spec.store,
            "cookie": one.cookie_header(running),
            "has_old": bool(one.old_session),
            "nodes": [m.name for m in members if m.role is Role.NODE and m.state is not MemberState.ENDED],
            "record": reader.read(running, cookie or one.old_session),
            "is_old": not cookie and bool(one.old_session),
            "exchanges": one.exchanges,
        }

    @view.get("/")
    def show() -> Any:
        return answer(in_thread(describe, browser(), cluster()))

    @view.get("/cookie")
    def reveal() -> Any:
        return {"cookie": in_thread(browser().reveal, cluster())}

    @view.post("/steps")
    def carry_out() -> Any:
        order = read_posted(StepOrder, "a step")
        one, running = browser(), cluster()
        if order.do is Step.REPLAY and not one.old_session:
            flask.abort(409, "no cookie is left from a logout: log in and out first")
        node = _find_node(running, order.on) if order.do is Step.ASK else None

        def carry() -> dict[str, Any]:
            one.carry_out(order.do, running, node)
            return describe(one, running)

        return answer(in_thread(carry))

    return view


def _find_node(cluster: Cluster, name: str) -> tuple[str, str]:
    found = next((one for one in cluster.members() if one.name == name and one.role is Role.NODE), None)
    if found is None or not found.address:
        flask.abort(409, f"the cluster has no node {name}")
    return found.name, found.address
