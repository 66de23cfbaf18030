"""The checker, on histories by hand with one planted fault each: it finds that one and nothing else."""

from typing import Any

import pytest
from msgspec import UNSET

from loadtest.checker import Kind
from loadtest.history import Action, OpOutcome
from tests.support.checker_script import Script

CLEAN: dict[Kind, int] = {}
LOST, UPDATE, STALE = {Kind.SESSION_LOST: 1}, {Kind.UPDATE_LOST: 1}, {Kind.STALE_READ: 1}
REVIVED, CROSSED = {Kind.REVIVED: 1}, {Kind.CROSSED: 1}
FAIL, UNKNOWN = OpOutcome.FAIL, OpOutcome.UNKNOWN
Cases = dict[str, tuple[Script, dict[Kind, int]]]


def new() -> Script:
    return Script().login()


def early() -> Script:
    """Return a script whose login took from 0 to 1, for operations at times that are given."""
    return Script().login(at=(0, 1))


def emptied() -> Script:
    return new().add("apple", 3, {"apple": 3}).add("pear", 1, {"apple": 3, "pear": 1}).op(Action.EMPTY)


SESSIONS: Cases = {
    "an ordinary life of a session is clean": (
        Script()
        .look(user=None)
        .visit(1, replaced=UNSET)
        .login()
        .visit(2)
        .add("apple", 2, {"apple": 2})
        .look(visits=2, cart={"apple": 2})
        .op(Action.EMPTY)
        .look(visits=2)
        .logout()
        .look(user=None)
        .op(Action.ACCOUNT, user=None),
        CLEAN,
    ),
    "a lost session counts once, however often it is seen": (
        new().visit(1).look(user=None).op(Action.ACCOUNT, user=None),
        LOST,
    ),
    "a write answered with another session's cookie shows a lost session": (
        new().visit(1).visit(1, replaced=True),
        LOST,
    ),
    "a session lost again after another login counts again": (
        new().look(user=None).login().look(user=None),
        {Kind.SESSION_LOST: 2},
    ),
    "after an unknown logout no user is missed": (new().unknown(Action.LOGOUT).look(user=None), CLEAN),
    "an unknown logout may come after the next login": (
        new().unknown(Action.LOGOUT).login().look(user=None),
        CLEAN,
    ),
    "a failed logout leaves the session in place": (new().logout(outcome=FAIL).look(user=None), LOST),
    "an unknown login may have replaced the id, and with it the session": (
        new().visit(1).unknown(Action.LOGIN).look(user=None),
        CLEAN,
    ),
    "after an unknown login the next login counts again": (
        new().visit(1).unknown(Action.LOGIN).look(user=None).login().look(user=None),
        LOST,
    ),
    "while another tab logs in, a request may carry the dead id": (
        Script().login(at=(1, 2)).login(at=(4, 6)).look(user=None, at=(5, 7)).visit(1, at=(5, 7), replaced=True),
        CLEAN,
    ),
    "once that login has ended, the session must be there": (
        Script().login(at=(1, 2)).login(at=(4, 6)).look(user=None, at=(5, 7)).look(user=None, at=(8, 9)),
        LOST,
    ),
    "what was in a lost session is no further loss": (
        new().visit(1).visit(2).look(visits=2).visit(1).look(user=None, visits=1),
        LOST,
    ),
}

