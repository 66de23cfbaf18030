"""The cookies of a virtual browser."""

from msgspec import UNSET

from loadtest.browser import Browser


def logged_in(*cookies: str) -> Browser:
    browser = Browser("visitor-1")
    browser.receive(cookies or ("session=one; Path=/; HttpOnly",), browser.sending(), login=True)
    return browser


def test_a_new_browser_sends_no_cookie_and_takes_the_first_that_comes() -> None:
    browser = Browser("visitor-1")
    assert browser.sending() == ("", None, "visitor-1#1")
    assert browser.receive(["session=one; Path=/"], browser.sending(), login=False) is UNSET
    assert browser.sending() == ("session=one", "one", "visitor-1#1")


def test_a_login_renews_the_cookie_of_the_same_session() -> None:
    browser = logged_in()
    assert browser.receive(["session=two; Path=/"], browser.sending(), login=True) is True
    assert browser.sending() == ("session=two", "two", "visitor-1#1")


def test_the_same_cookie_again_replaces_nothing() -> None:
    browser = logged_in()
    assert browser.receive(["session=one; Max-Age=1800"], browser.sending(), login=False) is False
    assert browser.receive([], browser.sending(), login=False) is False


def test_the_cookie_of_another_session_is_noticed_and_not_taken_over() -> None:
    browser = logged_in()
    assert browser.receive(["session=other"], browser.sending(), login=False) is True
    assert browser.sending().cookie == "one"
    assert browser.brought == ["other"]
    assert browser.sending("other").header == "session=other"


def test_after_a_logout_the_old_cookie_is_still_sent_so_that_it_can_be_seen_to_be_dead() -> None:
    browser = logged_in()
    gone = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"
    assert browser.receive([gone], browser.sending(), login=False) is False
    assert browser.sending().cookie == "one"


def test_a_fresh_session_has_another_name_and_no_cookie_but_those_of_others() -> None:
    browser = logged_in("session=one", "route=node-2; Path=/")
    assert browser.sending().header == "route=node-2; session=one"
    browser.fresh()
    assert browser.sending() == ("route=node-2", None, "visitor-1#2")


def test_an_answer_that_comes_after_the_session_was_given_up_changes_nothing() -> None:
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
