"""The sheet of a plan: each figure with its source, what limits first, and what it is not valid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from loadtest.capacity import plan as planned
from loadtest.capacity.figures import FEWEST_SESSIONS, Figure, MachineFigures, Part, RequestKind
from loadtest.capacity.plan import BUSY, RESERVED, CapacityPlan
from loadtest.capacity.quantities import show_count, show_days
from loadtest.report.tables import Column, Table

FORMAT = 1
FEWEST_ZONES = 3
"""Without one of them most Sentinels, or most primaries of a Redis Cluster, are left."""
QUIET = 0.1
"""The share of the cores that other programs may use."""
GIVEN = "given"
_MACHINE = ("cpu", "cores", "system", "release", "at")
"""What a record says of the machine: what it is, and when it was measured."""
_ELASTICACHE = "Amazon ElastiCache, reserved-memory-percent"
_REDIS_CONF = "redis.conf"
_DISTURBED = "Other programs kept this machine busy: CPU times are too long. Measure on a quiet one."
_TITLES = {Part.PROXY: "proxy", Part.NODE: "node", Part.STORE: "store"}


@dataclass(frozen=True)
class SheetLine:
    """A line of the sheet. `value` is the number, `shown` with its unit."""

    section: str
    name: str
    value: float
    shown: str
    source: str


_REMEDIES = {
    "redis": "Choose --store redis-cluster.",
    "redis-cluster": "Give the servers more memory, or use several clusters.",
    "sql": "Choose --store redis.",
}


def make_lines(plan: CapacityPlan) -> tuple[SheetLine, ...]:
    """Return all lines, section by section."""
    lines = (("given", _given), ("measured", _measured), ("needed", _needed), ("network", _network))
    return tuple(SheetLine(section, *line) for section, make in lines for line in make(plan))


_Line = tuple[str, float, str, str]


def _given(plan: CapacityPlan) -> Iterator[_Line]:
    load = plan.workload
    yield "sessions stored", load.sessions, show_count(load.sessions), GIVEN
    yield "active users", load.active, show_count(load.active), GIVEN
    yield "requests", load.requests, f"{load.requests:,.0f}/s", f"given: {load.rate:g}/s for each active user"
    yield "of these, writes", load.writes, f"{load.writes:.0%}", f"{GIVEN}; a touch of the idle timeout is a write"
    yield (
        "logins",
        load.logins,
        f"{load.logins:,.4g}/s",
        f"Little's law: sessions / {show_days(load.stay)}, which is given",
    )
    if not plan.is_one_machine:
        lost = f"{GIVEN}; one may be lost at the peak" + (", but not of the store" if _lost_zone(plan) else "")
        yield "zones", load.zones, f"{load.zones}", lost


def _measured(plan: CapacityPlan) -> Iterator[_Line]:
    figures = plan.figures
    for part in Part:
        for kind in RequestKind:
            if (figure := figures.demands.get(part, {}).get(kind)) is not None:
                yield f"CPU of the {_TITLES[part]}, {kind}", figure.value, _with_spread(figure, "us"), plan.source
    fitted = " and ".join(show_count(size) for size in figures.fitted)
    index = f", {figures.index_bytes:,.0f} of them the user's index" if figures.index_bytes else ""
    yield (
        "a session in the store",
        figures.session_bytes,
        f"{figures.session_bytes:,.0f} B",
        f"{plan.source}: the difference between {fitted} sessions of {figures.data_bytes} bytes{index}",
    )
    if figures.writer_seconds is None:
        yield "resident memory for it", figures.resident_bytes, f"{figures.resident_bytes:,.0f} B", plan.source
    else:
        yield (
            "writer of the database",
            figures.writer_seconds.value,
            _with_spread(_scaled(figures.writer_seconds, 1e6), "us"),
            f"{plan.source}: how long a write holds it",
        )
    if figures.token_bytes:
        yield (
            "token of a write",
            figures.token_bytes,
            f"{figures.token_bytes:,.0f} B",
            f"{plan.source}; it stays for 30 s",
        )
    if figures.resync_seconds is not None:
        yield (
            "a replica copies a GB",
            figures.resync_seconds.value,
            _with_spread(figures.resync_seconds, "s", 2),
            f"{plan.source}: from SYNC to online, without load",
        )
    yield (
        "a core of a proxy",
        plan.proxy_requests,
        f"{plan.proxy_requests:,.0f} req./s",
        f"utilisation law: {BUSY:.0%} / CPU of this mix; {planned.BUSY / plan.proxy_requests * 1e6:.0f} us",
    )
    yield (
        "other programs meanwhile",
        figures.foreign_share,
        f"{figures.foreign_share:.0%}",
        f"{plan.source}, of {figures.cores} cores" + (": CPU times are too long" if is_disturbed(plan) else ""),
    )
    yield (
        "a worker of a node",
        figures.worker_bytes,
        f"{figures.worker_bytes / 1e6:,.0f} MB",
        f"{plan.source}: unshared",
    )


def _needed(plan: CapacityPlan) -> Iterator[_Line]:
    load = plan.workload
    lost = f"at most {BUSY:.0%} busy with {load.zones - 1} of {load.zones} zones"
    if plan.is_one_machine:
        share = (plan.busy_cores(Part.NODE) + plan.busy_cores(Part.PROXY)) / BUSY
        yield "cores of one machine", share, f"{share:,.1f}", f"utilisation law: X D, at most {BUSY:.0%} busy"
        yield "disk for the database", plan.data, _bytes(plan.data), "sessions x bytes"
        yield (
            "machines that keep sessions",
            plan.needed_primaries,
            f"1 (of {plan.needed_primaries} needed)" if not plan.carries else "1",
            f"{plan.limits[0].name} limits first",
        )
        return
    for part, name in ((Part.NODE, "nodes"), (Part.PROXY, "proxies")):
        busy = plan.busy_cores(part)
        yield (
            f"{name} of {load.node_cores} cores",
            plan.units(part),
            f"{plan.units(part):,}",
            f"utilisation law: X D = {busy:,.1f} cores busy; {lost}",
        )
        yield (
            f"cores of {name}",
            plan.cores(part),
            f"{plan.cores(part):,}",
            f"usually {plan.usual_share(part):.0%} busy",
        )
    logins = plan.workload.logins * plan.figures.demand(Part.NODE, RequestKind.LOGIN)
    share = logins / plan.busy_cores(Part.NODE)
    yield "of the nodes' work, passwords", share, f"{share:.0%}", f"{logins:,.1f} cores for {load.logins:,.4g} logins/s"
    yield "memory of a node", plan.node_memory, _bytes(plan.node_memory), f"{load.node_cores} workers"
    yield "one copy of the sessions", plan.data, _bytes(plan.data), _data_source(plan)
    shown = f"{plan.primaries:,}" if plan.carries else f"{plan.primaries:,} (of {plan.needed_primaries:,} needed)"
    yield (
        "primaries" if plan.has_shards else "primary",
        plan.primaries,
        shown,
        f"{plan.limits[0].name} limits first; of {_bytes(load.primary_memory)}, {RESERVED:.0%} kept free "
        f"({_ELASTICACHE})",
    )
    yield "replicas of each", load.replicas, f"{load.replicas}", f"{GIVEN}; each in another zone"
    cores = plan.servers * planned.CORES_OF_A_SERVER
    yield "servers of the store", plan.servers, f"{plan.servers:,}", "primaries and replicas"
    yield "cores of the store", cores, f"{cores:,}", "two a server: commands run on one, snapshots on another"
    total = plan.servers * load.primary_memory
    yield "memory of the store", total, _bytes(total), f"servers x {_bytes(load.primary_memory)}"
    if plan.resync is not None:
        yield "a replica copies its primary", plan.resync, f"{plan.resync:,.0f} s", "a primary's share x seconds a GB"
    busy = plan.busy_cores(Part.STORE) / plan.primaries
    yield "core of a primary, busy", busy, f"{busy:.0%}", "utilisation law"
    needs = "" if plan.connections <= planned.MAX_CLIENTS else f"; raise maxclients ({_REDIS_CONF}: 10,000)"
    yield (
        "connections to a primary",
        plan.connections,
        f"{plan.connections:,}",
        f"at most: workers x max_connections (docs/redis.md){needs}",
    )


def _network(plan: CapacityPlan) -> Iterator[_Line]:
    yield (
        "clients and proxies",
        plan.client_traffic,
        _bits(plan.client_traffic),
        f"X x bytes of a request, {plan.source}",
    )
    if plan.is_one_machine:
        return
    yield "nodes and store", plan.store_traffic, _bits(plan.store_traffic), f"X x bytes of an exchange, {plan.source}"
    replication = plan.replicated * plan.workload.replicas
    yield "primaries to replicas", replication, _bits(replication), f"writes x bytes x replicas, {plan.source}"
    each = (plan.store_traffic + replication) / plan.primaries
    yield "a primary", each, _bits(each), "its share; 10 Gbit/s are taken as its network"


def is_disturbed(plan: CapacityPlan) -> bool:
    """Return whether other programs kept the machine busy: its caches and wake-ups then cost the cluster more CPU."""
    return plan.figures.foreign_share > QUIET


def not_valid_for(plan: CapacityPlan) -> tuple[str, ...]:
    """Return what the sheet says nothing about."""
    figures = plan.figures
    store = (
        "a database server: SQLite is a file of one machine, and its sessions are gone while that is"
        if plan.is_one_machine
        else "another allocator than this server's: fragmentation of jemalloc and libc differ"
    )
    lost, few = _lost_zone(plan), figures.fitted[1] < FEWEST_SESSIONS[plan.store]
    return (
        *([f"a lost zone: {lost}"] if lost else []),
        *(["the memory of many sessions: this machine filled so few that each takes more"] if few else []),
        "other processors: CPU times are those of this machine, and other programs on it make them longer",
        f"other applications and sessions: it is the shop's with {figures.data_bytes} bytes in a session, one session "
        "a user; measure yours",
        "TLS, which costs the proxies more; pages for browsers, which cost the nodes more than JSON",
        "STORE_DURABILITY other than primary, encryption, append-only files",
        "a network: latency adds no CPU but more requests are open at a time, and a copy may be slower than here",
        *(
            []
            if plan.is_one_machine
            else ["a busy store: here each command wakes it, which is most of the CPU of a read; a busy one takes less"]
        ),
        "one user or session with much of the load, which one primary and one node carry",
        "several regions: docs/capacity.md",
        store,
    )


def describe_limits(plan: CapacityPlan) -> str:
    """Return what limits first, and how far the others are."""
    first, *others = plan.limits
    rest = ", ".join(f"{limit.name} {show_count(limit.sessions)}" for limit in others)
    what = "one machine" if plan.is_one_machine else "a primary"
    text = f"Limits first: {first.name} of {what}, at {show_count(first.sessions)} sessions (then: {rest})."
    if not plan.carries:
        needed = f"{plan.needed_primaries:,} would be needed"
        text += f" It does not carry {show_count(plan.workload.sessions)}: {needed}. {_REMEDIES[plan.store]}"
    if not plan.is_one_machine:
        cores = {"nodes": plan.cores(Part.NODE), "proxies": plan.cores(Part.PROXY)}
        cores["the store"] = plan.servers * planned.CORES_OF_A_SERVER
        total, largest = sum(cores.values()), max(cores, key=lambda name: cores[name])
        text += f" Most of the {total:,} cores: {largest}, {cores[largest] / total:.0%}."
    return text


def show_sheet(plan: CapacityPlan, machine: str) -> RenderableType:
    """Return the sheet for a terminal of 80 columns or more."""
    table = Table(
        [
            Column("figure", number=False, max_width=29),
            Column("value"),
            Column("source", number=False, flexible=True),
        ]
    )
    section = "given"
    for line in make_lines(plan):
        if line.section != section:
            table.add_section()
            section = line.section
        table.add([line.name, line.shown, line.source])
    invalid = [Text(f"- {text}", "dim") for text in not_valid_for(plan)]
    return Group(
        table.render(),
        Text(""),
        Text(describe_limits(plan), "bold" if plan.carries else "bold red"),
        *([Text(_DISTURBED, "yellow")] if is_disturbed(plan) else []),
        Text(""),
        Text("Not valid for:", "dim"),
        *invalid,
        Text(f"Measured on {machine}.", "dim"),
    )


def make_record(plan: CapacityPlan, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan for JSON. CPU is in microseconds, memory in bytes, network in bytes a second."""
    return {
        "version": FORMAT,
        "machine": dict(machine),
        "store": plan.store,
        "workload": asdict(plan.workload),
        "carries": plan.carries,
        "limits": [{"what": limit.name, "sessions": limit.sessions} for limit in plan.limits],
        "sheet": [asdict(line) for line in make_lines(plan)],
        "figures": msgspec.to_builtins(plan.figures),
        "not_valid_for": list(not_valid_for(plan)),
    }


