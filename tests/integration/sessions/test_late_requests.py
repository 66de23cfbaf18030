"""Requests with the id of a session that was renewed or ended a moment ago, as other tabs of a browser send them."""

from __future__ import annotations

import pytest

from nodes.sessions import Session, SessionData, current_session
from nodes.sessions.marks import seal, unseal
from nodes.sessions.store import MARK_SECONDS
from tests.support.browser import SECRET, Browser, View, application
from tests.support.harness import Harness


@pytest.fixture
def browser(harness: Harness) -> Browser:
    browser = Browser(application(harness.store))
    browser.put(visits=1)
    return browser


def log_in(session: SessionData) -> None:
    current_session.renew("alice")


def rotate(session: SessionData) -> None:
    current_session.renew()


def log_out(session: SessionData) -> None:
    current_session.end()


def count(session: SessionData) -> int:
    return int(current_session.mutate("visits", lambda visits: visits + 1, default=0))


def assign(session: SessionData) -> None:
    session["visits"] = 100


def read_and_assign(session: SessionData) -> None:
    session["visits"] = session.get("visits", 0) + 1


def begin_anew(session: SessionData) -> None:
    current_session.renew(keep=False)
    session["visits"] = 100


ENDINGS = pytest.mark.parametrize("ending", [log_in, rotate, log_out])


@ENDINGS
@pytest.mark.parametrize("write", [count, assign, read_and_assign, begin_anew, lambda session: current_session.touch()])
def test_a_write_with_the_old_id_is_refused(browser: Browser, harness: Harness, ending: View, write: View) -> None:
    old = browser.header
    browser.visit(ending)
    before, jar, data = harness.keys(), browser.header, browser.data
    answer = browser.visit(write, header=old)
    assert (answer.status, answer.set_cookie) == (409, None)
    assert (harness.keys(), browser.header, browser.data) == (before, jar, data)


@ENDINGS
@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"save_uninitialized": True}, {"max_age": 600}])
def test_a_read_with_the_old_id_is_anonymous_and_sets_no_cookie(
    harness: Harness, ending: View, options: dict[str, object]
) -> None:
    browser = Browser(application(harness.store, **options))
    browser.put(visits=1)
    old = browser.header
    browser.visit(ending)
    before = harness.keys()
    answer = browser.visit(lambda session: (current_session.owner, dict(session)), header=old)
    assert (answer.value, answer.status, answer.set_cookie) == ((None, {}), 200, None)
    assert harness.keys() == before


# ---- a session that was ended elsewhere: by another session of its user, or by the application


@pytest.fixture
def ended_elsewhere(browser: Browser) -> Browser:
    """A browser of alice that still has the cookie of her session, which was ended from outside."""
    browser.log_in()
    browser.sessions.end_all("alice")
    return browser


@pytest.mark.parametrize("write", [count, assign, lambda session: current_session.touch()])
def test_a_write_that_does_not_know_of_the_end_elsewhere_is_refused(ended_elsewhere: Browser, write: View) -> None:
    answer = ended_elsewhere.visit(write)
    assert (answer.status, answer.set_cookie) == (409, None)


def assign_and_read(session: SessionData) -> None:
    session["visits"] = 100
    assert session.get("user") is None


def test_a_write_before_the_first_read_is_refused_after_an_end_elsewhere(ended_elsewhere: Browser) -> None:
    answer = ended_elsewhere.visit(assign_and_read)
    assert (answer.status, answer.set_cookie) == (409, None)


def test_a_page_that_found_nobody_begins_an_anonymous_session(ended_elsewhere: Browser, harness: Harness) -> None:
    old = ended_elsewhere.header
    with ended_elsewhere.signals() as seen:
        assert ended_elsewhere.visit(read_and_assign).status == 200
    assert ended_elsewhere.read() == (None, {"visits": 1})
    assert ended_elsewhere.header != old
    assert [kind for kind, _ in seen] == ["absent", "created"]
    assert len(harness.keys()) == 1


def test_of_two_such_pages_at_once_one_begins_a_session(ended_elsewhere: Browser, harness: Harness) -> None:
    old = ended_elsewhere.header
    with ended_elsewhere.request() as (slow, answer):
        slow["theme"] = slow.get("theme", "dark")
        assert ended_elsewhere.visit(read_and_assign, header=old).status == 200
        jar = ended_elsewhere.header
    assert (answer.status, answer.set_cookie, ended_elsewhere.header) == (409, None, jar)
    assert len(harness.keys()) == 1


