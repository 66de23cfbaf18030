"""The checker, on histories by hand with one planted fault each: it finds that one and nothing else."""

from typing import Any

import pytest
from msgspec import UNSET

from loadtest.checker import Kind
from loadtest.history import Action, OpOutcome
from tests.support.checker_script import Script

CLEAN: dict[Kind, int] = {}
LOST, UPDATE, STALE = {Kind.SESSION_LOST: 1}, {Kind.UPDATE_LOST: 1}, {Kind.STALE_READ: 1}
EMPTIED = {Kind.EMPTYING_UNDONE: 1}
REVIVED, CROSSED = {Kind.REVIVED: 1}, {Kind.CROSSED: 1}
ASTRAY, UNDONE = {Kind.MISDIRECTED: 1}, {Kind.PASSWORD_UNDONE: 1}
FAIL, UNKNOWN = OpOutcome.FAIL, OpOutcome.UNKNOWN
PHONE: dict[str, Any] = {"who": "phone", "session": "phone#1"}
BROWSER: dict[str, Any] = {"who": "browser", "session": "browser#1"}
BOB: dict[str, Any] = {"who": "visitor-2", "session": "visitor-2#1", "account": "bob"}
STRAY: dict[str, Any] = {"at": (5, 7), "replaced": True, "held": 1, "brought": 3}
"""A write with the id 1, answered with the cookie of another session than a login from 4 to 6 brings."""
LOSE: dict[str, Any] = {"replaced": True, "held": 1, "brought": 2}
Cases = dict[str, tuple[Script, dict[Kind, int]]]


def new() -> Script:
    return Script().login()


def early() -> Script:
    """Return a script whose login took from 0 to 1, for operations at times that are given."""
    return Script().login(at=(0, 1))


def renewing() -> Script:
    """Return a script whose session gets the id 1 from a login, and 2 from a second one, which takes from 4 to 6."""
    return Script().login(at=(0, 1), brought=1).login(at=(4, 6), held=1, brought=2)


