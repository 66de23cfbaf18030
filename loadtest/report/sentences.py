"""What happened in one run, in two sentences, out of its figures."""

from loadtest.checker.findings import Findings
from loadtest.results import Result

NOTHING = "nothing"
"""What a fault that is none calls itself."""
_ALL_WELL = "No session, no update and no logout was lost, and nobody saw anything of somebody else's."


def what_happened(result: Result) -> str:
    """Two sentences: what was done under which load, and what came of it."""
    if result.findings is None or result.timing is None:
        return f"Nothing was measured: {result.reason}."
    timing, total = result.timing, result.findings.total
    load = f"{result.users} users sent {total.operations:,} requests ({total.rate:.0f}/s)"
    fault = f"; after {timing.fault - timing.before:.0f} s: {result.fault}, for {timing.undo - timing.fault:.0f} s"
    first = f"{load}{'' if result.fault == NOTHING else fault}."
    return f"{first} {_lost(result.findings)} {_served(result.findings)}"


def _lost(found: Findings) -> str:
    losses = {
        "session": found.sessions_lost,
        "update": found.updates_lost,
        "stale answer": found.stale_reads,
        "revived logout": found.revived,
        "answer with somebody else's data": found.crossed,
    }
    said = [f"{count:,} {what}{'s' if count != 1 else ''}" for what, count in losses.items() if count]
    if not said:
        return _ALL_WELL
    share = f" ({found.total.share_logged_out:.0%} of the answers to who was logged in said that nobody is)"
    return f"Lost or wrong: {', '.join(said)}{share if found.sessions_lost else ''}."


def _served(found: Findings) -> str:
    failed = (
        f"{found.total.failed:,} request{'s' if found.total.failed != 1 else ''} failed" if found.total.failed else ""
    )
    gap = f"for {found.gap:.2f} s no probe had a good answer" if found.gap else ""
    said = " and ".join(filter(None, (failed, gap)))
    return f"{said[0].upper()}{said[1:]}." if said else "No request failed."