class _Record(msgspec.Struct):
    version: int
    machine: dict[str, Any]
    store: str
    figures: MachineFigures


def read_record(path: Path) -> tuple[str, MachineFigures, dict[str, Any]]:
    """Return the store, the figures and the machine of a record that `make_record` made. Raises ValueError, OSError."""
    lacking = f"{path} does not have the figures of `session-cluster capacity --json`"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"{lacking}: {error}") from error
    if record.version != FORMAT:
        raise ValueError(f"{path}: version must be {FORMAT}, not {record.version}; measure again")
    if wrong := next(_find_wrong(record), None):
        raise ValueError(f"{lacking}: {wrong}")
    return record.store, record.figures, record.machine


def _find_wrong(record: _Record) -> Iterator[str]:
    """Yield what a plan needs and the record does not have."""
    figures, is_sql = record.figures, record.store == "sql"
    if record.store not in _REMEDIES:
        yield f"store must be {', '.join(_REMEDIES)}, not {record.store!r}"
    for name in _MACHINE:
        if name not in record.machine:
            yield f"machine has no {name}"
    if is_sql != (figures.writer_seconds is not None):
        yield f"writer_seconds is of sql alone, and the store is {record.store}"
    timed = {"resync_seconds": figures.resync_seconds, "writer_seconds": figures.writer_seconds}
    for kind in RequestKind:
        if kind not in figures.traffic:
            yield f"traffic has no {kind}"
        elif not (is_sql or figures.traffic[kind].store > 0):
            yield f"traffic of {kind} must be above 0"
        for part in (Part.PROXY, Part.NODE) if is_sql else Part:
            if (figure := figures.demands.get(part, {}).get(kind)) is None:
                yield f"demands of the {part} have no {kind}"
            timed[f"demands of the {part}, {kind},"] = figure
    for name, figure in timed.items():
        if figure is not None and not figure.samples:
            yield f"{name} must have samples"
        elif figure is not None and figure.value <= 0:
            yield f"{name} must be above 0"
    for name in ("session_bytes", "resident_bytes", "cores"):
        if getattr(figures, name) <= 0:
            yield f"{name} must be above 0"


