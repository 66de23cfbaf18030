"""Concurrent writers to a store during a fault, and a check of their writes."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.sessions import Changes, Outcome, Record, SessionMark, StoreUnavailable
from nodes.sessions.store import Store
from tests.support.records import HOUR
from tests.support.waiting import wait_until


@dataclass
class Writers:
    """Each writer counts in a session of its own with compare-and-set, and logs in and out in between.

    `failed` has the messages of failed operations, `wrong` the broken promises, `gap` the longest time in seconds
    between two operations of one writer that succeeded.
    """

    store: Store
    number: int = 4
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    done: int = 0
    gap: float = 0.0

    def run(self, during: Callable[[], object], after: float = 0.5) -> Writers:
        """Start the writers, call `during`, let them write for `after` seconds more, and check their writes."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._write, args=(stop,)) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: self.done > 20 * self.number)
            during()
            before = self.done
            wait_until(lambda: self.done > before + 20 * self.number)
            time.sleep(after)  # more of the same: how much does not matter
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        return self

    def _write(self, stop: threading.Event) -> None:
        key, value, ended = secrets.token_hex(32), -1, list[str]()
        last = time.monotonic()
        possible = {-1}
        while not stop.is_set():
            try:
                if value < 0:
                    if self.store.create(key, {"n": b"0"}, key, HOUR) is None and possible == {-1}:
                        self.wrong.append("a session was there before it was created")
                    value, possible = 0, {0}
                outcome = self.store.update(key, Changes({"n": b"%d" % (value + 1)}, expect={"n": b"%d" % value}), HOUR)
                if outcome is Outcome.APPLIED:
                    value += 1
                    possible = {value}
                else:
                    self.wrong += self._unless_possible(key, outcome, possible)
                    value = self._read(key)
                    possible = {value}
                if value % 10 == 9:
                    other = secrets.token_hex(32)
                    self.store.create(other, {}, None, HOUR)
                    if self.store.retire(other, SessionMark()) is not Outcome.APPLIED:
                        self.wrong.append(f"{other} had gone before its logout")
                    ended.append(other)
            except StoreUnavailable as error:
                self.failed.append(str(error))
                possible = {value, value + 1}
                stop.wait(0.01)
                continue
            now = time.monotonic()
            self.gap, last, self.done = max(self.gap, now - last), now, self.done + 1
        self._check(key, possible, ended)

    def _unless_possible(self, key: str, outcome: Outcome, possible: set[int]) -> list[str]:
        """Return the error of an update that was not applied; none if an earlier one may have been applied."""
        if outcome is Outcome.CONFLICT and self._read(key) in possible:
            return []
        return [f"{outcome} of {key}, which should be one of {possible}"]

    def _read(self, key: str) -> int:
        record = self.store.load(key)
        return int(record.fields["n"]) if isinstance(record, Record) else -1

    def _check(self, key: str, possible: set[int], ended: list[str]) -> None:
        if (found := self._read(key)) not in possible:
            self.wrong.append(f"{key} is {found}, and should be one of {possible}")
        self.wrong += [f"the logout of {each} was lost" for each in ended if isinstance(self.store.load(each), Record)]
