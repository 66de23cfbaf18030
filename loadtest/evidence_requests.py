"""The requests behind evidence: the answer that proves it, and what was sent before in its session."""

import time
from collections import defaultdict, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from loadtest.checker import Kind
from loadtest.checker.account import ENDS_OTHERS
from loadtest.checker.findings import Evidence, Findings
from loadtest.history import RENEWALS, Action, Op, OpOutcome

_WRITES = frozenset({Action.VISIT, Action.ADD, Action.EMPTY})
_READS = frozenset({Action.LOOK, Action.ACCOUNT})
_OF_SESSION = {Kind.REVIVED: frozenset({Action.LOGOUT}), Kind.MISDIRECTED: RENEWALS}
"""The operations of the session that evidence of each kind contradicts."""
_OF_ACCOUNT = {Kind.REVIVED: frozenset(ENDS_OTHERS), Kind.PASSWORD_UNDONE: frozenset({Action.PASSWORD})}
"""Those of any session of the account."""
_AT_MOST = 2


class Behind(NamedTuple):
    """The answer that proves something, and the latest operations before it that it contradicts, oldest first."""

    proof: Op
    before: tuple[Op, ...]


def find_requests(evidence: Iterable[Evidence], operations: Iterable[Op]) -> Mapping[Evidence, Behind]:
    """Return the requests behind each piece of evidence. `operations` are a whole history."""
    wanted: dict[tuple[str, float], list[Evidence]] = defaultdict(list)  # an answer may prove several
    of_kind: dict[Kind, set[str]] = defaultdict(set)  # the sessions with evidence of a kind
    for one in evidence:
        wanted[one.who, one.at].append(one)
        of_kind[one.kind].add(one.session)
    sessions = set[str]().union(*of_kind.values())
    of_accounts = {action for kind in of_kind for action in _OF_ACCOUNT.get(kind, ())}
    if Kind.CROSSED in of_kind:
        of_accounts.add(Action.LOGIN)
    proofs: dict[tuple[str, float], Op] = {}
    sent: dict[str, list[Op]] = defaultdict(list)  # by session; reads only where one may have revived it
    accounts: dict[str, list[Op]] = defaultdict(list)
    for op in operations:
        if (op.who, op.ended) in wanted:
            proofs[op.who, op.ended] = op
        if op.action in of_accounts and op.outcome is not OpOutcome.FAIL:
            accounts[op.account].append(op)
        is_known = op.outcome is OpOutcome.OK or (op.action in _WRITES and op.session in of_kind[Kind.CROSSED])
        if is_known and op.session in (of_kind[Kind.REVIVED] if op.action in _READS else sessions):
            sent[op.session].append(op)
    found = {}
    for key, proof in proofs.items():
        for one in wanted[key]:
            before = _choose(one, proof, sent[one.session], accounts)
            found[one] = Behind(proof, tuple(deque(sorted(before, key=_by_end), maxlen=_AT_MOST)))
    return found


def _choose(one: Evidence, proof: Op, session: Sequence[Op], accounts: Mapping[str, Sequence[Op]]) -> Sequence[Op]:
    """Return the operations that evidence contradicts, of its session and of its account."""
    kind = one.kind
    if kind is Kind.SESSION_LOST:  # an end of others in flight with the proof may have renewed the id that it carries
        begun = [op for op in session if op.started < proof.ended and op is not proof]
        return [*_latest(begun, {Action.LOGIN}), *_latest(begun, ENDS_OTHERS)]
    earlier = [op for op in session if op.ended <= proof.started and op is not proof]
    if kind is Kind.CROSSED and one.item is None:
        logins = [op for op in accounts[str(proof.user)] if op.outcome is OpOutcome.OK and op.session != proof.session]
        theirs = [op for op in logins if op.started < proof.ended]
        return [*_latest(earlier, {Action.LOGIN}), *_latest(theirs, {Action.LOGIN})]
    if one.item is not None and kind is not Kind.REVIVED:
        return _choose_writes(one, proof, earlier, session)
    before = [op for op in earlier if op.action in _OF_SESSION.get(kind, ())]
    if one.item is None:  # a value is back after a logout of its own session
        ends = [op for op in accounts[proof.account] if op.action in _OF_ACCOUNT.get(kind, ())]
        before += (op for op in ends if op.ended <= proof.started)
    if kind is Kind.REVIVED:
        before = [op for op in before if op.action is Action.LOGOUT or op.session != one.session]
    if kind is Kind.REVIVED and before:
        end = max(before, key=_by_end)
        made = [op for op in session if op.started < end.ended and _adds_to(one.item, op) and _is_acknowledged(op)]
        return [end, *(_find_reviver(end, proof, session) or _latest(made, _WRITES))]
    return before