def test_such_a_page_never_takes_the_place_of_a_login(ended_elsewhere: Browser, harness: Harness) -> None:
    old = ended_elsewhere.header
    with ended_elsewhere.request() as (slow, answer):
        slow["theme"] = slow.get("theme", "dark")
        assert ended_elsewhere.visit(log_in, header=old).status == 200
    assert (answer.status, answer.set_cookie, ended_elsewhere.owner) == (409, None, "alice")
    assert ended_elsewhere.visit(read_and_assign, header=old).status == 409
    assert len(harness.keys()) == 1


def test_such_a_page_during_the_request_that_lost_its_session_is_refused(browser: Browser) -> None:
    browser.log_in()
    with browser.request() as (slow, answer):
        slow["visits"] = slow["visits"] + 1
        browser.sessions.end_all("alice")
    assert (answer.status, answer.set_cookie) == (409, None)


@pytest.mark.parametrize("ending", [log_in, log_out])
def test_a_write_with_an_old_id_starts_a_session_once_its_mark_has_expired(
    browser: Browser, harness: Harness, ending: View
) -> None:
    old = browser.header
    browser.visit(ending)
    harness.advance(MARK_SECONDS + 1)
    assert browser.visit(assign, header=old).status == 200
    assert browser.read() == (None, {"visits": 100})


def test_a_login_with_the_id_of_an_expired_session_leaves_a_mark_too(browser: Browser, harness: Harness) -> None:
    old = browser.header
    harness.advance(2000)
    browser.log_in()
    assert browser.visit(count, header=old).status == 409
    assert browser.owner == "alice"


def test_a_second_login_with_the_old_id_goes_on_with_the_session_of_the_first(browser: Browser) -> None:
    old = browser.header
    browser.log_in()
    jar = browser.header
    browser.visit(count)
    answer = browser.visit(lambda session: (current_session.renew("alice"), session.get("visits")), header=old)
    assert answer.value == (None, 2)
    assert browser.header == jar
    assert browser.read() == ("alice", {"visits": 2})


def test_what_the_second_login_changes_is_saved(browser: Browser) -> None:
    old = browser.header
    browser.log_in()
    browser.visit(lambda session: (session.update(theme="dark"), current_session.renew("alice")), header=old)
    browser.visit(lambda session: (current_session.renew("alice"), session.update(language="de")), header=old)
    assert browser.data == {"visits": 1, "theme": "dark", "language": "de"}


def test_a_login_with_an_older_id_follows_several_renewals(browser: Browser) -> None:
    oldest = browser.header
    for _ in range(3):
        browser.log_in()
    jar = browser.header
    browser.visit(log_in, header=oldest)
    assert (browser.header, browser.read()) == (jar, ("alice", {"visits": 1}))


@pytest.mark.parametrize("rotations", [1, 3])
def test_a_login_with_the_id_from_before_a_rotation_keeps_what_the_visitor_has(
    browser: Browser, harness: Harness, rotations: int
) -> None:
    old = browser.header
    for _ in range(rotations):
        browser.visit(rotate)
    browser.visit(count)
    rotated = browser.header
    browser.visit(lambda session: (session.update(theme="dark"), current_session.renew("alice")), header=old)
    assert browser.header != rotated
    assert browser.read() == ("alice", {"visits": 2, "theme": "dark"})
    assert len(harness.keys()) == 1
    for planted in (old, rotated):
        stranger = Browser(browser.app)
        assert stranger.read(header=planted) == (None, {})
        stranger.visit(lambda session: current_session.renew("bob"), header=planted)
        assert stranger.read() == ("bob", {})


def test_of_two_logins_at_once_both_get_the_same_session(browser: Browser, harness: Harness) -> None:
    old = browser.header
    with browser.request() as (slow, answer):
        assert slow["visits"] == 1
        slow["theme"] = "dark"
        browser.visit(log_in, header=old)
        jar = browser.header
        Session.of(slow).renew("alice")
    assert (answer.status, browser.header) == (200, jar)
    assert browser.read() == ("alice", {"visits": 1, "theme": "dark"})
    assert len(harness.keys()) == 1


