"""Evidence counted by kind and phase. Of each kind the earliest examples are kept."""

from bisect import insort
from collections import Counter

from loadtest.checker.findings import Evidence, Kind


class Tally:
    """Counts evidence as it comes, in any order."""

    def __init__(self, examples: int) -> None:
        self._most = examples
        self._counts: Counter[tuple[str | None, Kind]] = Counter()
        self._examples: dict[Kind, list[Evidence]] = {}
        self._users_lost: set[str] = set()

    def add(self, evidence: Evidence, phase: str | None) -> None:
        """Count evidence that an answer of this phase gave."""
        self._counts[phase, evidence.kind] += evidence.count
        examples = self._examples.setdefault(evidence.kind, [])
        insort(examples, evidence, key=lambda one: one.at)
        del examples[self._most :]
        if evidence.kind is Kind.SESSION_LOST:
            self._users_lost.add(evidence.who)

    def count(self, kind: Kind) -> int:
        return sum(count for (_, one), count in self._counts.items() if one is kind)

    def found(self, phase: str) -> dict[Kind, int]:
        """Return the counts of one phase, of the kinds that were found in it."""
        return {kind: count for (one, kind), count in self._counts.items() if one == phase}

    @property
    def users_lost(self) -> int:
        """How many users lost a session at least once."""
        return len(self._users_lost)

    @property
    def examples(self) -> dict[Kind, tuple[Evidence, ...]]:
        """The earliest of each kind that was found."""
        return {kind: tuple(self._examples[kind]) for kind in Kind if kind in self._examples}
