"""Results of runs as JSON, for the report. Several runs of one case give medians with their range."""

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from deploy import NodeKind
from deploy.files import write_json
from loadtest.checker import Findings, Kind, PhaseFigures
from loadtest.checker.findings import Evidence
from loadtest.claims.claim import ClaimResult, Timing, Verdict
from loadtest.evidence_requests import ProofRequests
from loadtest.experiment import ARRIVAL, Place, make_case_name, make_heading
from loadtest.load_profile import Mix
from loadtest.processes import ProcessChange

VERSION = 1
"""Rises when a field changes its meaning."""
RESULT, RESULTS, HISTORY = "result.json", "results.json", "history.jsonl.gz"
_PACKAGES = {"flask": "flask", "gunicorn": "gunicorn", "redis-py": "redis", "locust": "locust"}
"""Name here -> name of the package. A cluster has a "redis" of its own: the server."""
_RECORDED = (
    *("seconds", "users", "logins", "as_logged_in", "logged_out", "users_logged_out", "failed", "failed_gets"),
    *("failures", "retried", "nodes", "p50", "p99", "generator_cpu"),
)
_LOSSES = {
    "updates_lost": (Kind.UPDATE_LOST, Kind.EMPTYING_UNDONE),
    "stale_reads": (Kind.STALE_READ,),
    "revived": (Kind.REVIVED,),
    "crossed": (Kind.CROSSED,),
    "misdirected": (Kind.MISDIRECTED,),
    "passwords_undone": (Kind.PASSWORD_UNDONE,),
}
OTHER_LOSSES = {
    Kind.EMPTYING_UNDONE: ("emptied cart was full again", "emptied carts were full again"),
    Kind.STALE_READ: ("old value was shown", "old values were shown"),
    Kind.REVIVED: ("logout was undone", "logouts were undone"),
    Kind.CROSSED: ("answer had data not written in its session", "answers had data not written in their sessions"),
    Kind.MISDIRECTED: ("write was in another session", "writes were in another session"),
    Kind.PASSWORD_UNDONE: ("change of password was undone", "changes of password were undone"),
}
"""What is lost beside sessions and updates: one, and several."""
_FORMERLY_FLASK = "ours"
"""The name of the kind `flask` in results of earlier versions."""
_GREATEST = 1e12
"""Far above all figures and times, and still a date."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one case. `history` is beside it; `cluster` and `versions` describe the system under test, `command`
    repeats the run. `position` is the variant's among those of its experiment."""

    version: int = VERSION
    number: int
    name: str
    variant: str
    position: int
    run: int
    title: str
    hypothesis: str
    reference: str
    fault: str
    mix: Mix
    place: Place
    users: int
    verdict: Verdict
    reason: str
    claims: tuple[ClaimResult, ...]
    timing: Timing | None
    findings: Findings | None
    processes: tuple[ProcessChange, ...] = ()
    generator_cpu: float
    cluster: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    command: str
    history: str = HISTORY
    lacks: Mapping[str, str] = {}
    """What the target does not show (a `Kind` or a `Sight`), with the reasons: nobody looked for it."""

    requests: tuple[ProofRequests, ...] = ()
    """The requests behind the examples of the findings."""

    def find_requests(self, evidence: Evidence) -> str:
        """Return in one line the answer that proves it and the requests before it; empty where none is known."""
        return next((str(one) for one in self.requests if one.belongs_to(evidence)), "")

    @property
    def node(self) -> str:
        """The kind of its nodes: a `NodeKind`."""
        kind = str(self.cluster.get("node", NodeKind.FLASK))
        return str(NodeKind.FLASK) if kind == _FORMERLY_FLASK else kind

    @property
    def heading(self) -> str:
        """The title, with the kind of node and the place unless they are the usual ones."""
        return make_heading(self.title, self.node, self.place)

    @property
    def folder(self) -> str:
        """Its folder, below that of all results."""
        return f"{make_case_name(self.name, self.variant, self.node, self.place)}/{self.run}"

    @property
    def order(self) -> tuple[int, str, int, str, bool, str, bool, int]:
        """Its place among all results; of one variant Flask nodes and local processes come first. All but the last
        are of its case."""
        kind = self.node != NodeKind.FLASK, self.node
        return self.number, self.name, self.position, self.variant, *kind, self.place is not Place.LOCAL, self.run


class _ResultVersion(msgspec.Struct):
    version: int = VERSION


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one folder, in the order of the experiments."""

    version: int = VERSION
    results: tuple[Result, ...]


def record_figures(phase: str, figures: PhaseFigures) -> dict[str, Any]:
    """Return the figures of one phase for JSON: `demo --json`, load.json and matrix.json."""
    return {
        "phase": phase,
        "requests": figures.operations,
        "requests_per_second": round(figures.rate, 2),
        "share_logged_out": round(figures.share_logged_out, 4),
        **{name: getattr(figures, name) for name in _RECORDED},
        **{name: sum(figures.found.get(kind, 0) for kind in kinds) for name, kinds in _LOSSES.items()},
    }


def list_versions(of_cluster: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the cluster's programs, Python and the main packages."""
    return {
        **of_cluster,
        "python": platform.python_version(),
        **{name: metadata.version(package) for name, package in _PACKAGES.items()},
    }


def list_own_versions() -> dict[str, str]:
    """Return the versions of what runs beside a system whose own are not known."""
    return {name: metadata.version(name) for name in ("session-cluster", "locust")}


def describe_machine() -> dict[str, Any]:
    """Return the processor, its cores and the operating system."""
    cpu = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):  # Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), "release": platform.release()}


def write_results(out: Path) -> Results:
    """Gather every result under `out` in one file there. Raises OSError, and what `read_results` raises."""
    results = read_results(out)
    write_json(out / RESULTS, results)
    return results


