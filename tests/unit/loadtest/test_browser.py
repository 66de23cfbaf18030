"""The state of a virtual user: its cookies, and the user that it expects to be."""

import pytest
from msgspec import UNSET

from loadtest.browser import Browser, Expectation, Received, Sent, TabbedBrowser
from loadtest.history import Action, OpOutcome
from loadtest.operations import Answer

DONE, FAILED, UNKNOWN = Answer(OpOutcome.OK), Answer(OpOutcome.FAIL), Answer(OpOutcome.UNKNOWN)
ALICE, BOB, ANONYMOUS = (Answer(OpOutcome.OK, user=user) for user in ("alice", "bob", None))
LOOK, LOGIN, LOGOUT, VISIT = Action.LOOK, Action.LOGIN, Action.LOGOUT, Action.VISIT
NOON = 946_728_000.0
"""2000-01-01, in epoch seconds."""
ENDED = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"


def logged_in(*cookies: str) -> Browser:
    browser = Browser("visitor-1")
    browser.receive(cookies or ("session=one; Path=/; HttpOnly",), browser.sending(), LOGIN)
    return browser


def test_a_new_browser_sends_no_cookie_and_takes_the_first_that_comes() -> None:
    browser = Browser("visitor-1")
    assert browser.sending() == Sent("", None, "visitor-1#1")
    assert browser.receive(["session=one; Path=/"], browser.sending(), VISIT) == Received(UNSET)
    assert browser.sending() == Sent("session=one", "one", "visitor-1#1")


def test_a_request_that_brings_no_cookie_of_a_session_has_a_session_of_its_own() -> None:
    browser = Browser("visitor-1")
    for number in (1, 2):
        sent = browser.sending()
        browser.receive(["other=one"], sent, VISIT)
        assert (sent.session, browser.knows(sent)) == (f"visitor-1#{number}", False)
    sent = browser.sending()
    browser.receive(["session=one"], sent, VISIT)
    assert browser.knows(sent)
    assert sent.session == browser.sending().session == "visitor-1#3"


@pytest.mark.parametrize(
    ("received", "login", "is_replaced", "sent"),
    [
        (["session=two; Path=/"], True, True, "two"),
        (["session=one; Max-Age=1800"], False, False, "one"),
        ([], False, False, "one"),
        (["session=other"], False, True, "one"),
        ([ENDED], False, False, "one"),
    ],
    ids=["a login", "the same cookie", "no cookie", "another session", "a logout"],
)
def test_only_a_login_changes_the_cookie_of_a_session(
    received: list[str], login: bool, is_replaced: bool, sent: str
) -> None:
    browser = logged_in()
    assert browser.receive(received, browser.sending(), LOGIN if login else VISIT) == Received(is_replaced)
    assert browser.sending() == Sent(f"session={sent}", sent, "visitor-1#1")


@pytest.mark.parametrize(
    ("attributes", "is_kept"),
    [
        ("Max-Age=0", False),
        ("max-age=-1", False),
        ("MAX-AGE = 0", False),
        ("Max-Age=00", False),
        ("Max-Age=060", True),
        ("Max-Age=soon", True),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("expires=Thu, 01-Jan-1970 00:00:01 GMT; Path=/", False),
        ("Expires=Sat, 01 Jan 2000 12:00:00 GMT", False),
        ("Expires=Sat, 01 Jan 2000 12:00:01 GMT", True),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", True),
        ("Expires=Sat, 01 Jan 2050 00:00:00 GMT; Max-Age=0", False),
        ("Expires=0", True),
        ("Path=/max-age=0; HttpOnly", True),
    ],
)
def test_a_cookie_ends_by_its_age_or_its_date(attributes: str, is_kept: bool) -> None:
    browser = Browser("visitor-1", clock=lambda: NOON)
    browser.receive(["theme=dark", "session=one"], browser.sending(), LOGIN)
    browser.receive([f"theme=light; {attributes}"], browser.sending(), LOOK)
    assert browser.value("theme") == ("light" if is_kept else "")
    browser.receive([f'session="two"; {attributes}'], browser.sending(), LOOK)
    assert browser.brought == (['"two"'] if is_kept else []), "the end of a session is no other one"


def test_the_cookie_of_another_session_can_be_sent_later() -> None:
    browser = logged_in()
    browser.receive(["session=other"], browser.sending(), VISIT)
    assert browser.brought == ["other"]
    assert browser.sending("other").header == "session=other"


