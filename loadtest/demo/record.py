"""The demo's result for programs: one JSON file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from loadtest.demo.claims import Verdict
from loadtest.demo.run import Effort
from loadtest.demo.scenes import Outcome

FORMAT = 1


def to_json(outcomes: Sequence[Outcome], effort: Effort) -> bytes:
    """All figures of all phases, with the verdicts. `version` rises when a field changes its meaning."""
    document = {
        "version": FORMAT,
        "users": effort.users,
        "seconds": effort.seconds,
        "holds": all(outcome.ruling.verdict is Verdict.HOLDS for outcome in outcomes),
        "scenes": [_scene(outcome) for outcome in outcomes],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _scene(outcome: Outcome) -> dict[str, Any]:
    spec = outcome.scene.spec
    return {
        "name": outcome.scene.name,
        "title": outcome.scene.title,
        "lesson": outcome.scene.lesson,
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": spec.store.value,
        "balancing": spec.balance.value,
        "proxy": dict(spec.proxy),
        "verdict": outcome.ruling.verdict.value,
        "reason": outcome.ruling.reason,
        "phases": [
            {
                **msgspec.to_builtins(part.figures),
                "requests_per_second": round(part.figures.rate, 2),
                "share_logged_out": round(part.figures.share_logged_out, 4),
                "verdict": part.ruling.verdict.value,
                "reason": part.ruling.reason,
            }
            for part in (outcome.arrival, *outcome.parts)
        ],
    }


def check(path: Path) -> None:
    """Raises OSError if the file could not be written; leaves nothing behind and whatever is there as it is."""
    part = _part(path)
    part.touch()
    part.unlink()


def write(path: Path, document: bytes) -> None:
    """Replace the file in one step, so that nobody reads half a result. Raises OSError."""
    part = _part(path)
    part.write_bytes(document)
    part.replace(path)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
