"""Histories written by hand: operations on one session, one after another or overlapping, a second apart."""

import random
from collections.abc import Mapping
from typing import Any

from loadtest.checker import Findings, Kind, check
from loadtest.history import Action, End, Event, Header, Op, OpOutcome

METHODS = {
    **dict.fromkeys((Action.LOOK, Action.ACCOUNT, Action.LIST), "GET"),
    **dict.fromkeys((Action.EMPTY, Action.END_OTHERS), "DELETE"),
}
PATHS = {
    Action.LOOK: "/me",
    Action.ACCOUNT: "/account",
    Action.VISIT: "/visits",
    Action.LIST: "/sessions",
    Action.END_OTHERS: "/sessions",
}


class Script:
    """Each call adds one operation. `at` is (started, ended) in seconds; by default it follows all others."""

    def __init__(self, who: str = "visitor-1", account: str = "alice", session: str = "visitor-1#1") -> None:
        self.ops: list[Op] = []
        self._defaults = {"who": who, "account": account, "session": session}

    def op(self, action: Action, at: tuple[float, float] | None = None, **changes: Any) -> "Script":
        began = max((op.ended for op in self.ops), default=0.0) + 1
        started, ended = at or (began, began + 0.5)
        fields = {
            **self._defaults,
            "outcome": OpOutcome.OK,
            "method": METHODS.get(action, "POST"),
            "path": PATHS.get(action, f"/{action}"),
            "status": 200,
            "node": "node-1",
            **changes,
        }
        self.ops.append(Op(action=action, started=started, ended=ended, **fields))
        return self

    def login(self, **changes: Any) -> "Script":
        return self.op(Action.LOGIN, **{"user": "alice", **changes})

    def logout(self, **changes: Any) -> "Script":
        return self.op(Action.LOGOUT, **changes)

    def look(
        self, user: str | None = "alice", visits: int = 0, cart: Mapping[str, int] | None = None, **changes: Any
    ) -> "Script":
        return self.op(Action.LOOK, user=user, visits=visits, cart=dict(cart or {}), **changes)

    def visit(self, visits: int, **changes: Any) -> "Script":
        return self.op(Action.VISIT, visits=visits, **{"replaced": False, **changes})

    def add(self, item: str, quantity: int, cart: Mapping[str, int], **changes: Any) -> "Script":
        return self.op(Action.ADD, item=item, quantity=quantity, cart=dict(cart), **{"replaced": False, **changes})

    def refused(self, action: Action, status: int, **changes: Any) -> "Script":
        return self.op(action, outcome=OpOutcome.FAIL, status=status, **changes)

    def unknown(self, action: Action, **changes: Any) -> "Script":
        return self.op(action, **{"outcome": OpOutcome.UNKNOWN, "error": "status 502", "status": 502, **changes})

    def found(self, **header: Any) -> dict[Kind, int]:
        findings = self.check(**header)
        return findings.total.found

    def check(self, *more: Event, **header: Any) -> Findings:
        first = Header(version=1, title="by hand", started=0.0, **header)
        return check([first, *self.ops, *more, End(len(self.ops), 0)])


def show_user(number: int, at: float, *, action: Action = Action.LOOK, found: bool = True, node: str = "") -> Op:
    """Return an operation of a user that ended `at` this time. Its answer shows them, or without `found` nobody."""
    name = f"user-{number}"
    return Op(
        who=name,
        account=name,
        session=f"{name}#1",
        action=action,
        outcome=OpOutcome.OK,
        user=name if found else None,
        method="GET",
        path="/me",
        status=200,
        node=node,
        started=at,
        ended=at,
    )


def everyday(users: int, rounds: int, broken: bool) -> list[Event]:
    """Return `rounds` operations of each user, 10 a second: visits, an item, logouts and new sessions now and then."""
    rng = random.Random(1)  # no secret
    events: list[Event] = [Header(version=1, title="everyday", started=0.0)]
    visits, sessions = [0] * users, [0] * users
    for number in range(users * rounds):
        user, at = number % users, number / 10
        script = Script(f"user-{user}", f"name-{user}", f"user-{user}#{sessions[user]}")
        shown = 0 if broken and rng.random() < 0.3 else visits[user]
        if user == 0 and number // users % 50 == 49:
            script.logout(at=(at, at + 0.05))
            sessions[user], visits[user] = sessions[user] + 1, 0
        elif visits[user] == 0:
            script.login(user=f"name-{user}", at=(at, at + 0.05)).visit(1, at=(at + 0.06, at + 0.08))
            visits[user] = 1
        elif rng.random() < 0.3:
            visits[user] += 1
            script.visit(shown + 1, at=(at, at + 0.05))
        else:
            script.look(user=f"name-{user}", visits=shown, replaced=False, at=(at, at + 0.05))
        events += script.ops
    return events