def _choose_writes(one: Evidence, proof: Op, earlier: Sequence[Op], session: Sequence[Op]) -> Sequence[Op]:
    """Return the writes to the value, and the emptyings of an item's list, that evidence contradicts.

    A value above all that was ever sent contradicts its writes, also those that were refused or had no answer. One
    above all that was added since the latest emptying contradicts that, and the write before it may be what is back.
    """
    if one.kind is Kind.CROSSED:
        return [op for op in earlier if _adds_to(one.item, op)]
    if one.kind is Kind.UPDATE_LOST and one.item == proof.item and (twin := _find_twin(proof, session)) is not None:
        return [twin]
    known = [op for op in earlier if _is_acknowledged(op)]
    writes = [op for op in known if _adds_to(one.item, op)]
    emptyings = _latest(known, {Action.EMPTY}) if one.item else []
    for emptying in emptyings:
        may_be_in = [op for op in session if op.started < proof.ended and op.ended > emptying.started]
        most = sum(op.quantity for op in may_be_in if _adds_to(one.item, op))
        if proof.cart is not UNSET and proof.cart.get(one.item or "", 0) > most:
            return [*_latest((op for op in writes if op.started < emptying.ended), _WRITES), emptying]
    return [*writes, *emptyings]


def _adds_to(item: str | None, op: Op) -> bool:
    """Return whether an operation adds to the count of visits (""), or to this item of the list."""
    return op.action is (Action.ADD if item else Action.VISIT) and op.item == item


def _is_acknowledged(op: Op) -> bool:
    """Return whether an operation was carried out, and in its own session."""
    return op.outcome is OpOutcome.OK and op.replaced is not True


def _latest(operations: Iterable[Op], actions: Container[Action]) -> list[Op]:
    return sorted((op for op in operations if op.action in actions), key=_by_end)[-1:]


def _by_end(op: Op) -> float:
    return op.ended


def _find_reviver(end: Op, proof: Op, session: Iterable[Op]) -> list[Op]:
    """Return the request in flight with the end of a session that most probably brought it back: the latest write that
    ended before the proof, a later write, or else a page. None: an empty list."""
    others = (one for one in session if one is not proof and one.action is not Action.LOGOUT)
    beside = (one for one in others if one.started < end.ended and end.started < one.ended)
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
    """The requests behind the evidence with these fields, for results. Older ones have neither `kind` nor `item`."""

    kind: Kind | None = None
    item: str | None = None
    who: str
    at: float
    answer: Op
    after: tuple[Op, ...] = ()

    def belongs_to(self, evidence: Evidence) -> bool:
        if (self.who, self.at) != (evidence.who, evidence.at):
            return False
        return self.kind is None or (self.kind, self.item) == (evidence.kind, evidence.item)

    def __str__(self) -> str:
        return tell(Behind(self.answer, self.after))


def list_requests(findings: Findings, operations: Iterable[Op]) -> tuple[ProofRequests, ...]:
    """Return the requests behind the examples of findings. Without examples the operations are not read."""
    examples = [one for of_kind in findings.examples.values() for one in of_kind]
    found = find_requests(examples, operations) if examples else {}
    return tuple(
        ProofRequests(kind=one.kind, item=one.item, who=one.who, at=one.at, answer=behind.proof, after=behind.before)
        for one, behind in found.items()
    )


def _tell_one(op: Op) -> str:
    clock = time.strftime("%H:%M:%S", time.localtime(op.ended))
    item = f" ({op.item})" if op.item else ""
    node = f" by {op.node}" if op.node else ""
    return f"{op.method} {op.path}{item}, status {op.status} at {clock}.{int(op.ended * 1000) % 1000:03}{node}"
