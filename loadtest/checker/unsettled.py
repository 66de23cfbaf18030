"""What is not settled yet, counted so that findings cost what has changed since the last ones, and not all of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from loadtest.checker.figures import Figures
from loadtest.checker.findings import Evidence
from loadtest.checker.session import Evaluation, SessionChecker
from loadtest.checker.sums import FOREVER
from loadtest.history import Note, Op, when

PhaseName = str | None
FiguresOf = Mapping[PhaseName, Figures]
PhaseOf = Callable[[Op | Note | Evidence], PhaseName]


@dataclass
class _Chunk:
    """Events that came one after another, and figures of the first `counted` of them."""

    events: list[Op | Note] = field(default_factory=list)
    newest: float = -FOREVER
    counted: int = 0
    figures: dict[PhaseName, Figures] = field(default_factory=lambda: defaultdict(Figures))

    def count(self, phase_of: PhaseOf) -> FiguresOf:
        for event in islice(self.events, self.counted, None):
            self.figures[phase_of(event)].add(event)
        self.counted = len(self.events)
        return self.figures

    def recount(self) -> None:
        self.figures.clear()
        self.counted = 0


class RecentEvents:
    """Events whose phase is not certain, since a mark may come that is older. They are settled chunk by chunk."""

    def __init__(self) -> None:
        self._chunks = [_Chunk()]

    def add(self, event: Op | Note) -> None:
        chunk = self._chunks[-1]
        chunk.events.append(event)
        chunk.newest = max(chunk.newest, when(event))

    def recount(self) -> None:
        """Count all of them again at the next `count`: a mark has come."""
        for chunk in self._chunks:
            chunk.recount()

    def count(self, phase_of: PhaseOf) -> Iterator[FiguresOf]:
        """Yield the figures of each chunk."""
        return (chunk.count(phase_of) for chunk in self._chunks)

    def settle(self, frontier: float, phase_of: PhaseOf) -> Iterator[FiguresOf]:
        """Yield the figures of the chunks that are older than `frontier`, and forget them. A new chunk begins."""
        over = [chunk for chunk in self._chunks if chunk.newest <= frontier]
        self._chunks = [*(chunk for chunk in self._chunks if chunk.newest > frontier), _Chunk()]
        return (chunk.count(phase_of) for chunk in over)


@dataclass
class _Open:
    """What a session proves if nothing else comes, and how many of its answers are right, by phase."""

    evaluation: Evaluation
    right: Counter[PhaseName] = field(default_factory=Counter)

    @property
    def is_right(self) -> bool:
        """Whether there is nothing to tell but answers to users who were logged in, as they must be."""
        return not self.evaluation.evidence and self.right.total() == len(self.evaluation.answers)


class OpenSessions:
    """Evaluates sessions as if nothing came after what is known, each again only after it has changed."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._changed: dict[str, None] = {}
        self._has_new_phases = False
        self._right: Counter[PhaseName] = Counter()
        self._wrong: set[str] = set()
        """Sessions with evidence, or with a user who was found logged out."""

    def change(self, name: str) -> None:
        """Note that something has come for a session."""
        self._changed[name] = None

    def drop(self, name: str) -> None:
        """Note that a session is over."""
        self._changed.pop(name, None)
        self._forget(name)

    def recount(self) -> None:
        """Find the phases of all answers again at the next `count`: a mark has come."""
        self._has_new_phases = True

    def settle(self, name: str, settled: Evaluation, phase_of: PhaseOf) -> None:
        """Note what has become certain of a session: it is not open any more."""
        if name in self._changed or not (settled.answers or settled.evidence):
            return
        if (known := self._open.get(name)) is None:
            self.change(name)
            return
        count, rest = len(settled.answers), [one for one in known.evaluation.evidence if one not in settled.evidence]
        is_part = known.evaluation.answers[:count] == settled.answers
        if not is_part or len(rest) + len(settled.evidence) != len(known.evaluation.evidence):
            self.change(name)
            return
        self._forget(name)
        self._keep(name, Evaluation(rest, known.evaluation.answers[count:]), phase_of)

    def count(self, sessions: Mapping[str, SessionChecker], phase_of: PhaseOf) -> dict[PhaseName, Figures]:
        """Return the figures of what is open."""
        for name, known in tuple(self._open.items()) if self._has_new_phases else ():
            self._forget(name)
            self._keep(name, known.evaluation, phase_of)
        self._has_new_phases = False
        for name in self._changed:
            self._forget(name)
            self._keep(name, sessions[name].evaluate_all(), phase_of)
        self._changed.clear()
        figures: dict[PhaseName, Figures] = defaultdict(Figures)
        for phase, count in self._right.items():
            figures[phase].tell_right(count)
        for name in sessions if self._wrong else ():
            if name in self._wrong:
                tell(self._open[name].evaluation, figures, phase_of)
        return figures

    def _keep(self, name: str, evaluation: Evaluation, phase_of: PhaseOf) -> None:
        if not evaluation.answers and not evaluation.evidence:  # as of most sessions that rest
            return
        right = Counter(phase_of(op) for op, anonymous in evaluation.answers if not anonymous)
        kept = self._open[name] = _Open(evaluation, right)
        if kept.is_right:
            self._right.update(right)
        else:
            self._wrong.add(name)

    def _forget(self, name: str) -> None:
        if (known := self._open.pop(name, None)) is None:
            return
        if name in self._wrong:
            self._wrong.remove(name)
        else:
            self._right.subtract(known.right)


def tell(evaluation: Evaluation, figures: dict[PhaseName, Figures], phase_of: PhaseOf) -> None:
    """Add an evaluation to figures."""
    for op, anonymous in evaluation.answers:
        figures[phase_of(op)].tell(op, anonymous=anonymous)
    find(evaluation.evidence, figures, phase_of)


def find(evidence: Iterable[Evidence], figures: dict[PhaseName, Figures], phase_of: PhaseOf) -> None:
    """Add evidence to figures."""
    for one in evidence:
        figures[phase_of(one)].find(one)
