"""Concurrent clients of one browser on a store that is right, or wrong in a known way, one step after another.

A client's operation starts (and takes the browser's cookie along), takes effect in the store, and ends. Between these
any other client may take steps. It may also end as unknown: before its effect, which then comes later or never, or
after it. Every step takes TICK seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from msgspec import UNSET, UnsetType

from loadtest.history import RENEWALS, Action, Op, OpOutcome

ITEMS = ("apple", "pear")
TICK = 0.125
"""Seconds. Schedules of up to 200 steps stay within the checker's horizon."""


@dataclass(frozen=True)
class Record:
    user: str | None = None
    visits: int = 0
    cart: dict[str, int] = field(default_factory=dict)


@dataclass
class Store:
    """Records by id. A login renews the id, an unknown id has no record, a write creates one.

    A request with an id that was renewed meanwhile reaches the session under its new id if the store `forwards`;
    otherwise it finds no session, and is refused if it is a write or a login.

    Faults: with `overwrites`, a write puts back a copy of the record that was read when the request began. With
    `resurrects`, it does so even if the record was ended meanwhile. With `misdirects`, a write with a renewed id
    creates a session.
    """

    overwrites: bool = False
    resurrects: bool = False
    misdirects: bool = False
    forwards: bool = False
    records: dict[int | None, Record] = field(default_factory=dict)
    """No record has the id None, which a request without a cookie sends."""
    ids: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))
    renewed: dict[int | None, int] = field(default_factory=dict)
    """The new id of each renewed one."""

    def carry_out(self, op: "Running") -> None:
        if op.sent in self.renewed and not self.misdirects:
            if self.forwards:
                while op.sent in self.renewed:
                    op.sent = self.renewed[op.sent]
            elif op.action in (Action.VISIT, Action.ADD, Action.EMPTY, *RENEWALS):
                op.refused, op.shown = True, {}
                return
        now, known = self.records.get(op.sent), op.sent in self.records
        if self.overwrites and op.read is not None and (known or self.resurrects):
            now, known = op.read, True
        record = now or Record()
        match op.action:
            case Action.PASSWORD | Action.END_OTHERS if record.user is None:
                op.refused, op.shown = True, {}
            case Action.END_OTHERS:
                op.shown = {}
            case Action.LIST:
                op.shown = {} if record.user else {"user": None}
            case Action.LOGIN | Action.PASSWORD:
                self.records.pop(op.sent, None)
                op.brought = next(self.ids)
                if known:
                    self.renewed[op.sent] = op.brought
                self.records[op.brought] = replace(record, user="alice")
                op.shown = {"user": "alice"} if op.action is Action.LOGIN else {}
            case Action.LOGOUT:
                self.records.pop(op.sent, None)
                op.shown = {}
            case Action.LOOK:
                op.shown = {"user": record.user, "visits": record.visits, "cart": record.cart}
            case Action.ACCOUNT:
                op.shown = {"user": record.user}
            case Action.EMPTY:
                if known:
                    self.records[op.sent] = replace(record, cart={})
                op.shown = {}
            case Action.VISIT:
                record = replace(record, visits=record.visits + 1)
                self._save(op, record, known)
                op.shown = {"visits": record.visits}
            case Action.ADD:
                cart = {**record.cart, op.item: record.cart.get(op.item, 0) + op.quantity}
                record = replace(record, cart=cart)
                self._save(op, record, known)
                op.shown = {"cart": cart}

    def _save(self, op: "Running", record: Record, known: bool) -> None:
        if not known:
            op.brought = next(self.ids)
        self.records[op.sent if known else op.brought] = record


