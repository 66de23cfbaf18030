"""Resets of a session's counters to 0: logouts, logins whose new id may be lost, emptied carts, lost sessions."""

from dataclasses import dataclass, field

from loadtest.checker.fork import State
from loadtest.checker.sums import FOREVER, Latest

_NONE = Latest()
"""Of a session without resets, as most are: it is never added to, and takes no memory for each of them."""


@dataclass(slots=True)
class Resets(State):
    """Resets by time. One that is not certain may happen, until FOREVER unless it is known when it is over."""

    loss: float | None = None
    """The last sign of life before a loss that no login has ended yet."""
    _over: Latest = field(default_factory=lambda: _NONE)
    _certain: Latest = field(default_factory=lambda: _NONE)
    _logouts: Latest = field(default_factory=lambda: _NONE)

    def add(self, started: float, ended: float, *, certain: bool = False, logout: bool = False) -> None:
        self._over = _add(self._over, started, ended)
        if certain:
            self._certain = _add(self._certain, ended, started)
            if logout:
                self._logouts = _add(self._logouts, ended, started)

    def end_loss(self, ended: float) -> None:
        """Note that a login, acknowledged at `ended`, began a new generation after the loss."""
        if self.loss is not None:
            self._over = _add(self._over, self.loss, ended)
            self.loss = None

    def open_loss(self, before: float) -> bool:
        """Return whether the session is lost before that time, and no login has ended that."""
        return self.loss is not None and self.loss < before

    def over(self, before: float) -> float:
        """Return when the last reset that began before that time is over."""
        return FOREVER if self.open_loss(before) else self._over.before(before)

    def over_known(self, before: float) -> float:
        """Return when the last reset before that time is over, without a loss that no login has ended."""
        return self._over.before(before)

    def last_certain(self, before: float) -> float:
        """Return the start of the last certain reset that had ended before that time."""
        return self._certain.before(before)

    def last_logout(self, before: float) -> float:
        """Return the start of the last certain logout that had ended before that time."""
        return self._logouts.before(before)

    @property
    def ends(self) -> list[float]:
        """Return every time that `over` can still return."""
        return self._over.values

    @property
    def starts(self) -> list[float]:
        """Return every time that `last_certain` and `last_logout` can still return."""
        return self._certain.values + self._logouts.values

    def forget(self, before: float) -> None:
        self._over.forget(before)
        self._certain.forget(before)
        self._logouts.forget(before)


def _add(latest: Latest, time: float, value: float) -> Latest:
    if latest is _NONE:
        latest = Latest()
    latest.add(time, value)
    return latest
