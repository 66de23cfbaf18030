"""What one run of an experiment came to: everything that a report needs, as JSON."""

import os
import platform
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from deploy import ClusterSpec, NodeKind
from loadtest.checker.findings import Findings
from loadtest.protocol import Mix
from loadtest.verdict import Ruling, Verdict, worst

VERSION = 1
"""Rises when a field changes its meaning."""
RESULT, RESULTS, HISTORY = "result.json", "results.json", "history.jsonl.gz"
_PACKAGES = {"flask": "flask", "gunicorn": "gunicorn", "redis-py": "redis", "locust": "locust"}
"""What they are called here -> what they are called as packages. A cluster has a "redis" of its own: the server."""
_SECRET = ("SECRET", "KEY", "PASSWORD", "URL")


class Place(StrEnum):
    """What a cluster runs on."""

    LOCAL = "local"
    """Processes of this machine."""
    COMPOSE = "compose"
    """Containers."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One claim and what became of it."""

    claim: str
    verdict: Verdict
    reason: str = ""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """In epoch seconds. `fault`: its application began, and ended with `faulty`; `undo` and `undone` likewise."""

    started: float
    before: float
    fault: float
    faulty: float
    undo: float
    undone: float
    ended: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `history` is beside it; `cluster` describes what ran, `versions` of what, `command` runs it again.
    `position` is the variant's among those of its experiment."""

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
    claims: tuple[Held, ...]
    timing: Timing | None
    findings: Findings | None
    generator_cpu: float
    cluster: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    command: str
    history: str = HISTORY

    @property
    def node(self) -> str:
        """The application of the nodes: a `NodeKind`."""
        kind = str(self.cluster.get("node", NodeKind.FLASK))
        return NodeKind.FLASK if kind == "ours" else kind  # as it was called in earlier results

    @property
    def heading(self) -> str:
        """The title, with whose nodes and where."""
        return heading(self.title, self.node, self.place)

    @property
    def folder(self) -> str:
        """Where it is, under the folder of all results."""
        return f"{case_folder(self.name, self.variant, self.node, self.place)}/{self.run}"

    @property
    def order(self) -> tuple[int, str, int, str, bool, str, bool, int]:
        """Where it belongs among all results; of one variant ours come first, and local ones. All but the last are of
        its case."""
        whose = self.node != NodeKind.FLASK, self.node
        return self.number, self.name, self.position, self.variant, *whose, self.place is not Place.LOCAL, self.run


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one folder, in the order of the experiments."""

    version: int = VERSION
    results: tuple[Result, ...]


def case_folder(name: str, variant: str, node: str, place: Place) -> str:
    """Of all runs of one variant on one kind of node in one place."""
    return ".".join(filter(None, (name, variant, *_unusual(node, place))))


def heading(title: str, node: str, place: Place) -> str:
    """A title, with whose nodes where they are not ours, and where they ran unless on this machine itself."""
    more = ", ".join(_unusual(node, place))
    return f"{title} ({more})" if more else title


def _unusual(node: str, place: Place) -> list[str]:
    return [*([] if node == NodeKind.FLASK else [node]), *([] if place is Place.LOCAL else [str(place)])]


def verdict_of(claims: Sequence[Held]) -> Ruling:
    """The worst of all claims, and why."""
    return worst(Ruling(held.verdict, held.reason and f"{held.claim}: {held.reason}") for held in claims)


def describe(spec: ClusterSpec) -> dict[str, Any]:
    """A cluster's configuration, without the secrets in it."""
    hidden = {name: "***" for name in spec.node_settings if any(word in name for word in _SECRET)}
    return {
        "node": str(spec.node),
        "nodes": spec.nodes,
        "workers": spec.workers,
        "store": str(spec.store),
        "database": str(spec.database),
        "balance": str(spec.balance),
        "store_proxy": spec.store_proxy,
        "store_settings": msgspec.to_builtins(spec.store_settings, enc_hook=str),
        "node_settings": {**spec.node_settings, **hidden},
        "proxy": msgspec.to_builtins(dict(spec.proxy), enc_hook=str),
    }


def versions(of_cluster: Mapping[str, str]) -> dict[str, str]:
    """Of everything that took part."""
    return {
        **of_cluster,
        "python": platform.python_version(),
        **{name: metadata.version(package) for name, package in _PACKAGES.items()},
    }


def machine() -> dict[str, Any]:
    return {"system": platform.system(), "release": platform.release(), "cores": os.cpu_count()}


def write(folder: Path, result: Result) -> None:
    """Raises OSError."""
    _replace(folder / RESULT, msgspec.json.encode(result))


def write_all(out: Path) -> Results:
    """Gather every result under `out` in one file there. Raises OSError, and ValueError for a file that is none."""
    found = [read(path) for path in sorted(out.glob(f"*/*/{RESULT}"))]
    ordered = sorted(found, key=lambda result: result.order)
    results = Results(results=tuple(ordered))
    _replace(out / RESULTS, msgspec.json.encode(results))
    return results


def read(path: Path) -> Result:
    """Raises OSError, and ValueError with one line for a file that is no result."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is no result of an experiment: {error}") from error


def _replace(path: Path, document: bytes) -> None:
    """In one step, so that nobody reads half of it."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(msgspec.json.format(document, indent=2) + b"\n")
    part.replace(path)
