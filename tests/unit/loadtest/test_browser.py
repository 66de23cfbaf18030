"""The state of a virtual user: its cookies, and the user that it expects to be."""

import pytest
from msgspec import UNSET

from loadtest.browser import Browser, Expectation
from loadtest.history import Action, OpOutcome
from loadtest.http import Answer

DONE, FAILED, UNKNOWN = Answer(OpOutcome.OK), Answer(OpOutcome.FAIL), Answer(OpOutcome.UNKNOWN)
ALICE, BOB, ANONYMOUS = (Answer(OpOutcome.OK, user=user) for user in ("alice", "bob", None))
LOOK, LOGIN, LOGOUT, VISIT = Action.LOOK, Action.LOGIN, Action.LOGOUT, Action.VISIT


def logged_in(*cookies: str) -> Browser:
    browser = Browser("visitor-1")
    browser.receive(cookies or ("session=one; Path=/; HttpOnly",), browser.sending(), login=True)
    return browser


def test_a_new_browser_sends_no_cookie_and_takes_the_first_that_comes() -> None:
    browser = Browser("visitor-1")
    assert browser.sending() == ("", None, "visitor-1#1")
    assert browser.receive(["session=one; Path=/"], browser.sending(), login=False) is UNSET
    assert browser.sending() == ("session=one", "one", "visitor-1#1")


def test_a_request_that_brings_no_cookie_of_a_session_has_a_session_of_its_own() -> None:
    browser = Browser("visitor-1")
    for number in (1, 2):
        sent = browser.sending()
        browser.receive(["other=one"], sent, login=False)
        assert (sent.session, browser.knows(sent)) == (f"visitor-1#{number}", False)
    sent = browser.sending()
    browser.receive(["session=one"], sent, login=False)
    assert browser.knows(sent)
    assert sent.session == browser.sending().session == "visitor-1#3"


@pytest.mark.parametrize(
    ("received", "login", "is_replaced", "sent"),
    [
        (["session=two; Path=/"], True, True, "two"),
        (["session=one; Max-Age=1800"], False, False, "one"),
        ([], False, False, "one"),
        (["session=other"], False, True, "one"),
        (["session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"], False, False, "one"),
    ],
    ids=["a login", "the same cookie", "no cookie", "another session", "a logout"],
)
def test_only_a_login_changes_the_cookie_of_a_session(
    received: list[str], login: bool, is_replaced: bool, sent: str
) -> None:
    browser = logged_in()
    assert browser.receive(received, browser.sending(), login=login) is is_replaced
    assert browser.sending() == (f"session={sent}", sent, "visitor-1#1")


def test_the_cookie_of_another_session_can_be_sent_later() -> None:
    browser = logged_in()
    browser.receive(["session=other"], browser.sending(), login=False)
    assert browser.brought == ["other"]
    assert browser.sending("other").header == "session=other"


def test_a_fresh_session_has_another_name_and_keeps_the_proxys_cookies_only() -> None:
    browser = logged_in("session=one", "route=node-2; Path=/")
    assert browser.sending().header == "route=node-2; session=one"
    browser.fresh()
    assert browser.sending() == ("route=node-2", None, "visitor-1#2")


def test_an_answer_to_a_session_that_was_given_up_changes_nothing() -> None:
    browser = logged_in()
    late = browser.sending()
    browser.fresh()
    browser.receive(["session=two"], late, login=True)
    assert browser.sending().cookie is None


def test_other_cookies_change_and_end() -> None:
    browser = logged_in("session=one", "route=node-2")
    browser.receive(["route=node-3"], browser.sending(), login=False)
    assert "route=node-3" in browser.sending().header
    browser.receive(["route=x; Max-Age=0"], browser.sending(), login=False)
    assert browser.sending().header == "session=one"


def test_the_sessions_cookie_may_have_the_prefix_for_tls() -> None:
    assert logged_in("__Host-session=one; Secure").sending() == ("__Host-session=one", "one", "visitor-1#1")
    named = Browser("visitor-1", "connect.sid")
    named.receive(["connect.sid=s%3Aabc.d=="], named.sending(), login=True)
    assert named.sending().header == "connect.sid=s%3Aabc.d=="


@pytest.mark.parametrize(
    ("answers", "user"),
    [
        ([(LOGIN, ALICE), (LOOK, ALICE), (VISIT, DONE)], "alice"),
        ([(LOGIN, DONE), (VISIT, FAILED), (LOGOUT, FAILED), (VISIT, UNKNOWN)], "alice"),
        ([(LOGIN, DONE), (LOGOUT, DONE), (LOOK, ANONYMOUS)], None),
        ([(LOOK, ANONYMOUS)], None),
        ([(LOGIN, UNKNOWN)], UNSET),
        ([(LOGIN, UNKNOWN), (LOOK, ANONYMOUS)], UNSET),
        ([(LOGIN, UNKNOWN), (LOOK, ALICE)], "alice"),
        ([(LOGIN, DONE), (LOGOUT, UNKNOWN), (LOOK, ANONYMOUS)], UNSET),
        ([(LOGIN, DONE), (LOGOUT, DONE), (LOOK, ALICE)], UNSET),
        ([(LOGIN, DONE), (LOOK, BOB)], UNSET),
    ],
)
def test_a_user_expects_the_account_that_its_own_operations_leave(
    answers: list[tuple[Action, Answer]], user: object
) -> None:
    expectation = Expectation("alice")
    assert [expectation.update(*answer) for answer in answers] == [False] * len(answers)
    assert expectation.user == user
    assert expectation.is_logged_in is (user == "alice")


@pytest.mark.parametrize(
    ("action", "answer", "replaced", "is_logged_out"),
    [
        (LOOK, ANONYMOUS, False, True),
        (Action.ACCOUNT, ANONYMOUS, UNSET, True),
        (LOGIN, ANONYMOUS, True, True),
        (VISIT, DONE, True, True),
        (VISIT, UNKNOWN, True, False),
        (VISIT, FAILED, True, False),
        (LOGIN, DONE, True, False),
        (LOGOUT, DONE, True, False),
    ],
)
def test_a_logged_in_user_notices_an_answer_to_an_anonymous_user(
    action: Action, answer: Answer, replaced: bool, is_logged_out: bool
) -> None:
    expectation = Expectation("alice")
    expectation.update(LOGIN, DONE)
    assert expectation.update(action, answer, replaced) is is_logged_out
    assert not (is_logged_out and expectation.is_logged_in)
    if is_logged_out:
        assert expectation.update(LOOK, ANONYMOUS) is False, "it is found once"
