"""An observation as a line of the history."""

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from loadtest.history import Op
from loadtest.ledger import Action, Expected, Login
from loadtest.observation import Observation


def op_of(observation: Observation) -> Op:
    """The operation, with what its user expected where it could know."""
    operation, answer, expected = observation.operation, observation.answer, observation.expected
    user: str | UnsetType | None = UNSET
    visits: tuple[int, int] | UnsetType = UNSET
    cart: Mapping[str, tuple[int, int]] | UnsetType = UNSET
    if expected is not None:
        user = _user(expected)
        if operation.action in (Action.LOOK, Action.VISIT):
            visits = expected.visits
        if operation.action in (Action.LOOK, Action.ADD):
            cart = dict(expected.cart)
    return Op(
        who=observation.who,
        account=observation.account,
        session=observation.session,
        action=operation.action,
        item=operation.item,
        quantity=operation.quantity,
        outcome=answer.outcome,
        user=answer.user,
        visits=answer.visits,
        cart=answer.cart,
        replaced=answer.replaced,
        method=observation.method,
        path=observation.path,
        status=observation.status,
        error=observation.error or "",
        node=observation.node,
        upstream=observation.upstream,
        upstream_status=observation.upstream_status,
        expected_user=user,
        expected_visits=visits,
        expected_cart=cart,
        found=tuple(sorted(observation.judgement.findings)),
        started=round(observation.started, 6),
        ended=round(observation.ended, 6),
    )


def _user(expected: Expected) -> str | UnsetType | None:
    match expected.login:
        case Login.IN:
            return expected.name
        case Login.OUT:
            return None
        case Login.UNSURE:
            return UNSET
