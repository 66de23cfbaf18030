"""The matrix for people, within 80 columns, as Markdown, and for programs."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.load.plan import Plan
from loadtest.load.table import SATURATED
from loadtest.matrix import Measured

FORMAT = 1
COLUMNS = ("store", "balancing", "nodes", "req./s", "x 1 node", "CPU ms", "ops", "trips", "p50", "p99", "out", "failed")
_LEFT = 2  # of the columns, so many hold text
_LEGEND = (
    "CPU ms, ops, trips: for each request, of all nodes together; commands that the store carried out, within scripts "
    "too; and how often it read from a node, where commands that came together count once. p50, p99 in ms. out: of the "
    "requests made while logged in, those that found nobody logged in. x 1 node: throughput beside one node with the "
    "same store."
)


def table(measured: Sequence[Measured], plan: Plan) -> RenderableType:
    """All rows, also of cells that failed, and what the columns mean."""
    grid = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, header_style="bold")
    for number, column in enumerate(COLUMNS):
        header = "\n".join(column.rsplit(" ", 1)) if " " in column else f"\n{column}"
        grid.add_column(header, justify="left" if number < _LEFT else "right", no_wrap=True)
    for row, one in zip(rows(measured), measured, strict=True):
        grid.add_row(*row, style="red" if one.error else "")
    notes = [_LEGEND, conditions(plan)]
    if any(_is_saturated(one) for one in measured):
        notes.append(
            "*: the load generator itself was busy all the time, so this is its throughput and not the cluster's."
        )
    failures = [Text(f"{one.cell.name}: {one.error}", "red") for one in measured if one.error]
    return Group(grid, Text(""), *(Text(note, "dim") for note in notes), *failures)


def conditions(plan: Plan) -> str:
    """What the figures depend on."""
    waiting = "without a pause" if plan.wait == (0, 0) else f"pausing {plan.wait[0]:g} to {plan.wait[1]:g} s"
    return (
        f"{plan.users} users {waiting}, {plan.seconds:g} s for each row, on {os.cpu_count()} cores that the load "
        "generator, nginx, the nodes and the store share."
    )


def markdown(measured: Sequence[Measured], plan: Plan) -> str:
    """The same table for a pull request."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * _LEFT}{'---:|' * (len(COLUMNS) - _LEFT)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows(measured)]
    return "\n".join([*lines, "", _LEGEND, "", conditions(plan), ""])


def rows(measured: Sequence[Measured]) -> list[list[str]]:
    """The cells of the table, as text."""
    alone = {one.cell.store: one.load.rate for one in measured if one.cell.nodes == 1 and one.load}
    return [_row(one, alone.get(one.cell.store)) for one in measured]


def _row(one: Measured, alone: float | None) -> list[str]:
    cell, load, cost = one.cell, one.load, one.cost
    head = [cell.store.value, cell.balance.value if cell.balance else "-", str(cell.nodes)]
    if load is None or cost is None:
        return [*head, *["-"] * (len(COLUMNS) - len(head))]
    star = "*" if _is_saturated(one) else ""
    return [
        *head,
        f"{load.rate:,.0f}{star}",
        f"{load.rate / alone:.2f}" if alone else "-",
        f"{cost.cpu['node']:.2f}",
        "-" if cost.operations is None else f"{cost.operations:.1f}",
        "-" if cost.reads is None else f"{cost.reads:.1f}",
        f"{load.p50:,.0f}",
        f"{load.p99:,.0f}",
        f"{load.share_logged_out:.0%}",
        f"{load.failed:,}",
    ]


def _is_saturated(one: Measured) -> bool:
    return one.load is not None and one.load.generator_cpu > SATURATED


def to_json(measured: Sequence[Measured], plan: Plan) -> bytes:
    """Everything. `version` rises when a field changes its meaning; CPU and latencies are in ms."""
    document = {
        "version": FORMAT,
        "plan": plan.described,
        "cores": os.cpu_count(),
        "rows": [_described(one) for one in measured],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _described(one: Measured) -> dict[str, Any]:
    cell = one.cell
    described: dict[str, Any] = {
        "node": cell.node.value,
        "store": cell.store.value,
        "balancing": cell.balance.value if cell.balance else None,
        "nodes": cell.nodes,
    }
    if one.load is None or one.cost is None:
        return {**described, "error": one.error}
    return {
        **described,
        "requests_per_second": round(one.load.rate, 2),
        "cpu_ms": one.cost.cpu,
        "store_commands": one.cost.commands,
        "store_operations": one.cost.operations,
        "store_reads": one.cost.reads,
        "load": one.load,
    }