@dataclass
class Running:
    """An operation under way."""

    who: str
    action: Action
    item: str
    quantity: int
    started: float
    held: int | None
    read: Record | None
    brought: int = -1
    shown: dict[str, object] | None = None
    refused: bool = False

    def __post_init__(self) -> None:
        self.sent = self.held  # the id under which the store looks for the session

    def ended(self, at: float, outcome: OpOutcome, *, with_tabs: bool) -> Op:
        shown = (self.shown or {}) if outcome is OpOutcome.OK else {}
        replaced: bool | UnsetType = UNSET
        if outcome is OpOutcome.OK and self.held is not None:
            replaced = self.brought >= 0
        return Op(
            who=self.who,
            account="alice",
            session="browser#1",
            action=self.action,
            item=self.item,
            quantity=self.quantity,
            outcome=outcome,
            replaced=replaced,
            held=0 if self.held is None or not with_tabs else self.held + 1,
            brought=self.brought + 1 if outcome is OpOutcome.OK and with_tabs else 0,
            method="GET" if self.action in (Action.LOOK, Action.ACCOUNT, Action.LIST) else "POST",
            path="/",
            status=200 if outcome is OpOutcome.OK else 0,
            started=self.started,
            ended=at,
            **shown,  # type: ignore[arg-type]
        )


@dataclass
class SharedBrowser:
    """Clients that share one cookie: that of the last login, or the first one that came without any sent.

    With `tabs` it is the cookie of the last answer that sets one, as browsers have it, and none after a logout.
    """

    store: Store
    clients: int
    tabs: bool = False
    now: float = 0.0
    cookie: int | None = None
    running: dict[int, Running] = field(default_factory=dict)
    late: list[Running] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    def start(self, client: int, action: Action, item: str = "", quantity: int = 0) -> None:
        """Start an operation. One client renews the id at a time, and without a cookie only one operation runs."""
        self.now += TICK
        busy = list(self.running.values())
        if (self.cookie is None and busy) or (action in RENEWALS and any(o.action in RENEWALS for o in busy)):
            return
        read = self.store.records.get(self.cookie)
        self.running[client] = Running(f"tab-{client}", action, item, quantity, self.now, self.cookie, read)

    def effect(self, client: int) -> None:
        self.now += TICK
        if self.running[client].shown is None:
            self.store.carry_out(self.running[client])

    def end(self, client: int) -> None:
        self.effect(client)
        self.now += TICK
        op = self.running.pop(client)
        if op.brought >= 0 and (self.tabs or op.action in RENEWALS or op.held is None):
            self.cookie = op.brought
        elif self.tabs and op.action is Action.LOGOUT:
            self.cookie = None
        self._record(op, OpOutcome.FAIL if op.refused else OpOutcome.OK)

    def _record(self, op: Running, outcome: OpOutcome) -> None:
        self.ops.append(op.ended(self.now, outcome, with_tabs=self.tabs))

    def fail(self, client: int) -> None:
        self.now += TICK
        if self.running[client].shown is None:
            self._record(self.running.pop(client), OpOutcome.FAIL)

    def give_up(self, client: int, happens_later: bool) -> None:
        """End an operation as unknown. If it has had no effect yet, it has one later, or none."""
        self.now += TICK
        op = self.running.pop(client)
        if op.shown is None and happens_later:
            self.late.append(op)
        self._record(op, OpOutcome.UNKNOWN)

    def arrive(self) -> None:
        """Let the operations that were given up take effect."""
        self.now += TICK
        for op in self.late:
            self.store.carry_out(op)
        self.late = []

    def settle(self) -> None:
        """End all running operations successfully."""
        for client in list(self.running):
            self.end(client)
        self.arrive()

    def do(self, action: Action, item: str = "", quantity: int = 0) -> Op:
        """Run one operation from beginning to end, while no other one runs."""
        self.settle()
        self.start(0, action, item, quantity)
        self.end(0)
        return self.ops[-1]

    def step(self, client: int, what: str, action: Action, item: str, quantity: int) -> None:
        """Take a step of a schedule. A step that is impossible now is replaced by a possible one."""
        client %= self.clients
        if what == "arrive":
            self.arrive()
        elif client not in self.running:
            self.start(client, action, item, quantity)
        elif what == "effect":
            self.effect(client)
        elif what == "fail":
            self.fail(client)
        elif what in ("unknown", "unknown, later"):
            self.give_up(client, what == "unknown, later")
        else:
            self.end(client)