UPDATES: Cases = {
    "a lost visit counts once": (new().visit(1).visit(2).look(visits=1).visit(2).look(visits=2), UPDATE),
    "an emptied cart that is full again is a lost update": (emptied().look(cart={"apple": 3, "pear": 1}), UPDATE),
    "an emptied cart that is full once and empty again is a stale read": (
        emptied().look(cart={"apple": 3, "pear": 1}).look(),
        STALE,
    ),
    "what was lost before the cart was emptied is lost": (
        new().add("apple", 2, {"apple": 2}).look(cart={"apple": 1}).op(Action.EMPTY).look(),
        UPDATE,
    ),
    "a full cart is no stale read if the session is lost before it is empty": (
        new()
        .add("apple", 1, {"apple": 1})
        .op(Action.EMPTY)
        .look(cart={"apple": 1})
        .op(Action.ACCOUNT, user=None)
        .look(),
        {**LOST, **UPDATE},
    ),
    "a stale read is no lost update": (new().visit(1).visit(2).look(visits=1).look(visits=2), STALE),
    "an unknown update may be seen": (new().visit(1).unknown(Action.VISIT).look(visits=1).look(visits=2), CLEAN),
    "an unknown update that was seen may not go again": (
        new().visit(1).unknown(Action.VISIT).look(visits=1).look(visits=2).look(visits=1),
        UPDATE,
    ),
    "an unknown update may come at any time": (new().unknown(Action.VISIT).visit(1).visit(2).look(visits=3), CLEAN),
    "an unknown update excuses no loss before it": (new().visit(1).unknown(Action.VISIT).look(visits=0), UPDATE),
    "the answer to a visit must count it": (new().visit(0), UPDATE),
    "the answer to an addition must show it": (new().add("apple", 2, {"apple": 1}), UPDATE),
    "only what a later answer shows is stale": (
        new().visit(1).visit(2).visit(3).look(visits=2).look(visits=1).look(visits=2),
        {**UPDATE, **STALE},
    ),
    "what is acknowledged comes on top of what was seen before": (
        new().unknown(Action.VISIT).look(visits=1).op(Action.VISIT, replaced=False).look(visits=1),
        UPDATE,
    ),
    "emptying a cart again excuses nothing before it": (
        new().add("apple", 1, {"apple": 1}).op(Action.EMPTY).look(cart={"apple": 1}).op(Action.EMPTY).look(),
        UPDATE,
    ),
    "each emptying that is undone is a lost update": (
        emptied().look(cart={"apple": 3, "pear": 1}).op(Action.EMPTY).look(cart={"apple": 3, "pear": 1}),
        {Kind.UPDATE_LOST: 2},
    ),
    "emptying a cart again makes no loss of a stale read before it": (
        new().add("apple", 1, {"apple": 1}).op(Action.EMPTY).look(cart={"apple": 1}).look().op(Action.EMPTY).look(),
        STALE,
    ),
}

TABS: Cases = {
    "an update acknowledged before a read began must be seen": (
        early().visit(1, at=(2, 3)).look(visits=0, at=(4, 5), who="tab-2"),
        UPDATE,
    ),
    "an update that overlaps a read may be seen or not": (
        early().visit(1, at=(2, 5)).look(visits=0, at=(3, 6), who="tab-2").look(visits=1, at=(3, 6), who="tab-3"),
        CLEAN,
    ),
    "what one client was shown another may not miss afterwards": (
        early()
        .visit(1, at=(2, 9))
        .look(visits=1, at=(3, 4), who="tab-2")
        .look(visits=0, at=(5, 6), who="tab-3")
        .look(visits=1),
        STALE,
    ),
    "of two concurrent updates answered with one number, one is lost": (
        early().visit(1, at=(2, 5), who="tab-1").visit(1, at=(3, 6), who="tab-2"),
        UPDATE,
    ),
    "that lost update does not count again in a later answer": (
        early().visit(1, at=(2, 5), who="tab-1").visit(1, at=(3, 6), who="tab-2").look(visits=1),
        UPDATE,
    ),
    "a loss is found while other clients go on writing": (
        early()
        .visit(1, at=(2, 3))
        .visit(2, at=(4, 5))
        .look(visits=1, at=(6, 7))
        .visit(2, at=(8, 11), who="tab-2")
        .look(visits=2, at=(9, 12)),
        UPDATE,
    ),
    "a concurrent emptying excuses what is missing and what is there": (
        early()
        .add("apple", 1, {"apple": 1}, at=(2, 3))
        .op(Action.EMPTY, at=(4, 9))
        .look(cart={"apple": 1}, at=(5, 6))
        .look(cart={}, at=(3.5, 6))
        .add("apple", 1, {"apple": 2}, at=(5, 8))
        .look(cart={"apple": 1}),
        CLEAN,
    ),
    "what reached a session while its id was renewed may have found none": (
        early()
        .visit(1, at=(2, 3))
        .add("apple", 1, {"apple": 1}, at=(2, 3), who="tab-2")
        .login(at=(4, 7))
        .op(Action.EMPTY, at=(5, 8), who="tab-2")
        .logout(at=(5, 8), who="tab-3")
        .look(visits=1, cart={"apple": 1}),
        CLEAN,
    ),
    "of two concurrent logins one may have found no session to keep": (
        early().visit(1, at=(2, 3)).login(at=(4, 7)).login(at=(5, 8), who="tab-2").look(visits=0),
        CLEAN,
    ),
}

