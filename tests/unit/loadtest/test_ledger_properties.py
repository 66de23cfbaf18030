"""The ledger against a model of a session that is always right, and against the same model with one planted fault."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from loadtest import Action, Answer, Expected, Finding, Operation, Outcome, judge
from loadtest.observation import read_answer

ITEMS = ("apple", "pear")


@dataclass
class Session:
    """What a correct cluster keeps for one browser; late writes arrive when `settle` says so."""

    user: str | None = None
    visits: int = 0
    cart: dict[str, int] = field(default_factory=dict)
    late: list[Operation] = field(default_factory=list)

    def carry_out(self, operation: Operation) -> Answer:
        match operation.action:
            case Action.LOGIN:
                self.user = "alice"
                self.late = []  # they were sent with an id that is dead now
                return Answer(Outcome.OK, user="alice")
            case Action.LOGOUT:
                self.user, self.visits, self.cart, self.late = None, 0, {}, []
                return Answer(Outcome.OK)
            case Action.VISIT:
                self.visits += 1
                return Answer(Outcome.OK, visits=self.visits, replaced=False)
            case Action.ADD:
                self.cart[operation.item] = self.cart.get(operation.item, 0) + operation.quantity
                return Answer(Outcome.OK, cart=dict(self.cart), replaced=False)
            case Action.EMPTY:
                self.cart = {}
                return Answer(Outcome.OK, replaced=False)
            case Action.ACCOUNT:
                return Answer(Outcome.OK, user=self.user)
            case Action.LOOK:
                return Answer(Outcome.OK, self.user, self.visits, dict(self.cart), False)

    def settle(self) -> None:
        waiting, self.late = self.late, []
        for operation in waiting:
            self.carry_out(operation)


operations = st.one_of(
    st.sampled_from([a for a in Action if a is not Action.ADD]).map(Operation),
    st.builds(Operation, st.just(Action.ADD), st.sampled_from(ITEMS), st.integers(1, 3)),
)
endings = st.sampled_from(["ok", "ok", "ok", "failed", "unknown, done", "unknown, not done", "unknown, late"])
runs = st.lists(st.tuples(operations, endings, st.booleans()), max_size=40)
LATE = (Action.VISIT, Action.ADD, Action.EMPTY)


def play(run: list[tuple[Operation, str, bool]], session: Session) -> Expected:
    """One virtual user's operations on the session, each judged; a correct session gives no cause for a finding."""
    expected = Expected("alice")
    for operation, ending, settle in run:
        if settle:
            session.settle()
        if ending == "ok":
            answer = session.carry_out(operation)
        elif ending == "failed":
            answer = Answer(Outcome.FAIL)
        else:
            if ending == "unknown, done":
                session.carry_out(operation)
            elif ending == "unknown, late" and operation.action in LATE:
                session.late.append(operation)
            answer = Answer(Outcome.UNKNOWN)
        judgement = judge(expected, operation, answer)
        assert judgement.findings == set(), f"{operation} {ending}: {expected} -> {answer}"
        expected = judgement.after
    return expected


def look(expected: Expected, session: Session) -> frozenset[Finding]:
    operation = Operation(Action.LOOK)
    return judge(expected, operation, session.carry_out(operation)).findings


@given(runs)
def test_a_correct_session_is_never_accused_whatever_ends_as_unknown(run: list[tuple[Operation, str, bool]]) -> None:
    play(run, Session())


certain = st.lists(operations, max_size=25).map(lambda found: [(operation, "ok", False) for operation in found])


@given(certain)
def test_a_lost_visit_is_always_found(run: list[tuple[Operation, str, bool]]) -> None:
    session = Session()
    expected = play([*run, (Operation(Action.VISIT), "ok", False)], session)
    session.visits -= 1
    assert look(expected, session) == {Finding.VISITS_LOST}


@given(certain, st.sampled_from(ITEMS))
def test_a_lost_item_is_always_found(run: list[tuple[Operation, str, bool]], item: str) -> None:
    session = Session()
    expected = play([*run, (Operation(Action.ADD, item, 1), "ok", False)], session)
    session.cart[item] -= 1
    assert look(expected, session) == {Finding.CART_LOST}


@given(certain)
def test_a_lost_session_is_always_found(run: list[tuple[Operation, str, bool]]) -> None:
    session = Session()
    expected = play([*run, (Operation(Action.LOGIN), "ok", False)], session)
    assert look(expected, Session()) == {Finding.LOGGED_OUT}


@given(certain)
def test_a_revived_logout_is_always_found(run: list[tuple[Operation, str, bool]]) -> None:
    session = Session()
    expected = play([*run, (Operation(Action.LOGOUT), "ok", False)], session)
    session.user = "alice"
    assert look(expected, session) == {Finding.REVIVED}


@given(runs, st.integers(1, 5), st.sampled_from(["name", "visits", "cart"]))
def test_somebody_elses_values_are_always_found(run: list[tuple[Operation, str, bool]], more: int, what: str) -> None:
    session = Session()
    expected = play(run, session)
    if what == "name":
        session.user = "bob"
    elif what == "visits":
        session.visits = expected.ever_visits + more
    else:
        session.cart["plum of somebody else"] = more
    assert Finding.CROSSED in look(expected, session)


@given(runs)
def test_no_finding_is_made_twice_of_one_loss(run: list[tuple[Operation, str, bool]]) -> None:
    session, empty = Session(), Session()
    expected = play(run, session)
    after = judge(expected, Operation(Action.LOOK), empty.carry_out(Operation(Action.LOOK))).after
    assert look(after, empty) == set()


@given(operations, st.integers(200, 599), st.binary(max_size=40))
def test_whatever_a_server_answers_is_read_without_an_accident(operation: Operation, status: int, body: bytes) -> None:
    answer, error = read_answer(operation, status, body)
    assert (error is None) == (answer.outcome is Outcome.OK)
    if status >= 500:
        assert answer.outcome is Outcome.UNKNOWN
