"""Results of experiments on disk: those of this console's folder, and of the folders beside it."""

import threading
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from loadtest.claims.claim import Verdict
from loadtest.demo import BY_NAME as SCENES
from loadtest.report.korean import Said, say
from loadtest.report.page import TITLE, list_examples, render_page
from loadtest.report.sentences import summarize, tell
from loadtest.results import RESULT, CaseResults, Result, read_result

MOST_SHOWN = 100
RESULTS_FOLDER = Path("results")
"""Where commands put results by default."""


class PastRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run in short. `folder`, `case` and `run` are its address."""

    folder: str
    case: str
    run: int
    at: float
    """When it ended, in epoch seconds."""
    number: int
    is_scene: bool
    """It is a scene of the demo, which has numbers of its own."""
    title: Said
    verdict: Verdict
    told: Said
    """What it cost and lost, in a clause; empty where nothing was measured."""


class Archive:
    """For any thread. `own` gets the results of this console; with `beside`, results of its other folders are shown."""

    def __init__(self, own: Path, beside: Path | None = None) -> None:
        self.own = own
        self._beside = beside
        self._known: dict[Path, tuple[int, PastRun]] = {}
        self._drawing = threading.Lock()

    @classmethod
    def default(cls) -> "Archive":
        """Return that of a console without a folder: it makes one among the results of other commands."""
        return cls(RESULTS_FOLDER / time.strftime("console-%Y%m%d-%H%M%S"), RESULTS_FOLDER)

    def list_runs(self) -> list[PastRun]:
        """Return the newest runs, the newest first. A file that is not a result is left out."""
        runs = [run for name, folder in self._folders().items() for run in self._list_folder(name, folder)]
        return sorted(runs, key=lambda run: run.at, reverse=True)[:MOST_SHOWN]

    def next_run(self, cases: Sequence[str]) -> int:
        """Return a number that none of these cases has a run of."""
        results = (path.parent.name for case in cases for path in self.own.glob(f"{case}/*/{RESULT}"))
        taken = [int(name) for name in results if name.isdecimal()]
        return max(taken, default=0) + 1

    def address(self, result: Result) -> dict[str, Any]:
        """Return the address of a result in the folder of this console."""
        case, _, run = result.folder.rpartition("/")
        return {"folder": _name(self.own), "case": case, "run": int(run)}

    def describe(self, folder: str, case: str, run: int) -> dict[str, Any]:
        """Return the verdict of a run with its evidence. Raises LookupError, and ValueError for a damaged file."""
        result, _ = self._find(folder, case, run)
        return {
            "folder": folder,
            "case": case,
            "run": run,
            "number": result.number,
            "is_scene": _is_scene(result),
            "title": say(result.heading),
            "hypothesis": say(result.hypothesis),
            "reference": result.reference,
            "verdict": result.verdict,
            "summary": say(summarize(result)),
            "claims": [
                describe_claim(one.claim, one.phase, one.verdict, one.reason or one.seen) for one in result.claims
            ],
            "examples": [
                {**one, **{name: say(one[name]) for name in ("happened", "what", "requests")}}
                for one in list_examples(result)
            ],
            "command": result.command,
        }

    def render(self, folder: str, case: str, run: int, language: str) -> str:
        """Return the report of one run as HTML, in English or Korean (`ko`).

        Raises LookupError, and ValueError for a damaged file.
        """
        result, root = self._find(folder, case, run)
        with self._drawing:  # matplotlib's settings are global
            return render_page([result], root, TITLE, language)

    def _folders(self) -> dict[str, Path]:
        others = sorted(path for path in self._beside.glob("*") if path.is_dir()) if self._beside is not None else []
        return {_name(path): path for path in (*others, self.own)}

    def _list_folder(self, name: str, folder: Path) -> list[PastRun]:
        runs = []
        for path in folder.glob(f"*/*/{RESULT}"):
            try:
                changed = path.stat().st_mtime_ns
                if self._known.get(path, (0,))[0] != changed:
                    self._known[path] = changed, _summarize(name, path)
                runs.append(self._known[path][1])
            except (OSError, ValueError):
                continue
        return runs

    def _find(self, folder: str, case: str, run: int) -> tuple[Result, Path]:
        """Look among the files that are there, since a name of a request is not to be trusted as a path."""
        root = self._folders().get(folder)
        if root is not None:
            for path in root.glob(f"*/*/{RESULT}"):
                if (path.parent.parent.name, path.parent.name) == (case, str(run)):
                    return read_result(path), root
        raise LookupError(f"{folder} has no run {run} of {case}")


def describe_claim(claim: str, phase: str, state: StrEnum, seen: str) -> dict[str, Any]:
    """Return a claim for the page, with its verdict or as it stands."""
    return {"claim": say(claim), "phase": say(phase), "state": state, "seen": say(seen)}


def _is_scene(result: Result) -> bool:
    return result.name in SCENES


def _name(folder: Path) -> str:
    return folder.resolve().name


def _summarize(folder: str, path: Path) -> PastRun:
    result = read_result(path)
    told = tell(CaseResults((result,)))
    return PastRun(
        folder=folder,
        case=path.parent.parent.name,
        run=int(path.parent.name),
        at=round(result.timing.ended if result.timing is not None else path.stat().st_mtime, 1),
        number=result.number,
        is_scene=_is_scene(result),
        title=say(result.heading),
        verdict=result.verdict,
        told=say(told.text if told is not None else ""),
    )
