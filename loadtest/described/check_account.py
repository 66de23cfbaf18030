"""The check of what changes an account: the password is changed and changed back, and other sessions are ended."""

from typing import TYPE_CHECKING

from loadtest.browser import Browser
from loadtest.described.check_steps import Left, Misread
from loadtest.described.schema import RequestSpec
from loadtest.history import OpOutcome
from loadtest.operations import Answer

if TYPE_CHECKING:
    from loadtest.described.check import Visit

_TRIES = 5
"""To change a password back."""


def check_password(visit: "Visit", spec: RequestSpec | None) -> None:
    """Change the password, log in with the new one, and change it back."""
    if spec is None:
        return
    old, new = visit.password, f"{visit.password}.2"  # as virtual users do
    other = _log_in_elsewhere(visit)
    was_refused = False
    try:
        visit.step("password", spec, lambda _: "", new_password=new)
        was_refused = visit.replies[-1].answer.outcome is OpOutcome.FAIL
    finally:  # the password may be another one now
        if (browser := visit.log_in(new)) is not None:
            try:
                _judge_change(visit, old, other)
            finally:
                _change_back(visit, spec, browser, old, new)
        elif visit.log_in(old) is not None:
            if not visit.found.steps[-1].complaint:
                visit.complain("the new password is refused afterwards: it was not changed, or the answer refused it")
        elif was_refused:
            visit.complain("no login is accepted afterwards")
        else:
            what = f"{visit.account} may have the password {new!r} now"
            visit.complain(Left(f"{what}: no login with it, or with the one before, is accepted"))


def _judge_change(visit: "Visit", old: str, other: Browser | None) -> None:
    """Complain of a change of password that was carried out: of its answer, or of what it left as it was."""
    answer = visit.replies[-1].answer
    if answer == Answer(OpOutcome.FAIL):
        visit.complain(Misread("the new password is accepted, so it was changed: the session must go on"))
    elif answer.outcome is OpOutcome.OK:
        _judge_this_session(visit)
        _judge_other_session(visit, other)
        if visit.log_in(old, most_refusals=1) is not None:
            visit.complain("the old password is accepted afterwards, too")


def _change_back(visit: "Visit", spec: RequestSpec, browser: Browser, old: str, new: str) -> None:
    """Change the password back, more than once where that is needed."""
    visit.browser, visit.password = browser, new
    try:
        visit.step("password", spec, lambda _: "", new_password=old)
    finally:
        if _is_back(visit, old, new):
            visit.password = old
        else:
            what = "may have" if visit.log_in(new) is None else "has"
            visit.complain(Left(f"{visit.account} {what} the password {new!r} now: changing it back changed nothing"))


def _is_back(visit: "Visit", old: str, new: str) -> bool:
    """Return whether the old password is accepted; change it again while the new one is."""
    for _ in range(_TRIES):
        if visit.log_in(old, most_refusals=1) is not None:
            return True
        if (browser := visit.log_in(new, most_refusals=1)) is not None:
            visit.change_password(browser, new, old)
    return visit.log_in(old) is not None


def check_end_others(visit: "Visit", spec: RequestSpec | None) -> None:
    """Log in with another browser, and end its session."""
    if spec is None or (other := _log_in_elsewhere(visit)) is None:
        return
    advice = "a session must keep its id when it ends others"
    if visit.step("end_others", spec, lambda reply: visit.judge_cookie(reply, advice)):
        if not visit.found.steps[-1].complaint:
            _judge_this_session(visit)
        _judge_other_session(visit, other)


def _log_in_elsewhere(visit: "Visit") -> Browser | None:
    """Log in with another browser; complain if that ends the session of this one, and go on with the other."""
    was_clean = visit.is_clean
    other = visit.log_in(visit.password)
    if other is not None and was_clean and visit.look(visit.browser) is None:
        what = "a login from another browser ends this session: where users have two, as some of --mix tabs"
        visit.complain(f"{what}, each counts as logged out", "login")
        visit.browser = other
        return None
    return other


def _judge_this_session(visit: "Visit") -> None:
    """Complain of the last step where it logged its own user out."""
    if visit.look(visit.browser) is None:
        visit.complain("shows nobody in this browser afterwards: it ended its own session, which must go on")


def _judge_other_session(visit: "Visit", browser: Browser | None) -> None:
    """Complain of the last step where the user is still logged in to another browser."""
    if browser is not None and isinstance(user := visit.look(browser), str):
        visit.complain(f"shows {user!r} in another browser afterwards, whose session has not ended")
