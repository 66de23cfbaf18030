"""The cost and the losses of a run, in sentences that the terminal, the page and the Markdown file share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.checker import Kind
from loadtest.claims.claim import Verdict
from loadtest.faults import NOTHING
from loadtest.results import OTHER_LOSSES, CaseResults, Result

NOTHING_LOST, NO_COST = "nobody was logged out and nothing was lost", "no request failed"
NOTHING_FOUND = "of what was looked for, nothing was lost"
"""Where a target does not show all losses."""
TOO_LITTLE = "too little data to exclude a loss"


@dataclass(frozen=True)
class Told:
    """`losses` and `costs` of a case, as clauses without a capital letter and a full stop."""

    losses: str
    costs: str

    @property
    def lost(self) -> bool:
        return self.losses not in {NOTHING_LOST, NOTHING_FOUND, TOO_LITTLE}

    @property
    def text(self) -> str:
        return f"{self.losses}; {self.costs}"


def tell(case: CaseResults) -> Told | None:
    """Return what users lost and what it cost them; of several runs the medians. None where nothing was measured."""
    if not case.measured:
        return None
    losses = [
        _count_users(case.users_logged_out),
        _count(case.updates_lost, "update was lost", "updates were lost"),
        case.other_losses,
    ]
    failed = _count(case.failed, "request failed", "requests failed") or NO_COST
    gap = "" if case.gap in {"-", "0.00"} else f"for {case.gap} s there was no good answer"
    slow = "" if case.slow == "-" else f"1 answer in 100 took {case.slow} s or more"
    return Told(_list(losses) or _say_nothing(case.runs), _list([failed, gap, slow]))


def tell_unseen(case: CaseResults) -> str:
    """Return what nobody looked for: "no update is lost (shop.toml has no counter)"; empty for nothing."""
    by_reason: dict[str, list[str]] = {}
    for claim, reason in case.not_looked_for.items():
        by_reason.setdefault(reason, []).append(claim)
    return "; ".join(f"{', '.join(claims)} ({reason})" for reason, claims in by_reason.items())


def tell_all(results: Sequence[Result]) -> str:
    """Return the sums over all runs: "70 of 180 users were logged out; 5 requests failed"."""
    found = [result.findings for result in results if result.findings is not None]
    out = sum(one.total.users_logged_out for one in found)
    lost = sum((Counter(one.total.found) for one in found), Counter[Kind]())
    losses = [
        _count_users(f"{out:,} of {sum(result.users for result in results):,}" if out else "0"),
        _count(f"{lost[Kind.UPDATE_LOST]:,}", "update was lost", "updates were lost"),
        *(_count(f"{lost[kind]:,}", *words) for kind, words in OTHER_LOSSES.items()),
    ]
    failed = _count(f"{sum(one.total.failed for one in found):,}", "request failed", "requests failed")
    return f"{_list(losses) or _say_nothing(results)}; {failed or NO_COST}"


def summarize(result: Result) -> str:
    """Return two sentences: the load and the fault, and what was lost."""
    told = tell(CaseResults((result,)))
    if result.findings is None or result.timing is None or told is None:
        return f"Nothing was measured: {result.reason}."
    timing, total = result.timing, result.findings.total
    load = f"{result.users} users sent {total.operations:,} requests ({total.rate:.0f}/s)"
    fault = f"; after {timing.fault - timing.before:.0f} s: {result.fault}, for {timing.undo - timing.fault:.0f} s"
    first = f"{load}{'' if result.fault == NOTHING.what else fault}."
    share = total.share_logged_out
    answers = f" {share:.0%} of the answers to logged-in users said that they were not." if share else ""
    return f"{first} {capitalize(told.text)}.{answers}"


def capitalize(text: str) -> str:
    """Return the text with a capital letter first, and the others as they are."""
    return text[:1].upper() + text[1:]


def _say_nothing(results: Sequence[Result]) -> str:
    """Return the clause for runs in which no loss was found."""
    verdicts = {claim.verdict for result in results for claim in result.claims}
    if Verdict.NOT_ENOUGH_DATA in verdicts:
        return TOO_LITTLE
    return NOTHING_FOUND if Verdict.NOT_LOOKED_FOR in verdicts else NOTHING_LOST


def _count_users(figure: str) -> str:
    """Return the clause for "8 of 24"."""
    return (
        "" if figure in {"0", "-"} else f"{figure} users {'was' if figure.startswith('1 of ') else 'were'} logged out"
    )


def _count(figure: str, one: str, several: str) -> str:
    return "" if figure in {"0", "-"} else f"{figure} {one if figure == '1' else several}"


def _list(parts: Sequence[str]) -> str:
    """Return the parts that are there: "a", "a and b", "a, b and c"."""
    *before, last = [part for part in parts if part] or [""]
    return f"{', '.join(before)} and {last}" if before else last
