"""The requests behind evidence: the answer that proves it, and what was sent before in its session."""

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from loadtest.checker import Kind
from loadtest.checker.findings import Evidence, Findings
from loadtest.history import Action, Op, OpOutcome

_WRITES = frozenset({Action.VISIT, Action.ADD, Action.EMPTY})
_READS = frozenset({Action.LOOK, Action.ACCOUNT})
_BEFORE = {
    Kind.UPDATE_LOST: _WRITES,
    Kind.STALE_READ: _WRITES,
    Kind.EMPTYING_UNDONE: _WRITES,
    Kind.REVIVED: frozenset({Action.LOGOUT}),
    Kind.SESSION_LOST: frozenset({Action.LOGIN}),
    Kind.MISDIRECTED: frozenset({Action.LOGIN}),
}
"""The operations that evidence of each kind contradicts."""
_AT_MOST = 2


class Behind(NamedTuple):
    """The answer that proves something, and the latest operations before it that it contradicts, oldest first."""

    proof: Op
    before: tuple[Op, ...]


def find_requests(evidence: Iterable[Evidence], operations: Iterable[Op]) -> Mapping[tuple[str, float], Behind]:
    """Return the requests behind each piece of evidence, by its `who` and `at`. `operations` are a whole history."""
    wanted = {(one.who, one.at): one for one in evidence}
    proofs: dict[tuple[str, float], Op] = {}
    logins: dict[str, list[Op]] = defaultdict(list)  # of each user that the answers of others show
    sessions = {one.session for one in wanted.values()}
    revived = {one.session for one in wanted.values() if one.kind is Kind.REVIVED}
    any_crossed = any(one.kind is Kind.CROSSED for one in wanted.values())
    sent: dict[str, list[Op]] = defaultdict(list)  # by session; reads only where one may have revived it
    for op in operations:
        if (op.who, op.ended) in wanted:
            proofs[op.who, op.ended] = op
        if any_crossed and op.action is Action.LOGIN and op.outcome is OpOutcome.OK:
            logins[op.account].append(op)
        if op.session in (revived if op.action in _READS else sessions) and op.outcome is OpOutcome.OK:
            sent[op.session].append(op)
    found = {}
    for key, proof in proofs.items():
        kind = wanted[key].kind
        session = sent[wanted[key].session]
        earlier = [one for one in session if one.ended <= proof.started and one is not proof]
        of_kind = [one for one in earlier if one.action in _BEFORE.get(kind, frozenset())]
        if kind is Kind.UPDATE_LOST and (twin := _find_twin(proof, sent[proof.session])) is not None:
            of_kind = [twin]
        if kind is Kind.REVIVED and of_kind:
            of_kind += _find_reviver(of_kind[-1], proof, session)
        if kind is Kind.CROSSED and isinstance(proof.user, str):
            theirs = (one for one in logins[proof.user] if one.started < proof.ended and one.session != proof.session)
            own = (one for one in earlier if one.action is Action.LOGIN)
            of_kind = [max(each, key=_by_end) for each in map(list, (own, theirs)) if each]
        found[key] = Behind(proof, tuple(deque(sorted(of_kind, key=_by_end), maxlen=_AT_MOST)))
    return found


def _by_end(op: Op) -> float:
    return op.ended


def _find_reviver(logout: Op, proof: Op, session: Iterable[Op]) -> list[Op]:
    """Return the request in flight with a logout that most probably brought the session back: the latest write that
    ended before the proof, a later write, or else a page. None: an empty list."""
    others = (one for one in session if one is not proof and one.action is not Action.LOGOUT)
    beside = (one for one in others if one.started < logout.ended and logout.started < one.ended)
    return sorted(beside, key=lambda one: (one.action in _WRITES, one.ended <= proof.ended, one.ended))[-1:]


def _find_twin(proof: Op, writes: Iterable[Op]) -> Op | None:
    """Return another write whose own answer has the value of this one: one has overwritten the other."""
    value = _own_value(proof)
    twins = (one for one in writes if one is not proof and one.item == proof.item and _own_value(one) == value)
    return next(twins, None) if value is not None else None


def _own_value(op: Op) -> int | None:
    """Return what a write's answer shows of what it wrote."""
    if op.action is Action.VISIT and op.visits is not UNSET:
        return op.visits
    if op.action is Action.ADD and op.cart is not UNSET:
        return op.cart.get(op.item)
    return None


def tell(behind: Behind) -> str:
    """Return the requests in one line: "GET /me, status 200 at 21:03:07.120, after POST /logout, status 204 at …"."""
    proof = _tell_one(behind.proof)
    return f"{proof}, after {' and '.join(map(_tell_one, behind.before))}" if behind.before else proof


class ProofRequests(msgspec.Struct, frozen=True, kw_only=True):
    """The requests behind evidence with this `who` and `at`, for results."""

    who: str
    at: float
    answer: Op
    after: tuple[Op, ...] = ()

    def __str__(self) -> str:
        return tell(Behind(self.answer, self.after))


def list_requests(findings: Findings, operations: Iterable[Op]) -> tuple[ProofRequests, ...]:
    """Return the requests behind the examples of findings. Without examples the operations are not read."""
    examples = [one for of_kind in findings.examples.values() for one in of_kind]
    found = find_requests(examples, operations) if examples else {}
    return tuple(
        ProofRequests(who=who, at=at, answer=behind.proof, after=behind.before) for (who, at), behind in found.items()
    )


def _tell_one(op: Op) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(op.ended))
    item = f" ({op.item})" if op.item else ""
    node = f" by {op.node}" if op.node else ""
    return f"{op.method} {op.path}{item}, status {op.status} at {clock}.{int(op.ended * 1000) % 1000:03}{node}"
