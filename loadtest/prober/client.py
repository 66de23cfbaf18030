"""The independent prober as the rest of the program sees it: a process that asks at a fixed rate."""

import contextlib
import threading
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from loadtest.child import Child
from loadtest.history import Probe
from loadtest.prober.process import Orders, Target, any_certificate

INTERVAL = 0.05
TIMEOUT = 5.0
START_TIMEOUT = 20.0
LOGIN_TIMEOUT = 10.0


class ProberError(Exception):
    """The prober could not log in, did not start, or ended too early; the message is one line."""


def cookie_of(url: str, name: str, password: str) -> str:
    """Log in to a cluster: the Cookie header of a session for a target. Raises ProberError."""
    body = msgspec.json.encode({"user": name, "password": password})
    login = urllib.request.Request(f"{url}/login", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(login, timeout=LOGIN_TIMEOUT, context=any_certificate()) as answer:  # noqa: S310
            lines = answer.headers.get_all("Set-Cookie") or []
    except OSError as error:
        raise ProberError(f"cannot log in at {url} as {name}: {error}") from error
    if not lines:
        raise ProberError(f"logging in at {url} as {name} brought no cookie")
    return "; ".join(line.partition(";")[0] for line in lines)


class Prober:
    """A context manager: it probes from when it is entered until `stop`, for `time_limit` seconds at most.

    Each target is asked every `interval` seconds, whether the last answer has come or not; an answer that takes longer
    than `timeout` seconds is unknown. A target that is to show whether the store answers needs a session's cookie, as
    `cookie_of` gets one. Cookies travel over a pipe and appear in no argument list.
    """

    def __init__(
        self, targets: Sequence[Target], *, time_limit: float, interval: float = INTERVAL, timeout: float = TIMEOUT
    ) -> None:
        self._orders = Orders(targets=tuple(targets), interval=interval, timeout=timeout, time_limit=time_limit)
        self._probes: list[Probe] = []
        self._began = threading.Event()

    def __enter__(self) -> Self:
        self._child = Child("loadtest.prober.process")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with contextlib.suppress(BrokenPipeError):  # then it has ended, and says why
            self._child.tell(msgspec.json.encode(self._orders))
        if not self._began.wait(START_TIMEOUT) or self._child.code is not None:
            error = ProberError(self._obituary())
            self.__exit__(ProberError, error, None)
            raise error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._child.kill()
        self._end()
        self._child.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def probes(self) -> Sequence[Probe]:
        """Those that have ended so far."""
        return tuple(self._probes)

    def stop(self) -> list[Probe]:
        """Send no more, await what is in flight, and return all probes in the order they ended. Raises ProberError if
        the prober ended before, other than by its time limit."""
        self._end()
        if self._child.code:
            raise ProberError(self._obituary())
        return list(self._probes)

    def _end(self) -> None:
        self._child.end(self._orders.timeout + START_TIMEOUT)
        self._reader.join()

    def _read(self) -> None:
        try:
            for line in self._child.lines():
                if self._began.is_set():
                    self._probes.append(msgspec.json.decode(line, type=Probe))
                self._began.set()
        except msgspec.DecodeError:
            self._child.kill()  # whatever speaks there is no prober
        self._began.set()

    def _obituary(self) -> str:
        return f"the prober {self._child.obituary()}"
