"""What the load generator's process and the one that started it say to each other: JSON, one message a line.

Commands come in on the generator's stdin, reports go out on its stdout. Credentials travel this way too, so they
appear in no argument list and no environment.
"""

from enum import StrEnum

import msgspec

from loadtest.figures import Figures


class Mix(StrEnum):
    """What the virtual users do."""

    EVERYDAY = "everyday"  # visitors, shoppers and leavers as 6:3:1, each with a session of its own
    SHARED_WRITERS = "shared writers"  # browsers whose five tabs write to one session at the same time
    LOGOUT_RACE = "logout race"  # browsers that log out in one tab while five write to the session


class Start(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="start"):
    """Let `users` virtual users loose on `url`, `spawn_rate` of them per second.

    They wait `wait` seconds (from, to) between two requests. The first phase is called `phase`. The generator ends by
    itself `time_limit` seconds later, whatever happens.

    `history` is the path of the file that every operation is written to, with a mark for each phase; None: none.
    `weights` replaces those of the mix's users by name ({"Visitor": 1}; who is not named does not come); empty: theirs.
    With more than one of `workers`, Locust's users run in so many processes. `web` is the port of Locust's own page on
    127.0.0.1. Over TLS the server has to be signed by an authority that the system trusts, or by the one whose
    certificate is the file `authority`, unless `insecure`.
    """

    url: str
    accounts: dict[str, str]
    users: int
    spawn_rate: float
    phase: str
    wait: tuple[float, float]
    time_limit: float
    cookie: str = "session"
    mix: Mix = Mix.EVERYDAY
    history: str | None = None
    weights: dict[str, int] = {}
    workers: int = 1
    web: int | None = None
    authority: str | None = None
    insecure: bool = False


class Join(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="join"):
    """To a worker: run what the Locust master at this port of 127.0.0.1 sends, of the load that `start` describes.

    `number` counts the workers from 0.
    """

    start: Start
    master: int
    number: int


class EnterPhase(msgspec.Struct, frozen=True, tag_field="do", tag="phase"):
    """From now on, requests that end are counted in another phase."""

    phase: str


class Stop(msgspec.Struct, frozen=True, tag_field="do", tag="stop"):
    """End the users and report the result."""


class Ready(msgspec.Struct, frozen=True, tag_field="is", tag="ready"):
    """Locust is loaded and waits for Start."""


class Entered(msgspec.Struct, frozen=True, tag_field="is", tag="entered"):
    """The phase that was asked for is being counted."""

    phase: str


class Progress(msgspec.Struct, frozen=True, tag_field="is", tag="progress"):
    """Twice a second: how many users run, and the phase's figures so far."""

    running: int
    figures: Figures


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of Locust's statistics, such as GET "/me" or GET "/me [logged out]"; times in ms."""

    method: str
    name: str
    requests: int
    failed: int
    p50: float
    p90: float
    p99: float
    p999: float


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Locust's statistics of one phase: its rows by path and method, and all of them together."""

    rows: tuple[Row, ...]
    total: Row


class Result(msgspec.Struct, frozen=True, tag_field="is", tag="result"):
    """The last report: the figures and the latency of each phase, in the order they were entered."""

    phases: tuple[Figures, ...]
    latencies: tuple[Latency, ...]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What one process has counted for a row: `times` says how many requests took so many ms."""

    method: str
    name: str
    requests: int
    failed: int
    times: dict[int, int]


class Worked(msgspec.Struct, frozen=True, tag_field="is", tag="worked"):
    """The last report of a worker: the figures of each phase, and what it has counted in each."""

    phases: tuple[Figures, ...]
    counted: tuple[tuple[Counted, ...], ...]


Command = Start | Join | EnterPhase | Stop
Report = Ready | Entered | Progress | Result | Worked

encode = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
decode_report = msgspec.json.Decoder(Report).decode
