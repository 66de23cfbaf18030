"""What a load is to be, as a person says it: who comes, how many, how fast and for how long."""

from dataclasses import dataclass, field
from typing import Any

from loadtest.protocol import Mix

MIXES = {mix.value.replace(" ", "-"): mix for mix in Mix}
EVERYDAY = {"visitor": "Visitor", "shopper": "Shopper", "leaver": "Leaver"}
"""The users of Mix.EVERYDAY, as a person calls them, and as Locust does."""


class PlanError(ValueError):
    """A load that cannot be. One line: what, with which value, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`spawn_rate` users come in a second; each waits between two requests, from and to so many seconds.

    The `seconds` that are measured begin when all of them have logged in.
    """

    users: int
    spawn_rate: float
    seconds: float
    wait: tuple[float, float]
    mix: Mix = Mix.EVERYDAY
    weights: dict[str, int] = field(default_factory=dict)
    workers: int = 1
    web: int | None = None

    def __post_init__(self) -> None:
        low, high = self.wait
        if not 0 <= low <= high <= 3600:
            raise PlanError(f"users cannot wait {low:g} to {high:g} s: the second must not be less than the first")
        if self.workers > self.users:
            raise PlanError(f"{self.workers} workers for {self.users} users: each needs one at least")

    @property
    def described(self) -> dict[str, Any]:
        """For a record of the run."""
        return {
            "users": self.users,
            "spawn_rate": self.spawn_rate,
            "seconds": self.seconds,
            "wait": list(self.wait),
            "mix": self.mix.value,
            "weights": self.weights,
            "workers": self.workers,
        }


def parse_mix(text: str) -> tuple[Mix, dict[str, int]]:
    """ "shared-writers", "everyday" or "visitor=3,leaver=1": the mix, and the weights of its users by their names to
    Locust. Raises PlanError."""
    if text in MIXES:
        return MIXES[text], {}
    weights = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        if name not in EVERYDAY or not weight.isdecimal():
            wanted = f"{', '.join(MIXES)}, or weights such as {'=6,'.join(EVERYDAY)}=1"
            raise PlanError(f"the mix {text!r} cannot be: choose {wanted}")
        weights[EVERYDAY[name]] = int(weight)
    if not any(weights.values()):
        raise PlanError(f"in the mix {text!r} nobody comes: give one of them a weight above 0")
    return Mix.EVERYDAY, weights