def test_of_two_users_who_log_in_at_once_the_second_is_refused(browser: Browser, harness: Harness) -> None:
    old = browser.header
    with browser.request() as (slow, answer):
        assert slow["visits"] == 1
        browser.visit(log_in, header=old)
        Session.of(slow).renew("bob")
    assert (answer.status, answer.set_cookie, browser.owner) == (409, None, "alice")
    assert len(harness.keys()) == 1


@pytest.mark.parametrize("other", ["bob", "Alice"])
def test_another_user_gets_nothing_of_the_session_that_was_renewed(browser: Browser, other: str) -> None:
    old, stranger = browser.header, Browser(browser.app)
    browser.log_in()
    stranger.visit(lambda session: current_session.renew(other), header=old)
    assert stranger.read() == (other, {})
    assert browser.read() == ("alice", {"visits": 1})


def test_a_planted_id_gets_nothing_of_the_login(browser: Browser) -> None:
    planted = browser.header
    browser.visit(lambda session: (current_session.renew("alice"), session.update(secret=1)))
    for view in (lambda session: (current_session.owner, dict(session)), count, rotate, begin_anew):
        answer = Browser(browser.app).visit(view, header=planted)
        assert answer.set_cookie is None
        assert answer.value in (None, (None, {}))


def test_a_logout_with_the_old_id_ends_the_renewed_session(browser: Browser, harness: Harness) -> None:
    old = browser.header
    browser.log_in()
    browser.log_in()
    newest = browser.key
    with browser.signals() as seen:
        assert browser.visit(log_out, header=old).status == 200
    assert (harness.keys(), browser.cookies, seen) == (set(), {}, [("ended", newest)])


def test_a_second_logout_leaves_the_cookie_of_a_new_login_alone(browser: Browser) -> None:
    old = browser.header
    browser.log_out()
    browser.log_in()
    answer = browser.visit(log_out, header=old)
    assert (answer.status, answer.set_cookie, browser.owner) == (200, None, "alice")


def test_a_rotation_that_another_request_overtakes_is_refused(browser: Browser, harness: Harness) -> None:
    with browser.request() as (slow, answer):
        assert slow["visits"] == 1
        browser.visit(rotate)
        Session.of(slow).renew()
    assert (answer.status, answer.set_cookie) == (409, None)
    assert len(harness.keys()) == 1


def test_writes_during_a_login_are_carried_over_however_many_come(browser: Browser) -> None:
    old, tab = browser.header, Browser(browser.app)
    store = browser.sessions.store
    create, left = store.create, list(range(5))

    def created(*args: object) -> float | None:
        made = create(*args)  # type: ignore[arg-type]
        tab.visit(count, header=old)
        return made

    retire = store.retire

    def retiring(*args: object) -> object:
        if left:
            left.pop()
            assert tab.visit(count, header=old).status == 200
        return retire(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "create", created)
        patch.setattr(store, "retire", retiring)
        assert browser.log_in().status == 200
    assert browser.read() == ("alice", {"visits": 7})


@pytest.mark.parametrize(
    ("first", "second"), [((SECRET,), ("another " * 5, SECRET)), (("another " * 5, SECRET), (SECRET, "another " * 5))]
)
def test_marks_are_read_while_secrets_rotate(harness: Harness, first: tuple[str, ...], second: tuple[str, ...]) -> None:
    browser = Browser(application(harness.store, secrets=first))
    browser.put(visits=1)
    old = browser.header
    browser.log_in()
    jar = browser.read()
    elsewhere = browser.at(application(harness.store, secrets=second))
    elsewhere.visit(log_in, header=old)
    assert elsewhere.read() == jar
    assert len(harness.keys()) == 1


def test_a_sealed_id_takes_the_old_id_and_the_secret() -> None:
    sealed = seal("n" * 43, "o" * 43, b"s" * 32)
    assert unseal(sealed, "o" * 43, b"s" * 32) == "n" * 43
    assert unseal(sealed, "p" * 43, b"s" * 32) is None
    assert unseal(sealed, "o" * 43, b"t" * 32) is None
    assert unseal(sealed[:-1], "o" * 43, b"s" * 32) is None
    assert unseal(b"", "o" * 43, b"s" * 32) is None
    assert b"n" * 8 not in sealed
