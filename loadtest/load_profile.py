"""Amount and kind of the load, and the settings that `loadtest.generator` passes to the processes of Locust."""

from enum import StrEnum
from pathlib import Path
from typing import Self

import msgspec

from loadtest.described.adapter import DescribedAdapter

SETTINGS_VARIABLE = "SESSION_LOAD_SETTINGS"
"""Names the file with the GeneratorSettings."""
WANTED_USERS = "wanted-users"
"""The file with the wanted number of users, in the folder of the load."""
WANTED_ARRIVALS = "wanted-arrivals.json"
"""The file with the wanted Arrivals. Without it, none are wanted."""
ARRIVAL = "arrival-"
"""Prefix of the names of clients that arrive beside the users, in the history."""
REASON = "load generator: "
"""Prefix of the line in Locust's log with the reason of its end; lines of other processes may follow."""


class ProfileError(ValueError):
    """A load profile with a value out of range; the message is one line."""


class Mix(StrEnum):
    """The behaviour of the virtual users."""

    EVERYDAY = "everyday"  # visitors, shoppers and leavers as 6:3:1, each with a session of its own
    BROWSERS = "browsers"  # visitors, shoppers, leavers and browsers with tabs as 6:3:1:2
    TABS = "tabs"  # browsers with tabs that log in again; a third of their users change passwords and end sessions
    SHARED_WRITERS = "shared writers"  # browsers whose five tabs write to one session at the same time
    LOGOUT_RACE = "logout race"  # browsers that log out in one tab while five write to the session


class Comers(StrEnum):
    """Whose requests arrive."""

    MEMBERS = "members"  # browsers that are logged in: 7 of 10 requests read
    NEWCOMERS = "newcomers"  # browsers without a cookie, which leave one visit and never come back


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """Requests beside those of the users.

    `rate` of them start each second, at random moments, whether or not earlier ones were answered: an open loop.
    `times` gives the rate as a multiple of the most good answers a second in an earlier phase. `in_flight` instead
    keeps that number in flight: a closed loop, whose rate is what the cluster can bear.
    """

    rate: float = 0.0
    times: float = 0.0
    in_flight: int = 0
    kind: Comers = Comers.MEMBERS

    def at_best(self, best: float) -> Self:
        """Return the arrivals with their rate in numbers, where `best` was the most good answers a second."""
        return msgspec.structs.replace(self, rate=self.times * best, times=0.0) if self.times else self


class LoadProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Amount and kind of the load.

    `spawn_rate` users start per second. A user waits `wait` seconds (from, to) between two requests. `weights` replaces
    those of the mix's users by name ({"Visitor": 1}; users of other names are left out). With more than one of
    `processes`, Locust's users run in that many. `web` is the port of Locust's own page on 127.0.0.1.
    """

    users: int
    spawn_rate: float
    wait: tuple[float, float]
    mix: Mix = Mix.EVERYDAY
    weights: dict[str, int] = {}
    processes: int = 1
    web: int | None = None

    def __post_init__(self) -> None:
        low, high = self.wait
        if not 0 <= low <= high <= 3600:
            raise ProfileError(f"wait must be two ascending numbers between 0 and 3600 s, not {low:g} {high:g}")
        if not 1 <= self.processes <= self.users:
            raise ProfileError(
                f"processes must be between 1 and the number of users ({self.users}), not {self.processes}"
            )


MIXES = {mix.value.replace(" ", "-"): mix for mix in Mix}
EVERYDAY = {"visitor": "Visitor", "shopper": "Shopper", "leaver": "Leaver"}
"""The users of Mix.EVERYDAY, by the name on the command line, and by that of their class."""


def parse_mix(text: str) -> tuple[Mix, dict[str, int]]:
    """Parse "shared-writers", "everyday" or "visitor=3,leaver=1". Return the mix, and weights by class of user.

    Raises ProfileError.
    """
    if text in MIXES:
        return MIXES[text], {}
    weights = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in EVERYDAY or not weight.isdecimal():
            wanted = f"{', '.join(MIXES)}, or weights such as visitor=6,shopper=3,leaver=1"
            raise ProfileError(f"mix must be {wanted}, not {text!r}")
        if EVERYDAY[name] in weights:
            raise ProfileError(f"mix must name {name} once, not {text!r}")
        weights[EVERYDAY[name]] = int(weight)
    if not any(weights.values()):
        raise ProfileError(f"mix must have a weight above 0, not {text!r}")
    return Mix.EVERYDAY, weights


class GeneratorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the processes of Locust, in the file that SESSION_LOAD_SETTINGS names.

    `parent` is the process that started Locust: Locust ends when that process has ended.
    """

    profile: LoadProfile
    accounts: dict[str, str]
    session_cookie: str
    authority: str | None
    insecure: bool
    adapter: DescribedAdapter
    folder: str
    parent: int

    @classmethod
    def take(cls, path: str) -> Self:
        """Read the file and remove it: it holds passwords."""
        file = Path(path)
        settings = msgspec.json.decode(file.read_bytes(), type=cls)
        file.unlink()
        return settings

    def wanted_users(self) -> int:
        """Return the wanted number of users at this moment."""
        return int((Path(self.folder) / WANTED_USERS).read_text())

    def wanted_arrivals(self) -> Arrivals:
        """Return the wanted arrivals at this moment."""
        try:
            return msgspec.json.decode((Path(self.folder) / WANTED_ARRIVALS).read_bytes(), type=Arrivals)
        except FileNotFoundError:
            return Arrivals()


def part_file(folder: Path | str, process: int) -> Path:
    """Return the path of the part of the history that a process (from 0) writes."""
    return Path(folder) / f"part-{process + 1}.jsonl"