LOGOUTS: Cases = {
    "a revived session counts once": (new().visit(1).logout().look(visits=1).look(visits=1), REVIVED),
    "values of before a logout may not come back for an anonymous user": (
        new().visit(1).visit(2).logout().look(user=None, visits=2),
        REVIVED,
    ),
    "after a logout no client may be logged in": (
        early().visit(1, at=(2, 3)).logout(at=(4, 8)).look(user=None).look(visits=1, who="tab-2"),
        REVIVED,
    ),
    "a login between two logouts excuses nothing after the second": (
        new().logout().login().logout().look(),
        REVIVED,
    ),
    "an unknown logout promises nothing": (new().unknown(Action.LOGOUT).look().look(user=None), CLEAN),
    "an unknown login may come after the logout": (new().unknown(Action.LOGIN).logout().look(), CLEAN),
}

OTHERS: Cases = {
    "a whole session of another user is one finding": (
        new().visit(1).visit(2).look(user="bob", visits=0, cart={"plum of bob": 1}).look(visits=2),
        CROSSED,
    ),
    "what another user is shown to have says nothing about this one": (
        new().visit(1).visit(2).look(user="bob", visits=0),
        CROSSED,
    ),
    "a name without a login is another user's": (Script().look(user="alice"), CROSSED),
    "a login that shows another name is crossed": (Script().login(user="bob"), CROSSED),
    "an unknown login may have succeeded": (Script().unknown(Action.LOGIN).look(user="alice"), CLEAN),
    "an unknown login allows no other name": (Script().unknown(Action.LOGIN).look(user="bob"), CROSSED),
    "a write carried out twice is more than can be": (new().visit(2), CROSSED),
}
CASES = {**SESSIONS, **UPDATES, **TABS, **LOGOUTS, **OTHERS}


@pytest.mark.parametrize("name", CASES)
def test_the_planted_fault_is_found_and_nothing_else(name: str) -> None:
    script, found = CASES[name]
    assert script.found() == found


@pytest.mark.parametrize(
    "crossed",
    [{"user": "bob"}, {"visits": 2}, {"cart": {"apple": 1, "plum of bob": 1}}, {"cart": {"apple": 2}}],
)
def test_anything_of_another_user_is_crossed(crossed: dict[str, Any]) -> None:
    shown: dict[str, Any] = {"user": "alice", "visits": 1, "cart": {"apple": 1}}
    script = new().visit(1).add("apple", 1, {"apple": 1}).look(**shown)
    assert script.found() == CLEAN
    assert script.look(**{**shown, **crossed}).found() == CROSSED


@pytest.mark.parametrize(
    ("header", "expired"),
    [
        ({}, False),
        ({"idle_timeout": 99.0}, False),
        ({"idle_timeout": 10.0}, True),
        ({"idle_timeout": 12.0}, True),  # it was used 11 s ago, but that may not have been noted
        ({"idle_timeout": 13.0}, False),
        ({"lifetime": 99.0}, False),
        ({"lifetime": 12.0}, True),
    ],
)
def test_a_session_that_may_have_expired_is_not_lost(header: dict[str, float], expired: bool) -> None:
    script = Script().login(at=(1, 2)).visit(1, at=(3, 4)).look(user=None, at=(13, 14))
    assert script.found(**header) == (CLEAN if expired else LOST)


def test_the_values_of_an_expired_session_are_no_lost_updates() -> None:
    script = Script().visit(1, at=(1, 2), replaced=UNSET).look(user=None, at=(20, 21)).visit(1, at=(22, 23))
    assert script.found(idle_timeout=10.0) == CLEAN
    assert script.found() == UPDATE


@pytest.mark.parametrize(
    ("script", "kind", "index", "words"),
    [
        (new().visit(1).look(user=None), Kind.SESSION_LOST, 2, "alice had logged in"),
        (new().visit(1).visit(2).look(visits=1), Kind.UPDATE_LOST, 3, "visits 1, of at least 2"),
        (new().visit(1).visit(2).look(visits=1).look(visits=2), Kind.STALE_READ, 3, "later answers show them all"),
        (new().visit(1).logout().look(visits=1), Kind.REVIVED, 3, "logged in again"),
        (early().visit(1, at=(2, 5)).visit(1, at=(3, 6)), Kind.UPDATE_LOST, 1, "overwritten"),
    ],
)
def test_evidence_names_the_answer_that_proves_it(script: Script, kind: Kind, index: int, words: str) -> None:
    (evidence,) = script.check().examples[kind]
    assert (evidence.who, evidence.session, evidence.at) == ("visitor-1", "visitor-1#1", script.ops[index].ended)
    assert words in evidence.what
