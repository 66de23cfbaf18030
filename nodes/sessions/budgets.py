"""How long a store behind a network may keep a request waiting, in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long one operation may take. The clients' own defaults are far longer: redis-py's let a silent server hold a
    worker for 59 s.

    `connect_timeout` and `read_timeout` are seconds for each attempt, `retries` how often an idempotent operation
    (load, ping) is tried again, `deadline` the seconds after which no further attempt starts. Updates are never sent
    twice: the first may have been applied. `max_connections` bounds the pool of one process; waiting for one of them
    takes at most `connect_timeout`.
    """

    connect_timeout: float = 0.25
    read_timeout: float = 0.25
    retries: int = 1
    deadline: float = 1.0
    max_connections: int = 64

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "read_timeout", "deadline"):
            if not 0 < getattr(self, name) <= 60:
                raise ValueError(f"{name} {getattr(self, name):g} s must be above 0 and at most 60")
        if not 0 <= self.retries <= 10:
            raise ValueError(f"retries {self.retries} must be from 0 to 10")
        if self.max_connections < 1:
            raise ValueError(f"max_connections {self.max_connections} must be at least 1")

    def without_retries(self) -> Budgets:
        """The same for who is tried again by somebody else."""
        return replace(self, retries=0)
