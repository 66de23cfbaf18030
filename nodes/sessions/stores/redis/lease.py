"""The lease of a primary: until when no other server can have been promoted, from what the Sentinels say.

WAIT alone does not protect a write. A primary that was silent or cut off may return after another server was promoted
and before its replicas follow that one. They confirm its writes, which are lost when they do follow (seen with Valkey
9.1.2, for up to 1.1 s after the return). Its reads show data that is old, or such writes.

A Sentinel takes a primary for down only once `down-after-milliseconds` have passed since its last good answer, and a
failover needs `quorum` Sentinels that do. So what they say at one time holds for a while: the lease. A confirmed write
counts if its reply was read before the end of the lease, and so does a read. After that, the Sentinels are asked once
more, and the reply counts if no failover had begun then.

They need not do so at one time: a Sentinel that takes the primary for down counts what the others said up to five
seconds before, and begins a failover although they reach the primary again. So one that has held it for down for no
longer than that denies the lease; one that does so for longer is cut off, and knows that the others disagree. For as
long after a silence of the primary, all Sentinels have to answer.

A Sentinel that does not answer may have begun a failover before the others reached the primary again. It needs their
votes, and they tell of them: a vote in a later epoch than the primary's is a failover that has not ended or has failed.

Without a majority of the Sentinels nothing has a lease. Writes do not count then, but reads go on unless a Sentinel
that answers speaks against the primary: otherwise dead Sentinels would stop a healthy primary.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from ...store import StoreUnavailable
from ..background import start_thread
from ..forks import reset_in_children
from .address import Address, to_address
from .connection import Command
from .scripts import to_dict

log = logging.getLogger(__package__)

_MARGIN = 0.1
"""Seconds by which a lease ends early: a replica that is promoted may be this much behind the one that confirmed."""
_UNANSWERED_SECONDS = 1.0
"""Seconds for which reads go on without another question, once too few Sentinels answered."""
_VOTE_SECONDS = 30.0
"""Seconds for which a vote may belong to a failover in progress. A replica that was promoted by a Sentinel which has
died since is made a replica again after 8 to 18 s, by the others."""
_REMEMBERED_SECONDS = 6.0
"""Seconds for which a Sentinel may count that another one took the primary for down: five periods of one second in
which it asks, and one more."""
_FAILOVER = frozenset({b"o_down", b"failover_in_progress"})


class NotConfirmed(StoreUnavailable):
    """The Sentinels do not confirm that the server is still the primary."""


class TooFewAnswers(NotConfirmed):
    """No Sentinel that answers speaks against the primary, but too few of them answer."""


@dataclass(frozen=True)
class Opinion:
    """The view of one Sentinel. Times are in seconds.

    `silent_for` is the time since the primary's last good answer, `sentinels` the number of Sentinels that it knows,
    itself among them, `voted` the epoch of its last vote for a failover (0: none, or it may not tell), `down_for` how
    long it has taken the primary for down.
    """

    primary: Address
    epoch: int
    flags: frozenset[bytes]
    silent_for: float
    down_after: float
    quorum: int
    sentinels: int
    voted: int = 0
    down_for: float = 0.0

    @classmethod
    def parse(cls, _sentinel: Address, replies: Sequence[Any]) -> Self:
        """Parse the replies to SENTINEL GET-MASTER-ADDR-BY-NAME, SENTINEL MASTER and, if it was asked, `vote_of`.

        At the end of a failover, the first names the new primary, and the second still describes the previous one.
        """
        (host, port), reply, *votes = replies
        state = to_dict(reply)
        primary = to_address(host, port)
        is_described = primary == to_address(state[b"ip"], state[b"port"])
        return cls(
            primary=primary,
            epoch=int(state[b"config-epoch"]),
            flags=frozenset(state[b"flags"].split(b",") if is_described else ()),
            # The Sentinel counts from zero once it has turned to the new primary.
            silent_for=int(state[b"last-ok-ping-reply"]) / 1000 if is_described else 0.0,
            down_after=int(state[b"down-after-milliseconds"]) / 1000,
            quorum=int(state[b"quorum"]),
            sentinels=int(state[b"num-other-sentinels"]) + 1,
            voted=_parse_vote(*votes) if votes else 0,
            down_for=int(state.get(b"s-down-time", 0)) / 1000,
        )


def vote_of(primary: Address) -> Command:
    """Return the command that asks a Sentinel for its last vote. It votes for nobody in epoch 0."""
    return ("SENTINEL", "IS-MASTER-DOWN-BY-ADDR", *primary, 0, "nobody")


def _parse_vote(reply: Any) -> int:
    if isinstance(reply, Exception):
        _warn(f"Redis: a Sentinel does not tell its vote, so one that is silent may be overlooked: {reply}")
        return 0
    return int(reply[2])


@lru_cache(maxsize=8)
def _warn(message: str) -> None:
    log.warning(message)


def find_lease(primary: Address, opinions: Sequence[Opinion], old_vote: int = 0, *, was_silent: bool = False) -> float:
    """Return for how many seconds after the question no failover can begin; may be negative.

    `old_vote` is the epoch of a vote for a failover that cannot be in progress any more. `was_silent`: the primary was
    silent within _REMEMBERED_SECONDS, for so long that Sentinels may have taken it for down.

    A Sentinel that does not answer may hold the primary for down, as one that says so does. There must be fewer of
    them than `quorum`, since they could begin a failover, and the others must be a majority. Raises `NotConfirmed`:
    `TooFewAnswers` where no answer speaks against the primary.
    """
    latest = max(opinion.epoch for opinion in opinions)
    current = [opinion for opinion in opinions if opinion.epoch == latest]
    if any(opinion.primary != primary for opinion in current):
        raise NotConfirmed("another server is the primary")
    if any(opinion.flags & _FAILOVER for opinion in current):
        raise NotConfirmed("a failover may have begun")
    content = [opinion for opinion in current if b"s_down" not in opinion.flags]
    if any(was_silent or one.down_for < _REMEMBERED_SECONDS for one in current if b"s_down" in one.flags):
        raise NotConfirmed("a Sentinel that takes it for down may begin a failover with what others said before")
    sentinels = max(opinion.sentinels for opinion in current)
    quorum = min(opinion.quorum for opinion in current)
    if len(content) <= sentinels // 2 or sentinels - len(content) >= quorum:
        error = TooFewAnswers if len(content) == len(current) else NotConfirmed
        raise error(f"only {len(content)} of {sentinels} Sentinels reach the primary")
    if len(current) < sentinels and any(opinion.voted > max(latest, old_vote) for opinion in content):
        raise NotConfirmed("a Sentinel that does not answer may have begun a failover")
    if len(current) < sentinels and was_silent:
        raise TooFewAnswers("after a silence of the primary, a Sentinel that does not answer may begin a failover")
    return min(opinion.down_after - opinion.silent_for for opinion in content) - _MARGIN


@dataclass(frozen=True)
class _Verdict:
    """The result of a question: `primary` holds the lease `until` then, or the Sentinels did not confirm it.

    `reads_until` is `until`, or later where too few Sentinels answered.
    """

    primary: Address | None = None
    asked_at: float = float("-inf")
    until: float = float("-inf")
    reads_until: float = float("-inf")
    failure: NotConfirmed | None = None


class Lease:
    """The lease of one process. Safe for threads and greenlets.

    `ask` returns the opinions of the Sentinels on a primary. Where more than half of a lease is over, they are asked in
    the background, so that a request waits for them only after a pause or in doubt. All that wait share one question.
    """

    def __init__(
        self, ask: Callable[[Address], Sequence[Opinion]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        reset_in_children(self)

    def _reset(self) -> None:
        self._asking = threading.Lock()
        self._is_renewed = False
        self._verdict = _Verdict()
        self._vote = 0
        """The epoch of the last vote that a Sentinel told, first told at `_vote_at`."""
        self._vote_at = 0.0
        self._down_after = 0.0
        self._silence: tuple[Address, float] | None = None
        """The primary that does not answer, and since when."""
        self._was_silent: tuple[Address | None, float] = None, 0.0
        """The primary that was silent for long, and until when that matters."""

    def note_silence(self, primary: Address) -> None:
        """Note that a command to the primary has no reply."""
        if self._silence is None or self._silence[0] != primary:
            self._silence = primary, self._clock()

    def note_reply(self, primary: Address) -> None:
        """Note that the primary has answered."""
        if self._silence is None:  # no write then, which another thread's silence might get lost in
            return
        silence, self._silence = self._silence, None
        if silence is not None and silence[0] == primary and self._clock() - silence[1] >= self._down_after / 2:
            self._was_silent = primary, self._clock() + _REMEMBERED_SECONDS
            self._verdict = _Verdict()

    def confirm_write(self, primary: Address) -> None:
        """Return if no failover from `primary` had begun when this was called. Raises `NotConfirmed`."""
        now, verdict = self._clock(), self._verdict
        if verdict.primary == primary and now < verdict.until:
            self._renew(verdict, verdict.until, now)
        elif (failure := self._question(primary, now).failure) is not None:
            raise NotConfirmed(f"{failure}; whether the write outlives a failover is unknown") from failure

    def confirm_read(self, primary: Address) -> None:
        """Return as `confirm_write` does, or where too few Sentinels answer. Raises `NotConfirmed`."""
        now, verdict = self._clock(), self._verdict
        if verdict.primary == primary and now < verdict.reads_until:
            self._renew(verdict, verdict.reads_until, now)
            return
        verdict = self._question(primary, now)
        if verdict.failure is not None and verdict.reads_until <= self._clock():
            raise NotConfirmed(str(verdict.failure)) from verdict.failure

    def _renew(self, verdict: _Verdict, until: float, now: float) -> None:
        """Ask in the background where more than half of the time `until` then is over."""
        if not self._is_renewed and now > (verdict.asked_at + until) / 2:
            with suppress(OSError):  # the lease still holds; a request after its end asks by itself
                self._is_renewed = True
                start_thread("lease", self._question, verdict.primary, now)

    def _question(self, primary: Address, since: float) -> _Verdict:
        """Return a verdict on `primary` by answers from after `since`: another request's, or a new one."""
        with self._asking:
            if self._verdict.primary != primary or self._verdict.asked_at <= since:
                self._verdict = self._ask_about(primary)
                self._is_renewed = False
            return self._verdict

    def _ask_about(self, primary: Address) -> _Verdict:
        """Ask the Sentinels, and return their verdict."""
        asked_at = self._clock()
        try:
            opinions = self._ask(primary)
            self._down_after = min(opinion.down_after for opinion in opinions)
            silent, until = self._was_silent
            was_silent = silent == primary and asked_at < until
            vote = self._old_vote(opinions, asked_at)
            until = asked_at + find_lease(primary, opinions, vote, was_silent=was_silent)
            return _Verdict(primary, asked_at, until, until)
        except StoreUnavailable as error:
            failure = NotConfirmed(f"Redis: the Sentinels do not confirm that {primary} is still the primary: {error}")
            is_denied = isinstance(error, NotConfirmed) and not isinstance(error, TooFewAnswers)
            reads_until = asked_at if is_denied else self._clock() + _UNANSWERED_SECONDS
            return _Verdict(primary, asked_at, reads_until=reads_until, failure=failure)

    def _old_vote(self, opinions: Sequence[Opinion], now: float) -> int:
        """Return the epoch of the last vote if it was first told more than `_VOTE_SECONDS` ago, otherwise 0."""
        vote = max(opinion.voted for opinion in opinions)
        if vote > self._vote:
            self._vote, self._vote_at = vote, now
        return vote if now - self._vote_at > _VOTE_SECONDS else 0
