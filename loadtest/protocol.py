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


class Result(msgspec.Struct, frozen=True, tag_field="is", tag="result"):
    """The last report: the figures of each phase, in the order they were entered."""

    phases: tuple[Figures, ...]


Command = Start | EnterPhase | Stop
Report = Ready | Entered | Progress | Result

encode = msgspec.json.Encoder().encode
decode_command = msgspec.json.Decoder(Command).decode
decode_report = msgspec.json.Decoder(Report).decode