def test_a_fresh_session_has_another_name_and_keeps_the_proxys_cookies_only() -> None:
    browser = logged_in("session=one", "route=node-2; Path=/")
    assert browser.sending().header == "route=node-2; session=one"
    browser.fresh()
    assert browser.sending() == Sent("route=node-2", None, "visitor-1#2")


def test_an_answer_to_a_session_that_was_given_up_changes_nothing() -> None:
    browser = logged_in()
    late = browser.sending()
    browser.fresh()
    browser.receive(["session=two"], late, LOGIN)
    assert browser.sending().cookie is None


def test_other_cookies_change_and_end() -> None:
    browser = logged_in("session=one", "route=node-2")
    browser.receive(["route=node-3"], browser.sending(), VISIT)
    assert "route=node-3" in browser.sending().header
    browser.receive(["route=x; Max-Age=0"], browser.sending(), VISIT)
    assert browser.sending().header == "session=one"


def test_the_sessions_cookie_may_have_the_prefix_for_tls() -> None:
    assert logged_in("__Host-session=one; Secure").sending() == Sent("__Host-session=one", "one", "visitor-1#1")
    named = Browser("visitor-1", "connect.sid")
    named.receive(["connect.sid=s%3Aabc.d=="], named.sending(), LOGIN)
    assert named.sending().header == "connect.sid=s%3Aabc.d=="


# With tabs


def with_tabs() -> TabbedBrowser:
    """Return a browser with the session "one"."""
    browser = TabbedBrowser("tabs-1")
    browser.receive(["session=one; Path=/"], browser.sending(), LOGIN)
    return browser


def test_a_browser_with_tabs_holds_the_cookie_of_the_last_answer() -> None:
    browser = with_tabs()
    login, visit = browser.sending(), browser.sending()
    assert login == visit == Sent("session=one", "one", "tabs-1#2", held=1)
    assert browser.receive(["session=two"], login, LOGIN) == Received(True, brought=2)
    assert browser.receive(["session=other"], visit, VISIT) == Received(True, brought=3)
    assert browser.sending() == Sent("session=other", "other", "tabs-1#2", held=3)


def test_an_id_that_two_answers_bring_has_one_number() -> None:
    browser = with_tabs()
    sent = browser.sending()
    assert browser.receive(["session=two"], sent, VISIT) == browser.receive(["session=two"], sent, LOGIN)


def test_a_late_answer_brings_the_old_id_back() -> None:
    browser = with_tabs()
    late = browser.sending()
    browser.receive(["session=two"], browser.sending(), LOGIN)
    assert browser.receive(["session=one; Max-Age=1800"], late, LOOK) == Received(False)
    assert browser.sending().held == 1


def test_without_a_session_each_request_of_a_tab_may_begin_one_of_its_own() -> None:
    browser = TabbedBrowser("tabs-1")
    first, second = browser.sending(), browser.sending()
    assert first.session != second.session
    assert browser.receive([], first, LOOK) == Received(UNSET)
    assert not browser.knows(first)
    assert browser.receive(["session=one"], second, VISIT) == Received(UNSET, brought=1)
    assert browser.knows(second)
    assert browser.sending().session == second.session


def test_a_logout_ends_the_session_of_all_tabs() -> None:
    browser = with_tabs()
    before = browser.sending()
    assert browser.receive([ENDED], before, LOGOUT) == Received(False)
    assert browser.sending().cookie is None
    assert browser.sending().session != before.session


def test_a_cookie_that_another_answer_deletes_is_missed_in_its_session() -> None:
    browser = with_tabs()
    browser.receive([ENDED], browser.sending(), LOOK)
    sent = browser.sending()
    assert sent == Sent("", None, "tabs-1#2")
    assert browser.receive(["session=other"], sent, VISIT) == Received(True, brought=2)


def test_a_fresh_browser_with_tabs_has_another_session() -> None:
    browser = with_tabs()
    before = browser.sending().session
    browser.fresh()
    assert browser.sending().cookie is None
    assert browser.sending().session != before


def test_a_browser_with_tabs_forgets_the_numbers_of_old_ids() -> None:
    browser = with_tabs()
    for number in range(500):
        assert browser.receive([f"session=id-{number}"], browser.sending(), LOGIN).brought == number + 2
    assert browser.sending().held == 501
    assert len(browser._numbers) <= 100


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