def _lost_zone(plan: CapacityPlan) -> str:
    """Return what a lost zone costs beside capacity; "" for nothing."""
    if plan.is_one_machine:
        return ""
    if not plan.workload.replicas:
        return "the sessions of its primaries are lost with it, since they have no replicas"
    if plan.workload.zones < FEWEST_ZONES:
        most = "primaries" if plan.has_shards else "Sentinels"
        return f"with most of the {most} it stops the store until it is back; a majority needs a third zone"
    return ""


def _data_source(plan: CapacityPlan) -> str:
    text = "sessions x bytes"
    return f"{text}, and {show_count(plan.tokens)} tokens of writes" if plan.tokens else text


def _with_spread(figure: Figure, unit: str, digits: int = 0) -> str:
    return f"{figure.value:,.{digits}f} ±{figure.spread:,.{digits}f} {unit}"


def _scaled(figure: Figure, factor: float) -> Figure:
    return Figure(tuple(sample * factor for sample in figure.samples))


def _bytes(value: float) -> str:
    if value >= 1e11:
        return f"{value / 1e9:,.0f} GB"
    return f"{value / 1e9:.3g} GB" if value >= 1e9 else f"{value / 1e6:.3g} MB"


def _bits(value: float) -> str:
    return f"{value * 8 / 1e9:,.2f} Gbit/s" if value >= 1.25e7 else f"{value * 8 / 1e6:,.2f} Mbit/s"
