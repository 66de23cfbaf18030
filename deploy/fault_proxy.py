"""A fault proxy: breaks the network between the nodes and their store on request (slow, silent, down, bad answers)."""

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Self

from deploy import tcp_proxy
from deploy.spec import ClusterError

_SECONDS_TO_ANSWER = 10.0


class FaultProxy:
    """Controls `deploy.tcp_proxy`, a process of its own that ends with this one. Every method raises ClusterError.

    `command` starts that program, here or in a container; `port` is where it listens.
    """

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,  # a command that an ended process did not read must not fail `close`
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C at the terminal must reach only the command, which ends the proxy by closing its stdin.
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise ClusterError(f"cannot start the fault proxy: {error.strerror}") from error
        try:
            self.port = int(self._receive()["port"])
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    @classmethod
    def to(cls, target: int) -> Self:
        """Start a proxy from a free port of this machine to port `target`."""
        addresses = (f"127.0.0.1:{target}", "127.0.0.1:0")
        return cls([sys.executable, "-S", "-E", tcp_proxy.__file__, *addresses])

    @property
    def pid(self) -> int:
        """The id of the proxy's process on this machine."""
        return self._process.pid

    def latency(self, seconds: float) -> None:
        """Delay every answer of the store by `seconds` (0 to 60)."""
        self._set("up", seconds)

    def answers(self, answers: str) -> None:
        """Answer as `deploy.tcp_proxy.ANSWERS` says, in the place of a store that speaks Redis's protocol."""
        self._set("up", answers=answers)

    def blackhole(self, user: str = "") -> None:
        """Let nothing pass: connections stay open and new ones are accepted, but no byte arrives.

        With `user`, only on the connections that log in as this user of a Redis server.
        """
        self._set("blackhole", text=f"\r\n{user}\r\n" if user else "")

    def down(self) -> None:
        """Reset open connections and refuse new ones. The store itself keeps running, with its data."""
        self._set("down")

    def reset(self) -> None:
        """Undo every fault."""
        self._set("up")

    def close(self) -> None:
        """End the process; connections through it are reset."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=_SECONDS_TO_ANSWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _set(self, mode: str, latency: float = 0.0, text: str = "", answers: str = "right") -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise ClusterError("the fault proxy has ended")
        try:
            command = {"mode": mode, "latency": latency, "text": text, "answers": answers}
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ClusterError("the fault proxy has ended") from error
        self._receive()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _SECONDS_TO_ANSWER)[0]:
            raise ClusterError(f"the fault proxy does not answer within {_SECONDS_TO_ANSWER:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ClusterError("the fault proxy has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ClusterError(f"the fault proxy refuses: {answer['error']}")
        return answer
