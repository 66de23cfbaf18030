"""The connections between the nodes and their store, which can be slowed, silenced and cut."""

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Protocol, Self

from deploy import fault_proxy
from deploy.errors import ClusterError

_SECONDS_TO_ANSWER = 10.0


class Link(Protocol):
    """What can be done to the connections between the nodes and the store. Each raises ClusterError."""

    def slow(self, seconds: float) -> None:
        """Every answer of the store arrives so much later."""

    def silence(self) -> None:
        """Nothing passes any more, and nobody is told: connections stay open, and new ones are accepted."""

    def cut(self) -> None:
        """Connections are reset, new ones refused: a store that is gone, while it keeps all that it has."""

    def mend(self) -> None:
        """As in the beginning."""


class ProxyLink:
    """A `Link` through `deploy.fault_proxy`, a process of its own that ends with this one.

    `command` starts it, here or elsewhere; `port` is the one to be used instead of the store's.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C at the terminal is for the command, which ends the proxy by closing its stdin.
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise ClusterError(f"cannot start the fault proxy: {error.strerror}") from error
        try:
            self.port = int(self._hear()["port"])
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    @classmethod
    def to(cls, target: int) -> Self:
        """To a port of this machine, from another one that is free."""
        places = (f"127.0.0.1:{target}", "127.0.0.1:0")
        return cls([sys.executable, "-S", "-E", fault_proxy.__file__, *places])

    @property
    def pid(self) -> int:
        return self._process.pid

    def slow(self, seconds: float) -> None:
        self._turn("open", seconds)

    def silence(self) -> None:
        self._turn("silent")

    def cut(self) -> None:
        self._turn("cut")

    def mend(self) -> None:
        self._turn("open")

    def close(self) -> None:
        """End it; connections through it are reset."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=_SECONDS_TO_ANSWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _turn(self, state: str, latency: float = 0.0) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise ClusterError("the fault proxy has ended")
        try:
            self._process.stdin.write(json.dumps({"state": state, "latency": latency}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ClusterError("the fault proxy has ended") from error
        self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _SECONDS_TO_ANSWER)[0]:
            raise ClusterError(f"the fault proxy does not answer within {_SECONDS_TO_ANSWER:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ClusterError("the fault proxy has ended")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise ClusterError(f"the fault proxy refuses: {said['error']}")
        return said
