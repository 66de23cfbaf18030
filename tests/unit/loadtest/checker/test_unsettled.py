"""Findings that are asked for again: what comes late changes those of sessions for which nothing has come."""

import pytest

from loadtest.checker import Checker, Kind
from loadtest.checker.session import Evaluation, SessionChecker
from loadtest.history import Action, Mark
from tests.support.checker_script import Script, everyday

PHONE = {"who": "phone", "session": "phone#1"}


def asked(script: Script) -> Checker:
    """Return a checker that has had a script, and was asked for its findings."""
    checker = Checker()
    for op in script.ops:
        checker.feed(op)
    checker.findings()
    return checker


def test_the_end_of_all_other_sessions_comes_after_the_findings_on_one_of_them() -> None:
    checker = asked(Script().login(at=(0, 1)).login(at=(0, 1), **PHONE).look(at=(5, 6)))
    (end,) = Script().op(Action.END_OTHERS, at=(3, 4), **PHONE).ops
    checker.feed(end)
    assert checker.findings().total.found == {Kind.REVIVED: 1}


@pytest.mark.parametrize("user", ["alice", None])
def test_a_mark_comes_after_the_findings_on_what_it_is_about(user: str | None) -> None:
    checker = asked(Script().login(at=(0, 1)).look(at=(2, 3)).look(at=(4, 5), user=user))
    checker.feed(Mark(2.5, "before"))
    checker.feed(Mark(4.5, "during"))
    phases = checker.findings().phases
    shown = {name: (one.operations, one.as_logged_in, one.logged_out) for name, one in phases.items()}
    assert shown == {"before": (1, 1, 0), "during": (1, 1, int(user is None))}


def test_findings_evaluate_the_sessions_alone_for_which_something_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[str] = []
    evaluate = SessionChecker.evaluate_all

    def note(session: SessionChecker) -> Evaluation:
        evaluated.append(session.name)
        return evaluate(session)

    monkeypatch.setattr(SessionChecker, "evaluate_all", note)
    checker, events = Checker(), everyday(users=50, rounds=40, broken=True)
    for number, event in enumerate(events):
        checker.feed(event)
        if number % 10 == 0:
            checker.findings()
    assert len(evaluated) <= len(events)
