"""A load's result for programs: DIR/load.json, beside DIR/history.jsonl.gz."""

from pathlib import Path
from typing import Any

import msgspec

from loadtest.load.run import Outcome

FORMAT = 1
HISTORY, RESULT = "history.jsonl.gz", "load.json"


def prepare(folder: Path) -> None:
    """Make the folder, and see that it can be written before a minute of load is lost to it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".{RESULT}.part"
    probe.touch()
    probe.unlink()


def write(folder: Path, outcome: Outcome) -> Path:
    """Replace load.json in one step. Raises OSError."""
    part, path = folder / f".{RESULT}.part", folder / RESULT
    part.write_bytes(msgspec.json.format(msgspec.json.encode(to_json(outcome)), indent=2) + b"\n")
    return part.replace(path)


def to_json(outcome: Outcome) -> dict[str, Any]:
    """All figures. `version` rises when a field changes its meaning; times of requests are in ms."""
    return {
        "version": FORMAT,
        "target": {"url": outcome.target.url, **outcome.target.described},
        "plan": outcome.plan.described,
        "arrival": outcome.arrival,
        "load": {**msgspec.to_builtins(outcome.load), "requests_per_second": round(outcome.load.rate, 2)},
        "latency": outcome.latency,
        "findings": outcome.findings,
        "verdicts": {
            what: {"verdict": ruling.verdict, "reason": ruling.reason}
            for what, ruling in (("nothing lost", outcome.lost), ("no request failed", outcome.failed))
        },
        "history": HISTORY,
    }
