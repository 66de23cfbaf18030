"""The findings of the checker in a history. JSON-able: the report and programs read it as it is."""

from enum import StrEnum

import msgspec

from loadtest.history import Note, Op


class Kind(StrEnum):
    """The errors of sessions that a history can prove."""

    SESSION_LOST = "session lost"  # logged in, not logged out, not expired, and the answer is to an anonymous user
    UPDATE_LOST = "update lost"  # acknowledged, and missing in all that was seen from then on
    EMPTYING_UNDONE = "emptying undone"  # a cart was emptied, acknowledged, and what was in it is back
    STALE_READ = "stale read"  # an older value after a newer one that was acknowledged; the newer one was seen again
    MISDIRECTED = "write misdirected"  # confirmed into another session while a login renewed the browser's own
    REVIVED = "logout revived"  # the session, or what was in it, is back after an acknowledged logout
    PASSWORD_UNDONE = "password undone"  # noqa: S105  # after a change the old one is accepted, or the new one refused
    CROSSED = "crossed"  # a name, an item or a number that no client can have made in this session


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, as the answer `at` that time (epoch seconds) proves it. `count`: how many updates.

    `item`: the item of the list whose quantity is wrong, "" where the count of visits is, None where neither is.
    """

    kind: Kind
    who: str
    session: str
    at: float
    what: str
    count: int = 1
    item: str | None = None


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a history that is wrong: answers that found a logged-in user logged out, and evidence by time."""

    logged_out: tuple[Op, ...]
    evidence: tuple[Evidence, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """The operations with one method and path. Percentiles in ms."""

    method: str
    path: str
    operations: int
    failed: int
    p50: float
    p90: float
    p99: float
    p999: float


class PhaseFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Operations of one phase, or of the whole run. Times in seconds, latencies in ms over everything that ended.

    Percentiles are at most 1 % too high: durations are counted rounded up to three significant digits.

    `failed` had no answer or a wrong one as HTTP, `fail` of them certainly changed nothing and `unknown` may have;
    `failures` counts them by request and reason. `as_logged_in` are the answers that show whether a user is logged in
    who must be; `logged_out` those among them that show they are not, and `users_logged_out` to how many users.
    `shed` of those that failed were a 503 with Retry-After: too much load, or a store out of reach.
    `logouts`, `ends_of_others` and `updates` were acknowledged; a change of password ends the user's other sessions,
    too. An update is a visit or a piece added to a list, as losses are counted.
    `proxied` tell what the proxy did (X-Upstream-Status), and `retried` of them were sent to a second node.
    `found` is what the answers of this phase prove to be wrong.
    `generator_cpu` is the share of one core that the load generator's busiest process used, as it noted on average;
    above 0.9, rates and times are the load generator's own.
    """

    seconds: float
    users: int = 0
    operations: int = 0
    ok: int = 0
    failed: int = 0
    fail: int = 0
    unknown: int = 0
    failed_gets: int = 0
    failed_writes: int = 0
    failures: dict[str, int] = {}
    logins: int = 0
    logouts: int = 0
    ends_of_others: int = 0
    updates: int = 0
    as_logged_in: int = 0
    logged_out: int = 0
    users_logged_out: int = 0
    proxied: int = 0
    retried: int = 0
    shed: int = 0
    nodes: dict[str, int] = {}
    found: dict[Kind, int] = {}
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    slowest: float = 0.0
    generator_cpu: float = 0.0
    rows: tuple[Row, ...] = ()

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def goodput(self) -> float:
        """Good answers per second."""
        return self.ok / self.seconds if self.seconds else 0.0

    @property
    def share_logged_out(self) -> float:
        """Of the answers to users who must be logged in, the share (0 to 1) that shows they are not."""
        return self.logged_out / self.as_logged_in if self.as_logged_in else 0.0


class Window(msgspec.Struct, frozen=True):
    """A stretch of time, in epoch seconds."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one target to the prober, whose interval is the resolution.

    `errors` are the windows without any good answer: each from the first probe that failed to the next good one.
    `gap` is the longest of them in seconds. `slow` reaches from the first to the last probe that took longer than
    `slow_after` seconds or failed. `late` is the prober's own longest delay in seconds: it cannot see what is shorter.
    """

    probes: int
    ok: int
    fail: int
    unknown: int
    interval: float
    late: float
    errors: tuple[Window, ...]
    slow: Window | None
    slow_after: float
    p50: float
    p99: float
    slowest: float

    @property
    def gap(self) -> float:
        return max((window.seconds for window in self.errors), default=0.0)


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a history. `complete` is false for a truncated one: what was in flight when it ended is missing.

    `sessions` counts those that somebody was logged in to, `sessions_lost` and `revived` sessions, `updates_lost`
    counted requests, pieces in lists and emptied lists, `stale_reads` and `crossed` answers, `misdirected` writes,
    `passwords_undone` logins. `examples` are some of each kind, the earliest first. `notes` has the newest of each
    text.
    """

    title: str
    complete: bool
    total: PhaseFigures
    phases: dict[str, PhaseFigures]
    sessions: int
    sessions_lost: int
    users_lost: int
    updates_lost: int
    stale_reads: int
    revived: int
    crossed: int
    misdirected: int = 0
    passwords_undone: int = 0
    examples: dict[Kind, tuple[Evidence, ...]]
    availability: dict[str, Availability]
    notes: tuple[Note, ...] = ()

    @property
    def gap(self) -> float:
        """The longest time in seconds that any target gave no good answer; 0 without a prober."""
        return max((target.gap for target in self.availability.values()), default=0.0)