def read_results(out: Path) -> Results:
    """Read every result under `out`. Raises what `read_result` raises."""
    found = [read_result(path) for path in sorted(out.glob(f"*/*/{RESULT}"))]
    return Results(results=tuple(sorted(found, key=lambda result: result.order)))


def read_result(path: Path) -> Result:
    """Read a result. Raises ValueError with one line for a file of another kind, a newer version, or without access."""
    try:
        document = msgspec.json.decode(path.read_bytes())
        _check_values(document)
        version = msgspec.convert(document, _ResultVersion).version
        if version > VERSION:
            raise ValueError(f"{path}: version must be at most {VERSION}, not {version}; use the program that wrote it")
        return msgspec.convert(document, Result)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a result of an experiment: {error}") from error


def _check_values(value: Any) -> None:
    """Raise ValidationError for numbers that cannot be figures or times, and texts that cannot name files."""
    if isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            _check_values(one)
    elif isinstance(value, int | float) and abs(value) > _GREATEST:
        raise msgspec.ValidationError(f"numbers must be between {-_GREATEST:g} and {_GREATEST:g}")
    elif isinstance(value, str) and "\0" in value:
        raise msgspec.ValidationError("texts must not have NUL characters")


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for a new result. It replaces the one in `folder` unless an exception leaves the block.

    Without a result, old or new, `folder` is removed, and the one that it is in if that is empty.
    """
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        (folder / HISTORY).unlink(missing_ok=True)  # a run that failed has none
        for file in part.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # it has a result
            folder.rmdir()
            folder.parent.rmdir()


@dataclass(frozen=True)
class CaseResults:
    """All runs of one case, at least one: the worst verdict, and each figure as a median with its range."""

    runs: Sequence[Result]

    @property
    def first(self) -> Result:
        return self.runs[0]

    @property
    def node(self) -> str:
        return self.first.node

    @property
    def title(self) -> str:
        return self.first.heading

    @property
    def anchor(self) -> str:
        return self.first.folder.rpartition("/")[0].replace(".", "-")

    @property
    def worst(self) -> Result:
        """The run with the worst verdict; the first of them."""
        order = list(Verdict)
        return max(self.runs, key=lambda run: (order.index(run.verdict), -run.run))

    @property
    def not_looked_for(self) -> Mapping[str, str]:
        """The claims that nobody looked for, since the target does not show it, with the reasons."""
        claims = self.first.claims
        return {one.claim: one.reason for one in claims if one.verdict is Verdict.NOT_LOOKED_FOR}

    @property
    def measured(self) -> bool:
        return any(run.findings is not None for run in self.runs)

    @property
    def users_logged_out(self) -> str:
        """The users who were found logged out: "0", or "8 of 24"."""
        if Kind.SESSION_LOST in self.first.lacks:
            return "-"
        figure = self._median(lambda found: found.total.users_logged_out)
        number, space, spread = figure.partition(" ")
        return figure if figure in {"0", "-"} else f"{number} of {self.first.users}{space}{spread}"

    @property
    def other_losses(self) -> str:
        """What was lost beside sessions and updates: "2 logouts were undone, …"; empty for nothing."""
        parts = []
        for kind, (one, several) in OTHER_LOSSES.items():
            figure = self._median(partial(_count, kind=kind))
            if figure not in {"0", "-"}:
                parts.append(f"{figure} {one if figure == '1' else several}")
        return ", ".join(parts)

    @property
    def sessions_lost(self) -> str:
        return self._median(lambda found: found.sessions_lost)

    @property
    def updates_lost(self) -> str:
        """Visits and pieces; an emptying that was undone is one of the other losses. A dash: nobody looked for them."""
        if Kind.UPDATE_LOST in self.first.lacks:
            return "-"
        return self._median(partial(_count, kind=Kind.UPDATE_LOST))

    @property
    def revived(self) -> str:
        return "-" if Kind.REVIVED in self.first.lacks else self._median(lambda found: found.revived)

    @property
    def failed(self) -> str:
        return self._median(lambda found: found.total.failed)

    @property
    def gap(self) -> str:
        """Seconds without a good answer; a dash without a prober."""
        return self._median(lambda found: found.gap if found.availability else None, "{:.2f}")

    @property
    def slow(self) -> str:
        """Seconds that 99 of 100 answers took at most in the slowest phase after the arrival; a dash below 1 s."""
        figure = self._median(_slowest_p99, "{:.1f}")
        return "-" if figure.startswith("0.") else figure

    def _median(self, figure: Callable[[Findings], float | None], form: str = "{:,}") -> str:
        """Return the median, followed by the range where the runs differ."""
        found = [run.findings for run in self.runs if run.findings is not None]
        values = [value for one in found if (value := figure(one)) is not None]
        if not values:
            return "-"
        middle, least, most = (form.format(_whole(value)) for value in (median(values), min(values), max(values)))
        return middle if least == most else f"{middle} ({least} to {most})"


def _count(found: Findings, kind: Kind) -> int:
    return found.total.found.get(kind, 0)


def _slowest_p99(found: Findings) -> float:
    """Return the greatest p99 of a phase in seconds; that of the arrival, when all users log in, does not count."""
    return max((seen.p99 for name, seen in found.phases.items() if name != ARRIVAL), default=0.0) / 1000


def group_by_case(results: Iterable[Result]) -> list[CaseResults]:
    """Group results by case, in the order of the experiments."""
    ordered = sorted(results, key=lambda result: result.order)
    return [CaseResults(tuple(runs)) for _, runs in groupby(ordered, key=lambda result: result.order[:-1])]


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value
