"""Virtual users who do what people do with a browser: several tabs, logging in again, giving up, several browsers.

A tab does not know what the others do meanwhile, so it accepts every answer. The checker finds what is wrong.
"""

import itertools
import random
from collections.abc import Sequence
from http.client import TOO_MANY_REQUESTS

import gevent
from locust import task

from loadtest.browser import Browser, TabbedBrowser
from loadtest.concurrent_users import ConcurrentUser, concurrently
from loadtest.history import Action, Op, OpOutcome
from loadtest.operations import Operation
from loadtest.users import FRUIT

OPERATIONS = (2, 6)
"""How many a tab sends before all of them pause."""
BURST = 0.5
"""Share (0 to 1) of the tabs that do not pause between two operations."""
THINKING = (0.01, 0.1)
"""Seconds that any other tab pauses for."""
HEAD_START = (0.0, 0.05)
"""Seconds that the tabs are ahead of what happens meanwhile."""
RENEWS = 0.5
"""Share of the rounds in which the user logs in again."""
RELOADS = 0.03
"""Share of the operations that the user gives up at once, such as by a second click."""
RELOADS_AFTER = (0.001, 0.03)
PATIENCE = (2.0, 8.0)
"""Seconds after which the user gives up on any other."""
MOST_OLD_PASSWORDS = 5
"""Attempts with an old password: a node allows 10 within 15 minutes."""


class TabUser(ConcurrentUser):
    """A browser with three tabs, which read and write, in bursts or slowly, while the user may log in again."""

    weight = 2
    tabs = 3
    reads: Sequence[Action] = (Action.LOOK, Action.ACCOUNT)
    password_number = 0

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self.browser = self.load.make_browser(TabbedBrowser, self.who)

    def on_start(self) -> None:
        self.log_in()

    def log_in(self) -> None:
        """Log in with the cookies that the browser has, as a person does in any tab."""
        self.log_in_with(self.browser, self.who)

    def log_in_with(self, browser: Browser, who: str) -> Op:
        return self.send(Operation(Action.LOGIN, password=self.password_number), who, browser=browser)

    @task
    def use(self) -> None:
        self.browse()

    def browse(self) -> None:
        """Work in all tabs at the same time, and look at the result."""
        with self.in_all_tabs(self._work):
            gevent.sleep(random.uniform(*HEAD_START))  # noqa: S311
            self.act_meanwhile()
        look = self.send(Operation(Action.LOOK), self.who)
        if look.outcome is OpOutcome.OK and look.user is None:
            self.log_in()

    def act_meanwhile(self) -> None:
        """Do what only one tab does at a time."""
        if random.random() < RENEWS:  # noqa: S311
            self.send(Operation(Action.LOGIN, password=self.password_number), self.who, patience=choose_patience())

    def _work(self, who: str) -> None:
        hurries = random.random() < BURST  # noqa: S311
        for _ in range(random.randint(*OPERATIONS)):  # noqa: S311
            self.send(self._choose_operation(who), who, patience=choose_patience())
            gevent.sleep(0 if hurries else random.uniform(*THINKING))  # noqa: S311

    def _choose_operation(self, who: str) -> Operation:
        action = random.choices([Action.LOOK, Action.VISIT, Action.ADD, Action.EMPTY], [4, 3, 2, 0.2])[0]  # noqa: S311
        if action is Action.LOOK:
            action = random.choice(self.reads)  # noqa: S311
        if action is not Action.ADD:
            return Operation(action)
        whose = random.choice([self.who, who])  # noqa: S311  # of all tabs, or of this one
        return Operation(action, f"{random.choice(FRUIT)} of {whose}", 1)  # noqa: S311


def choose_patience() -> float:
    """Return how many seconds the user waits for an answer."""
    return random.uniform(*(RELOADS_AFTER if random.random() < RELOADS else PATIENCE))  # noqa: S311


class AccountUser(TabUser):
    """One who also lists their sessions, ends those of their other browsers, and changes the password.

    They are alone on their account, so that they know its password: the first one in the end, unless the run ends
    before.
    """

    weight = 1
    needs = frozenset({Action.LIST, Action.PASSWORD})
    reads = (Action.LOOK, Action.ACCOUNT, Action.LIST)
    password_number = 1

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._passwords = [self._password]  # by number, from 1
        self._old_passwords = 0
        self._numbers = itertools.count(1)
        self._phone = self.load.make_browser(TabbedBrowser, f"{self.who}/phone")
        self._is_over = False

    def browse(self) -> None:
        """Use both browsers at the same time; afterwards the phone shows whether it is still logged in."""
        if self._phone.sending().cookie is None:
            self.log_in_with(self._phone, self._phone.who)
        self._is_over = False
        with concurrently(self._roam):
            super().browse()
            self._is_over = True
        for action in (Action.LOOK, Action.LIST):
            look = self.send(Operation(action), self._phone.who, browser=self._phone)
        if look.outcome is OpOutcome.OK and look.user is None:
            self.log_in_with(self._phone, self._phone.who)
        if self._password != self._passwords[0]:
            self.change_password()

    def _roam(self) -> None:
        """Use the phone until the round is over."""
        for action in itertools.cycle((Action.LOOK, Action.VISIT, Action.LIST)):
            if self._is_over:
                return
            self.send(Operation(action), self._phone.who, browser=self._phone)
            gevent.sleep(random.uniform(*THINKING))  # noqa: S311

    def act_meanwhile(self) -> None:
        """Log in again, end the phone's session, or change the password."""
        random.choice((super().act_meanwhile, self.end_others, self.change_password))()  # noqa: S311

    def end_others(self) -> None:
        self.send(Operation(Action.END_OTHERS), self.who)

    def change_password(self) -> None:
        """Change the password to another one, or back to the first; then try the old one."""
        first, old, number = self._passwords[0], self.password_number, len(self._passwords) + 1
        self._passwords.append(f"{first}.{number}" if self._password == first else first)
        change = Operation(Action.PASSWORD, password=number, new_password=self._passwords[-1])
        op = self.send(change, self.who)
        if op.outcome is OpOutcome.OK:
            self._use(number)
            self._try_old_password(old)
        elif op.outcome is OpOutcome.FAIL:
            self._passwords.pop()  # no other change may have its number
        else:
            self._find_password()

    def log_in_with(self, browser: Browser, who: str) -> Op:
        """Log in; where the password is refused, a change without an answer may have happened: find it."""
        op = super().log_in_with(browser, who)
        is_conflict = not op.error
        if op.outcome is OpOutcome.FAIL and not is_conflict and 0 < op.status < TOO_MANY_REQUESTS:
            self._find_password()
        return op

    def _find_password(self) -> None:
        """Log in with the latest passwords until one is accepted."""
        for number in range(len(self._passwords), max(len(self._passwords) - 3, 0), -1):
            if self._passwords[number - 1] in self._passwords[number:]:
                continue  # the text has a later number, too
            if self._try(number).outcome is OpOutcome.OK:
                self._use(number)
                return

    def _try_old_password(self, number: int) -> None:
        if self._old_passwords < MOST_OLD_PASSWORDS:
            self._old_passwords += 1
            self._try(number)

    def _try(self, number: int) -> Op:
        """Log in from a browser that is used for nothing else, with a password that may be refused."""
        who = f"{self.who}/browser-{next(self._numbers)}"
        login = Operation(Action.LOGIN, password=number, may_fail=True)
        browser = self.load.make_browser(TabbedBrowser, who)
        return self.send(login, who, browser=browser, password=self._passwords[number - 1])

    def _use(self, number: int) -> None:
        self.password_number, self._password = number, self._passwords[number - 1]
