"""Until the history has it: a part of a history as lines of JSON."""

from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadtest.history import End, Mark, Note, Op, Probe


class PartWriter:
    def __init__(self, path: str | Path) -> None:
        self._file = Path(path).open("wb")  # noqa: SIM115
        self._encode = msgspec.json.Encoder().encode
        self._ops = self._probes = 0

    def write(self, event: Op | Probe | Mark | Note) -> None:
        self._ops += isinstance(event, Op)
        self._probes += isinstance(event, Probe)
        self._file.write(self._encode(event) + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.write(self._encode(End(self._ops, self._probes)) + b"\n")
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