def changed() -> Script:
    """Return a script whose user has changed the password 1 to 2."""
    return new().op(Action.PASSWORD, password=2)


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
    "while another tab logs in, a read may carry the dead id": (
        Script().login(at=(1, 2)).login(at=(4, 6)).look(user=None, at=(5, 7)),
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
    "an emptied cart that is full again is an emptying undone": (emptied().look(cart={"apple": 3, "pear": 1}), EMPTIED),
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
        {**LOST, **EMPTIED},
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
        EMPTIED,
    ),
    "each emptying that is undone counts": (
        emptied().look(cart={"apple": 3, "pear": 1}).op(Action.EMPTY).look(cart={"apple": 3, "pear": 1}),
        {Kind.EMPTYING_UNDONE: 2},
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
    "a logout that reached a session while its id was renewed may have found none": (
        early()
        .visit(1, at=(2, 3))
        .add("apple", 1, {"apple": 1}, at=(2, 3), who="tab-2")
        .login(at=(4, 7))
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

LOGIN_AGAIN: Cases = {
    "a write is confirmed into another session while a login renews its own": (renewing().visit(1, **STRAY), ASTRAY),
    "each such write counts": (
        renewing().visit(1, **STRAY).add("apple", 1, {"apple": 1}, **STRAY),
        {Kind.MISDIRECTED: 2},
    ),
    "also while the first login renews a visitor's session": (
        Script().visit(1, at=(1, 2), replaced=UNSET, brought=1).login(at=(4, 6), brought=2).visit(1, **STRAY),
        ASTRAY,
    ),
    "and while a change of password renews it": (
        early().op(Action.PASSWORD, at=(4, 6), brought=2).visit(1, **STRAY),
        ASTRAY,
    ),
    "the browser that stores the other session's cookie is logged out": (
        renewing().visit(1, **STRAY).look(user=None, visits=1, at=(8, 9), held=3),
        {**ASTRAY, **LOST},
    ),
    "a browser that gets its own cookie after the other one is still logged in": (
        renewing().visit(1, **{**STRAY, "at": (4.5, 5)}).look(at=(8, 9), held=2),
        ASTRAY,
    ),
    "a browser that lost its cookie to a late answer is logged out": (renewing().look(user=None, at=(8, 9)), LOST),
    "what was written before the login is in the renewed session": (
        early().visit(1, at=(2, 3)).login(at=(4, 6), brought=2).look(visits=0, at=(8, 9), held=2),
        UPDATE,
    ),
    "what was confirmed while the id was renewed is there afterwards": (
        renewing().visit(1, at=(5, 7), held=1).look(visits=0, at=(8, 9), held=2),
        UPDATE,
    ),
    "a cart that was emptied while the id was renewed is empty afterwards": (
        early()
        .add("apple", 1, {"apple": 1}, at=(2, 3))
        .login(at=(4, 7), brought=2)
        .op(Action.EMPTY, at=(5, 8), who="tab-2", held=1)
        .look(cart={"apple": 1}, at=(9, 10), held=2),
        EMPTIED,
    ),
    "or it may be refused, and full": (
        early()
        .add("apple", 1, {"apple": 1}, at=(2, 3))
        .login(at=(4, 7), brought=2)
        .refused(Action.EMPTY, 409, at=(5, 8), who="tab-2", held=1)
        .look(cart={"apple": 1}, at=(9, 10), held=2),
        CLEAN,
    ),
    "the session that the login brings as well is the browser's own": (
        renewing().visit(1, **{**STRAY, "brought": 2}).look(visits=1, at=(8, 9), held=2),
        CLEAN,
    ),
    "a write with the old id may be refused": (
        renewing().refused(Action.VISIT, 409, at=(5, 7), held=1).look(at=(8, 9), held=2),
        CLEAN,
    ),
    "a write may reach the renewed session": (renewing().visit(1, at=(5, 7), held=1).look(visits=1, at=(8, 9)), CLEAN),
    "a login without an answer leaves a write without a session": (
        early().unknown(Action.LOGIN, at=(4, 6)).visit(1, **STRAY).look(user=None, visits=1),
        CLEAN,
    ),
    "of two logins in flight one may have lost its answer": (
        renewing().unknown(Action.LOGIN, at=(4, 6)).visit(1, **STRAY),
        CLEAN,
    ),
    "of two logins that overlapped before, the browser may hold the id that is dead": (
        Script().login(at=(0, 3)).login(at=(1, 2)).login(at=(4, 6), brought=2).visit(1, **STRAY),
        CLEAN,
    ),
    "a logout before the last login excuses nothing": (
        early().logout(at=(2, 2.5)).login(at=(3, 3.5), brought=1).login(at=(4, 6), brought=2).visit(1, **STRAY),
        ASTRAY,
    ),
    "after a logout a write begins another session": (
        early().logout(at=(2, 3)).login(at=(4, 6), brought=2).visit(1, **STRAY),
        CLEAN,
    ),
    "after the end of all other sessions a write begins another session": (
        early().op(Action.END_OTHERS, at=(2, 3), **PHONE).login(at=(4, 6), brought=2).visit(1, **STRAY),
        CLEAN,
    ),
    "a write that finds its session lost shows that loss alone": (early().visit(1, at=(2, 3), **LOSE), LOST),
    "what is written into another session is counted there": (
        early()
        .logout(at=(2, 5))
        .visit(1, at=(3, 4), replaced=True, held=1, brought=2)
        .visit(2, at=(6, 7), held=2)
        .look(user=None, visits=2, held=2),
        CLEAN,
    ),
}


def both() -> Script:
    """Return a script of two browsers that are logged in as one user; the changes PHONE name the second."""
    return Script().login(at=(0, 1)).login(at=(2, 3), **PHONE)


ACCOUNTS: Cases = {
    "a session that was ended from another one may not be logged in": (
        both().op(Action.END_OTHERS).look(**PHONE),
        REVIVED,
    ),
    "nor show the list of sessions": (both().op(Action.END_OTHERS).op(Action.LIST, **PHONE), REVIVED),
    "nor be logged in after a change of password": (both().op(Action.PASSWORD).look(**PHONE), REVIVED),
    "it counts once": (both().op(Action.END_OTHERS).look(**PHONE).op(Action.ACCOUNT, user="alice", **PHONE), REVIVED),
    "a session that was ended from another one is anonymous": (
        both().visit(1, **PHONE).op(Action.END_OTHERS).look(user=None, **PHONE).op(Action.LIST, user=None, **PHONE),
        CLEAN,
    ),
    "the session that ends others stays": (both().op(Action.END_OTHERS).look(user=None), LOST),
    "the session that changes the password stays": (both().op(Action.PASSWORD).look(user=None), LOST),
    "a change of password keeps what is in its session": (both().visit(1).op(Action.PASSWORD).look(), UPDATE),
    "a list that is refused shows a lost session": (both().op(Action.LIST).op(Action.LIST, user=None), LOST),
    "the sessions of other users stay": (
        both().login(**BOB, user="bob").op(Action.END_OTHERS).look(**BOB, user=None),
        LOST,
    ),
    "a session is over only when its end has been acknowledged": (
        both().op(Action.END_OTHERS, at=(4, 6)).look(at=(5, 7), **PHONE).look(user=None, **PHONE),
        CLEAN,
    ),
    "a session whose login overlaps the end may stay": (
        both().op(Action.END_OTHERS, at=(4, 6)).login(at=(5, 7), **PHONE).look(**PHONE),
        CLEAN,
    ),
    "and may be ended": (
        both().op(Action.END_OTHERS, at=(4, 6)).login(at=(5, 7), **PHONE).look(user=None, **PHONE),
        CLEAN,
    ),
    "a session that begins after the end stays": (
        both().op(Action.END_OTHERS).login(**BROWSER).look(**BROWSER).look(user=None, **BROWSER),
        LOST,
    ),
    "an end without an answer promises nothing": (
        both().unknown(Action.END_OTHERS).look(**PHONE).look(user=None, **PHONE),
        CLEAN,
    ),
    "an end without an answer is carried out soon or never": (
        both().unknown(Action.END_OTHERS, at=(4, 5)).login(at=(50, 51), **PHONE).look(user=None, **PHONE),
        LOST,
    ),
    "an end that was refused changes nothing": (
        both().refused(Action.END_OTHERS, 401).look(**PHONE).look(user=None, **PHONE),
        LOST,
    ),
}

PASSWORDS: Cases = {
    "the old password is accepted after a change": (changed().login(password=1, **PHONE), UNDONE),
    "each such login counts": (
        changed().login(password=1, **PHONE).login(password=1, **BROWSER),
        {Kind.PASSWORD_UNDONE: 2},
    ),
    "the new password is refused after a change": (
        changed().refused(Action.LOGIN, 401, password=2, **PHONE),
        UNDONE,
    ),
    "the new password is refused with the form, after a change": (
        changed().refused(Action.LOGIN, 200, password=2, refused=True, **PHONE),
        UNDONE,
    ),
    "the form may be the answer to a wrong token": (changed().refused(Action.LOGIN, 200, password=2, **PHONE), CLEAN),
    "the old password is refused, the new one accepted": (
        changed().refused(Action.LOGIN, 401, password=1, **PHONE).login(password=2, **PHONE),
        CLEAN,
    ),
    "too many wrong passwords are no change": (changed().refused(Action.LOGIN, 429, password=2, **PHONE), CLEAN),
    "either password may be accepted during the change": (
        new()
        .op(Action.PASSWORD, at=(4, 8), password=2)
        .login(at=(5, 6), password=1, **PHONE)
        .login(at=(5, 6), password=2, **BROWSER)
        .refused(Action.LOGIN, 401, at=(5, 6), password=2, session="tv#1", who="tv"),
        CLEAN,
    ),
    "either password may be accepted after a change without an answer": (
        new()
        .unknown(Action.PASSWORD, password=2)
        .refused(Action.LOGIN, 401, password=2, **PHONE)
        .login(password=1, **PHONE),
        CLEAN,
    ),
    "a change without an answer has happened when its password is accepted": (
        new().unknown(Action.PASSWORD, password=2).login(password=2, **PHONE).login(password=1, **BROWSER),
        UNDONE,
    ),
    "a change that was refused changes nothing": (
        new().refused(Action.PASSWORD, 422, password=2).login(password=1, **PHONE),
        CLEAN,
    ),
    "a password may be refused once it was changed again": (
        changed().unknown(Action.PASSWORD, password=3).refused(Action.LOGIN, 401, password=2, **PHONE),
        CLEAN,
    ),
    "another user's password is another one": (changed().login(password=1, user="bob", **BOB), CLEAN),
    "half a change: 503, the new password is accepted, and other sessions go on": (
        both().unknown(Action.PASSWORD, status=503, password=2).login(password=2, **BROWSER).look(**PHONE),
        REVIVED,
    ),
    "after 503 other sessions go on if the new password is refused": (
        both()
        .unknown(Action.PASSWORD, status=503, password=2)
        .refused(Action.LOGIN, 401, password=2, **BROWSER)
        .look(**PHONE),
        CLEAN,
    ),
    "a change without any answer may be under way when its password is accepted": (
        both().unknown(Action.PASSWORD, status=0, password=2).login(password=2, **BROWSER).look(**PHONE),
        CLEAN,
    ),
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
CASES = {**SESSIONS, **UPDATES, **TABS, **LOGIN_AGAIN, **LOGOUTS, **ACCOUNTS, **PASSWORDS, **OTHERS}


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


def test_where_a_login_empties_the_session_its_values_are_no_lost_updates() -> None:
    script = new().visit(1).add("apple", 1, {"apple": 1}).login().visit(1).look(visits=1)
    assert script.found(login_empties=True) == CLEAN
    assert script.found() == {Kind.UPDATE_LOST: 2}
    assert script.visit(2).look(visits=1).found(login_empties=True) == UPDATE, "since the login"
    change = new().visit(1).op(Action.PASSWORD, password=2).look(visits=0)
    assert change.found(login_empties=True) == UPDATE, "a change of password empties nothing"


def test_the_values_of_an_expired_session_are_no_lost_updates() -> None:
    script = Script().visit(1, at=(1, 2), replaced=UNSET).look(user=None, at=(20, 21)).visit(1, at=(22, 23))
    assert script.found(idle_timeout=10.0) == CLEAN
    assert script.found() == UPDATE


@pytest.mark.parametrize(
    ("script", "kind", "index", "words"),
    [
        (new().visit(1).look(user=None), Kind.SESSION_LOST, 2, "alice had logged in"),
        (new().visit(1).visit(2).look(visits=1), Kind.UPDATE_LOST, 3, "a count of 1, of at least 2"),
        (new().visit(1).visit(2).look(visits=1).look(visits=2), Kind.STALE_READ, 3, "later answers show them all"),
        (new().visit(1).logout().look(visits=1), Kind.REVIVED, 3, "logged in again"),
        (early().visit(1, at=(2, 5)).visit(1, at=(3, 6)), Kind.UPDATE_LOST, 1, "overwritten"),
        (renewing().visit(1, **STRAY), Kind.MISDIRECTED, 2, "into another session, while alice renewed this one"),
        (both().op(Action.END_OTHERS, **PHONE).look(), Kind.REVIVED, 3, "after the end of all other sessions"),
        (both().op(Action.PASSWORD, **PHONE).look(), Kind.REVIVED, 3, "after the change of password was acknowledged"),
        (changed().login(password=1), Kind.PASSWORD_UNDONE, 2, "an old password is accepted"),
        (changed().refused(Action.LOGIN, 401, password=2), Kind.PASSWORD_UNDONE, 2, "the new password is refused"),
    ],
)
def test_evidence_names_the_answer_that_proves_it(script: Script, kind: Kind, index: int, words: str) -> None:
    (evidence,) = script.check().examples[kind]
    assert (evidence.who, evidence.session, evidence.at) == ("visitor-1", "visitor-1#1", script.ops[index].ended)
    assert words in evidence.what


@pytest.mark.parametrize(
    ("script", "kind", "item"),
    [
        (new().visit(1).visit(2).look(visits=1), Kind.UPDATE_LOST, ""),
        (new().add("apple", 2, {"apple": 2}).visit(1).look(visits=1), Kind.UPDATE_LOST, "apple"),
        (new().visit(1).visit(2).look(visits=1).look(visits=2), Kind.STALE_READ, ""),
        (emptied().look(cart={"apple": 3}).look(), Kind.STALE_READ, "apple"),
        (emptied().look(cart={"pear": 1}), Kind.EMPTYING_UNDONE, "pear"),
        (new().visit(1).logout().look(user=None, visits=1), Kind.REVIVED, ""),
        (new().add("apple", 2, {"apple": 2}).logout().look(user=None, cart={"apple": 2}), Kind.REVIVED, "apple"),
        (new().visit(1).look(visits=2), Kind.CROSSED, ""),
        (new().visit(1).look(visits=1, cart={"pear": 1}), Kind.CROSSED, "pear"),
        (new().look(user="bob"), Kind.CROSSED, None),
        (new().look(user=None), Kind.SESSION_LOST, None),
        (new().visit(1).logout().look(), Kind.REVIVED, None),
    ],
)
def test_evidence_tells_which_value_it_is_about(script: Script, kind: Kind, item: str | None) -> None:
    (evidence,) = script.check().examples[kind]
    assert evidence.item == item
