"""Observations counted: what a number of virtual users saw during one phase of a run."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from loadtest.ledger import Action, Finding
from loadtest.observation import Observation


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen in one phase.

    `as_logged_in` counts the requests of users who were logged in for certain and whose answer shows whether they
    still are; `logged_out` those among them that found the user logged out; `users_logged_out` to how many different
    users that happened. `failed` are HTTP failures only (no answer, 5xx, a status the interface does not know), in
    `failures` by request and reason. `nodes` counts answers by the node that gave them. `seconds` is how long the
    phase took, `p50` and `p99` are Locust's percentiles in ms, `generator_cpu` the share of one core that the load
    generator used: above 0.9 its own figures cannot be trusted.
    """

    phase: str
    seconds: float = 0.0
    users: int = 0
    requests: int = 0
    logins: int = 0
    as_logged_in: int = 0
    logged_out: int = 0
    users_logged_out: int = 0
    visits_lost: int = 0
    cart_lost: int = 0
    revived: int = 0
    crossed: int = 0
    failed: int = 0
    failed_gets: int = 0
    failures: dict[str, int] = {}
    retried: int = 0
    nodes: dict[str, int] = {}
    p50: float = 0.0
    p99: float = 0.0
    generator_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def share_logged_out(self) -> float:
        """Of the requests made as a logged-in user, the share (0 to 1) that found it logged out."""
        return self.logged_out / self.as_logged_in if self.as_logged_in else 0.0

    @property
    def wrong(self) -> int:
        """How many answers proved a loss of any kind."""
        return self.logged_out + self.visits_lost + self.cart_lost + self.revived + self.crossed


def together(parts: Sequence[Figures], p50: float | None = None, p99: float | None = None) -> Figures:
    """What several processes saw at the same time, each of users of its own. `generator_cpu` is that of the busiest.

    Percentiles cannot be added up: where they are not given, the worst of the parts stands for them.
    """

    def counts(name: str) -> dict[str, int]:
        return dict(sorted(sum((Counter(getattr(part, name)) for part in parts), Counter[str]()).items()))

    return Figures(
        phase=parts[0].phase,
        seconds=max(part.seconds for part in parts),
        failures=counts("failures"),
        nodes=counts("nodes"),
        p50=max(part.p50 for part in parts) if p50 is None else p50,
        p99=max(part.p99 for part in parts) if p99 is None else p99,
        generator_cpu=max(part.generator_cpu for part in parts),
        **{name: sum(getattr(part, name) for part in parts) for name in _COUNTS},
    )


_COUNTS = (
    *("users", "requests", "logins", "as_logged_in", "logged_out", "users_logged_out", "visits_lost", "cart_lost"),
    *("revived", "crossed", "failed", "failed_gets", "retried"),
)


class Tally:
    """Counts the observations of one phase."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self._requests = self._as_logged_in = self._retried = self._logins = 0
        self._findings: Counter[Finding] = Counter()
        self._failures: Counter[str] = Counter()
        self._failed_gets = 0
        self._nodes: Counter[str] = Counter()
        self._users: set[str] = set()
        self._users_logged_out: set[str] = set()

    def record(self, observation: Observation) -> None:
        """Count one observation."""
        self._requests += 1
        self._users.add(observation.who)
        self._as_logged_in += observation.judgement.tells
        self._retried += observation.retried
        self._logins += observation.operation.action is Action.LOGIN
        self._findings.update(observation.judgement.findings)
        if Finding.LOGGED_OUT in observation.judgement.findings:
            self._users_logged_out.add(observation.who)
        if observation.error is not None:
            self._failures[f"{observation.method} {observation.path}: {observation.error}"] += 1
            self._failed_gets += observation.method == "GET"
        if observation.node:
            self._nodes[observation.node] += 1

    def figures(self, seconds: float, p50: float = 0.0, p99: float = 0.0, generator_cpu: float = 0.0) -> Figures:
        """What has been counted so far; time and latency are measured elsewhere."""
        return Figures(
            phase=self.phase,
            seconds=round(seconds, 3),
            users=len(self._users),
            requests=self._requests,
            logins=self._logins,
            as_logged_in=self._as_logged_in,
            logged_out=self._findings[Finding.LOGGED_OUT],
            users_logged_out=len(self._users_logged_out),
            visits_lost=self._findings[Finding.VISITS_LOST],
            cart_lost=self._findings[Finding.CART_LOST],
            revived=self._findings[Finding.REVIVED],
            crossed=self._findings[Finding.CROSSED],
            failed=sum(self._failures.values()),
            failed_gets=self._failed_gets,
            failures=dict(sorted(self._failures.items())),
            retried=self._retried,
            nodes=dict(sorted(self._nodes.items())),
            p50=p50,
            p99=p99,
            generator_cpu=round(generator_cpu, 3),
        )


def summary(figures: Figures) -> str:
    """The figures in a few lines of plain text, for the end of a run."""
    share = f" ({figures.share_logged_out:.1%} of {figures.as_logged_in:,} made while logged in)"
    lines = [
        f"What {figures.users} users saw in {figures.requests:,} requests ({figures.rate:.0f}/s)",
        f"  found logged out   {figures.logged_out:,}{share if figures.as_logged_in else ''},"
        f" {figures.users_logged_out} of {figures.users} users",
        f"  visits lost        {figures.visits_lost:,}",
        f"  carts lost         {figures.cart_lost:,}",
        f"  logouts revived    {figures.revived:,}",
        f"  sessions crossed   {figures.crossed:,}",
        f"  failed requests    {figures.failed:,}",
        *(f"    {count:,} x {reason}" for reason, count in figures.failures.items()),
        f"  asked again        {figures.retried:,} by the proxy, at another node",
        f"  answered by        {', '.join(f'{node} {count:,}' for node, count in figures.nodes.items()) or '-'}",
    ]
    return "\n".join(lines)
