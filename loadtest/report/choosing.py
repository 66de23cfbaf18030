"""docs/choosing.md: which store and which balancing policy, with the figures of a folder of results.

The folder has results of experiments, and of load matrices in folders of their own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import StoreKind
from loadtest.report.sentences import capitalize, tell
from loadtest.results import CaseResults, group_by_case, read_results

MATRIX = "matrix.json"


class CellCost(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a matrix's row in the guide. `store_operations` and `store_reads` are None for a store without a
    server; a row that failed has an error instead of figures."""

    store: StoreKind
    nodes: int
    balancing: str | None = None
    cpu_ms: Mapping[str, float] = {}
    store_operations: float | None = None
    store_reads: float | None = None
    load: Mapping[str, Any] = {}
    error: str = ""


class _Matrix(msgspec.Struct, frozen=True):
    rows: tuple[CellCost, ...]


def render_guide(folder: Path) -> str:
    """Return the guide in Markdown. What was not measured says so. Raises ValueError for a file that is damaged."""
    results = read_results(folder).results
    cases = {case.first.folder.rpartition("/")[0]: case for case in group_by_case(results)}
    environment = Environment(  # noqa: S701  # Markdown
        loader=PackageLoader("loadtest.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("choosing.md").render(
        measured=lambda name: _describe(cases.get(name)), rows=_read_rows(folder), results=results
    )


def _describe(case: CaseResults | None) -> str:
    told = None if case is None else tell(case)
    return "Not measured." if told is None else f"{capitalize(told.text)}."


def _read_rows(folder: Path) -> list[CellCost]:
    """Return the rows of all matrices that were measured, the last of each kind."""
    rows: dict[tuple[str, str | None, int], CellCost] = {}
    for path in sorted(folder.glob(f"*/{MATRIX}")):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_Matrix).rows
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path} is not a load matrix: {error}") from error
        rows |= {(row.store, row.balancing, row.nodes): row for row in found if not row.error}
    order = list(StoreKind)
    return sorted(rows.values(), key=lambda row: (order.index(row.store), row.nodes, row.balancing or ""))
